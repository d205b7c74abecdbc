//! A CSV file that something appends to, as a source.
//!
//! Owns: when the file is read again, and how its rows answer a query. A query is the name of a
//! column; the file is one entity, `file="NAME.csv"`.
//! Does not own: the layouts (`csv`).

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::Mutex;
use std::sync::PoisonError;
use std::time::SystemTime;

use serde::Deserialize;

use super::CsvFile;
use super::parse;
use super::unopened;
use super::wrong;
use crate::math::duration::format_duration;
use crate::series::Entity;
use crate::series::Grid;
use crate::source::Answer;
use crate::source::AnswerSeries;
use crate::source::BoxFuture;
use crate::source::Source;
use crate::source::SourceError;

/// The `source.csv` block.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// The file, in one of the layouts of [`read`](super::read).
    pub file: PathBuf,
}

/// A CSV file as a source. It is held in memory whole, and read again when it has changed.
#[derive(Debug, Clone)]
pub struct Csv(Arc<Live>);

#[derive(Debug)]
struct Live {
    path: PathBuf,
    last: Mutex<Option<Seen>>,
}

/// What a file held when it looked so.
#[derive(Debug)]
struct Seen {
    looks: (Option<SystemTime>, u64),
    content: Result<Arc<CsvFile>, SourceError>,
}

impl Csv {
    /// The label that names the file.
    pub const LABEL: &str = "file";

    /// The source; the file may come later.
    pub fn new(config: &Config) -> Csv {
        Csv(Arc::new(Live { path: config.file.clone(), last: Mutex::default() }))
    }

    /// Reads off the async threads: a file may be long, or on a disk that hangs.
    async fn ask(
        &self,
        answer: impl FnOnce(&Live) -> Result<Answer, SourceError> + Send + 'static,
    ) -> Result<Answer, SourceError> {
        let live = Arc::clone(&self.0);
        let answered = tokio::task::spawn_blocking(move || answer(&live)).await;
        answered.unwrap_or_else(|error| Err(wrong(error)))
    }
}

impl Source for Csv {
    fn range<'a>(
        &'a self,
        query: &'a str,
        grid: Grid,
    ) -> BoxFuture<'a, Result<Answer, SourceError>> {
        let query = query.to_string();
        Box::pin(self.ask(move |live| live.answer(&query, grid, now_s())))
    }

    fn instant<'a>(
        &'a self,
        query: &'a str,
        time_s: i64,
    ) -> BoxFuture<'a, Result<Answer, SourceError>> {
        let query = query.to_string();
        Box::pin(self.ask(move |live| {
            let step_s = live.current()?.step_s;
            let start_s = time_s.div_euclid(step_s) * step_s;
            let mut answer = live.answer(&query, Grid { start_s, step_s, len: 1 }, now_s())?;
            let samples = answer.series.iter_mut().flat_map(|series| &mut series.samples);
            samples.for_each(|sample| sample.0 = time_s);
            Ok(answer)
        }))
    }

    fn describe(&self) -> String {
        self.0.path.display().to_string()
    }
}

impl Live {
    fn answer(&self, query: &str, grid: Grid, now_s: i64) -> Result<Answer, SourceError> {
        let file = self.current()?;
        let refused =
            |what: String| SourceError::BadQuery(format!("{}: {what}", self.path.display()));
        let column = file.column(query).map_err(refused)?;
        file.takes_step(grid.step_s).map_err(refused)?;
        let name = self.path.file_name().unwrap_or_default().to_string_lossy();
        let labels = Entity::new([(Csv::LABEL, name)]);
        let samples = file.samples(column, grid, now_s);
        Ok(Answer { series: vec![AnswerSeries { labels, samples }], ..Answer::default() })
    }

    /// The file as it is now.
    fn current(&self) -> Result<Arc<CsvFile>, SourceError> {
        let mut last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        // Looked at before it is read: what is appended in between is seen the next time.
        let looks = std::fs::metadata(&self.path).map(|m| (m.modified().ok(), m.len()));
        let looks = looks.map_err(|error| unopened(&self.path, &error))?;
        if let Some(seen) = last.as_ref().filter(|seen| seen.looks == looks) {
            return seen.content.clone();
        }
        let content = self.read();
        *last = Some(Seen { looks, content: content.clone() });
        content
    }

    fn read(&self) -> Result<Arc<CsvFile>, SourceError> {
        let mut text = std::fs::read(&self.path).map_err(|error| unopened(&self.path, &error))?;
        // A line without its end is still being written.
        text.truncate(text.iter().rposition(|byte| *byte == b'\n').map_or(0, |end| end + 1));
        let parsed = parse(text.as_slice());
        parsed.map(Arc::new).map_err(|error| error.at(&self.path.display().to_string()))
    }
}

impl CsvFile {
    /// The values of a column.
    ///
    /// # Errors
    /// There is none of this name; the text lists those that there are.
    pub fn column(&self, name: &str) -> Result<&[f64], String> {
        let found = self.columns.iter().find(|(known, _)| known == name);
        found.map(|(_, values)| values.as_slice()).ok_or_else(|| {
            let known: Vec<&str> = self.columns.iter().map(|(name, _)| name.as_str()).collect();
            format!("no column is named {name:?}; wanted one of {}", known.join(", "))
        })
    }

    /// Whether there is a row for every step of so many seconds.
    ///
    /// # Errors
    /// The rows are further apart; most steps would be gaps.
    pub fn takes_step(&self, step_s: i64) -> Result<(), String> {
        if step_s >= self.step_s {
            return Ok(());
        }
        let (rows, step) = (format_duration(self.step_s), format_duration(step_s));
        Err(format!("its rows are {rows} apart; wanted a step of at least that, not {step}"))
    }

    /// What was known of a column at the times of `grid`: each has the last value of the step that
    /// ends there. Rows after `now_s` are not looked at.
    ///
    /// A file whose rows lie between the multiples of its step is seen at the ones after them. A row
    /// that strays from its file's rhythm by up to half a step counts for the time that it was due at,
    /// as in a file at rest: one that comes late is seen there once it has come.
    fn samples(&self, column: &[f64], grid: Grid, now_s: i64) -> Vec<(i64, f64)> {
        let written = self.rows.partition_point(|(time_s, _)| *time_s <= now_s);
        let end = self.rows[..written].last().map_or(0, |(_, place)| place + 1);
        // `t` has the whole file moved back onto multiples of the step: here it is moved forth.
        let moved = self.rows.first().is_some_and(|(time_s, _)| *time_s > self.grid().start_s);
        let start_s = self.grid().start_s + if moved { self.step_s } else { 0 };
        let skipped = (grid.start_s - grid.step_s - start_s).max(0) / self.step_s;
        let begin = (skipped as usize).min(end);
        let mut samples: Vec<(i64, f64)> = Vec::new();
        for (place, value) in (begin..end).zip(&column[begin..end]).filter(|(_, v)| !v.is_nan()) {
            let row_s = start_s + place as i64 * self.step_s;
            let time_s = row_s + (-row_s).rem_euclid(grid.step_s);
            match samples.last_mut() {
                _ if grid.index(time_s).is_none() => {}
                Some(last) if last.0 == time_s => last.1 = *value,
                _ => samples.push((time_s, *value)),
            }
        }
        samples
    }
}

fn now_s() -> i64 {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
    since.map_or(0, |since| since.as_secs() as i64)
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;

    fn samples(text: &str, grid: Grid, now_s: i64) -> Vec<(i64, f64)> {
        let file = parse(text.as_bytes()).unwrap();
        file.samples(file.column("v").unwrap(), grid, now_s)
    }

    #[test]
    fn a_row_is_seen_when_it_was_due_once_it_is_there() {
        let grid = Grid { start_s: 0, step_s: 10, len: 6 };
        let aligned = "t,v\n10,1\n20,2\n30,\n40,4\n";
        assert_eq!(samples(aligned, grid, 99), [(10, 1.0), (20, 2.0), (40, 4.0)]);
        assert_eq!(samples(aligned, grid, 39), [(10, 1.0), (20, 2.0)], "40 lies in the future");
        let between = "t,v\n3,1\n13,2\n23,3\n33,4\n";
        assert_eq!(samples(between, grid, 99), [(10, 1.0), (20, 2.0), (30, 3.0), (40, 4.0)]);
        let stray = "t,v\n10,1\n20,2\n29,3\n40,4\n53,5\n";
        let before = [(10, 1.0), (20, 2.0), (30, 3.0), (40, 4.0)];
        assert_eq!(samples(stray, grid, 52), before, "53 lies in the future");
        assert_eq!(samples(stray, grid, 53).last(), Some(&(50, 5.0)));
        let coarser = Grid { start_s: 20, step_s: 20, len: 2 };
        assert_eq!(samples(between, coarser, 99), [(20, 2.0), (40, 4.0)]);
        let late = Grid { start_s: 100, step_s: 10, len: 5 };
        assert_eq!(samples(aligned, late, 199), []);
    }

    #[test]
    fn what_is_appended_is_seen_and_a_half_written_line_is_not() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("grows.csv");
        let Csv(live) = Csv::new(&Config { file: path.clone() });
        let grid = Grid { start_s: 0, step_s: 10, len: 9 };
        let ask = |query| live.answer(query, grid, 1_000);
        let newest = || ask("v").unwrap().series[0].samples.last().copied();
        let missing = ask("v").unwrap_err();
        assert_eq!(missing.reason(), "csv");
        assert!(missing.to_string().contains("grows.csv: cannot be read"), "{missing}");
        std::fs::write(&path, "t,v\n10,1\n20,2\n3").unwrap();
        assert_eq!(newest(), Some((20, 2.0)));
        let mut file = std::fs::OpenOptions::new().append(true).open(&path).unwrap();
        file.write_all(b"0,33\n40").unwrap();
        assert_eq!(newest(), Some((30, 33.0)));
        let labels = ask("v").unwrap().series[0].labels.to_string();
        assert_eq!(labels, "file=grows.csv");
        file.write_all(b",apple\n").unwrap();
        let bad = ask("v").unwrap_err().to_string();
        assert!(bad.ends_with("line 5: v is \"apple\", wanted a number or nothing"), "{bad}");
    }

    #[test]
    fn what_the_file_cannot_answer_is_a_bad_query() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.csv");
        std::fs::write(&path, "t,v,w\n0,1,1\n300,2,2\n").unwrap();
        let Csv(live) = Csv::new(&Config { file: path });
        let grid = |step_s| Grid { start_s: 0, step_s, len: 1 };
        let name = live.answer("up", grid(300), 999).unwrap_err();
        assert_eq!(name.reason(), "bad_query");
        let wanted = "a.csv: no column is named \"up\"; wanted one of v, w";
        assert!(name.to_string().ends_with(wanted), "{name}");
        let step = live.answer("v", grid(30), 999).unwrap_err().to_string();
        assert!(step.ends_with("its rows are 5m apart; wanted a step of at least that, not 30s"));
    }
}

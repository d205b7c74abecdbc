//! Samples from a CSV file.
//!
//! Owns: the two layouts that are read, and how uneven rows become a grid.
//! Does not own: what is done with the columns (`backtest`), or when a file is read again (`live`).
//!
//! Layouts: `t,NAME,…` with unix seconds, and `INDEX,ts,NAME,…` with times such as
//! `2023-01-01 00:05:00` in UTC, whose first column (unnamed or `index`) counts rows. A column
//! named `label` is a person's verdict, not a feature, and is left out.

mod live;
mod verdicts;

use std::fs::File;
use std::io::Read;
use std::path::Path;

use csv::StringRecord;
use jiff::civil::DateTime;
use jiff::tz::TimeZone;

use crate::series::Grid;
use crate::series::Window;
use crate::source::SourceError;

pub use live::Config;
pub use live::Csv;
pub use verdicts::Injected;
pub use verdicts::Told;
pub use verdicts::read_injected;
pub use verdicts::read_verdicts;

/// A file may have this many times more grid times than rows before it is refused.
const MOST_GAPS: i64 = 100;

/// A file's columns on a regular grid.
#[derive(Debug, Clone, PartialEq)]
pub struct CsvFile {
    /// The grid: unix seconds, `step_s` apart and multiples of it, from the first row to the last.
    pub t: Vec<i64>,
    /// Names and values of the features in the file's order; NaN is a gap.
    pub columns: Vec<(String, Vec<f64>)>,
    /// The median distance of two rows.
    pub step_s: i64,
    /// The file's rows in order: each one's own unix seconds, and its place in `t`.
    pub rows: Vec<(i64, usize)>,
}

impl CsvFile {
    /// The grid of [`CsvFile::t`].
    pub fn grid(&self) -> Grid {
        let start_s = self.t.first().copied().unwrap_or(0);
        Grid { start_s, step_s: self.step_s, len: self.t.len() }
    }

    /// All columns beside each other.
    pub fn window(&self) -> Window {
        self.beside(self.columns.iter().map(|(_, column)| column.as_slice()))
    }

    /// These columns of the file beside each other.
    pub fn beside<'a>(&self, columns: impl ExactSizeIterator<Item = &'a [f64]>) -> Window {
        let mut rows = Window::gaps(self.grid(), columns.len());
        for (c, column) in columns.enumerate() {
            column.iter().enumerate().for_each(|(i, value)| rows.row_mut(i)[c] = *value);
        }
        rows
    }

    /// By how much the grid is before the rows' own times, in seconds: less than a step.
    pub fn shift_s(&self) -> i64 {
        self.rows
            .first()
            .map_or(0, |(time_s, place)| time_s - self.t.get(*place).copied().unwrap_or(*time_s))
    }
}

/// Reads a file.
///
/// Rows must come in the order of time. The step is their median distance. Rows that are missing
/// become gaps; a row between two grid times is moved to the nearer one, and the last of several
/// rows there counts. A file whose first row is not at a multiple of the step is shifted by the
/// difference as a whole.
///
/// # Errors
/// The file cannot be read, or a line of it cannot be understood; the text names the line.
pub fn read(path: &Path) -> Result<CsvFile, SourceError> {
    let file = File::open(path).map_err(|error| unopened(path, &error))?;
    parse(file).map_err(|error| error.at(&path.display().to_string()))
}

/// What each column is for.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Role {
    UnixSeconds,
    Timestamp,
    Feature,
    Unused,
}

/// The file's rows as they stand.
#[derive(Default)]
struct Rows {
    t: Vec<i64>,
    values: Vec<Vec<f64>>,
}

fn parse(input: impl Read) -> Result<CsvFile, SourceError> {
    let mut reader = csv::ReaderBuilder::new().trim(csv::Trim::All).from_reader(input);
    let header = reader.headers().map_err(unreadable)?.clone();
    let roles = roles(&header)?;
    let names = || header.iter().zip(&roles).filter(|(_, role)| **role == Role::Feature);
    let mut rows = Rows { values: vec![Vec::new(); names().count()], ..Rows::default() };
    for record in reader.records() {
        add(&record.map_err(unreadable)?, &header, &roles, &mut rows)?;
    }
    let (t, step_s, places) = grid(&rows)?;
    let columns = names().zip(&rows.values).map(|((name, _), values)| {
        let mut column = vec![f64::NAN; t.len()];
        for ((_, place), value) in places.iter().zip(values).filter(|(_, v)| !v.is_nan()) {
            column[*place] = *value;
        }
        (name.to_string(), column)
    });
    Ok(CsvFile { columns: columns.collect(), t, step_s, rows: places })
}

fn roles(header: &StringRecord) -> Result<Vec<Role>, SourceError> {
    let mut roles: Vec<Role> = header
        .iter()
        .enumerate()
        .map(|(i, name)| match name.trim_start_matches('\u{feff}') {
            "t" => Role::UnixSeconds,
            "ts" => Role::Timestamp,
            "label" => Role::Unused,
            "" | "index" if i == 0 => Role::Unused,
            _ => Role::Feature,
        })
        .collect();
    let shown = header.iter().collect::<Vec<_>>().join(",");
    let fail = |what| Err(wrong(format!("line 1: {shown:?}: {what}")));
    if let Some(i) = header.iter().position(str::is_empty)
        && i > 0
    {
        return fail("a column without a name");
    }
    // Where both are given, unix seconds are the more exact.
    if roles.contains(&Role::UnixSeconds) {
        roles.iter_mut().filter(|r| **r == Role::Timestamp).for_each(|r| *r = Role::Unused);
    }
    let times = roles.iter().filter(|r| matches!(r, Role::UnixSeconds | Role::Timestamp));
    if times.count() != 1 {
        return fail("wanted one column t (unix seconds) or ts (such as 2023-01-01 00:05:00)");
    }
    let mut names: Vec<&str> =
        header.iter().zip(&roles).filter(|(_, r)| **r == Role::Feature).map(|(n, _)| n).collect();
    if names.is_empty() {
        return fail("wanted at least one column of values");
    }
    names.sort_unstable();
    if names.windows(2).any(|pair| pair[0] == pair[1]) {
        return fail("two columns of one name");
    }
    Ok(roles)
}

fn add(
    record: &StringRecord,
    header: &StringRecord,
    roles: &[Role],
    rows: &mut Rows,
) -> Result<(), SourceError> {
    let line = record.position().map_or(0, csv::Position::line);
    let fail = |name: &str, cell: &str, wanted: &str| {
        wrong(format!("line {line}: {name} is {cell:?}, wanted {wanted}"))
    };
    let mut columns = rows.values.iter_mut();
    for ((cell, name), role) in record.iter().zip(header).zip(roles) {
        match role {
            Role::UnixSeconds => {
                rows.t.push(unix_seconds(cell).ok_or_else(|| fail(name, cell, "unix seconds"))?)
            }
            Role::Timestamp => rows.t.push(
                timestamp(cell).ok_or_else(|| fail(name, cell, "such as 2023-01-01 00:05:00"))?,
            ),
            Role::Feature => {
                let value = value(cell).ok_or_else(|| fail(name, cell, "a number or nothing"))?;
                columns.next().into_iter().for_each(|column| column.push(value));
            }
            Role::Unused => {}
        }
    }
    if let [.., before, now] = rows.t[..]
        && before >= now
    {
        let name = if roles.contains(&Role::UnixSeconds) { "t" } else { "ts" };
        return Err(wrong(format!("line {line}: {name} is not later than in the row before")));
    }
    Ok(())
}

fn unix_seconds(cell: &str) -> Option<i64> {
    let t = cell.parse::<f64>().ok()?;
    // A century's worth of milliseconds would be a mistake, and so would nothing at all.
    (t.is_finite() && t.abs() < 1e11).then_some(t.round() as i64)
}

fn timestamp(cell: &str) -> Option<i64> {
    if let Ok(instant) = cell.parse::<jiff::Timestamp>() {
        return Some(instant.as_second());
    }
    let local: DateTime = cell.parse().ok()?;
    Some(TimeZone::UTC.to_timestamp(local).ok()?.as_second())
}

fn value(cell: &str) -> Option<f64> {
    match cell {
        "" | "null" | "NULL" => Some(f64::NAN),
        number => number.parse().ok(),
    }
}

/// The regular times that hold all rows, their step, and each row's own time and place.
#[allow(clippy::type_complexity, reason = "three parts of one CsvFile, used once")]
fn grid(rows: &Rows) -> Result<(Vec<i64>, i64, Vec<(i64, usize)>), SourceError> {
    let (Some(first), Some(last), true) = (rows.t.first(), rows.t.last(), rows.t.len() > 1) else {
        return Err(wrong(format!("{} rows, wanted at least 2", rows.t.len())));
    };
    let mut steps: Vec<i64> = rows.t.windows(2).map(|pair| pair[1] - pair[0]).collect();
    steps.sort_unstable();
    let step_s = steps[(steps.len() - 1) / 2];
    let place = |time: i64| (time - first + step_s / 2) / step_s;
    let len = place(*last) + 1;
    if len > MOST_GAPS * rows.t.len() as i64 {
        return Err(wrong(format!(
            "{} rows over {} s at a median step of {step_s} s: nearly all would be gaps",
            rows.t.len(),
            last - first
        )));
    }
    let start_s = first.div_euclid(step_s) * step_s;
    let t = (0..len).map(|i| start_s + i * step_s).collect();
    Ok((t, step_s, rows.t.iter().map(|time| (*time, place(*time) as usize)).collect()))
}

/// The csv crate's own errors in our words.
fn unreadable(error: csv::Error) -> SourceError {
    match error.kind() {
        csv::ErrorKind::UnequalLengths { pos: Some(pos), expected_len, len } => {
            wrong(format!("line {}: {len} cells, wanted {expected_len}", pos.line()))
        }
        csv::ErrorKind::Utf8 { pos: Some(pos), .. } => {
            wrong(format!("line {}: not UTF-8", pos.line()))
        }
        _ => wrong(error),
    }
}

fn unopened(path: &Path, error: &std::io::Error) -> SourceError {
    wrong(format!("{}: cannot be read: {error}; wanted a CSV file", path.display()))
}

fn wrong(what: impl ToString) -> SourceError {
    SourceError::Csv(what.to_string())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn read_text(text: &str) -> CsvFile {
        parse(text.as_bytes()).unwrap()
    }

    fn error(text: &str) -> String {
        parse(text.as_bytes()).unwrap_err().to_string()
    }

    #[test]
    fn the_workshops_layout() {
        for index in ["", "index", "\u{feff}index"] {
            let file = read_text(&format!(
                "{index},ts,traffic\n0,2023-01-01 00:00:00,1.5\n1,2023-01-01 00:05:00,2e3\n"
            ));
            assert_eq!((file.t, file.step_s), (vec![1_672_531_200, 1_672_531_500], 300));
            assert_eq!(file.columns, [("traffic".to_string(), vec![1.5, 2000.0])]);
        }
    }

    #[test]
    fn unix_seconds_with_several_columns_and_a_verdict() {
        let file = read_text("t,in,label,out\n60,1,0,2\n120.0,3,1,4\n");
        assert_eq!(file.t, [60, 120]);
        let wanted = [("in".to_string(), vec![1.0, 3.0]), ("out".to_string(), vec![2.0, 4.0])];
        assert_eq!(file.columns, wanted);
    }

    #[test]
    fn gaps_are_nan_and_missing_rows_are_gaps() {
        let file = read_text("t,v\n0,1\n10,\n20,NaN\n31,4\n60,5\n");
        assert_eq!((file.t, file.step_s), (vec![0, 10, 20, 30, 40, 50, 60], 10));
        assert_eq!(file.rows, [(0, 0), (10, 1), (20, 2), (31, 3), (60, 6)]);
        let valid: Vec<bool> = file.columns[0].1.iter().map(|v| !v.is_nan()).collect();
        assert_eq!(valid, [true, false, false, true, false, false, true]);
    }

    #[test]
    fn a_file_off_its_step_is_shifted_as_a_whole() {
        let file = read_text("t,v\n7,1\n16,2\n18,3\n27,4\n37,5\n");
        assert_eq!(file.grid(), Grid { start_s: 0, step_s: 9, len: 4 });
        assert_eq!(file.shift_s(), 7);
        assert_eq!(file.rows, [(7, 0), (16, 1), (18, 1), (27, 2), (37, 3)]);
        assert_eq!(file.columns[0].1, [1.0, 3.0, 4.0, 5.0]);
    }

    #[test]
    fn other_ways_to_write_a_time() {
        let file = read_text("ts,v\n2023-01-01T00:00:00Z,1\n2023-01-01T01:00:00+00:30,2\n");
        assert_eq!(file.step_s, 1800);
        assert_eq!(read_text("ts,v\n2023-01-01,1\n2023-01-02,2\n").step_s, 86_400);
    }

    #[test]
    fn errors_name_the_line_and_what_was_wanted() {
        let errors = [
            error("t,v\n0,1\n10,apple\n"),
            error("t,v\nnoon,1\n"),
            error("ts,v\n2023-13-01 00:00:00,1\n"),
            error("t,v\n0,1\n0,2\n"),
            error("t,v\n0,1\n10,1,1\n"),
            error("time,v\n0,1\n"),
            error("t,label\n0,1\n"),
            error("t,v,v\n0,1,1\n"),
            error("t,v,\n0,1,1\n"),
            error("t,v\n0,1\n"),
            error(""),
            error("t,v\n0,1\n1,1\n2,1\n1000000,1\n"),
        ];
        expect_test::expect![[r#"
            line 3: v is "apple", wanted a number or nothing
            line 2: t is "noon", wanted unix seconds
            line 2: ts is "2023-13-01 00:00:00", wanted such as 2023-01-01 00:05:00
            line 3: t is not later than in the row before
            line 3: 3 cells, wanted 2
            line 1: "time,v": wanted one column t (unix seconds) or ts (such as 2023-01-01 00:05:00)
            line 1: "t,label": wanted at least one column of values
            line 1: "t,v,v": two columns of one name
            line 1: "t,v,": a column without a name
            1 rows, wanted at least 2
            line 1: "": wanted one column t (unix seconds) or ts (such as 2023-01-01 00:05:00)
            4 rows over 1000000 s at a median step of 1 s: nearly all would be gaps"#]]
        .assert_eq(&errors.join("\n"));
    }

    #[test]
    fn a_file_that_is_not_there_is_named() {
        let error = read(Path::new("/no/such.csv")).unwrap_err();
        assert_eq!(error.reason(), "csv");
        assert!(error.to_string().starts_with("/no/such.csv: "), "{error}");
    }

    /// What files are made of, and what they are not.
    fn part() -> impl Strategy<Value = String> {
        let words = ["t", "ts", "index", ",", "\n", "v", "-", "\"", "NaN"];
        prop_oneof![
            prop::sample::select(words.to_vec()).prop_map(String::from),
            (0..1_000_000_000_000_i64).prop_map(|number| number.to_string()),
            any::<char>().prop_map(String::from),
        ]
    }

    proptest! {
        #[test]
        fn arbitrary_text_never_panics(parts in prop::collection::vec(part(), 0..64)) {
            let _ = parse(parts.concat().as_bytes());
        }
    }
}

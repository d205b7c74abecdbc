//! A file of labels: what was wrong, and when.
//!
//! Layout: `from,to[,class][,verdict]`, in any order of the columns; times are unix seconds or such as
//! `2023-01-01T00:05:00Z`, `from` is in the interval and `to` is not. Columns of other names are left out.

use std::fs::File;
use std::io::Read;
use std::path::Path;

use csv::StringRecord;

use super::CsvFile;
use super::timestamp;
use super::unix_seconds;
use super::unopened;
use super::unreadable;
use super::wrong;
use crate::source::SourceError;
use crate::verdict::Interval;
use crate::verdict::UNKNOWN;
use crate::verdict::Verdict;

/// One line: what a person said of an interval.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Told {
    /// When.
    pub interval: Interval,
    /// What; an anomaly where nothing is said.
    pub verdict: Verdict,
    /// The kind of anomaly.
    pub class: Option<String>,
}

/// Reads a file of labels of `rows`, whose grid may be shifted: the labels are shifted with it.
///
/// # Errors
/// The file cannot be read, or a line of it cannot be understood; the text names the line.
pub fn read_verdicts(path: &Path, rows: &CsvFile) -> Result<Vec<Told>, SourceError> {
    let file = File::open(path).map_err(|error| unopened(path, &error))?;
    let mut told = parse(file).map_err(|error| error.at(&path.display().to_string()))?;
    for Told { interval, .. } in &mut told {
        interval.from_s = interval.from_s.saturating_sub(rows.shift_s());
        interval.to_s = interval.to_s.saturating_sub(rows.shift_s());
    }
    Ok(told)
}

/// One line of a fault lab's file: what was done to the servers, with what is told of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Injected {
    /// What a detector is told.
    pub told: Told,
    /// What was done, be it a fault or not: the column `injected`, else the class.
    pub class: Option<String>,
    /// How strongly: the column `strength`.
    pub strength: Option<String>,
}

/// Reads a file of labels with the columns `injected` and `strength`, where it has them.
///
/// # Errors
/// As [`read_verdicts`].
pub fn read_injected(path: &Path) -> Result<Vec<Injected>, SourceError> {
    let file = File::open(path).map_err(|error| unopened(path, &error))?;
    lines(file, injected).map_err(|error| error.at(&path.display().to_string()))
}

/// Where the columns are.
struct Places {
    from: usize,
    to: usize,
    class: Option<usize>,
    verdict: Option<usize>,
    injected: Option<usize>,
    strength: Option<usize>,
}

fn parse(input: impl Read) -> Result<Vec<Told>, SourceError> {
    lines(input, told)
}

/// What `one` makes of each line.
fn lines<T>(
    input: impl Read,
    one: fn(&StringRecord, &Places) -> Result<T, SourceError>,
) -> Result<Vec<T>, SourceError> {
    let mut reader = csv::ReaderBuilder::new().trim(csv::Trim::All).from_reader(input);
    let header = reader.headers().map_err(unreadable)?.clone();
    let name = |cell: &str, name: &str| cell.trim_start_matches('\u{feff}') == name;
    let place = |wanted: &str| header.iter().position(|cell| name(cell, wanted));
    let (Some(from), Some(to)) = (place("from"), place("to")) else {
        let shown = header.iter().collect::<Vec<_>>().join(",");
        return Err(wrong(format!(
            "line 1: {shown:?}: wanted the columns from and to, perhaps class and verdict"
        )));
    };
    let places = Places {
        from,
        to,
        class: place("class"),
        verdict: place("verdict"),
        injected: place("injected"),
        strength: place("strength"),
    };
    reader.records().map(|record| one(&record.map_err(unreadable)?, &places)).collect()
}

fn injected(record: &StringRecord, places: &Places) -> Result<Injected, SourceError> {
    let told = told(record, places)?;
    let cell = |place: Option<usize>| {
        let cell = place.and_then(|place| record.get(place)).unwrap_or_default();
        Some(cell.to_string()).filter(|cell| !cell.is_empty())
    };
    let class = cell(places.injected).or_else(|| told.class.clone());
    Ok(Injected { told, class, strength: cell(places.strength) })
}

fn told(record: &StringRecord, places: &Places) -> Result<Told, SourceError> {
    let line = record.position().map_or(0, csv::Position::line);
    let cell = |place: usize| record.get(place).unwrap_or_default();
    let fail = |name: &str, cell: &str, wanted: &str| {
        wrong(format!("line {line}: {name} is {cell:?}, wanted {wanted}"))
    };
    let time = |name: &str, place: usize| {
        let cell = cell(place);
        let wanted = || fail(name, cell, "unix seconds or such as 2023-01-01T00:05:00Z");
        unix_seconds(cell).or_else(|| timestamp(cell)).ok_or_else(wanted)
    };
    let interval = Interval { from_s: time("from", places.from)?, to_s: time("to", places.to)? };
    if interval.to_s <= interval.from_s {
        return Err(fail("to", cell(places.to), "a time after from"));
    }
    let said = places.verdict.map(cell).filter(|said| !said.is_empty());
    let verdict = match said {
        Some(said) => Verdict::ALL.into_iter().find(|verdict| verdict.as_str() == said),
        None => Some(Verdict::Anomaly),
    };
    let wanted = || fail("verdict", said.unwrap_or_default(), "anomaly or normal");
    let verdict = verdict.ok_or_else(wanted)?;
    let class = places.class.map(cell).filter(|class| !class.is_empty());
    if verdict == Verdict::Normal && class.is_some() {
        return Err(fail("class", class.unwrap_or_default(), "none of what is normal"));
    }
    if class == Some(UNKNOWN) {
        let wanted = "another or none: it is what networks call a kind that they never learnt";
        return Err(fail("class", UNKNOWN, wanted));
    }
    Ok(Told { interval, verdict, class: class.map(String::from) })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_classes_and_verdicts_are_read() {
        let text = "from,class,to,who,verdict\n60,upstream_slow,120,ann,\n\
                    2023-01-01T00:00:00Z,,2023-01-01 00:05:00,bob,normal\n";
        let slow = Told {
            interval: Interval { from_s: 60, to_s: 120 },
            verdict: Verdict::Anomaly,
            class: Some("upstream_slow".into()),
        };
        let interval = Interval { from_s: 1_672_531_200, to_s: 1_672_531_500 };
        let normal = Told { interval, verdict: Verdict::Normal, class: None };
        assert_eq!(parse(text.as_bytes()).unwrap(), [slow, normal]);
        let plain = parse("from,to\n1,2\n".as_bytes()).unwrap();
        assert_eq!((plain[0].verdict, &plain[0].class), (Verdict::Anomaly, &None));
        assert_eq!(parse("\u{feff}from,to\n".as_bytes()).unwrap(), []);
    }

    #[test]
    fn what_was_injected_has_its_name_also_where_nothing_is_wrong() {
        let text = "from,to,class,verdict,injected,strength\n\
                    0,60,nxdomain,anomaly,nxdomain,0.5\n60,90,,normal,load_doubling,2\n";
        let read = lines(text.as_bytes(), injected).unwrap();
        let shown: Vec<_> = read
            .iter()
            .map(|i| (i.told.verdict, i.class.as_deref(), i.strength.as_deref()))
            .collect();
        let fault = (Verdict::Anomaly, Some("nxdomain"), Some("0.5"));
        assert_eq!(shown, [fault, (Verdict::Normal, Some("load_doubling"), Some("2"))]);
        let plain = lines("from,to,class\n0,60,slow\n".as_bytes(), injected).unwrap();
        assert_eq!((plain[0].class.as_deref(), &plain[0].strength), (Some("slow"), &None));
    }

    #[test]
    fn errors_name_the_line_and_what_was_wanted() {
        let error = |text: &str| parse(text.as_bytes()).unwrap_err().to_string();
        let errors = [
            error("start,end\n1,2\n"),
            error("from,to\n1,soon\n"),
            error("from,to\n5,5\n"),
            error("from,to,verdict\n1,2,perhaps\n"),
            error("from,to,verdict,class\n1,2,normal,slow\n"),
            error("from,to,class\n1,2,unknown\n"),
            error("from,to\n1,2,3\n"),
        ];
        expect_test::expect![[r#"
            line 1: "start,end": wanted the columns from and to, perhaps class and verdict
            line 2: to is "soon", wanted unix seconds or such as 2023-01-01T00:05:00Z
            line 2: to is "5", wanted a time after from
            line 2: verdict is "perhaps", wanted anomaly or normal
            line 2: class is "slow", wanted none of what is normal
            line 2: class is "unknown", wanted another or none: it is what networks call a kind that they never learnt
            line 2: 3 cells, wanted 2"#]]
        .assert_eq(&errors.join("\n"));
    }
}

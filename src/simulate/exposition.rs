//! Families as text: a scrape, and a history for `promtool tsdb create-blocks-from openmetrics`.
//!
//! Owns: the two formats. Does not own: where a history's files are, or when each begins (`app`).

use std::fmt::Write as _;
use std::io;
use std::io::Read;
use std::io::Seek;
use std::io::Write;

use tempfile::SpooledTempFile;

use super::families::Family;
use super::families::Type;

/// A family of a history is kept in memory up to this size, then in a file without a name.
const SPOOL_BYTES: usize = 1 << 20;

/// A scrape, in the text format 0.0.4.
#[derive(Debug, Default)]
pub struct Scrape {
    text: String,
    last: &'static str,
}

impl Scrape {
    /// Adds a sample; those of one family follow each other.
    pub fn say(
        &mut self,
        family: &'static Family,
        more: &str,
        labels: &[(&str, &str)],
        value: f64,
    ) {
        let Family { name, kind, help } = family;
        if self.last != *name {
            self.last = name;
            let kind = kind_name(*kind);
            let _ = writeln!(self.text, "# HELP {name} {help}\n# TYPE {name} {kind}");
        }
        series(&mut self.text, name, more, labels);
        let _ = writeln!(self.text, " {value}");
    }

    /// The whole.
    pub fn into_text(self) -> String {
        self.text
    }
}

/// What a history is written as.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Style {
    /// For `promtool tsdb create-blocks-from openmetrics`.
    OpenMetrics,
    /// A line for each sample: `t,metric,labels,value`; labels as `name=value;name=value`.
    Csv,
}

/// Samples with their times, each family's together, as OpenMetrics wants them.
#[derive(Debug)]
pub struct History {
    style: Style,
    families: Vec<(&'static Family, SpooledTempFile)>,
    line: String,
}

impl History {
    /// An empty one.
    pub fn new(style: Style) -> History {
        History { style, families: Vec::new(), line: String::new() }
    }

    /// Adds a sample at a time in unix seconds.
    ///
    /// # Errors
    /// There is no room in the folder of temporary files.
    pub fn say(
        &mut self,
        t_s: i64,
        family: &'static Family,
        more: &str,
        labels: &[(&str, &str)],
        value: f64,
    ) -> io::Result<()> {
        self.line.clear();
        match self.style {
            Style::OpenMetrics => {
                series(&mut self.line, family.name, more, labels);
                let _ = writeln!(self.line, " {value} {t_s}");
            }
            Style::Csv => {
                let _ = write!(self.line, "{t_s},{}{more},", family.name);
                for (i, (name, value)) in labels.iter().enumerate() {
                    let _ = write!(self.line, "{}{name}={value}", if i == 0 { "" } else { ";" });
                }
                let _ = writeln!(self.line, ",{value}");
            }
        }
        let place = self.families.iter().position(|(known, _)| known.name == family.name);
        let place = place.unwrap_or_else(|| {
            self.families.push((family, tempfile::spooled_tempfile(SPOOL_BYTES)));
            self.families.len() - 1
        });
        self.families[place].1.write_all(self.line.as_bytes())
    }

    /// Writes the whole, and forgets it.
    ///
    /// # Errors
    /// It cannot be written.
    pub fn write(&mut self, output: &mut dyn Write) -> io::Result<()> {
        let mut families = std::mem::take(&mut self.families);
        families.sort_by_key(|(family, _)| family.name);
        let mut buffer = vec![0; 1 << 16];
        if self.style == Style::Csv {
            writeln!(output, "t,metric,labels,value")?;
        }
        for (family, mut samples) in families {
            if self.style == Style::OpenMetrics {
                head(output, family)?;
            }
            samples.rewind()?;
            loop {
                match samples.read(&mut buffer)? {
                    0 => break,
                    n => output.write_all(&buffer[..n])?,
                }
            }
        }
        if self.style == Style::OpenMetrics {
            writeln!(output, "# EOF")?;
        }
        Ok(())
    }
}

/// What precedes a family's samples in OpenMetrics.
fn head(output: &mut dyn Write, family: &Family) -> io::Result<()> {
    let Family { name, kind, help } = family;
    // A counter's family is called without its ending, and what has none is no counter.
    let (name, kind) = match (kind, name.strip_suffix("_total")) {
        (Type::Counter, Some(name)) => (name, "counter"),
        (Type::Counter, None) => (*name, "unknown"),
        (kind, _) => (*name, kind_name(*kind)),
    };
    writeln!(output, "# TYPE {name} {kind}\n# HELP {name} {help}")
}

fn kind_name(kind: Type) -> &'static str {
    match kind {
        Type::Counter => "counter",
        Type::Gauge => "gauge",
        Type::Histogram => "histogram",
    }
}

/// Name and labels; values of labels need no escape here.
fn series(text: &mut String, name: &str, more: &str, labels: &[(&str, &str)]) {
    text.push_str(name);
    text.push_str(more);
    for (i, (name, value)) in labels.iter().enumerate() {
        text.push(if i == 0 { '{' } else { ',' });
        text.push_str(name);
        text.push_str("=\"");
        text.push_str(value);
        text.push('"');
    }
    if !labels.is_empty() {
        text.push('}');
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    static ASKED: Family = Family { name: "asked_total", kind: Type::Counter, help: "Questions." };
    static OPEN: Family = Family { name: "open", kind: Type::Gauge, help: "Files." };

    #[test]
    fn a_scrape_has_no_times_and_a_history_keeps_families_together() {
        let mut scrape = Scrape::default();
        scrape.say(&ASKED, "", &[("type", "A"), ("zone", ".")], 3.0);
        scrape.say(&ASKED, "", &[("type", "TXT"), ("zone", ".")], 1.0);
        scrape.say(&OPEN, "", &[], 0.5);
        let wanted = "# HELP asked_total Questions.\n# TYPE asked_total counter\n\
            asked_total{type=\"A\",zone=\".\"} 3\nasked_total{type=\"TXT\",zone=\".\"} 1\n\
            # HELP open Files.\n# TYPE open gauge\nopen 0.5\n";
        assert_eq!(scrape.into_text(), wanted);
        let mut history = History::new(Style::OpenMetrics);
        for t_s in [10, 20] {
            history.say(t_s, &OPEN, "", &[], 4.0).unwrap();
            history.say(t_s, &ASKED, "", &[], t_s as f64).unwrap();
        }
        let mut text = Vec::new();
        history.write(&mut text).unwrap();
        let wanted = "# TYPE asked counter\n# HELP asked Questions.\nasked_total 10 10\nasked_total 20 20\n\
            # TYPE open gauge\n# HELP open Files.\nopen 4 10\nopen 4 20\n# EOF\n";
        assert_eq!(String::from_utf8(text).unwrap(), wanted);
        let mut history = History::new(Style::Csv);
        history.say(10, &ASKED, "", &[("type", "A"), ("zone", ".")], 4.0).unwrap();
        let mut text = Vec::new();
        history.write(&mut text).unwrap();
        let wanted = "t,metric,labels,value\n10,asked_total,type=A;zone=.,4\n";
        assert_eq!(String::from_utf8(text).unwrap(), wanted);
    }
}

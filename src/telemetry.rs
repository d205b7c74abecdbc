//! Our log: one line per event, on standard error.
//!
//! Owns: which events are written, and the shape of a line: `time`, `level`, `msg`, then the event's
//! fields and those of the spans around it, as Prometheus 3 writes them.
//! Does not own: what is worth a line.

use std::fmt;
use std::fmt::Write as _;
use std::io;
use std::panic;
use std::str::FromStr;

use jiff::Timestamp;
use serde_json::Map;
use serde_json::Value;
use tracing::Event;
use tracing::Level;
use tracing::Subscriber;
use tracing::field::Field;
use tracing::field::Visit;
use tracing::span;
use tracing_subscriber::Layer;
use tracing_subscriber::filter::LevelFilter;
use tracing_subscriber::filter::Targets;
use tracing_subscriber::layer::Context;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::registry::LookupSpan;

/// Crates that tell at `info` and `debug` what only their own authors want to know.
const NOISY: [&str; 10] = [
    "burn",
    "cubecl",
    "h2",
    "hickory_net",
    "hickory_proto",
    "hickory_resolver",
    "hyper",
    "hyper_util",
    "reqwest",
    "rustls",
];

/// How a line is written: `--log.format`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Format {
    /// `time=… level=INFO msg="…" watch=coredns`
    #[default]
    Logfmt,
    /// `{"time":"…","level":"INFO","msg":"…","watch":"coredns"}`
    Json,
}

impl FromStr for Format {
    type Err = String;

    fn from_str(text: &str) -> Result<Format, String> {
        match text {
            "logfmt" => Ok(Format::Logfmt),
            "json" => Ok(Format::Json),
            _ => Err(format!("{text:?} is no log format; wanted logfmt or json")),
        }
    }
}

/// The least important lines that are written: `--log.level`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct MinLevel(Level);

impl Default for MinLevel {
    fn default() -> MinLevel {
        MinLevel(Level::INFO)
    }
}

impl FromStr for MinLevel {
    type Err = String;

    fn from_str(text: &str) -> Result<MinLevel, String> {
        match text {
            "debug" => Ok(MinLevel(Level::DEBUG)),
            "info" => Ok(MinLevel(Level::INFO)),
            "warn" => Ok(MinLevel(Level::WARN)),
            "error" => Ok(MinLevel(Level::ERROR)),
            _ => Err(format!("{text:?} is no log level; wanted debug, info, warn or error")),
        }
    }
}

/// Sends all events of the process to standard error, and panics too. Once per process: a second
/// call is an error.
pub fn init(level: MinLevel, format: Format) -> Result<(), String> {
    let lines = Lines { format, out: io::stderr };
    tracing::subscriber::set_global_default(subscriber(level, lines)).map_err(|e| e.to_string())?;
    panic::set_hook(Box::new(|panic| {
        let text = panic.payload_as_str().unwrap_or("no message");
        let place = panic.location().map(ToString::to_string).unwrap_or_default();
        tracing::error!(place, "panic: {text}");
    }));
    Ok(())
}

fn subscriber<W: io::Write + 'static>(
    level: MinLevel,
    lines: Lines<W>,
) -> impl Subscriber + Send + Sync {
    let quiet = LevelFilter::from_level(level.0).min(LevelFilter::WARN);
    let targets = NOISY.iter().fold(Targets::new().with_default(level.0), |targets, name| {
        targets.with_target(*name, quiet)
    });
    tracing_subscriber::registry().with(lines.with_filter(targets))
}

/// Writes events as lines.
struct Lines<W> {
    format: Format,
    out: fn() -> W,
}

impl<S, W> Layer<S> for Lines<W>
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    W: io::Write + 'static,
{
    fn on_new_span(&self, new: &span::Attributes<'_>, id: &span::Id, context: Context<'_, S>) {
        let mut fields = Fields::default();
        new.record(&mut fields);
        if let Some(span) = context.span(id) {
            span.extensions_mut().insert(fields);
        }
    }

    fn on_record(&self, id: &span::Id, values: &span::Record<'_>, context: Context<'_, S>) {
        if let Some(span) = context.span(id) {
            let mut extensions = span.extensions_mut();
            if let Some(fields) = extensions.get_mut::<Fields>() {
                values.record(fields);
            }
        }
    }

    fn on_event(&self, event: &Event<'_>, context: Context<'_, S>) {
        let mut fields = Fields::default();
        event.record(&mut fields);
        for span in context.event_scope(event).into_iter().flatten() {
            if let Some(outer) = span.extensions().get::<Fields>() {
                fields.add_outer(outer);
            }
        }
        let time = Timestamp::now().strftime("%Y-%m-%dT%H:%M:%S%.3fZ").to_string();
        let line = line(self.format, &time, event.metadata().level(), fields);
        // One write, so that lines of several threads do not mix. A log that cannot be written
        // cannot be complained about either.
        let _ = (self.out)().write_all(line.as_bytes());
    }
}

/// The fields of an event or a span, in the order of the code.
#[derive(Debug, Default)]
struct Fields(Vec<(&'static str, Value)>);

impl Fields {
    /// Adds a surrounding span's fields; the inner one of two equal names stays.
    fn add_outer(&mut self, outer: &Fields) {
        let inner = self.0.len();
        for (name, value) in &outer.0 {
            if !self.0[..inner].iter().any(|(known, _)| known == name) {
                self.0.push((name, value.clone()));
            }
        }
    }

    /// Takes the field that `tracing` calls `message`.
    fn take_message(&mut self) -> Value {
        let found = self.0.iter().position(|(name, _)| *name == "message");
        found.map_or_else(|| Value::from(""), |i| self.0.remove(i).1)
    }
}

impl Visit for Fields {
    fn record_f64(&mut self, field: &Field, value: f64) {
        // JSON has no NaN.
        let number = serde_json::Number::from_f64(value).map(Value::Number);
        self.0.push((field.name(), number.unwrap_or_else(|| Value::from(value.to_string()))));
    }

    fn record_i64(&mut self, field: &Field, value: i64) {
        self.0.push((field.name(), value.into()));
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        self.0.push((field.name(), value.into()));
    }

    fn record_bool(&mut self, field: &Field, value: bool) {
        self.0.push((field.name(), value.into()));
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        self.0.push((field.name(), value.into()));
    }

    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        self.0.push((field.name(), format!("{value:?}").into()));
    }
}

fn line(format: Format, time: &str, level: &Level, mut fields: Fields) -> String {
    let head = [
        ("time", Value::from(time)),
        ("level", Value::from(level.as_str())),
        ("msg", fields.take_message()),
    ];
    let all = head.into_iter().chain(fields.0);
    let mut line = match format {
        Format::Logfmt => all.map(|(name, value)| pair(name, &value)).collect::<Vec<_>>().join(" "),
        Format::Json => json(all),
    };
    line.push('\n');
    line
}

/// Written by hand and not as a map, which would sort `level` before `time`.
fn json(all: impl Iterator<Item = (&'static str, Value)>) -> String {
    let mut seen = Map::new();
    let mut text = String::from("{");
    for (name, value) in all {
        let comma = if seen.is_empty() { "" } else { "," };
        if seen.insert(name.to_string(), Value::Null).is_none() {
            let _ = write!(text, "{comma}{}:{value}", Value::from(name));
        }
    }
    text.push('}');
    text
}

/// `name=value`, the value in quotes where a reader of logfmt would stumble over it.
fn pair(name: &str, value: &Value) -> String {
    let Value::String(text) = value else { return format!("{name}={value}") };
    let stumbles = |c: char| c <= ' ' || c == '"' || c == '=' || c == '\\' || c == '\u{7f}';
    if text.is_empty() || text.contains(stumbles) {
        return format!("{name}={value}");
    }
    format!("{name}={text}")
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use super::*;

    /// Takes what one of the tests below wrote.
    struct Sink(&'static Mutex<Vec<u8>>);

    impl io::Write for Sink {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap().extend_from_slice(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    /// The lines of `events`, without their time.
    fn written(
        level: &str,
        format: Format,
        sink: &'static Mutex<Vec<u8>>,
        out: fn() -> Sink,
        events: impl FnOnce(),
    ) -> String {
        let subscriber = subscriber(level.parse().unwrap(), Lines { format, out });
        tracing::subscriber::with_default(subscriber, events);
        let text = String::from_utf8(std::mem::take(&mut *sink.lock().unwrap())).unwrap();
        let time = text.find("20").unwrap_or(0);
        let stamp = text.get(time..time + 24).unwrap_or("").to_string();
        assert!(stamp.is_empty() || stamp.parse::<Timestamp>().is_ok(), "{text}");
        text.lines()
            .map(|line| line.replacen(&line[line.find("20").unwrap()..][..24], "T", 1) + "\n")
            .collect()
    }

    fn some_events() {
        let span = tracing::info_span!("pass", watch = "coredns", reason = "outer");
        let _inside = span.enter();
        tracing::info!(seconds = 0.25, rows = 3, lost = f64::NAN, "a \"pass\"\nended");
        tracing::warn!(reason = "inner", path = %"/a b", empty = "", ok = true, "done");
        tracing::debug!("unseen");
        tracing::info!(target: "hyper::proto", "unseen");
        tracing::warn!(target: "hyper::proto", "seen");
    }

    #[test]
    fn logfmt_lines() {
        static SINK: Mutex<Vec<u8>> = Mutex::new(Vec::new());
        let text = written("info", Format::Logfmt, &SINK, || Sink(&SINK), some_events);
        expect_test::expect![[r#"
            time=T level=INFO msg="a \"pass\"\nended" seconds=0.25 rows=3 lost=NaN watch=coredns reason=outer
            time=T level=WARN msg=done reason=inner path="/a b" empty="" ok=true watch=coredns
            time=T level=WARN msg=seen watch=coredns reason=outer
        "#]].assert_eq(&text);
    }

    #[test]
    fn json_lines() {
        static SINK: Mutex<Vec<u8>> = Mutex::new(Vec::new());
        let text = written("info", Format::Json, &SINK, || Sink(&SINK), some_events);
        for line in text.lines() {
            serde_json::from_str::<Value>(line).unwrap();
        }
        expect_test::expect![[r#"
            {"time":"T","level":"INFO","msg":"a \"pass\"\nended","seconds":0.25,"rows":3,"lost":"NaN","watch":"coredns","reason":"outer"}
            {"time":"T","level":"WARN","msg":"done","reason":"inner","path":"/a b","empty":"","ok":true,"watch":"coredns"}
            {"time":"T","level":"WARN","msg":"seen","watch":"coredns","reason":"outer"}
        "#]].assert_eq(&text);
    }

    #[test]
    fn levels_and_their_errors() {
        static SINK: Mutex<Vec<u8>> = Mutex::new(Vec::new());
        let text = written("error", Format::Logfmt, &SINK, || Sink(&SINK), some_events);
        assert_eq!(text, "", "noisy crates are never louder than the rest");
        assert_eq!(
            "trace".parse::<MinLevel>().unwrap_err(),
            "\"trace\" is no log level; wanted debug, info, warn or error"
        );
        assert_eq!(
            "xml".parse::<Format>().unwrap_err(),
            "\"xml\" is no log format; wanted logfmt or json"
        );
    }
}

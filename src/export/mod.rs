//! What Prometheus scrapes.
//!
//! Owns: the snapshot of results, the metrics about ourselves, both formats and their compression.
//! Does not own: the web server, or when results are renewed.
//!
//! A publisher renders and compresses its own watch's families and swaps a list of pointers; a
//! scrape copies that list. So a scrape costs the same however many series there are, and never
//! waits for rendering. Our own metrics are few and are rendered in the scrape.

mod gzip;
mod metric;
mod own;
mod text;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::LazyLock;
use std::sync::Mutex;
use std::sync::MutexGuard;
use std::sync::PoisonError;

use crate::series::Entity;
use gzip::Piece;

pub use metric::Metric;
pub use own::Own;
pub use own::Quality;
pub use text::Labels;

/// One series of one result.
#[derive(Debug, Clone, PartialEq)]
pub struct Sample {
    /// Which result.
    pub metric: Metric,
    /// Of what; without `watch`, which [`Board::publish`] adds.
    pub labels: Labels,
    /// How much; NaN is not exported.
    pub value: f64,
}

/// A model in use, as it is exported.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ModelFact {
    /// The entity; of no labels for a model that all entities share.
    pub entity: Entity,
    /// The feature of a single detector.
    pub feature: Option<String>,
    /// The detector's name.
    pub detector: String,
    /// The version in use.
    pub version: i64,
    /// SHA-256 of the model's bytes, in hex.
    pub sha256: String,
    /// When it was trained, in unix seconds.
    pub trained_s: i64,
    /// How much of the past it has learnt from, in seconds.
    pub history_s: i64,
}

/// The two formats that Prometheus asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// Prometheus' text format 0.0.4.
    Text,
    /// OpenMetrics 1.0.0.
    OpenMetrics,
}

impl Format {
    /// The value of the `Content-Type` header.
    pub fn content_type(self) -> &'static str {
        match self {
            Format::Text => "text/plain; version=0.0.4; charset=utf-8",
            Format::OpenMetrics => "application/openmetrics-text; version=1.0.0; charset=utf-8",
        }
    }
}

/// The answer to a scrape.
#[derive(Debug, Clone)]
pub struct Scrape {
    /// The value of the `Content-Type` header.
    pub content_type: &'static str,
    /// Whether the parts are compressed: `Content-Encoding: gzip`.
    pub gzip: bool,
    /// The body, to be sent one after the other.
    pub parts: Vec<Arc<[u8]>>,
}

impl Scrape {
    /// The body in one piece.
    pub fn into_bytes(self) -> Vec<u8> {
        self.parts.concat()
    }
}

/// What a scrape sees. Clones share it.
#[derive(Debug, Clone, Default)]
pub struct Board {
    inner: Arc<Inner>,
}

#[derive(Debug, Default)]
struct Inner {
    /// What was published, by watch and kind. Held while pointers are listed, never while rendering.
    published: Mutex<BTreeMap<(String, Kind), Published>>,
    /// Every family's pieces in the order of the exposition. Held while one pointer is copied.
    snapshot: Mutex<Arc<Vec<Arc<Piece>>>>,
    own: Own,
}

/// Results end with their freshness; models stay until they are replaced.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Kind {
    Results,
    Models,
}

#[derive(Debug)]
struct Published {
    fresh_until_s: i64,
    families: BTreeMap<Metric, Arc<Piece>>,
}

impl Board {
    /// A board with nothing on it.
    pub fn new() -> Board {
        Board::default()
    }

    /// Replaces the results of a watch. They are shown up to `fresh_until_s` (unix seconds) at the
    /// longest: see [`Board::expire`]. Of two samples with one metric and the same labels the first
    /// is kept.
    ///
    /// Takes milliseconds for 10,000 samples; not for the threads that answer scrapes.
    pub fn publish(&self, watch: &str, samples: Vec<Sample>, fresh_until_s: i64) {
        self.replace(watch, Kind::Results, samples, fresh_until_s);
    }

    /// Replaces the models in use of a watch. They stay until they are replaced.
    pub fn publish_models(&self, watch: &str, models: &[ModelFact]) {
        let samples = models.iter().flat_map(model_samples).collect();
        self.replace(watch, Kind::Models, samples, i64::MAX);
    }

    /// Removes results that are not fresh at `now_s`, so that none is ever shown twice as long as
    /// it holds. Cheap where nothing has to go: call it before a scrape.
    pub fn expire(&self, now_s: i64) {
        let mut published = lock(&self.inner.published);
        let before = published.len();
        published.retain(|_, entry| entry.fresh_until_s >= now_s);
        if published.len() < before {
            self.swap(&published);
        }
    }

    /// Removes all of a watch, results and models: it left the configuration.
    pub fn forget(&self, watch: &str) {
        let mut published = lock(&self.inner.published);
        published.retain(|(name, _), _| name != watch);
        self.swap(&published);
        self.inner.own.forget(watch);
    }

    /// Counters and gauges about ourselves.
    pub fn own(&self) -> &Own {
        &self.inner.own
    }

    /// The body of a scrape: the snapshot, and our own metrics as they are now.
    pub fn scrape(&self, format: Format, gzip: bool) -> Scrape {
        let results = lock(&self.inner.snapshot).clone();
        let own = self.inner.own.render(format);
        let own = if gzip { Piece::new(own) } else { Piece::plain(own) };
        let pieces: Vec<&Piece> = results.iter().map(Arc::as_ref).chain([&own]).collect();
        let compressed = gzip::join(&pieces);
        let gzip = compressed.is_some();
        let plain = || pieces.iter().map(|piece| piece.plain.clone()).collect();
        let parts = compressed.unwrap_or_else(plain);
        Scrape { content_type: format.content_type(), gzip, parts }
    }

    /// How many series tell of ourselves now.
    pub fn n_own_series(&self) -> usize {
        self.inner.own.render(Format::Text).lines().filter(|line| !line.starts_with('#')).count()
    }

    fn replace(&self, watch: &str, kind: Kind, samples: Vec<Sample>, fresh_until_s: i64) {
        let families = render(watch, samples);
        let key = (watch.to_string(), kind);
        let mut published = lock(&self.inner.published);
        if families.is_empty() {
            published.remove(&key);
        } else {
            published.insert(key, Published { fresh_until_s, families });
        }
        self.swap(&published);
    }

    /// Shows what is published now. A family is one header and then every watch's samples: the
    /// formats allow a family only once.
    fn swap(&self, published: &BTreeMap<(String, Kind), Published>) {
        let mut pieces = Vec::new();
        for metric in Metric::ALL {
            let mut samples = published.values().filter_map(|entry| entry.families.get(&metric));
            if let Some(first) = samples.next() {
                pieces.extend(HEADERS.get(&metric).cloned());
                pieces.push(first.clone());
                pieces.extend(samples.cloned());
            }
        }
        *lock(&self.inner.snapshot) = Arc::new(pieces);
    }
}

impl Sample {
    /// A sample; see [`Labels::new`] for its labels.
    pub fn new(metric: Metric, labels: &Labels, value: f64) -> Sample {
        Sample { metric, labels: labels.clone(), value }
    }
}

fn model_samples(model: &ModelFact) -> [Sample; 3] {
    let version = model.version.to_string();
    let feature = model.feature.as_deref().unwrap_or("");
    let of = [("feature", feature), ("detector", model.detector.as_str())];
    let facts = [of[0], of[1], ("version", version.as_str()), ("sha256", model.sha256.as_str())];
    let trained = Labels::new(&of, &model.entity);
    [
        Sample::new(Metric::ModelInfo, &Labels::new(&facts, &model.entity), 1.0),
        Sample::new(Metric::ModelTrained, &trained, model.trained_s as f64),
        Sample::new(Metric::ModelHistory, &trained, model.history_s as f64),
    ]
}

/// The lines of each metric, sorted by labels.
fn render(watch: &str, mut samples: Vec<Sample>) -> BTreeMap<Metric, Arc<Piece>> {
    samples.retain(|sample| !sample.value.is_nan());
    // Stable, so that the first of two equals stays the first.
    samples.sort_by(|a, b| (a.metric, &a.labels).cmp(&(b.metric, &b.labels)));
    samples.dedup_by(|b, a| (a.metric, &a.labels) == (b.metric, &b.labels));
    let mut watch_label = String::new();
    text::write_label(&mut watch_label, "watch", watch);
    let families = samples.chunk_by(|a, b| a.metric == b.metric);
    families
        .map(|family| {
            let metric = family[0].metric;
            let mut lines = String::with_capacity(family.len() * 160);
            for sample in family {
                let labels = [watch_label.as_str(), sample.labels.as_str()];
                text::write_sample(&mut lines, metric.name(), &labels, sample.value);
            }
            (metric, Arc::new(Piece::new(lines)))
        })
        .collect()
}

/// The lines before each family, rendered and compressed once.
static HEADERS: LazyLock<BTreeMap<Metric, Arc<Piece>>> = LazyLock::new(|| {
    let header = |metric: Metric| {
        let mut lines = String::new();
        text::write_header(&mut lines, metric.name(), "gauge", metric.help());
        (metric, Arc::new(Piece::new(lines)))
    };
    Metric::ALL.into_iter().map(header).collect()
});

/// A panic elsewhere must not cost the scrape; what these locks hold is whole after any write.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests;

//! Which watches run: some at once, the others as the source says what it knows and has.
//!
//! Owns: what the source must say before a watch starts, and asking it until it does.
//! Does not own: reading the configuration (`serve`), running watches (`watching`).

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::mpsc;

use super::now_s;
use crate::config::Preset;
use crate::export::Board;
use crate::math::calendar::Calendar;
use crate::source::Source;
use crate::source::SourceError;
use crate::store::Store;
use crate::watch::Watch;

/// How often presets without data are looked for.
const LOOK_FOR_PRESETS: Duration = Duration::from_secs(30);

/// How soon a source that gave no answer is asked again, where watches wait for that alone.
const ASK_AGAIN: Duration = Duration::from_secs(5);

/// A watch that is to run.
#[derive(Debug, Clone)]
pub(super) struct Candidate {
    /// With its queries for a server that knows native histograms.
    native: Watch,
    /// And for one that refuses whatever names them.
    classic: Watch,
    /// It starts once this query finds something; `None`: in any case.
    present: Option<String>,
}

impl Candidate {
    /// A watch of a configuration, as it is read for the two kinds of server.
    pub(super) fn configured(native: Watch, classic: Watch) -> Candidate {
        Candidate { native, classic, present: None }
    }

    /// The presets that are watched where nothing else is said.
    pub(super) fn discoverable(calendar: &Calendar) -> Vec<Candidate> {
        let candidate = |preset: Preset| {
            let there = |watch: Watch| Watch { calendar: calendar.clone(), ..watch };
            let (native, classic) = (there(preset.watch()?), there(preset.classic()?.watch()?));
            Some(Candidate { native, classic, present: Some(preset.present) })
        };
        Preset::discoverable().into_iter().filter_map(candidate).collect()
    }

    /// Its name where it starts without a look at its data.
    pub(super) fn certain(&self) -> Option<&str> {
        self.present.is_none().then_some(self.native.name.as_str())
    }

    /// The watch for a server of which is known whether it knows native histograms, or not even that.
    fn suits(&self, knows_native: Option<bool>) -> Option<&Watch> {
        match knows_native {
            _ if self.native == self.classic => Some(&self.native),
            Some(true) => Some(&self.native),
            Some(false) => Some(&self.classic),
            None => None,
        }
    }

    /// The watch, where no question is left: as it ran `before` the reload, or of a kind that every
    /// server takes. A server that has learnt native histograms since shows at the next start.
    fn settled(&self, before: &[Watch]) -> Option<Watch> {
        let ran = before.iter().find(|watch| **watch == self.native || **watch == self.classic);
        ran.or_else(|| self.certain().and_then(|_| self.suits(None))).cloned()
    }
}

/// The watches that start at once, and those that wait for the source.
pub(super) fn settle(candidates: Vec<Candidate>, before: &[Watch]) -> (Vec<Watch>, Vec<Candidate>) {
    let (mut at_once, mut later) = (Vec::new(), Vec::new());
    for candidate in candidates {
        match candidate.settled(before) {
            Some(watch) => at_once.push(watch),
            None => later.push(candidate),
        }
    }
    (at_once, later)
}

/// Tells of watches as the source answers for them; ends when all are found.
///
/// What has models was there before: it is watched also where its data are gone, since that is an
/// outage that somebody should hear of.
pub(super) async fn find(
    source: Arc<dyn Source>,
    store: Store,
    board: Board,
    mut candidates: Vec<Candidate>,
    found: mpsc::Sender<Watch>,
) {
    if candidates.iter().any(|candidate| candidate.certain().is_none()) {
        let known = with_models(store).await;
        let known = candidates.iter_mut().filter(|c| known.contains(&c.native.name));
        known.for_each(|candidate| candidate.present = None);
    }
    let (mut well, mut said) = (true, false);
    while !candidates.is_empty() {
        let answer = knows_native_histograms(&source).await;
        board.own().source_up(answer.is_ok());
        match &answer {
            // Once per outage; the counters tell how often.
            Err(error) if well => tracing::warn!(%error, "no answer, watches wait for one"),
            _ => {}
        }
        well = answer.is_ok();
        for candidate in std::mem::take(&mut candidates) {
            let watch = candidate.suits(answer.as_ref().ok().copied()).cloned();
            let worth_asking = well || candidate.certain().is_some();
            match watch {
                Some(watch) if worth_asking && is_there(&candidate, &source).await => {
                    tracing::info!(watch = watch.name, "found, watching");
                    let _ = found.send(watch).await;
                }
                _ => candidates.push(candidate),
            }
        }
        if well && !said && !candidates.is_empty() {
            let presets: Vec<&str> = candidates.iter().map(|c| c.native.name.as_str()).collect();
            let presets = presets.join(", ");
            tracing::info!(presets, "no data of these yet, looked for every 30 s");
            said = true;
        }
        let asks_only = candidates.iter().any(|candidate| candidate.certain().is_some());
        tokio::time::sleep(if asks_only { ASK_AGAIN } else { LOOK_FOR_PRESETS }).await;
    }
}

/// The watches that there is something for now, for who does not wait.
///
/// # Errors
/// The source does not say what it knows.
pub(super) async fn at_once(
    source: &Arc<dyn Source>,
    candidates: Vec<Candidate>,
) -> Result<Vec<Watch>, SourceError> {
    let (mut watches, later) = settle(candidates, &[]);
    if later.is_empty() {
        return Ok(watches);
    }
    let native = knows_native_histograms(source).await?;
    for candidate in later {
        let watch = candidate.suits(Some(native)).cloned();
        if let Some(watch) = watch
            && is_there(&candidate, source).await
        {
            watches.push(watch);
        }
    }
    Ok(watches)
}

/// The watches that the store has models in use for.
async fn with_models(store: Store) -> BTreeSet<String> {
    let read = tokio::task::spawn_blocking(move || store.models_in_use(None)).await;
    match read {
        Ok(Ok(rows)) => rows.into_iter().map(|row| row.key.watch).collect(),
        Ok(Err(error)) => {
            tracing::warn!(%error, "store not read, only what has data is watched");
            BTreeSet::new()
        }
        // The runtime is going down.
        Err(_) => BTreeSet::new(),
    }
}

/// Whether a candidate has something to watch.
async fn is_there(candidate: &Candidate, source: &Arc<dyn Source>) -> bool {
    let Some(present) = &candidate.present else { return true };
    match source.instant(present, now_s()).await {
        Ok(answer) => !answer.series.is_empty(),
        Err(error) => {
            tracing::warn!(%error, preset = candidate.native.name, "cannot look");
            false
        }
    }
}

/// VictoriaMetrics, and Prometheus before 2.40, refuse whatever names a native histogram. A server
/// that gives no answer says nothing of the kind: half of the queries would be wrong until a restart.
async fn knows_native_histograms(source: &Arc<dyn Source>) -> Result<bool, SourceError> {
    match source.instant("histogram_count(vector(1))", now_s()).await {
        Ok(_) => Ok(true),
        Err(SourceError::BadQuery(_)) => Ok(false),
        Err(error) => Err(error),
    }
}

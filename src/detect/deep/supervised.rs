//! Detectors that learn from labelled incidents: what the classifier and the siamese network have in common.
//!
//! Owns: which windows are examples of what, how long is trained, the stored form.
//! Does not own: the networks (`rfc`), their raw scores and opinions (`classifier`, `siamese`).

mod examples;

use std::ops::Range;

use serde::Deserialize;
use serde::Serialize;

use crate::detect::Episode;
use crate::detect::FitContext;
use crate::detect::FitError;
use crate::detect::Look;
use crate::detect::Model;
use crate::detect::Opinion;
use crate::detect::Parts;
use crate::detect::Pretrained;
use crate::detect::Raw;
use crate::detect::RestoreError;
use crate::detect::Similar;
use crate::math::stats;
use crate::series::Window;
use crate::verdict::Interval;

use super::descent::Overseer;
use super::rfc;
use super::rfc::Course;
use super::rfc::Cuts;
use super::rfc::Example;
use super::rfc::NetworkError;
use super::rfc::Settings;
use super::rfc::Training;
use super::stored::MAX_LIVE;
use super::stored::MAX_WINDOW;
use super::train::thin;
use examples::History;
use examples::MOST_EPISODES;
use examples::Pasted;
use examples::histories;
use examples::newest;
use examples::pasted;

/// Windows of one iteration.
const BATCH: usize = 64;
const MOST_ITERATIONS: usize = 10_000_000;
/// Incidents without which none are held out to find how long to train: two or three say more of themselves.
const ENOUGH: usize = 20;
/// Iterations then, at most.
const BLIND: usize = 400;

/// What a network has to do to become a detector.
pub(super) trait Network: Sized + Send + Sync {
    /// The detector's name.
    const NAME: &'static str;
    fn new(rows: usize, features: usize, settings: Settings) -> Result<Self, NetworkError>;
    fn initialize_new_weights(&mut self, seed: u64);
    fn train_on(
        &mut self,
        course: &Course<'_>,
        data: &[Example<'_>],
    ) -> Result<Training, NetworkError>;
    /// Of each window; none where too little is observed.
    fn judge(&self, windows: &[&[f32]]) -> Result<Vec<Option<Judgement>>, NetworkError>;
    /// Rows of a window, and features of a row.
    fn size(&self) -> [usize; 2];
    fn parts(&self) -> Parts;
    fn from_parts(parts: Parts) -> Result<Self, NetworkError>;
}

/// What a network makes of one window.
#[derive(Debug, Clone)]
pub(super) struct Judgement {
    /// How much speaks for an incident, finite; of normal windows it is spread about like a normal distribution.
    pub(super) evidence: f64,
    /// As in [`Opinion::classes`].
    pub(super) classes: Vec<(String, f64)>,
    /// The nearest labelled windows, nearest first: the number of each one's last row, and its distance.
    pub(super) neighbours: Vec<(i64, f64)>,
}

/// Sizes and length of a training.
pub(super) struct Plan {
    pub(super) window: usize,
    pub(super) iterations: usize,
    pub(super) settings: Settings,
}

/// A fitted network over some of the features.
pub(super) struct Supervised<N> {
    network: N,
    about: About,
}

/// What has to be known to ask the network.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct About {
    /// Columns of a window, the unknown ones included.
    n_features: usize,
    /// The columns that training saw, ascending.
    live: Vec<usize>,
    step_s: i64,
    /// The median of the evidence of normal windows, and its standard deviation, above 0.
    usual: [f64; 2],
    /// In order of time.
    incidents: Vec<Incident>,
}

/// An episode that somebody may be reminded of.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Incident {
    from_s: i64,
    to_s: i64,
    kind: Option<String>,
}

/// The detector as parts: the network's own under `network`.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Meta {
    about: About,
    network: serde_json::Value,
}

impl<N: Network> Supervised<N> {
    /// Learns from normal rows and labelled episodes. Where incidents are many enough, the newest are held out to
    /// find how long to train; then everything is learnt from, the newest label too.
    pub(super) fn fit(
        plan: &Plan,
        train: &Window,
        context: &FitContext<'_>,
    ) -> Result<Supervised<N>, FitError> {
        let episodes = newest(context.episodes);
        if let Some(Pretrained { parts, .. }) = context.pretrained_of(N::NAME) {
            return Supervised::adapted(parts, train);
        }
        if !episodes.iter().any(|episode| episode.class.is_anomaly()) {
            return Err(FitError::NoIncidents);
        }
        let count = |f: usize| train.column(f).iter().filter(|v| !v.is_nan()).count();
        let live = (0..train.n_features).filter(|&f| count(f) >= plan.window).take(MAX_LIVE);
        let live: Vec<usize> = live.collect();
        let few = |have| FitError::TooFewRows { have, want: 2 * plan.window };
        let have = (0..train.grid.len).filter(|&i| live.iter().any(|&f| !train.row(i)[f].is_nan()));
        let have = have.count();
        if have < 2 * plan.window {
            return Err(few(have));
        }
        let lessons = Lessons { plan, train, episodes: &episodes, live: &live, context };
        let histories = histories(train, &episodes, &live, plan.window);
        let was: Vec<Example<'_>> =
            histories.iter().flat_map(|history| history.examples(plan.window)).collect();
        let pasted = lessons.pasted(None);
        let examples = [was.clone(), pasted.iter().map(Pasted::example).collect()].concat();
        let incidents = episodes.iter().filter(|episode| episode.class.is_anomaly());
        let mut iterations = plan.iterations.min(BLIND);
        let (mut held_out, mut done) = (None, 0.0);
        if incidents.clone().count() >= ENOUGH {
            let cuts = Cuts::of(examples.iter().map(|example| example.end).collect());
            let apart = lessons.pasted(cuts);
            let parted = [was, apart.iter().map(Pasted::example).collect()].concat();
            done = 0.5;
            let (_, tried) = lessons.learn::<N>(plan.iterations, cuts, 0.0..done, &parted)?;
            iterations = if tried.examples[1] > 0 { tried.best } else { iterations };
            held_out = Some(tried);
        }
        let (network, last) = lessons.learn::<N>(iterations, None, done..1.0, &examples)?;
        // Of the two trainings the one that something was held out of says more.
        told(&held_out.unwrap_or(last), context);
        let incidents = incidents.map(|episode| Incident {
            from_s: episode.from_s,
            to_s: episode.rows.grid.end_s(),
            kind: episode.class.kind().map(str::to_string),
        });
        let about = About {
            n_features: train.n_features,
            live,
            step_s: train.grid.step_s,
            usual: usual(&network, &examples)?,
            incidents: incidents.collect(),
        };
        Ok(Supervised { network, about })
    }

    /// The network that learnt elsewhere, as it is: rows of every place are brought to scale before it sees them, and
    /// what their evidence is worth was learnt from more than one place has. Nobody here can be reminded of what it
    /// learnt from.
    fn adapted(parts: &Parts, train: &Window) -> Result<Supervised<N>, FitError> {
        let elsewhere = Supervised::<N>::restore(parts.clone());
        let elsewhere = elsewhere.map_err(|error| FitError::Refused(error.to_string()))?;
        let Supervised { network, about } = elsewhere;
        if about.n_features != train.n_features {
            let what =
                format!("a network of {} features for {}", about.n_features, train.n_features);
            return Err(FitError::Refused(what));
        }
        let step_s = train.grid.step_s;
        Ok(Supervised { network, about: About { step_s, incidents: Vec::new(), ..about } })
    }

    pub(super) fn restore(parts: Parts) -> Result<Supervised<N>, RestoreError> {
        let fail = |what: String| RestoreError(what);
        let Meta { about, network } =
            serde_json::from_value(parts.meta).map_err(|e| fail(e.to_string()))?;
        let parts = Parts { meta: network, tensors: parts.tensors };
        let network = N::from_parts(parts).map_err(|e| fail(e.to_string()))?;
        let fits = about.live.len() == network.size()[1]
            && about.live.is_sorted_by(|a, b| a < b)
            && about.live.last().is_none_or(|&last| last < about.n_features)
            && about.step_s > 0
            && about.usual.iter().all(|v| v.is_finite())
            && about.usual[1] > 0.0
            && about.incidents.len() <= MOST_EPISODES;
        match fits {
            true => Ok(Supervised { network, about }),
            false => Err(fail("columns, step or incidents are not those of such a network".into())),
        }
    }

    /// What the network makes of the rows `first..`.
    fn judge(&self, window: &Window, first: usize) -> Vec<Option<Judgement>> {
        let n = window.grid.len.saturating_sub(first);
        if window.n_features != self.about.n_features || n == 0 {
            return vec![None; n];
        }
        let [rows, _] = self.network.size();
        let from = first.saturating_sub(rows - 1);
        let history = History::of(window, from, &self.about.live, rows);
        let windows: Vec<&[f32]> =
            (first..window.grid.len).map(|i| history.window(i - from, rows)).collect();
        // Windows are of the network's size by construction.
        self.network.judge(&windows).unwrap_or_else(|_| vec![None; n])
    }

    /// 1 is ordinary, and each standard deviation of the evidence of normal windows one more.
    fn raw(&self, evidence: f64) -> f64 {
        let [centre, spread] = self.about.usual;
        (1.0 + (evidence - centre) / spread).clamp(0.0, f64::MAX)
    }

    /// The incidents that the row of this time is most like, other than the one that it is part of.
    fn similar(&self, row_s: i64, neighbours: &[(i64, f64)]) -> Vec<Similar> {
        let window_s = self.network.size()[0] as i64 * self.about.step_s;
        let mut similar: Vec<Similar> = Vec::new();
        for &(end, distance) in neighbours {
            let time_s = end.saturating_mul(self.about.step_s);
            let within = |incident: &&Incident| {
                let Incident { from_s, to_s, .. } = **incident;
                Interval { from_s, to_s }.contains(time_s)
            };
            let Some(incident) = self.about.incidents.iter().find(within) else { continue };
            let Incident { from_s, to_s, kind } = incident.clone();
            let own = (from_s..to_s.saturating_add(window_s)).contains(&row_s);
            if !own && similar.len() < NAMED && similar.iter().all(|known| known.from_s != from_s) {
                similar.push(Similar { from_s, kind, distance });
            }
        }
        similar
    }
}

/// Incidents that are named as similar.
const NAMED: usize = 3;

impl<N: Network> Model for Supervised<N> {
    fn lookback(&self) -> usize {
        self.network.size()[0] - 1
    }

    fn score(&self, window: &Window, first: usize) -> Vec<Raw> {
        let raw = |judged: Option<Judgement>| match judged {
            Some(judged) => Raw { value: self.raw(judged.evidence), forecast: None },
            None => Raw::UNKNOWN,
        };
        self.judge(window, first).into_iter().map(raw).collect()
    }

    fn reads(&self, feature: usize) -> bool {
        self.about.live.contains(&feature)
    }

    /// By how much the evidence falls where a feature is hidden (occlusion, Zeiler and Fergus 2014).
    fn contributions(&self, window: &Window) -> Option<Vec<f64>> {
        let [rows, _] = self.network.size();
        let from = window.grid.len.checked_sub(1)?.saturating_sub(rows - 1);
        if window.n_features != self.about.n_features {
            return None;
        }
        let live = &self.about.live;
        let history = History::of(window, from, live, rows);
        let whole = history.window(window.grid.len - 1 - from, rows);
        let hidden = |f: usize| -> Vec<f32> {
            let cells = whole.iter().enumerate();
            cells.map(|(i, v)| if i % live.len() == f { f32::NAN } else { *v }).collect()
        };
        let hidden: Vec<Vec<f32>> = (0..live.len()).map(hidden).collect();
        let windows: Vec<&[f32]> =
            std::iter::once(whole).chain(hidden.iter().map(Vec::as_slice)).collect();
        let judged = self.network.judge(&windows).ok()?;
        let all = judged.first()?.as_ref()?.evidence;
        let mut shares = vec![0.0; window.n_features];
        for (&f, without) in live.iter().zip(&judged[1..]) {
            shares[f] = without.as_ref().map_or(0.0, |without| (all - without.evidence).max(0.0));
        }
        let total: f64 = shares.iter().sum();
        (total > 0.0 && total.is_finite()).then(|| shares.iter().map(|s| s / total).collect())
    }

    /// Even odds, or as far from the one mean as from the other: the RFC's verdicts.
    fn boundary(&self) -> Option<f64> {
        Some(self.raw(0.0))
    }

    fn opinion(&self, window: &Window) -> Option<Opinion> {
        let newest = window.grid.len.checked_sub(1)?;
        let judged = self.judge(window, newest).pop()??;
        let similar = self.similar(window.grid.time(newest), &judged.neighbours);
        Some(Opinion { similar, classes: judged.classes })
    }

    fn parts(&self) -> Parts {
        let Parts { meta: network, tensors } = self.network.parts();
        let meta = Meta { about: self.about.clone(), network };
        // Strings and whole numbers always have a JSON form.
        Parts { meta: serde_json::to_value(meta).unwrap_or_default(), tensors }
    }
}

/// What is wrong with these settings.
pub(super) fn problem(plan: &Plan) -> Option<String> {
    let Plan { window, iterations, settings } = plan;
    if *window == 0 || !window.is_multiple_of(4) {
        return Some(format!("window: {window} is not a multiple of 4"));
    }
    if *window > MAX_WINDOW {
        return Some(format!("window: {window} is not between 4 and {MAX_WINDOW}"));
    }
    if !(1..=MOST_ITERATIONS).contains(iterations) {
        return Some(format!("max_steps: {iterations} is not between 1 and {MOST_ITERATIONS}"));
    }
    rfc::problem(*settings)
}

/// What a network learns from.
struct Lessons<'a> {
    plan: &'a Plan,
    train: &'a Window,
    episodes: &'a [&'a Episode],
    live: &'a [usize],
    context: &'a FitContext<'a>,
}

impl Lessons<'_> {
    fn pasted(&self, cuts: Option<Cuts>) -> Vec<Pasted> {
        let Lessons { plan, train, episodes, live, context } = self;
        pasted(train, episodes, live, plan.window, context.seed, cuts)
    }

    /// A new network, trained; something is held out where there are cuts. It is this part of the fit.
    fn learn<N: Network>(
        &self,
        iterations: usize,
        cuts: Option<Cuts>,
        part: Range<f64>,
        examples: &[Example<'_>],
    ) -> Result<(N, Training), FitError> {
        let Lessons { plan, live, context, .. } = self;
        let settings = Settings { hold_out: cuts.is_some(), ..plan.settings };
        let mut network = N::new(plan.window, live.len(), settings).map_err(refused)?;
        network.initialize_new_weights(context.seed);
        let hear = context.part(part);
        let overseer = Overseer { keep_going: context.keep_going, stages: &hear };
        let course = Course { iterations, batch_size: BATCH, cuts, overseer };
        let training = network.train_on(&course, examples).map_err(refused)?;
        Ok((network, training))
    }
}

fn told(training: &Training, context: &FitContext<'_>) {
    let look = |l: &rfc::Look| Look { step: l.iteration, loss: l.loss, held_out: l.held_out };
    if let Some(hear) = context.looks {
        training.looks.iter().map(look).for_each(hear);
    }
}

fn refused(error: NetworkError) -> FitError {
    match error {
        NetworkError::Stopped => FitError::Stopped,
        NetworkError::Diverged => FitError::Diverged,
        // Such as more classes than it can tell apart.
        other => FitError::Refused(other.to_string()),
    }
}

/// Normal windows that the usual evidence is measured on, at most.
const MOST_MEASURED: usize = 2048;
/// No network is so sure of itself that less than so much apart is of any account.
const LEAST_SPREAD: f64 = 1e-3;
/// The 95 % quantile of a normal distribution, in standard deviations.
const Q95: f64 = 1.645;

/// The middle of the evidence of normal windows, and its spread upwards.
fn usual<N: Network>(network: &N, examples: &[Example<'_>]) -> Result<[f64; 2], FitError> {
    let normal = (0..examples.len()).filter(|&i| !examples[i].class.is_anomaly());
    let normal = thin(&normal.collect::<Vec<_>>(), MOST_MEASURED);
    let windows: Vec<&[f32]> = normal.into_iter().map(|i| examples[i].window).collect();
    let judged = network.judge(&windows).map_err(refused)?;
    let evidence = stats::sorted(judged.into_iter().flatten().map(|judged| judged.evidence));
    let centre = stats::quantile(&evidence, 0.5);
    let spread = ((stats::quantile(&evidence, 0.95) - centre) / Q95).max(LEAST_SPREAD);
    match centre.is_finite() && spread.is_finite() {
        true => Ok([centre, spread]),
        false => Err(FitError::Diverged),
    }
}

#[cfg(test)]
mod tests;

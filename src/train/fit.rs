//! The models of one entity: all fitted, then judged together.
//!
//! Owns: who is fitted, on what, and what a failure of one means for the others. Does not own: how a model is made
//! (`model`), what counts as better (`gate`).

use std::ops::Range;

use serde_json::Value;

use super::Decision;
use super::Members;
use super::TrainError;
use super::gate;
use super::lessons;
use super::progress::Share;
use super::quality;
use super::recipe;
use super::succession;
use super::succession::Champions;
use super::told::Told;
use crate::detect;
use crate::detect::Episode;
use crate::detect::FitContext;
use crate::detect::FitError;
use crate::detect::Pretrained;
use crate::detect::Stage;
use crate::detect::networks::NETWORKS;
use crate::model::Model;
use crate::model::Recipe;
use crate::series::Entity;
use crate::series::Window;
use crate::shipped;
use crate::store::ModelKey;
use crate::watch::Watch;
use crate::workers::Turn;

/// What an entity is trained on.
pub(super) struct Lessons {
    /// Known incidents are gaps in them.
    pub(super) rows: Window,
    pub(super) told: Vec<Told>,
    /// What rules say of the rows.
    pub(super) weak: Vec<Episode>,
}

/// What came of it.
pub(super) struct Trained {
    /// What was judged.
    pub(super) members: Members,
    pub(super) decision: Decision,
    /// What they make of the labels, together with what stays in use; for their cards.
    pub(super) labelled: Option<Value>,
    /// What was not, since a person's word keeps it out of use.
    pub(super) aside: Members,
}

/// Fits every member of one entity and decides whether they are better than what is there.
pub(super) fn fit_entity(
    watch: &Watch,
    entity: &Entity,
    Lessons { rows, told, weak }: &Lessons,
    champions: &Champions,
    turn: &Turn,
    share: &Share,
) -> Result<Trained, TrainError> {
    let keep_going = || turn.keep_going();
    let mut episodes = lessons::of_people(watch, told);
    episodes.extend_from_slice(weak);
    let mut members = Members::new();
    let mut refused = String::from("no detector");
    let wanted = wanted(watch, entity, rows, champions, &episodes);
    let parts = parts(wanted.iter().map(|(detector, ..)| detector), &episodes);
    let hear = |stage: Stage| share.reach(stage);
    for ((detector, feature, shipped), part) in wanted.into_iter().zip(parts) {
        let columns = watch.columns(&detector, feature);
        let key = model_key(watch, entity, &detector, feature);
        let recipe = recipe(watch, detector, feature);
        // Of the same settings: what a model of others learnt is no place to start from.
        let yesterday = champions.members.get(&key).map(Model::parts);
        let all = FitContext { stages: Some(&hear), ..FitContext::new(0, &keep_going) };
        let stages = all.part(part);
        let context = FitContext {
            calendar: &watch.calendar,
            previous: yesterday.as_ref(),
            pretrained: shipped.map_or(&[], std::slice::from_ref),
            // Supervised detectors are joint: all columns, in their order.
            episodes: &episodes,
            stages: Some(&stages),
            ..all
        };
        match Model::train(&recipe, &rows.select(&columns), &context) {
            Ok(model) => drop(members.insert(key, model)),
            Err(FitError::Stopped) => return Err(TrainError::Stopped),
            // As long as there is none to learn from, the others judge.
            Err(FitError::NoIncidents) if watch.detectors.len() > 1 => {}
            // A feature that this entity never had: its other features are judged all the same. So they are where a
            // detector of all of them cannot learn, but that is no usual thing.
            Err(error) => {
                if recipe.detector.joint() && watch.detectors.len() > 1 {
                    let (watch, detector) = (&watch.name, &key.detector);
                    tracing::warn!(watch, %entity, detector, %error, "not trained");
                }
                refused = format!("{}: {error}", recipe.features.join(","));
            }
        }
    }
    // In the set that is judged, the version that a person holds stands for the one that was made now.
    let (aside, mut members): (Members, Members) =
        members.into_iter().partition(|(key, _)| champions.held.has(key));
    if members.is_empty() {
        let decision = Decision::Reject(refused);
        return Ok(Trained { members, decision, labelled: None, aside });
    }
    let decision = match succession::refused(watch, rows, champions, &members, &keep_going) {
        Some(reason) => Decision::Reject(reason),
        None => {
            let champions = &champions.members;
            gate::decide_while(watch, rows, told, champions, &mut members, &keep_going)
        }
    };
    let labelled = quality::labelled(told, &champions.members, &members, &keep_going);
    if !keep_going() {
        return Err(TrainError::Stopped);
    }
    Ok(Trained { members, decision, labelled, aside })
}

/// A detector, the feature that it judges, and what it begins as.
type Member = (detect::Config, Option<usize>, Option<&'static Pretrained>);

/// Members that can learn by now, or begin as what learnt elsewhere.
fn wanted(
    watch: &Watch,
    entity: &Entity,
    rows: &Window,
    champions: &Champions,
    episodes: &[Episode],
) -> Vec<Member> {
    let early = !lessons::may_begin(watch, rows);
    let member = |(detector, feature): (detect::Config, Option<usize>)| {
        let key = model_key(watch, entity, &detector, feature);
        let own = champions.members.get(&key).is_some_and(|model| !model.is_pretrained());
        let recipe = recipe(watch, detector.clone(), feature);
        let shipped = begins_as(watch, &recipe, own, early, rows, episodes);
        (detector, feature, shipped)
    };
    let mut wanted: Vec<Member> = watch.members().into_iter().map(member).collect();
    wanted.retain(|(d, _, shipped)| !(early && d.supervised()) || shipped.is_some());
    wanted
}

fn model_key(
    watch: &Watch,
    entity: &Entity,
    detector: &detect::Config,
    feature: Option<usize>,
) -> ModelKey {
    ModelKey {
        watch: watch.name.clone(),
        entity: entity.clone(),
        feature: feature.map(|f| watch.features[f].name.clone()),
        detector: detector.name().to_string(),
    }
}

/// The network that comes along, and judges while too little is known here to learn a better one. Where one in use
/// learnt here already (`own`), what it knows is not given up for that: who knew twenty incidents, one of which is out
/// of history, still knows people's own classes. `early`: there is too little history to learn from incidents.
fn begins_as(
    watch: &Watch,
    recipe: &Recipe,
    own: bool,
    early: bool,
    rows: &Window,
    episodes: &[Episode],
) -> Option<&'static Pretrained> {
    let known = shipped::suited(recipe)?;
    let n_incidents = episodes.iter().filter(|episode| episode.class.is_anomaly()).count();
    let some = n_incidents >= if own { 1 } else { enough_incidents(known.detector) };
    let suffices = match recipe.detector.supervised() {
        true => some && !early,
        false => own || n_rows(rows) >= ENOUGH_ROWS.min(history_rows(watch) / 2),
    };
    (!suffices).then_some(known)
}

fn n_rows(rows: &Window) -> usize {
    (0..rows.grid.len).filter(|&i| rows.has_data(i)).count()
}

fn history_rows(watch: &Watch) -> usize {
    (watch.train.history_s / watch.step_s.max(1)) as usize
}

fn enough_incidents(detector: &str) -> usize {
    if detector == "siamese" { ENOUGH_TO_COMPARE } else { ENOUGH_INCIDENTS }
}

/// A day of rows: what is normal at night and in the morning.
const ENOUGH_ROWS: usize = 2_880;
/// A classifier of fewer knows less of what may go wrong than one of hundreds that went wrong elsewhere.
const ENOUGH_INCIDENTS: usize = 20;
/// The siamese network is there for what people say: it compares with the first incident that they label.
const ENOUGH_TO_COMPARE: usize = 1;

/// Which part of an entity's training each member is: networks that will learn share it equally; who needs no
/// iterations takes no time beside them.
fn parts<'a>(
    members: impl Iterator<Item = &'a detect::Config> + Clone,
    episodes: &[Episode],
) -> Vec<Range<f64>> {
    let taught = episodes.iter().any(|episode| episode.class.is_anomaly());
    let learns = |d: &detect::Config| NETWORKS.contains(&d.name()) && (taught || !d.supervised());
    let n = members.clone().filter(|detector| learns(detector)).count().max(1) as f64;
    let mut before = 0.0;
    let part = |detector: &detect::Config| {
        let from = before / n;
        before += f64::from(u8::from(learns(detector)));
        from..before / n
    };
    members.map(part).collect()
}

#[cfg(all(test, feature = "deep"))]
mod tests {
    use super::*;
    use crate::series::Grid;
    use crate::verdict::Class;

    #[test]
    fn networks_that_learn_share_the_time() {
        let names = ["var", "autoencoder", "siamese", "pca"];
        let members: Vec<_> = names.iter().filter_map(|name| detect::Config::named(name)).collect();
        let rows = Window::single(Grid { start_s: 0, step_s: 60, len: 1 }, vec![0.0]);
        let known = [Episode { rows, from_s: 0, class: Class::Anomaly(None) }];
        let of = |episodes: &[Episode]| parts(members.iter(), episodes);
        assert_eq!(of(&known), [0.0..0.0, 0.0..0.5, 0.5..1.0, 1.0..1.0]);
        assert_eq!(of(&[]), [0.0..0.0, 0.0..1.0, 1.0..1.0, 1.0..1.0]);
        assert_eq!(parts(members[..1].iter(), &known), [0.0..0.0]);
    }
}

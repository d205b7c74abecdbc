//! Who may succeed a champion at all: not what was learnt in an hour, as after Prometheus has lost its
//! history.
//!
//! Owns: how much a challenger must have learnt from. Does not own: whether it is better (`gate`).

use std::sync::Arc;

use super::Members;
use super::Told;
use super::jury::Jury;
use super::keeping::Held;
use crate::model::Model;
use crate::series::Window;
use crate::store::ModelRow;
use crate::watch::Watch;

/// What a challenger has to beat.
pub(super) struct Champions {
    /// The models in use.
    pub(super) members: Members,
    /// Whether they stay until a challenger has learnt from enough.
    pub(super) protected: bool,
    /// Which stay whatever is learnt.
    pub(super) held: Arc<Held>,
}

/// Whether the models in use stay until a challenger has learnt from enough. Not for ever: until they
/// are older than any history, or a person has spoken since.
pub(super) fn is_protected(watch: &Watch, in_use: &[ModelRow], told: &[Told], now_s: i64) -> bool {
    let trained_s = in_use.iter().map(|row| row.trained_s).min();
    trained_s.is_some_and(|trained_s| {
        let spoken = told.iter().any(|told| told.heard.label.created_s > trained_s);
        now_s - trained_s < watch.train.history_s && !spoken
    })
}

/// Why challengers that know less than half of what protected champions know may not succeed them, in
/// words. They may where the champions call more of the last day strange: things have changed then.
pub(super) fn refused(
    watch: &Watch,
    history: &Window,
    champions: &Champions,
    challengers: &Members,
    keep_going: &dyn Fn() -> bool,
) -> Option<String> {
    let Champions { members: champions, protected, .. } = champions;
    let most = |members: &Members| members.values().map(Model::n_rows).max().unwrap_or(0);
    // Who shortened `train.history` wants less to be known.
    let most_there_is = (watch.train.history_s / watch.point_s()) as usize;
    let (old, new) = (most(champions).min(most_there_is), most(challengers));
    if !protected || new * 2 >= old {
        return None;
    }
    let before = Jury::of(champions, keep_going).false_alarms(watch, history).len();
    let after = Jury::mixed(champions, challengers, keep_going).false_alarms(watch, history).len();
    (before <= after).then(|| {
        format!("learnt from {new} rows, wanted half of the {old} that the promoted version knows")
    })
}

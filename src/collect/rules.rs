//! What rules say of a long time, asked for a piece at a time.
//!
//! Owns: where pieces end, and how what they say is put together. Does not own: asking (`gather`).

use std::sync::Arc;

use crate::gather;
use crate::gather::GatherError;
use crate::source::Source;
use crate::verdict::Interval;
use crate::weak::Group;
use crate::weak::WeakLabel;

/// Evaluations of a piece: what an alert that always holds answers is some megabytes.
const EVALUATIONS: i64 = 40_000;

/// What rules say of a time.
#[derive(Debug, Default)]
pub(super) struct Told {
    /// By rule as the groups have them, then by labels and time.
    pub(super) labels: Vec<WeakLabel>,
    /// Rules that say nothing, with why.
    pub(super) failed: Vec<String>,
}

/// Evaluates the alerting rules of all groups over the interval.
///
/// # Errors
/// A rule cannot be evaluated now: a column of labels that lack one would not show it.
pub(super) async fn told(
    source: &Arc<dyn Source>,
    groups: &[Group],
    interval: Interval,
) -> Result<Told, GatherError> {
    let mut told = Told::default();
    for group in groups {
        let span_s = EVALUATIONS * group.interval_s;
        let mut from_s = interval.from_s;
        let mut labels: Vec<WeakLabel> = Vec::new();
        while from_s < interval.to_s {
            // Evaluations are at multiples of the group's interval.
            let cut_s = (from_s + span_s).div_euclid(group.interval_s) * group.interval_s;
            let piece = Interval { from_s, to_s: cut_s.min(interval.to_s) };
            let weak = gather::weak_labels(source, std::slice::from_ref(group), piece).await?;
            if let Some(error) = weak.unread.into_iter().next() {
                return Err(error);
            }
            let failed = weak.failed.into_iter().map(|(name, error)| format!("{name}: {error}"));
            told.failed.extend(failed);
            join(&mut labels, weak.labels);
            from_s = piece.to_s;
        }
        // Together again in the order that one piece would have.
        let place = |label: &WeakLabel| group.alerts.iter().position(|r| r.alert == label.alert);
        labels.sort_by(|a, b| {
            let key = |l: &WeakLabel| (place(l), l.labels.clone(), l.interval.from_s);
            key(a).cmp(&key(b))
        });
        told.labels.extend(labels);
    }
    told.failed.sort();
    told.failed.dedup();
    Ok(told)
}

/// Adds what the next piece says; what goes on from one piece to the next is one.
fn join(labels: &mut Vec<WeakLabel>, next: Vec<WeakLabel>) {
    for label in next {
        let goes_on = labels.iter_mut().find(|before| {
            let same = (&before.alert, &before.labels, before.state);
            same == (&label.alert, &label.labels, label.state)
                && before.interval.to_s == label.interval.from_s
        });
        match goes_on {
            Some(before) => before.interval.to_s = label.interval.to_s,
            None => labels.push(label),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::series::Entity;
    use crate::weak::State;

    fn label(state: State, from_s: i64, to_s: i64, active_s: i64) -> WeakLabel {
        WeakLabel {
            file: "r.yml".into(),
            group: "g".into(),
            alert: "Slow".into(),
            class: None,
            labels: Entity::new([("job", "dns")]),
            state,
            interval: Interval { from_s, to_s },
            active_s,
        }
    }

    #[test]
    fn what_goes_on_from_one_piece_to_the_next_is_one() {
        let (firing, pending) = (State::Firing, State::Pending);
        let mut labels = vec![label(pending, 60, 120, 60), label(firing, 120, 600, 60)];
        // The next piece does not know how long it has held.
        join(&mut labels, vec![label(firing, 600, 660, 480), label(pending, 900, 960, 900)]);
        let wanted = [
            label(pending, 60, 120, 60),
            label(firing, 120, 660, 60),
            label(pending, 900, 960, 900),
        ];
        assert_eq!(labels, wanted);
    }
}

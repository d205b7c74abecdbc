//! What the versions in use make of what people said, measured.
//!
//! Owns: what counts as found, and how the counts become ratios.
//! Does not own: which labels speak for which points (`told`), or how the ratios are shown (`export`).

use serde_json::Value;
use serde_json::json;

use super::Members;
use super::TrainError;
use super::Trainer;
use super::history;
use super::jury::Jury;
use super::told::Told;
use crate::export::Quality;
use crate::verdict::Verdict;
use crate::watch::Watch;
use crate::workers::Priority;

/// Intervals by what the versions in use make of them. One without a score, as where no model is, is
/// in none of them.
#[derive(Debug, Default, PartialEq)]
struct Counts {
    /// Labelled anomalies with a score above 1, and how long after its beginning each was found.
    found_after_s: Vec<i64>,
    /// Labelled anomalies without.
    n_missed: usize,
    /// Intervals labelled normal with a score above 1.
    n_false: usize,
}

/// What challengers, with those in use that stay beside them, make of labels, for their cards; `None` without labels.
/// Their thresholds follow these labels, so it is how well they keep to them, not how well they would find others.
pub(super) fn labelled(
    told: &[Told],
    in_use: &Members,
    challengers: &Members,
    keep_going: &dyn Fn() -> bool,
) -> Option<Value> {
    let jury = Jury::mixed(in_use, challengers, keep_going);
    let mut counts = Counts::default();
    // When each was found is of no account here.
    told.iter().for_each(|told| counts.count(&jury, told, 0));
    let Quality { precision, recall, .. } = counts.quality();
    (!told.is_empty()).then(|| {
        json!({
            "n_found": counts.found_after_s.len(),
            "n_missed": counts.n_missed,
            "n_false": counts.n_false,
            "precision": precision,
            "recall": recall,
            "f1": 2.0 * precision * recall / (precision + recall),
        })
    })
}

impl Trainer {
    /// Publishes what the versions in use make of every labelled interval whose rows are kept.
    ///
    /// # Errors
    /// The store cannot be read; what was published before stays.
    pub async fn measure(&self, watch: &Watch) -> Result<(), TrainError> {
        let told = history::told(&self.store, watch).await?;
        let mut in_use = self.in_use(watch).await?;
        let mut judged: Vec<(Members, Vec<Told>)> = Vec::new();
        for (entity, told) in told {
            if let Some(rows) = in_use.remove(&entity) {
                judged.push((self.champions(watch, rows).await?, told));
            }
        }
        let delay_s = watch.point_s() - watch.step_s;
        let counting = self.workers.run(Priority::Training, move |turn| {
            let mut counts = Counts::default();
            for (members, told) in &judged {
                for told in told {
                    if !turn.keep_going() {
                        return Err(TrainError::Stopped);
                    }
                    let keep_going = || turn.keep_going();
                    counts.count(&Jury::of(members, &keep_going), told, delay_s);
                }
            }
            match turn.keep_going() {
                true => Ok(counts.quality()),
                false => Err(TrainError::Stopped),
            }
        });
        let quality = counting.await.map_err(TrainError::from)??;
        self.board.own().quality(&watch.name, quality);
        Ok(())
    }
}

impl Counts {
    /// `delay_s`: from a point's time to the last row that it is made of.
    fn count(&mut self, jury: &Jury<'_>, told: &Told, delay_s: i64) {
        let mut scores = jury.inside(told);
        scores.retain(|_, score| !score.is_nan());
        let first_above = scores.iter().find(|(_, score)| **score > 1.0);
        match (told.heard.label.verdict, first_above) {
            _ if scores.is_empty() => {}
            (Verdict::Anomaly, Some((time_s, _))) => {
                // Where a later word took the beginning away, it begins after that.
                let begins_s = told.heard.parts.iter().map(|part| part.from_s).min();
                let after_s = time_s + delay_s - begins_s.unwrap_or(*time_s);
                self.found_after_s.push(after_s.max(0));
            }
            (Verdict::Anomaly, None) => self.n_missed += 1,
            (Verdict::Normal, Some(_)) => self.n_false += 1,
            (Verdict::Normal, None) => {}
        }
    }

    /// NaN where there is nothing to divide by.
    fn quality(&self) -> Quality {
        let n_found = self.found_after_s.len() as f64;
        let delay_s = self.found_after_s.iter().sum::<i64>() as f64;
        Quality {
            precision: n_found / (n_found + self.n_false as f64),
            recall: n_found / (n_found + self.n_missed as f64),
            detection_delay_s: delay_s / n_found,
        }
    }
}

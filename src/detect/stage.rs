//! How far a fit is, for who waits for it.
//!
//! Owns: how the parts of a fit add up. Does not own: who is told, and how (`train`).

use std::ops::Range;

use super::FitContext;

/// How far a fit by iterations is. A fit that needs none tells nothing of itself.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Stage {
    /// Iterations made, of the most that the fit may take: 0 to 1. Where training ends early it is whole all
    /// the same, and it never falls.
    pub share: f64,
    /// Mean training loss of the newest iterations.
    pub loss: f32,
}

impl FitContext<'_> {
    /// Who hears of a fit that is this part of a longer one, from 0 to 1.
    pub fn part(&self, of: Range<f64>) -> impl Fn(Stage) + Sync {
        let stages = self.stages;
        move |Stage { share, loss }| {
            if let Some(hear) = stages {
                hear(Stage { share: of.start + share * (of.end - of.start), loss });
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use super::*;

    #[test]
    fn the_parts_of_a_part_add_up_to_the_whole() {
        let heard = Mutex::new(Vec::new());
        let hear = |stage: Stage| heard.lock().unwrap().push((stage.share, stage.loss));
        let all = FitContext { stages: Some(&hear), ..FitContext::new(0, &|| true) };
        let half = all.part(0.5..1.0);
        let half = FitContext { stages: Some(&half), ..all };
        let [first, last] = [0.0..0.5, 0.5..1.0].map(|of| half.part(of));
        first(Stage { share: 0.0, loss: 3.0 });
        first(Stage { share: 1.0, loss: 2.0 });
        last(Stage { share: 0.5, loss: 1.0 });
        last(Stage { share: 1.0, loss: 0.5 });
        // Nobody listens: nothing to do.
        FitContext::new(0, &|| true).part(0.0..1.0)(Stage { share: 1.0, loss: 0.0 });
        assert_eq!(*heard.lock().unwrap(), [(0.5, 3.0), (0.75, 2.0), (0.875, 1.0), (1.0, 0.5)]);
    }
}

//! What a search for settings varies.

use super::Config;
use crate::detect::space::Knob;
use crate::detect::space::Tuned;
use crate::detect::space::Values;
use crate::detect::space::network_knobs;

impl Tuned for Config {
    const KNOBS: &'static [Knob<Config>] = network_knobs!();

    /// Of both bounds: whichever holds, holds for the share.
    fn shorten(&mut self, share: f64) {
        let of = |n: usize| ((n as f64 * share).round() as usize).max(1);
        self.max_epochs = of(self.max_epochs);
        self.max_steps = of(self.max_steps);
    }

    fn set_steps(&mut self, steps: usize) {
        self.max_steps = steps.max(1);
    }
}

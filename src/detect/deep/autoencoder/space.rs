//! What a search for settings varies.

use super::Config;
use crate::detect::space::Knob;
use crate::detect::space::Tuned;
use crate::detect::space::Values;

impl Tuned for Config {
    const KNOBS: &'static [Knob<Config>] = &[
        Knob {
            name: "window",
            values: Values::OneOf(&[8.0, 16.0, 32.0, 64.0, 128.0]),
            get: |config| config.window as f64,
            set: |config, rows| config.window = rows as usize,
        },
        Knob {
            name: "latent",
            values: Values::OneOf(&[4.0, 8.0, 16.0, 32.0, 64.0]),
            get: |config| config.latent as f64,
            set: |config, length| config.latent = length as usize,
        },
        // The second convolution has half of the channels of the first.
        Knob {
            name: "width",
            values: Values::OneOf(&[8.0, 16.0, 32.0, 64.0]),
            get: |config| config.widths[0] as f64,
            set: |config, width| config.widths = [width as usize, width as usize / 2],
        },
        Knob {
            name: "learning_rate",
            values: Values::Log(2e-4, 1e-2),
            get: |config| config.learning_rate,
            set: |config, rate| config.learning_rate = rate,
        },
    ];

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

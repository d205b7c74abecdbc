//! Which settings of a detector a search varies, and between what.
//!
//! Owns: how settings are drawn. Does not own: the tables, each beside its detector's settings, or how
//! long one searches (`tune`).

use super::Config;
use crate::math::random::Random;

/// What one setting may be.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Values {
    /// One of these, each as likely.
    OneOf(&'static [f64]),
    /// From the one to the other, uniform in the logarithm, of three digits.
    Log(f64, f64),
}

impl Values {
    fn draw(&self, random: &mut Random) -> f64 {
        match *self {
            Values::OneOf(values) => values.get(random.below(values.len())).copied().unwrap_or(0.0),
            Values::Log(from, to) => {
                let value = from * (to / from).powf(random.unit());
                // What a person reads and types is what was tried.
                format!("{value:.2e}").parse().unwrap_or(value)
            }
        }
    }
}

/// One setting that a search varies.
#[derive(Debug)]
pub struct Knob<C> {
    /// Its name; that of the field, where it is one.
    pub name: &'static str,
    /// What it may be.
    pub values: Values,
    /// What it is.
    pub get: fn(&C) -> f64,
    /// Sets it.
    pub set: fn(&mut C, f64),
}

/// The settings of every network here: window, latent length, widths, step size; and `more` of its own.
#[cfg(feature = "deep")]
macro_rules! network_knobs {
    ($($more:expr),*) => {
        &[
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
            $($more),*
        ]
    };
}
#[cfg(feature = "deep")]
pub(in crate::detect) use network_knobs;

/// Settings that can be searched for.
pub trait Tuned: Sized + 'static {
    /// Every setting that is varied.
    const KNOBS: &'static [Knob<Self>];

    /// Trains for this share, above 0 and at most 1, of the steps that it would have.
    fn shorten(&mut self, share: f64);

    /// Trains for at most so many steps.
    fn set_steps(&mut self, steps: usize);
}

/// The same, whichever detector it is.
trait Tunable {
    fn values(&self) -> Vec<(&'static str, Values)>;
    fn get(&self) -> Vec<(&'static str, f64)>;
    fn draw(&mut self, random: &mut Random);
    fn shorten(&mut self, share: f64);
    fn set_steps(&mut self, steps: usize);
}

impl<C: Tuned> Tunable for C {
    fn values(&self) -> Vec<(&'static str, Values)> {
        C::KNOBS.iter().map(|knob| (knob.name, knob.values)).collect()
    }

    fn get(&self) -> Vec<(&'static str, f64)> {
        C::KNOBS.iter().map(|knob| (knob.name, (knob.get)(self))).collect()
    }

    fn draw(&mut self, random: &mut Random) {
        C::KNOBS.iter().for_each(|knob| (knob.set)(self, knob.values.draw(random)));
    }

    fn shorten(&mut self, share: f64) {
        Tuned::shorten(self, share);
    }

    fn set_steps(&mut self, steps: usize) {
        Tuned::set_steps(self, steps);
    }
}

impl Config {
    /// A detector whose settings can be searched for is one line here, and a table beside its settings.
    fn tunable(&mut self) -> Option<&mut dyn Tunable> {
        match self {
            #[cfg(feature = "deep")]
            Config::Autoencoder(config) => Some(config),
            #[cfg(feature = "deep")]
            Config::Classifier(config) => Some(config),
            #[cfg(feature = "deep")]
            Config::Siamese(config) => Some(config),
            _ => None,
        }
    }

    /// The settings that a search varies, and between what; none where there is nothing to search for.
    pub fn knobs(&self) -> Vec<(&'static str, Values)> {
        self.clone().tunable().map(|config| config.values()).unwrap_or_default()
    }

    /// The values of these settings, in the same order.
    pub fn knob_values(&self) -> Vec<(&'static str, f64)> {
        self.clone().tunable().map(|config| config.get()).unwrap_or_default()
    }

    /// These settings, those that a search varies at random.
    #[must_use]
    pub fn drawn(mut self, random: &mut Random) -> Config {
        if let Some(config) = self.tunable() {
            config.draw(random);
        }
        self
    }

    /// These settings with a training of this share of the steps, above 0 and at most 1.
    #[must_use]
    pub fn shortened(mut self, share: f64) -> Config {
        if let Some(config) = self.tunable() {
            config.shorten(share);
        }
        self
    }

    /// These settings with a training of at most so many steps.
    #[must_use]
    pub fn with_steps(mut self, steps: usize) -> Config {
        if let Some(config) = self.tunable() {
            config.set_steps(steps);
        }
        self
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whatever_is_drawn_is_sound_and_within_its_table() {
        let all = Config::NAMES.iter().filter_map(|name| Config::named(name));
        let mut n_searched = 0;
        for config in all.filter(|config| !config.knobs().is_empty()) {
            n_searched += 1;
            assert_eq!(config.clone().shortened(1.0), config);
            let mut random = Random::new(3);
            let drawn: Vec<Config> = (0..200).map(|_| config.clone().drawn(&mut random)).collect();
            assert_eq!(drawn[0], config.clone().drawn(&mut Random::new(3)));
            for drawn in &drawn {
                assert_eq!((drawn.problem(), drawn.name()), (None, config.name()));
                for ((name, value), (_, values)) in drawn.knob_values().iter().zip(config.knobs()) {
                    let within = match values {
                        Values::OneOf(values) => values.contains(value),
                        Values::Log(from, to) => (from..=to).contains(value),
                    };
                    assert!(within, "{name}: {value} is not in {values:?}");
                }
                let short = drawn.clone().shortened(1e-9);
                assert_eq!(short.problem(), None, "{short:?}");
                assert_eq!(short.knob_values(), drawn.knob_values());
            }
            for k in 0..config.knobs().len() {
                let value = |config: &Config| config.knob_values()[k].1;
                assert!(drawn.iter().any(|d| value(d) != value(&drawn[0])), "{k} never varies");
            }
        }
        let wanted = if cfg!(feature = "deep") { 3 } else { 0 };
        assert_eq!(n_searched, wanted, "those that have a table");
    }

    #[test]
    fn what_is_drawn_on_a_logarithmic_scale_has_three_digits() {
        let values = Values::Log(1e-4, 1e-2);
        let mut random = Random::new(1);
        let drawn: Vec<f64> = (0..1000).map(|_| values.draw(&mut random)).collect();
        let below = drawn.iter().filter(|value| **value < 1e-3).count();
        assert!((400..600).contains(&below), "half of them in either decade: {below}");
        assert!(drawn.iter().all(|value| format!("{value:.2e}").parse() == Ok(*value)));
    }
}

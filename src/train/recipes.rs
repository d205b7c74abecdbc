//! What the models of a watch are made from.

use crate::detect;
use crate::model::Recipe;
use crate::watch::Watch;

/// The recipe of one member of a watch, as [`Watch::members`] lists them.
pub fn recipe(watch: &Watch, detector: detect::Config, feature: Option<usize>) -> Recipe {
    let columns = watch.columns(&detector, feature);
    Recipe {
        features: columns.iter().map(|&f| watch.features[f].name.clone()).collect(),
        fingerprint: watch.fingerprint(&detector, feature),
        detector,
        preprocess: watch.preprocess(&columns),
        step_s: watch.step_s,
        block_s: watch.block_s(),
        pages_per_week: watch.pages_per_week,
    }
}

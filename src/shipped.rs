//! The networks that this program brings along, learnt from the recordings of a fault lab (`models/`).
//!
//! Owns: which there are, which models they may begin as, and for how long. Does not own: how one is brought to the
//! scale of another place (`detect`), or how it was made (`tests/lab`).

use std::sync::LazyLock;

use crate::detect::Pretrained;
use crate::model::Model;
use crate::model::Recipe;

/// Their files.
#[cfg(feature = "deep")]
const FILES: &[&[u8]] = &[
    include_bytes!("../models/coredns-autoencoder/model"),
    include_bytes!("../models/coredns-classifier/model"),
    include_bytes!("../models/coredns-siamese/model"),
];
#[cfg(not(feature = "deep"))]
const FILES: &[&[u8]] = &[];

static SHIPPED: LazyLock<Vec<(Model, Pretrained)>> = LazyLock::new(|| {
    let read = |bytes: &&[u8]| {
        // A test reads each of them.
        let model = Model::from_bytes(bytes).ok()?;
        let pretrained = model.pretrained();
        Some((model, pretrained))
    };
    FILES.iter().filter_map(read).collect()
});

/// The network that reads what a model of this recipe would: the same features in the same order, prepared in the
/// same way, at the same step, in windows of the same length.
pub fn suited(recipe: &Recipe) -> Option<&'static Pretrained> {
    let suits = |(model, _): &&(Model, Pretrained)| model.reads_as(recipe);
    SHIPPED.iter().find(suits).map(|(_, pretrained)| pretrained)
}

#[cfg(all(test, feature = "deep"))]
mod tests {
    use super::*;

    #[test]
    fn each_file_is_a_model() {
        let names: Vec<&str> = SHIPPED.iter().map(|(model, _)| model.detector()).collect();
        assert_eq!(names, ["autoencoder", "classifier", "siamese"]);
    }
}

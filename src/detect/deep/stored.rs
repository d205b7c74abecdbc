//! The autoencoder's stored form: named tensors and a little JSON.
//!
//! Owns: names, bounds, and the refusal of everything that is not such a model.

use serde::Deserialize;
use serde::Serialize;

use crate::detect::Parts;
use crate::detect::RestoreError;
use crate::detect::Tensor;
use crate::detect::Tensors;

use super::autoencoder::Autoencoder;
use super::autoencoder::measure::Measure;
use super::forward::Forward;
use super::layers::Weights;
use super::net::Shape;
use crate::math::whitening::Whitening;

/// Longest window.
pub(super) const MAX_WINDOW: usize = 1024;
/// Most channels of a layer, and longest latent vector.
pub(super) const MAX_WIDTH: usize = 1024;
/// Most features that a network reads.
pub(super) const MAX_LIVE: usize = 4096;
/// Most features of a window, those left out included.
const MAX_FEATURES: usize = 65_536;

/// What is not a tensor.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Meta {
    n_features: usize,
    live: Vec<usize>,
    shape: Shape,
    /// Models of before there was a choice have the first.
    #[serde(default = "error")]
    measure: String,
}

fn error() -> String {
    Measure::Error.name().to_string()
}

/// The tensors and JSON of a model.
pub(super) fn parts(model: &Autoencoder) -> Parts {
    let meta = Meta {
        n_features: model.n_features,
        live: model.live.clone(),
        shape: model.net.shape(),
        measure: model.measure.name().to_string(),
    };
    let mut tensors = model.net.tensors();
    let mut add = |name: &str, values: &[f32]| {
        tensors.push(Tensor::flat(name, values.to_vec()));
    };
    add("reach", &model.reach);
    add("rebuilt.trust", &model.trust);
    add("error.scale", &model.scales);
    add("latent.mean", &model.latent_mean);
    add("latent.scale", &[model.latent_scale]);
    if let Measure::Deviation(whitening) = &model.measure {
        let latent = whitening.mean().len();
        tensors.push(Tensor::flat("normal.mean", whitening.mean().to_vec()));
        let factor = Tensor::flat("normal.factor", whitening.lower().to_vec());
        tensors.push(Tensor { shape: vec![latent, latent], ..factor });
    }
    // A struct of numbers always has a JSON form.
    Parts { meta: serde_json::to_value(meta).unwrap_or_default(), tensors }
}

/// The model of these parts.
pub(super) fn restore(parts: Parts) -> Result<Autoencoder, RestoreError> {
    let meta: Meta = serde_json::from_value(parts.meta)
        .map_err(|e| RestoreError(format!("not the sizes of an autoencoder: {e}")))?;
    check(&meta)?;
    let mut tensors = Tensors::new(parts.tensors)?;
    let Meta { n_features, live, shape, measure } = meta;
    let net = Forward::new(shape, &mut tensors)?;
    let reach: Vec<f32> = tensors.take("reach", &[live.len()])?;
    let trust: Vec<f32> = tensors.take("rebuilt.trust", &[live.len()])?;
    let scales = tensors.take("error.scale", &[live.len()])?;
    let latent_mean = tensors.take("latent.mean", &[shape.latent])?;
    let latent_scale: f32 = tensors.take("latent.scale", &[1])?[0];
    let measure = restore_measure(&measure, shape.latent, &mut tensors)?;
    tensors.end("an autoencoder")?;
    if !scales.iter().chain(&reach).chain([&latent_scale]).all(|&s: &f32| s > 0.0) {
        return Err(RestoreError("a scale is not above 0".to_string()));
    }
    if !trust.iter().all(|t| (0.0..=1.0).contains(t)) {
        return Err(RestoreError("a trust is not between 0 and 1".to_string()));
    }
    Ok(Autoencoder {
        net,
        trust,
        n_features,
        live,
        reach,
        scales,
        latent_mean,
        latent_scale,
        measure,
    })
}

fn restore_measure(
    name: &str,
    latent: usize,
    tensors: &mut Tensors,
) -> Result<Measure, RestoreError> {
    match name {
        "error" => Ok(Measure::Error),
        "distance" => Ok(Measure::Distance),
        "deviation" => {
            let mean: Vec<f64> = tensors.take("normal.mean", &[latent])?;
            let factor: Vec<f64> = tensors.take("normal.factor", &[latent, latent])?;
            let whitening = Whitening::from_lower(mean, factor);
            let no_factor = || RestoreError("tensor \"normal.factor\" is not a factor".into());
            Ok(Measure::Deviation(whitening.ok_or_else(no_factor)?))
        }
        other => Err(RestoreError(format!("a raw score by {other:?}"))),
    }
}

fn check(meta: &Meta) -> Result<(), RestoreError> {
    let Meta { n_features, live, shape, .. } = meta;
    let fail = |what: String| Err(RestoreError(what));
    let inside = |value: usize, most: usize| (1..=most).contains(&value);
    if !inside(shape.window, MAX_WINDOW) || !shape.window.is_multiple_of(4) {
        return fail(format!("a window of {} rows", shape.window));
    }
    if ![shape.latent, shape.widths[0], shape.widths[1]].iter().all(|&w| inside(w, MAX_WIDTH)) {
        return fail(format!("widths {:?} and latent {}", shape.widths, shape.latent));
    }
    let ascending = live.windows(2).all(|pair| pair[0] < pair[1]);
    let within = live.last().is_some_and(|&last| last < *n_features);
    if !inside(*n_features, MAX_FEATURES) || !inside(live.len(), MAX_LIVE) || !ascending || !within
    {
        return fail(format!("{} of {n_features} features", live.len()));
    }
    if (shape.inputs, shape.outputs) != (2 * live.len(), live.len()) {
        return fail(format!("{} inputs for {} features", shape.inputs, live.len()));
    }
    Ok(())
}

impl Weights for Tensors {
    type Error = RestoreError;

    fn tensor(&mut self, name: &str, shape: &[usize], _: usize) -> Result<Vec<f32>, RestoreError> {
        self.take(name, shape)
    }
}

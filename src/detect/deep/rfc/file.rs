//! A network's weights as bytes, and back.
//!
//! Owns: the header, and the refusal of everything that is not such a network.
//!
//! The frame is that of a stored model: a length, a JSON header, then little-endian tensors. The header has the
//! SHA-256 of the rest of it and of the numbers after it, so that a flipped bit is noticed.

use serde::Deserialize;
use serde::Serialize;
use serde::de::DeserializeOwned;
use sha2::Digest;
use sha2::Sha256;

use super::body::Body;
use super::body::NetworkError;
use super::body::Settings;
use super::body::shape_problem;
use super::windows::Scaler;
use crate::detect::Parts;
use crate::detect::Tensor;
use crate::detect::Tensors;
use crate::detect::deep::net::Shape;
use crate::detect::frame;
use crate::detect::frame::TensorHead;

/// 1 covered only the numbers by its hash, and had no margin.
const FORMAT: u32 = 2;

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Head {
    format: u32,
    network: serde_json::Value,
    sha256: String,
    tensors: Vec<TensorHead>,
}

/// A network but for its tensors.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Network {
    name: String,
    shape: Shape,
    seed: u64,
    /// Whether anything was learnt.
    trained: bool,
    /// What only this kind of network knows.
    meta: serde_json::Value,
}

/// What a file holds: the common half is already checked.
pub(super) struct Stored {
    pub(super) shape: Shape,
    pub(super) seed: u64,
    pub(super) scaler: Option<Scaler>,
    meta: serde_json::Value,
    pub(super) tensors: Tensors,
}

/// The parts of a network of this name; `tensors` are all but the scaler's.
pub(super) fn parts(
    name: &str,
    body: &Body,
    meta: &impl Serialize,
    mut tensors: Vec<Tensor>,
) -> Parts {
    body.scaler.iter().for_each(|scaler| scaler.save(&mut tensors));
    let network = Network {
        name: name.to_string(),
        shape: body.shape,
        seed: body.seed,
        trained: body.scaler.is_some(),
        // Strings and finite numbers always have a JSON form.
        meta: serde_json::to_value(meta).unwrap_or_default(),
    };
    Parts { meta: serde_json::to_value(network).unwrap_or_default(), tensors }
}

/// What [`parts`] made of a network of this name.
pub(super) fn stored(name: &str, parts: Parts) -> Result<Stored, NetworkError> {
    let network: Network = serde_json::from_value(parts.meta).map_err(|e| no(&e.to_string()))?;
    network.stored(name, parts.tensors)
}

/// The bytes of what [`parts`] made.
pub(super) fn write(parts: &Parts) -> Vec<u8> {
    let mut numbers = Vec::new();
    parts.tensors.iter().for_each(|tensor| tensor.numbers.write(&mut numbers));
    let heads = frame::heads(&parts.tensors);
    let head = serde_json::json!({
        "format": FORMAT,
        "network": parts.meta,
        "sha256": digest(&parts.meta, &heads, &numbers),
        "tensors": heads,
    });
    frame::join(head.to_string().as_bytes(), &parts.tensors)
}

/// What [`write()`] wrote for a network of this name.
pub(super) fn read(name: &str, bytes: &[u8]) -> Result<Stored, NetworkError> {
    let (header, numbers) = frame::split(bytes).map_err(no)?;
    let head: Head = serde_json::from_slice(header).map_err(|e| no(&e.to_string()))?;
    if head.format != FORMAT {
        return Err(no(&format!("format {}, wanted {FORMAT}", head.format)));
    }
    let Head { network, sha256, tensors, .. } = head;
    let found = digest(&network, &tensors, numbers);
    let network: Network = serde_json::from_value(network).map_err(|e| no(&e.to_string()))?;
    if network.name == name && sha256 != found {
        return Err(no("they are damaged: their SHA-256 is not the one in the header"));
    }
    network.stored(name, frame::tensors(tensors, numbers).map_err(no)?)
}

fn no(what: &str) -> NetworkError {
    NetworkError::Import(format!("not the weights of a network: {what}"))
}

impl Network {
    fn stored(self, wanted: &str, tensors: Vec<Tensor>) -> Result<Stored, NetworkError> {
        let Network { name, shape, seed, trained, meta } = self;
        if name != wanted {
            let what = format!("they are of a {name:?}, this is a {wanted:?}");
            return Err(NetworkError::Import(what));
        }
        if let Some(problem) = shape_problem(&shape) {
            return Err(no(&problem));
        }
        if shape.inputs != 2 * shape.outputs {
            let Shape { inputs, outputs, .. } = shape;
            return Err(no(&format!("{inputs} inputs for {outputs} features")));
        }
        let mut tensors = Tensors::new(tensors)?;
        let scaler = match trained {
            true => Some(Scaler::restore(&mut tensors, shape.outputs)?),
            false => None,
        };
        Ok(Stored { shape, seed, scaler, meta, tensors })
    }
}

impl Stored {
    /// What the header says that only this kind of network knows.
    pub(super) fn meta<T: DeserializeOwned>(&mut self) -> Result<T, NetworkError> {
        let meta = serde_json::from_value(self.meta.take());
        meta.map_err(|e| NetworkError::Import(format!("not the header of this network: {e}")))
    }

    /// A body of the stored sizes, with default settings. There are no weights yet: those of a header that lies
    /// about sizes would be large.
    pub(super) fn own_body(&self) -> Result<Body, NetworkError> {
        let Shape { window, outputs, widths, latent, .. } = self.shape;
        Body::new(window, outputs, Settings { latent, widths, ..Settings::default() })
    }

    /// Whether the sizes are those of `body`; otherwise both are named.
    pub(super) fn check(&self, body: &Body) -> Result<(), NetworkError> {
        if self.shape == body.shape {
            return Ok(());
        }
        let say = |s: &Shape| {
            let Shape { window, outputs, widths, latent, .. } = s;
            format!("{outputs} features, {window} rows, latent {latent}, widths {widths:?}")
        };
        Err(NetworkError::Import(format!(
            "they are of a network of {}; this one has {}",
            say(&self.shape),
            say(&body.shape)
        )))
    }

    /// The common half of the network that was stored.
    pub(super) fn body(&mut self, body: &Body) -> Body {
        Body {
            shape: self.shape,
            settings: body.settings,
            seed: self.seed,
            scaler: self.scaler.take(),
        }
    }
}

/// Of all that a header says of a network, and of its numbers.
pub(super) fn digest(
    network: &serde_json::Value,
    tensors: &[TensorHead],
    numbers: &[u8],
) -> String {
    let said = serde_json::json!([network, tensors]).to_string();
    let digest = Sha256::new().chain_update(said).chain_update(numbers).finalize();
    digest.iter().map(|byte| format!("{byte:02x}")).collect()
}

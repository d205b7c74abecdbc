//! A network's weights as bytes, and back.
//!
//! Owns: the header, and the refusal of everything that is not such a network.
//!
//! The frame is that of a stored model: a length, a JSON header, then little-endian tensors. The header has the
//! SHA-256 of the numbers after it, so that a flipped bit is noticed.

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
use crate::detect::Tensor;
use crate::detect::Tensors;
use crate::detect::deep::net::Shape;
use crate::detect::frame;
use crate::detect::frame::TensorHead;

/// The only format there is yet.
const FORMAT: u32 = 1;

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Head {
    format: u32,
    network: String,
    shape: Shape,
    seed: u64,
    /// Whether anything was learnt.
    trained: bool,
    meta: serde_json::Value,
    sha256: String,
    tensors: Vec<TensorHead>,
}

/// What a file holds: the common half is already checked.
pub(super) struct Stored {
    pub(super) shape: Shape,
    pub(super) seed: u64,
    pub(super) scaler: Option<Scaler>,
    meta: serde_json::Value,
    pub(super) tensors: Tensors,
}

/// The bytes of a network of this name.
pub(super) fn write(
    network: &str,
    body: &Body,
    meta: &impl Serialize,
    mut tensors: Vec<Tensor>,
) -> Vec<u8> {
    body.scaler.iter().for_each(|scaler| scaler.save(&mut tensors));
    let mut numbers = Vec::new();
    tensors.iter().for_each(|tensor| tensor.numbers.write(&mut numbers));
    let head = Head {
        format: FORMAT,
        network: network.to_string(),
        shape: body.shape,
        seed: body.seed,
        trained: body.scaler.is_some(),
        // Strings and finite numbers always have a JSON form.
        meta: serde_json::to_value(meta).unwrap_or_default(),
        sha256: sha256(&numbers),
        tensors: frame::heads(&tensors),
    };
    frame::join(&serde_json::to_vec(&head).unwrap_or_default(), &tensors)
}

/// What [`write()`] wrote for a network of this name.
pub(super) fn read(network: &str, bytes: &[u8]) -> Result<Stored, NetworkError> {
    let fail = |what: &str| NetworkError::Import(format!("not the weights of a network: {what}"));
    let (header, numbers) = frame::split(bytes).map_err(fail)?;
    let head: Head = serde_json::from_slice(header).map_err(|e| fail(&e.to_string()))?;
    if head.format != FORMAT {
        return Err(fail(&format!("format {}, wanted {FORMAT}", head.format)));
    }
    if head.network != network {
        let theirs = head.network;
        return Err(NetworkError::Import(format!(
            "they are of a {theirs:?}, this is a {network:?}"
        )));
    }
    if let Some(problem) = shape_problem(&head.shape) {
        return Err(fail(&problem));
    }
    if head.shape.inputs != 2 * head.shape.outputs {
        let Shape { inputs, outputs, .. } = head.shape;
        return Err(fail(&format!("{inputs} inputs for {outputs} features")));
    }
    if head.sha256 != sha256(numbers) {
        return Err(fail("they are damaged: their SHA-256 is not the one in the header"));
    }
    let mut tensors = Tensors::new(frame::tensors(head.tensors, numbers).map_err(fail)?)?;
    let scaler = match head.trained {
        true => Some(Scaler::restore(&mut tensors, head.shape.outputs)?),
        false => None,
    };
    Ok(Stored { shape: head.shape, seed: head.seed, scaler, meta: head.meta, tensors })
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

fn sha256(bytes: &[u8]) -> String {
    Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect()
}

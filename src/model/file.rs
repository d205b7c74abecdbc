//! A model as bytes, and back: a length, a JSON header, then little-endian tensors. Never executable.

use serde::Deserialize;
use serde::Serialize;
use sha2::Digest;
use sha2::Sha256;

use super::Model;
use crate::detect;
use crate::detect::Numbers;
use crate::detect::Parts;
use crate::detect::RestoreError;
use crate::detect::Tensor;
use crate::preprocess;
use crate::score::Calibration;
use crate::score::Scale;

/// Everything but the tensors. In memory, `meta` and `tensors` are empty: the fitted half has them.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Head {
    pub(super) format: u32,
    pub(super) fingerprint: String,
    pub(super) features: Vec<String>,
    pub(super) detector: detect::Config,
    pub(super) preprocess: preprocess::Fitted,
    pub(super) step_s: i64,
    pub(super) calibration: Calibration,
    pub(super) scale: Scale,
    pub(super) n_rows: usize,
    pub(super) meta: serde_json::Value,
    pub(super) tensors: Vec<TensorHead>,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct TensorHead {
    name: String,
    shape: Vec<usize>,
    /// Models of before this was said have no others.
    #[serde(default = "f32_kind")]
    kind: String,
}

fn f32_kind() -> String {
    "f32".to_string()
}

/// The only format there is yet.
pub(super) const FORMAT: u32 = 1;

/// No header is longer: what claims to be is not a model.
const MAX_HEADER: usize = 16 << 20;

impl Model {
    /// The file.
    pub fn to_bytes(&self) -> Vec<u8> {
        let parts = self.fitted.parts();
        let tensors = parts.tensors.iter().map(|tensor| TensorHead {
            name: tensor.name.clone(),
            shape: tensor.shape.clone(),
            kind: tensor.numbers.kind().to_string(),
        });
        let head = Head { meta: parts.meta, tensors: tensors.collect(), ..self.head.clone() };
        // A header is strings and finite numbers, which JSON can always hold.
        let header = serde_json::to_vec(&head).unwrap_or_default();
        let mut bytes = (header.len() as u64).to_le_bytes().to_vec();
        bytes.extend_from_slice(&header);
        for tensor in &parts.tensors {
            tensor.numbers.write(&mut bytes);
        }
        bytes
    }

    /// The model of bytes that were kept under this SHA-256.
    ///
    /// # Errors
    /// The bytes are others, or those of [`Model::from_bytes`].
    pub fn from_stored(bytes: &[u8], stored: &str) -> Result<Model, RestoreError> {
        match sha256(bytes) == stored {
            true => Model::from_bytes(bytes),
            false => Err(RestoreError("its bytes are not those that were stored".into())),
        }
    }

    /// The model that [`Model::to_bytes`] wrote.
    ///
    /// # Errors
    /// The bytes are no model of this program, or are damaged; never a panic or a large allocation.
    pub fn from_bytes(bytes: &[u8]) -> Result<Model, RestoreError> {
        let fail = |what: &str| RestoreError(format!("not a portent model: {what}"));
        let (length, rest) =
            bytes.split_first_chunk::<8>().ok_or_else(|| fail("shorter than its length field"))?;
        let length = u64::from_le_bytes(*length) as usize;
        if length > MAX_HEADER || length > rest.len() {
            return Err(fail("the header is longer than the file"));
        }
        let (header, mut numbers) = rest.split_at(length);
        let mut head: Head = serde_json::from_slice(header).map_err(|e| fail(&e.to_string()))?;
        if head.format != FORMAT {
            return Err(fail(&format!("format {}, wanted {FORMAT}", head.format)));
        }
        let mut tensors = Vec::new();
        for tensor in head.tensors.drain(..) {
            tensors.push(
                read_tensor(tensor, &mut numbers).ok_or_else(|| fail("a tensor is cut short"))?,
            );
        }
        if !numbers.is_empty() {
            return Err(fail("bytes after the last tensor"));
        }
        // The fitted half can say it again: a kilobyte in each of thousands of models.
        let fitted = head.detector.restore(Parts { meta: head.meta.take(), tensors })?;
        Ok(Model { head, fitted })
    }
}

/// The name of a file's bytes: their SHA-256 in hex.
pub fn sha256(bytes: &[u8]) -> String {
    Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect()
}

fn read_tensor(head: TensorHead, numbers: &mut &[u8]) -> Option<Tensor> {
    let n_values = head.shape.iter().try_fold(1usize, |n, &size| n.checked_mul(size))?;
    let numbers = Numbers::read(&head.kind, n_values, numbers)?;
    Some(Tensor { name: head.name, shape: head.shape, numbers })
}

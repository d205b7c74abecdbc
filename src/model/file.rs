//! A model as bytes, and back: what its header says. The frame around it is `detect`'s.

use serde::Deserialize;
use serde::Serialize;
use sha2::Digest;
use sha2::Sha256;

use super::Model;
use crate::detect;
use crate::detect::Parts;
use crate::detect::RestoreError;
use crate::detect::frame;
use crate::detect::frame::TensorHead;
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

/// The only format there is yet.
pub(super) const FORMAT: u32 = 1;

impl Model {
    /// The file.
    pub fn to_bytes(&self) -> Vec<u8> {
        let parts = self.fitted.parts();
        let tensors = frame::heads(&parts.tensors);
        let head = Head { meta: parts.meta, tensors, ..self.head.clone() };
        // A header is strings and finite numbers, which JSON can always hold.
        let header = serde_json::to_vec(&head).unwrap_or_default();
        frame::join(&header, &parts.tensors)
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
        let (header, numbers) = frame::split(bytes).map_err(fail)?;
        let mut head: Head = serde_json::from_slice(header).map_err(|e| fail(&e.to_string()))?;
        if head.format != FORMAT {
            return Err(fail(&format!("format {}, wanted {FORMAT}", head.format)));
        }
        let tensors = frame::tensors(std::mem::take(&mut head.tensors), numbers).map_err(fail)?;
        // The fitted half can say it again: a kilobyte in each of thousands of models.
        let fitted = head.detector.restore(Parts { meta: head.meta.take(), tensors })?;
        Ok(Model { head, fitted })
    }
}

/// The name of a file's bytes: their SHA-256 in hex.
pub fn sha256(bytes: &[u8]) -> String {
    Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect()
}

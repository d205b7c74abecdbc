//! A model as bytes, and back: what its header says. The frame around it is `detect`'s.

use serde::Deserialize;
use serde::Serialize;
use sha2::Digest;
use sha2::Sha256;

use super::Model;
use super::card::Origin;
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
    /// None in files of an older Portent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) origin: Option<Origin>,
    pub(super) meta: serde_json::Value,
    pub(super) tensors: Vec<TensorHead>,
}

/// The only format there is yet.
pub(super) const FORMAT: u32 = 1;
/// Rows that one score may need: a day's horizon in rows of a second, with room.
const MOST_ROWS: usize = 10_000_000;

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
        if head.step_s <= 0 {
            return Err(fail(&format!("rows every {} s", head.step_s)));
        }
        let model = Model { head, fitted };
        match model.n_raw_rows() {
            0..=MOST_ROWS => Ok(model),
            n => Err(fail(&format!("it reads {n} rows for one score, wanted at most {MOST_ROWS}"))),
        }
    }
}

/// The name of a file's bytes: their SHA-256 in hex.
pub fn sha256(bytes: &[u8]) -> String {
    Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::detect::FitContext;
    use crate::model::Recipe;
    use crate::series::Grid;
    use crate::series::Window;

    #[test]
    fn a_header_that_asks_for_all_the_rows_in_the_world_is_refused() {
        let grid = Grid { start_s: 0, step_s: 300, len: 8 * 288 };
        let value = |i: usize| (i as f64 / 288.0 * 6.3).sin() + (i * 7919 % 101) as f64 / 100.0;
        let rows = Window::single(grid, (0..grid.len).map(value).collect());
        let recipe = Recipe {
            features: vec!["traffic".into()],
            fingerprint: String::new(),
            detector: detect::Config::named("seasonal_median").unwrap(),
            preprocess: preprocess::Config::default(),
            step_s: 300,
            block_s: 8 * 3_600,
            pages_per_week: 1.0,
        };
        let mut model = Model::train(&recipe, &rows, &FitContext::new(0, &|| true)).unwrap();
        let error = |model: &Model| Model::from_bytes(&model.to_bytes()).err().map(|e| e.0);
        assert_eq!(error(&model), None);
        let mut wide = serde_json::to_value(&model.head.preprocess).unwrap();
        wide["config"]["bucket_s"] = (1_i64 << 62).into();
        let sound =
            std::mem::replace(&mut model.head.preprocess, serde_json::from_value(wide).unwrap());
        let said = error(&model).unwrap();
        assert!(said.contains("wanted at most 10000000"), "{said}");
        (model.head.preprocess, model.head.step_s) = (sound, 0);
        assert_eq!(error(&model).unwrap(), "not a portent model: rows every 0 s");
    }
}

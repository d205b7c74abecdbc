//! A fitted kernel machine.
//!
//! Owns: its support vectors, the decision, and the way from it to a raw score. Does not own: how they
//! are found (`smo`).

use crate::detect::RestoreError;
use crate::detect::Tensor;
use crate::detect::Tensors;
use crate::detect::one_class_svm::kernel;
use crate::detect::one_class_svm::kernel::Points;
use crate::detect::one_class_svm::smo;
use crate::detect::residuals::FEATURES;
use crate::detect::residuals::Features;

/// Largest √γ: squares of the largest feature on the kernel's scale still are numbers.
const MAX_ROOT: f64 = 1e3;
/// Smallest ln(peak/offset): below it the sums tell nothing apart.
const MIN_UNIT: f64 = 1e-3;

const COLUMNS: [&str; FEATURES] = ["support_0", "support_1", "support_2", "support_3"];

/// Support vectors and their weights.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Machine {
    support: Points,
    weights: Vec<f64>,
    /// √γ, the sum at the edge of the support, the largest sum of a training row.
    numbers: [f64; 3],
}

impl Machine {
    /// Learns the support of rows, of which there is at least one; `None` if it was to stop.
    pub(super) fn fit(
        rows: &[Features],
        nu: f64,
        keep_going: &dyn Fn() -> bool,
    ) -> Option<Machine> {
        let root = gamma(rows).sqrt().min(MAX_ROOT);
        let points = Points::new(rows, root);
        let solution = smo::solve(&points, nu, keep_going)?;
        let which: Vec<usize> = (0..rows.len()).filter(|&i| solution.weights[i] > 0.0).collect();
        let weights = which.iter().map(|&i| solution.weights[i]).collect();
        let peak = solution.sums.iter().fold(solution.offset, |a, b| a.max(*b));
        let numbers = [root, solution.offset, peak];
        Some(Machine { support: points.select(&which), weights, numbers })
    }

    /// Σ αK at the features.
    fn sum(&self, features: &Features) -> f64 {
        let point = features.map(|f| kernel::scaled(f, self.numbers[0]));
        self.support.weighted(point, &self.weights)
    }

    /// libsvm's decision value: above zero inside.
    #[cfg(test)]
    pub(super) fn decision(&self, features: &Features) -> f64 {
        self.sum(features) - self.numbers[1]
    }

    /// How deep outside: 0 where the training rows are densest, 1 at the edge of the support. It falls
    /// with the decision value; as that falls off like e^−d² outside, the logarithm grows on like d².
    pub(super) fn depth(&self, features: &Features) -> f64 {
        let [_, edge, peak] = self.numbers;
        let unit = (peak / edge).ln().max(MIN_UNIT);
        ((peak / self.sum(features)).ln() / unit).max(0.0)
    }

    /// What has to be stored.
    pub(super) fn tensors(&self) -> Vec<Tensor> {
        let columns = COLUMNS.iter().zip(&self.support.columns);
        let columns = columns.map(|(name, column)| Tensor::flat(name, column.clone()));
        let rest = [
            Tensor::flat("weights", self.weights.clone()),
            Tensor::flat("numbers", self.numbers.to_vec()),
        ];
        columns.chain(rest).collect()
    }

    /// The machine that the tensors came from.
    ///
    /// # Errors
    /// They are not those of a machine.
    pub(super) fn restore(tensors: &mut Tensors) -> Result<Machine, RestoreError> {
        let weights = tensors.take_flat::<f64>("weights")?;
        let mut columns: [Vec<f32>; FEATURES] = Default::default();
        for (name, column) in COLUMNS.iter().zip(&mut columns) {
            *column = tensors.take(name, &[weights.len()])?;
        }
        let numbers = tensors.take::<f64>("numbers", &[3])?;
        let numbers = [numbers[0], numbers[1], numbers[2]];
        let positive = |v: &f64| *v >= f64::MIN_POSITIVE && *v <= 1e100;
        if weights.is_empty() || !weights.iter().chain(&numbers).all(positive) {
            return Err(RestoreError("a support vector machine's numbers are above zero".into()));
        }
        Ok(Machine { support: Points { columns }, weights, numbers })
    }
}

/// scikit-learn's `gamma="scale"`: 1 / (features · variance of all numbers).
fn gamma(rows: &[Features]) -> f64 {
    let n = (rows.len() * FEATURES) as f64;
    let all = || rows.iter().flatten();
    let mean = all().map(|v| v / n).sum::<f64>();
    let variance = all().map(|v| (v - mean).powi(2) / n).sum::<f64>();
    if variance > 0.0 { 1.0 / (FEATURES as f64 * variance) } else { 1.0 }
}

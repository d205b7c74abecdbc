//! Whitening: a space in which points vary equally in all directions.
//!
//! Owns: the factor of a shrunken covariance. Does not own: what the points mean.
//!
//! Distances there are Mahalanobis' ("On the generalised distance in statistics", 1936), with the covariance drawn
//! a little towards a multiple of the identity (Ledoit and Wolf, "A well-conditioned estimator", 2004, with a fixed
//! share), so that it is positive definite however few the points.

/// How much of the covariance is the multiple of the identity.
const SHRINKAGE: f64 = 0.01;

/// The lower Cholesky factor L of a covariance: `L⁻¹ (x − mean)` is white.
#[derive(Debug, Clone, PartialEq)]
pub struct Whitening {
    mean: Vec<f64>,
    /// `[n, n]`, row-major, 0 above the diagonal, which is above 0.
    lower: Vec<f64>,
}

impl Whitening {
    /// That of the points `[_, dimensions]`, row-major; none where they hold what is no number. Without points, or
    /// where all are equal, nothing is changed but for the mean.
    pub fn of(points: &[f64], dimensions: usize) -> Option<Whitening> {
        let n = (points.len() / dimensions.max(1)).max(1) as f64;
        let mut mean = vec![0.0; dimensions];
        for point in points.chunks_exact(dimensions) {
            mean.iter_mut().zip(point).for_each(|(mean, v)| *mean += v / n);
        }
        let mut covariance = vec![0.0; dimensions * dimensions];
        for point in points.chunks_exact(dimensions) {
            let off: Vec<f64> = point.iter().zip(&mean).map(|(v, mean)| v - mean).collect();
            for (i, row) in covariance.chunks_mut(dimensions).enumerate() {
                let share = off[i] * (1.0 - SHRINKAGE) / n;
                row.iter_mut().zip(&off[..=i]).for_each(|(sum, v)| *sum += share * v);
            }
        }
        let trace: f64 = covariance.iter().step_by(dimensions + 1).sum();
        let mean_variance = trace / (1.0 - SHRINKAGE) / dimensions as f64;
        let added = if mean_variance > 0.0 { SHRINKAGE * mean_variance } else { 1.0 };
        covariance.iter_mut().step_by(dimensions + 1).for_each(|v| *v += added);
        Whitening::from_lower(mean, factor(covariance, dimensions)?)
    }

    /// That of this mean and this factor, `[n, n]` in row-major order; none if it is no such factor.
    pub fn from_lower(mean: Vec<f64>, lower: Vec<f64>) -> Option<Whitening> {
        let n = mean.len();
        let fits = lower.len() == n * n && mean.iter().chain(&lower).all(|v| v.is_finite());
        let positive = lower.iter().step_by(n + 1).all(|v| *v > 0.0);
        (fits && positive).then_some(Whitening { mean, lower })
    }

    /// The factor, row-major.
    pub fn lower(&self) -> &[f64] {
        &self.lower
    }

    /// The mean.
    pub fn mean(&self) -> &[f64] {
        &self.mean
    }

    /// The point in the white space.
    pub fn apply(&self, point: &[f64]) -> Vec<f64> {
        let n = self.mean.len();
        let mut out: Vec<f64> = Vec::with_capacity(n);
        for (i, (value, mean)) in point.iter().zip(&self.mean).enumerate() {
            let row = &self.lower[i * n..(i + 1) * n];
            let before: f64 = row.iter().zip(&out).map(|(l, y)| l * y).sum();
            out.push((value - mean - before) / row[i]);
        }
        out
    }
}

/// Cholesky's factor of a matrix of which `j ≤ i` is given; none where it is not positive definite.
fn factor(mut matrix: Vec<f64>, n: usize) -> Option<Vec<f64>> {
    for i in 0..n {
        for j in 0..=i {
            let (a, b) = (&matrix[i * n..i * n + j], &matrix[j * n..j * n + j]);
            let rest = matrix[i * n + j] - a.iter().zip(b).map(|(a, b)| a * b).sum::<f64>();
            matrix[i * n + j] = match i == j {
                true if rest > 0.0 => rest.sqrt(),
                true => return None,
                false => rest / matrix[j * n + j],
            };
        }
    }
    Some(matrix)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::math::random::Random;

    #[test]
    fn white_points_vary_equally_in_all_directions() {
        let mut random = Random::new(1);
        let points: Vec<f64> = (0..5000)
            .flat_map(|_| {
                let (u, v) = (random.unit(), random.unit());
                [5.0 + u, 3.0 * u + v, 0.5 * v - u]
            })
            .collect();
        let whitening = Whitening::of(&points, 3).unwrap();
        let white: Vec<f64> = points.chunks(3).flat_map(|p| whitening.apply(p)).collect();
        let moment =
            |i: usize, j: usize| white.chunks(3).map(|p| p[i] * p[j]).sum::<f64>() / 5000.0;
        // Shrinkage leaves a little less than 1, and keeps the third, which is made of the other two, finite.
        for (i, j, wanted, off) in
            [(0, 0, 1.0, 0.1), (1, 1, 0.8, 0.15), (0, 1, 0.0, 0.1), (2, 2, 0.25, 0.25)]
        {
            assert!((moment(i, j) - wanted).abs() < off, "{i} {j} {}", moment(i, j));
        }
        let again = Whitening::from_lower(whitening.mean().to_vec(), whitening.lower().to_vec());
        assert_eq!(again, Some(whitening));
    }

    #[test]
    fn few_points_equal_points_and_no_points_are_no_trouble() {
        for points in [vec![], vec![2.0; 8], vec![1.0, 2.0, 3.0, 4.0]] {
            let whitening = Whitening::of(&points, 4).unwrap();
            assert!(whitening.apply(&[1.0, 2.0, 3.0, 5.0]).iter().all(|v| v.is_finite()));
        }
        assert_eq!(Whitening::of(&[f64::NAN, 1.0], 2), None);
        assert_eq!(Whitening::from_lower(vec![0.0], vec![0.0]), None);
        assert_eq!(Whitening::from_lower(vec![0.0], vec![]), None);
    }
}

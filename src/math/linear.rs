//! Small dense symmetric matrices: eigenvectors, and systems of equations.
//!
//! Owns: the arithmetic for tens to a few hundreds of columns, row-major. Does not own: what a matrix
//! means.

/// Sweeps after which Jacobi's method has long converged.
const MOST_SWEEPS: usize = 60;

/// Eigenvalues, descending, and their vectors.
#[derive(Debug, Clone, PartialEq)]
pub struct Eigen {
    /// Descending.
    pub values: Vec<f64>,
    /// `[n, n]`: row `k` is the unit vector of value `k`, its largest number positive.
    pub vectors: Vec<f64>,
}

/// Eigenvalues and eigenvectors of a symmetric matrix `[n, n]` by cyclic Jacobi rotations (Golub and Van
/// Loan, Matrix Computations, 8.5). `keep_going` is asked once a sweep; `None` where it said no.
pub fn eigen(matrix: &[f64], n: usize, keep_going: &dyn Fn() -> bool) -> Option<Eigen> {
    let mut a = matrix.to_vec();
    let mut v = vec![0.0; n * n];
    (0..n).for_each(|i| v[i * n + i] = 1.0);
    let squares: f64 = a.iter().map(|x| x * x).sum();
    for _ in 0..MOST_SWEEPS {
        if !keep_going() {
            return None;
        }
        let off: f64 = (0..n)
            .flat_map(|i| (i + 1..n).map(move |j| (i, j)))
            .map(|(i, j)| a[i * n + j].powi(2))
            .sum();
        if off.is_nan() || off <= 1e-30 * squares {
            break;
        }
        for p in 0..n {
            for q in p + 1..n {
                rotate(&mut a, &mut v, n, (p, q));
            }
        }
    }
    let mut order: Vec<usize> = (0..n).collect();
    order.sort_by(|&i, &j| a[j * n + j].total_cmp(&a[i * n + i]));
    let values = order.iter().map(|&k| a[k * n + k]).collect();
    let vectors = order.iter().flat_map(|&k| signed(&v[k * n..(k + 1) * n])).collect();
    Some(Eigen { values, vectors })
}

/// Turns the plane of columns `p` and `q` so that their element is zero; vectors are rows of `v`.
fn rotate(a: &mut [f64], v: &mut [f64], n: usize, (p, q): (usize, usize)) {
    let apq = a[p * n + q];
    if apq == 0.0 {
        return;
    }
    let theta = (a[q * n + q] - a[p * n + p]) / (2.0 * apq);
    let t = theta.signum() / (theta.abs() + theta.hypot(1.0));
    let c = 1.0 / t.hypot(1.0);
    let s = t * c;
    for k in 0..n {
        let (x, y) = (a[k * n + p], a[k * n + q]);
        (a[k * n + p], a[k * n + q]) = (c * x - s * y, s * x + c * y);
    }
    for k in 0..n {
        let (x, y) = (a[p * n + k], a[q * n + k]);
        (a[p * n + k], a[q * n + k]) = (c * x - s * y, s * x + c * y);
        let (x, y) = (v[p * n + k], v[q * n + k]);
        (v[p * n + k], v[q * n + k]) = (c * x - s * y, s * x + c * y);
    }
}

fn signed(vector: &[f64]) -> impl Iterator<Item = f64> + '_ {
    let largest =
        vector.iter().fold(0.0f64, |most, x| if x.abs() > most.abs() { *x } else { most });
    let sign = if largest < 0.0 { -1.0 } else { 1.0 };
    vector.iter().map(move |x| sign * x)
}

/// A positive definite matrix as L·Lᵀ.
#[derive(Debug, Clone, PartialEq)]
pub struct Cholesky {
    n: usize,
    /// `[n, n]`, zero above the diagonal.
    lower: Vec<f64>,
}

impl Cholesky {
    /// Takes a symmetric matrix `[n, n]` apart; `None` where it is not positive definite.
    pub fn new(matrix: &[f64], n: usize) -> Option<Cholesky> {
        let mut lower = vec![0.0; n * n];
        for i in 0..n {
            for j in 0..=i {
                let (head, own) = lower.split_at(i * n);
                let other = if i == j { &own[..j] } else { &head[j * n..j * n + j] };
                let dot: f64 = own[..j].iter().zip(other).map(|(x, y)| x * y).sum();
                let left = matrix[i * n + j] - dot;
                lower[i * n + j] = match i == j {
                    true if left > 0.0 && left.is_finite() => left.sqrt(),
                    true => return None,
                    false => left / lower[j * n + j],
                };
            }
        }
        Some(Cholesky { n, lower })
    }

    /// L⁻¹·b in place of b: the square of its length is bᵀ·A⁻¹·b.
    pub fn whiten(&self, b: &mut [f64]) {
        for i in 0..self.n {
            let row = &self.lower[i * self.n..];
            let dot: f64 = row[..i].iter().zip(&*b).map(|(l, x)| l * x).sum();
            b[i] = (b[i] - dot) / row[i];
        }
    }

    /// A⁻¹·b in place of b.
    pub fn solve(&self, b: &mut [f64]) {
        self.whiten(b);
        for i in (0..self.n).rev() {
            let column = (i + 1..self.n).map(|k| self.lower[k * self.n + i] * b[k]);
            b[i] = (b[i] - column.sum::<f64>()) / self.lower[i * self.n + i];
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Symmetric and positive definite, as of 3 n rows of noise.
    fn matrix(n: usize) -> Vec<f64> {
        let noise =
            |i: usize, k: usize| ((i * 7919 + k * k * 31 + i * k) % 101) as f64 / 101.0 - 0.5;
        let dot = |i: usize, j: usize| (0..3 * n).map(|k| noise(i, k) * noise(j, k)).sum::<f64>();
        let cell = |at: usize| dot(at / n, at % n) + if at / n == at % n { 0.1 } else { 0.0 };
        (0..n * n).map(cell).collect()
    }

    #[test]
    fn vectors_are_of_their_values_and_orthogonal() {
        for n in [0, 1, 2, 7, 40] {
            let a = matrix(n);
            let Eigen { values, vectors } = eigen(&a, n, &|| true).unwrap();
            assert!(values.windows(2).all(|pair| pair[0] >= pair[1]));
            let vector = |k: usize| &vectors[k * n..(k + 1) * n];
            let dot = |x: &[f64], y: &[f64]| x.iter().zip(y).map(|(a, b)| a * b).sum::<f64>();
            for (k, value) in values.iter().enumerate() {
                for i in 0..n {
                    let product = dot(&a[i * n..(i + 1) * n], vector(k));
                    assert!((product - value * vector(k)[i]).abs() < 1e-10, "{n}: {k} {i}");
                    let wanted = f64::from(u8::from(i == k));
                    assert!((dot(vector(i), vector(k)) - wanted).abs() < 1e-12);
                }
            }
        }
        let diagonal = eigen(&[1.0, 0.0, 0.0, 3.0], 2, &|| true).unwrap();
        assert_eq!(diagonal, Eigen { values: vec![3.0, 1.0], vectors: vec![0.0, 1.0, 1.0, 0.0] });
        assert_eq!(eigen(&matrix(3), 3, &|| false), None);
        assert!(eigen(&[f64::NAN; 4], 2, &|| true).is_some());
    }

    #[test]
    fn a_solved_system_is_solved() {
        for n in [0, 1, 2, 9, 30] {
            let a = matrix(n);
            let b: Vec<f64> = (0..n).map(|i| i as f64 - 3.0).collect();
            let cholesky = Cholesky::new(&a, n).unwrap();
            let (mut x, mut white) = (b.clone(), b.clone());
            cholesky.solve(&mut x);
            cholesky.whiten(&mut white);
            for i in 0..n {
                let row: f64 = (0..n).map(|k| a[i * n + k] * x[k]).sum();
                assert!((row - b[i]).abs() < 1e-9, "{n}: {row} {}", b[i]);
            }
            let length: f64 = white.iter().map(|w| w * w).sum();
            let form: f64 = x.iter().zip(&b).map(|(x, b)| x * b).sum();
            assert!((length - form).abs() < 1e-9);
        }
        assert_eq!(Cholesky::new(&[1.0, 2.0, 2.0, 1.0], 2), None);
        assert_eq!(Cholesky::new(&[f64::NAN], 1), None);
    }
}

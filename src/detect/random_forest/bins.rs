//! Columns cut into at most 64 bins: what a tree splits at.
//!
//! Owns: the edges, the bins of a row. Does not own: what the columns mean (`traffic`).
//!
//! A row is eight bytes, so that a node reads its rows one after the other; 64 bins so that which of
//! them a node has is one word.

use crate::detect::RestoreError;
use crate::detect::Tensor;
use crate::detect::Tensors;

/// Columns that a row has room for.
pub(super) const COLUMNS: usize = 8;
/// Bins of a column.
pub(super) const BINS: usize = 64;

/// The bin of each column.
pub(super) type Row = [u8; COLUMNS];

/// Where the bins of each column end.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Bins {
    edges: Vec<Vec<f32>>,
}

impl Bins {
    /// Bins of equal counts; one per value where there are few. At most [`COLUMNS`] columns.
    pub(super) fn of(columns: &[Vec<f64>]) -> Bins {
        Bins { edges: columns.iter().map(|column| edges(column)).collect() }
    }

    /// The bins of a row's values. What is no number is in the lowest.
    pub(super) fn row(&self, values: &[f64]) -> Row {
        let mut row = Row::default();
        for ((bin, edges), &value) in row.iter_mut().zip(&self.edges).zip(values) {
            *bin = edges.partition_point(|&edge| f64::from(edge) < value) as u8;
        }
        row
    }

    /// The columns that tell rows apart.
    pub(super) fn varying(&self) -> Vec<u8> {
        (0..self.edges.len() as u8).filter(|&c| !self.edges[c as usize].is_empty()).collect()
    }

    /// What has to be stored.
    pub(super) fn tensors(&self) -> [Tensor; 2] {
        let counts = self.edges.iter().map(|edges| edges.len() as u8).collect();
        [Tensor::flat("edge_counts", counts), Tensor::flat("edges", self.edges.concat())]
    }

    /// The bins of `n` columns that [`Bins::tensors`] came from.
    pub(super) fn restore(tensors: &mut Tensors, n: usize) -> Result<Bins, RestoreError> {
        let counts = tensors.take::<u8>("edge_counts", &[n])?;
        let total = counts.iter().map(|&count| usize::from(count)).sum();
        let all = tensors.take::<f32>("edges", &[total])?;
        let mut rest = all.as_slice();
        let mut edges = Vec::with_capacity(n);
        for count in counts.into_iter().map(usize::from) {
            let (own, after) = rest.split_at(count);
            if count >= BINS || !own.is_sorted() {
                return Err(RestoreError("edges of bins are too many, or out of order".into()));
            }
            edges.push(own.to_vec());
            rest = after;
        }
        Ok(Bins { edges })
    }
}

fn edges(column: &[f64]) -> Vec<f32> {
    let mut sorted: Vec<f64> = column.iter().copied().filter(|v| v.is_finite()).collect();
    sorted.sort_unstable_by(f64::total_cmp);
    let mut distinct = sorted.clone();
    distinct.dedup();
    let values = if distinct.len() <= BINS { distinct } else { sorted };
    let n = values.len();
    let bins = n.min(BINS);
    // Between two values, as a tree that sees all of them would split.
    let edge = |k: usize| (0.5 * values[n * k / bins - 1] + 0.5 * values[n * k / bins]) as f32;
    let mut edges: Vec<f32> = (1..bins).map(edge).filter(|edge| edge.is_finite()).collect();
    edges.dedup();
    edges
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn few_values_have_a_bin_each_and_many_share_them_evenly() {
        let few = vec![3.0, 1.0, 2.0, 1.0, f64::NAN];
        let many: Vec<f64> = (0..6400).map(|i| f64::from(i * 7919 % 6400)).collect();
        let bins = Bins::of(&[few, many.clone(), vec![5.0; 9]]);
        assert_eq!(bins.varying(), [0, 1]);
        assert_eq!(bins.row(&[2.0, 0.0, 5.0])[..3], [1, 0, 0]);
        assert_eq!(bins.row(&[9.0, 1e300, f64::NAN])[..3], [2, 63, 0]);
        let mut counts = [0; BINS];
        many.iter().for_each(|&v| counts[usize::from(bins.row(&[0.0, v])[1])] += 1);
        assert!(counts.iter().all(|&n| (99..=101).contains(&n)), "{counts:?}");
    }
}

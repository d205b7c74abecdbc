//! Agreement with scikit-learn, of whose seeds no two agree exactly either.

use crate::detect::isolation_forest::forest::Forest;
use crate::detect::isolation_forest::forest::expected_path;
use crate::detect::residuals::FEATURES;

const REFERENCE: &str = include_str!("../../../tests/data/reference/isolation_forest.csv");
const LEARNT: usize = 1200;

fn reference() -> (Vec<[f32; FEATURES]>, [Vec<f64>; 3]) {
    let mut rows = Vec::new();
    let mut scores: [Vec<f64>; 3] = Default::default();
    for line in REFERENCE.lines().skip(1) {
        let numbers: Vec<f64> = line.split(',').map(|text| text.parse().unwrap()).collect();
        rows.push(std::array::from_fn(|k| numbers[k] as f32));
        scores.iter_mut().zip(&numbers[FEATURES..]).for_each(|(column, v)| column.push(*v));
    }
    (rows, scores)
}

fn scores(rows: &[[f32; FEATURES]], seed: u64) -> Vec<f64> {
    Forest::grow(&rows[..LEARNT], 100, seed, &|| true).unwrap().scores(rows)
}

fn mean_of(scores: &[Vec<f64>]) -> Vec<f64> {
    (0..scores[0].len())
        .map(|i| scores.iter().map(|s| s[i]).sum::<f64>() / scores.len() as f64)
        .collect()
}

fn mean(values: &[f64]) -> f64 {
    values.iter().sum::<f64>() / values.len() as f64
}

/// Spearman's rank correlation, of values without ties.
fn rank_correlation(a: &[f64], b: &[f64]) -> f64 {
    let ranks = |values: &[f64]| {
        let mut order: Vec<usize> = (0..values.len()).collect();
        order.sort_by(|&i, &j| values[i].total_cmp(&values[j]));
        let mut ranks = vec![0.0; values.len()];
        order.into_iter().enumerate().for_each(|(rank, i)| ranks[i] = rank as f64);
        ranks
    };
    let squares = ranks(a).iter().zip(ranks(b)).map(|(x, y)| (x - y).powi(2)).sum::<f64>();
    let n = a.len() as f64;
    1.0 - 6.0 * squares / (n * (n * n - 1.0))
}

#[test]
fn scores_are_scikit_learns_as_its_own_seeds_are() {
    let (rows, [first, second, single]) = reference();
    let own: Vec<Vec<f64>> = (0..8).map(|seed| scores(&rows, seed)).collect();
    let (themselves, ours) =
        (rank_correlation(&first, &second), rank_correlation(&first, &mean_of(&own)));
    assert!(ours >= 0.98 && ours >= themselves - 0.003, "{ours}, themselves {themselves}");
    let alone = rank_correlation(&own[0], &first);
    assert!(alone >= rank_correlation(&single, &second) - 0.01, "{alone}");
    let bias = mean(&mean_of(&own)) - mean(&first);
    assert!(bias.abs() < 0.005, "{bias}");
    // Thresholds are in the tail: there the scores themselves agree.
    let mut order: Vec<usize> = (0..rows.len()).collect();
    order.sort_by(|&i, &j| first[j].total_cmp(&first[i]));
    let top = |scores: &[f64]| order[..50].iter().map(|&i| scores[i]).sum::<f64>() / 50.0;
    assert!((top(&mean_of(&own)) - top(&first)).abs() < 0.01);
}

#[test]
fn a_row_scores_the_same_alone_as_among_others() {
    let (rows, _) = reference();
    let forest = Forest::grow(&rows[..LEARNT], 100, 3, &|| true).unwrap();
    let all = forest.scores(&rows);
    for (row, score) in rows.iter().zip(&all) {
        assert_eq!(forest.scores(std::slice::from_ref(row))[0].to_bits(), score.to_bits());
    }
    assert!(all.iter().all(|score| *score > 0.0 && *score < 1.0));
}

#[test]
fn few_or_equal_rows_have_shallow_trees() {
    let rows = [[0.0; FEATURES], [1.0; FEATURES]];
    let forest = Forest::grow(&rows, 10, 1, &|| true).unwrap();
    assert_eq!(forest.scores(&rows), [0.5, 0.5]);
    let equal = [[1.0; FEATURES]; 40];
    let score = Forest::grow(&equal, 10, 1, &|| true).unwrap().scores(&equal[..1])[0];
    assert!((score - 0.5).abs() < 1e-6, "{score}");
    assert!(Forest::grow(&equal, 10, 1, &|| false).is_none());
}

#[test]
fn expected_paths_are_scikit_learns() {
    for (n, path) in [(1, 0.0), (2, 1.0), (5, 2.327_020_05), (999, 12.967_939_88)] {
        assert!((expected_path(n) - path).abs() < 1e-8, "{n}");
    }
}

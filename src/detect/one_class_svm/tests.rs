//! Agreement with libsvm, as scikit-learn has it.

use crate::detect::one_class_svm::machine::Machine;
use crate::detect::one_class_svm::reservoir;
use crate::detect::residuals::FEATURES;
use crate::detect::residuals::Features;

const REFERENCE: &str = include_str!("../../../tests/data/reference/one_class_svm.csv");
const LEARNT: usize = 1000;

fn reference() -> (Vec<Features>, [Vec<f64>; 4]) {
    let mut rows = Vec::new();
    let mut decisions: [Vec<f64>; 4] = Default::default();
    for line in REFERENCE.lines().skip(1) {
        let numbers: Vec<f64> = line.split(',').map(|text| text.parse().unwrap()).collect();
        rows.push(std::array::from_fn(|k| numbers[k]));
        decisions.iter_mut().zip(&numbers[FEATURES..]).for_each(|(column, v)| column.push(*v));
    }
    (rows, decisions)
}

#[test]
fn decisions_are_libsvms_within_its_own_tolerance() {
    let (rows, [few, few_exact, half, half_exact]) = reference();
    for (nu, usual, exact) in [(0.05, few, few_exact), (0.5, half, half_exact)] {
        let machine = Machine::fit(&rows[..LEARNT], nu, &|| true).unwrap();
        let own: Vec<f64> = rows.iter().map(|row| machine.decision(row)).collect();
        let apart =
            |a: &[f64], b: &[f64]| a.iter().zip(b).map(|(a, b)| (a - b).abs()).fold(0.0, f64::max);
        let (to_usual, to_exact) = (apart(&own, &usual), apart(&own, &exact));
        assert!(to_usual < 1e-3 && to_exact < 1e-3, "{nu}: {to_usual} {to_exact}");
        let same_side = |(own, usual): (&f64, &f64)| own * usual > 0.0 || usual.abs() < 1e-3;
        assert!(own.iter().zip(&usual).all(same_side));
    }
}

#[test]
fn the_depth_is_one_at_the_edge_and_falls_with_the_decision() {
    let (rows, _) = reference();
    let machine = Machine::fit(&rows[..LEARNT], 0.05, &|| true).unwrap();
    let mut both: Vec<(f64, f64)> =
        rows.iter().map(|row| (machine.decision(row), machine.depth(row))).collect();
    both.sort_by(|a, b| a.0.total_cmp(&b.0));
    assert!(both.is_sorted_by(|a, b| a.1 >= b.1));
    assert!(both.iter().all(|(decision, depth)| (*decision < 0.0) == (*depth > 1.0)));
    let outside = both.iter().take_while(|(decision, _)| *decision < 0.0).count();
    assert!((40..120).contains(&outside), "{outside}");
}

#[test]
fn a_reservoir_keeps_rows_of_all_ages() {
    let rows: Vec<Features> = (0..1000).map(|i| [f64::from(i); FEATURES]).collect();
    let kept = reservoir(rows.clone(), 100, 7);
    assert_eq!((kept.len(), &kept), (100, &reservoir(rows.clone(), 100, 7)));
    let mean = kept.iter().map(|row| row[0]).sum::<f64>() / 100.0;
    assert!((mean - 500.0).abs() < 100.0, "{mean}");
    assert_eq!(reservoir(rows.clone(), 5000, 7), rows);
}

#[test]
fn hard_shapes_come_to_an_end() {
    let equal = vec![[1.0; FEATURES]; 100];
    let far: Vec<Features> = (0..100).map(|i| [1e15 * f64::from(i % 3 - 1); FEATURES]).collect();
    let one = vec![[0.0; FEATURES]];
    for rows in [equal, far, one] {
        for nu in [1e-9, 0.05, 0.5, 1.0] {
            let machine = Machine::fit(&rows, nu, &|| true).unwrap();
            let depths = rows.iter().map(|row| machine.depth(row));
            assert!(depths.clone().all(|d| d.is_finite() && d >= 0.0), "{nu} {rows:?}");
        }
        assert!(Machine::fit(&rows, 0.5, &|| false).is_none());
    }
}

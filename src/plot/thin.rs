//! Fewer places that look the same.
//!
//! Owns: what may be left out of a picture of so many pixels.

use std::collections::BTreeMap;
use std::collections::BTreeSet;

use super::scene::Dot;
use super::scene::Place;

/// Up to so many places are kept as they are.
pub(super) const MOST: usize = 5_000;

/// Lines of which each pixel's column keeps its first, lowest, highest and last place, where there are
/// more than [`MOST`] in all. Nothing that stands out is lost.
pub(super) fn lines(lines: Vec<Vec<Place>>) -> Vec<Vec<Place>> {
    if lines.iter().map(Vec::len).sum::<usize>() <= MOST {
        return lines;
    }
    lines.iter().map(|line| line_of_columns(line)).collect()
}

fn line_of_columns(line: &[Place]) -> Vec<Place> {
    let mut thin = Vec::new();
    for column in line.chunk_by(|a, b| a.0.floor() == b.0.floor()) {
        let by_y = |a: &&(usize, &Place), b: &&(usize, &Place)| a.1.1.total_cmp(&b.1.1);
        let places: Vec<(usize, &Place)> = column.iter().enumerate().collect();
        let mut kept = vec![0, column.len() - 1];
        kept.extend(places.iter().min_by(by_y).map(|(i, _)| *i));
        kept.extend(places.iter().max_by(by_y).map(|(i, _)| *i));
        kept.sort_unstable();
        kept.dedup();
        thin.extend(kept.into_iter().map(|i| column[i]));
    }
    thin
}

/// Dots of which only the last lies in each square of one pixel, of two, and so on until they are no
/// more than [`MOST`]. Each comes with something of its own, such as its colour.
pub(super) fn dots<T>(mut dots: Vec<(T, Dot)>) -> Vec<(T, Dot)> {
    let mut side = 1.0;
    while dots.len() > MOST {
        let mut by_square: BTreeMap<(i64, i64), usize> = BTreeMap::new();
        for (i, (_, dot)) in dots.iter().enumerate() {
            by_square.insert(((dot.at.0 / side) as i64, (dot.at.1 / side) as i64), i);
        }
        let kept: BTreeSet<usize> = by_square.into_values().collect();
        let all = dots.into_iter().enumerate();
        dots = all.filter(|(i, _)| kept.contains(i)).map(|(_, dot)| dot).collect();
        side *= 2.0;
    }
    dots
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_spike_survives_and_few_places_are_left_alone() {
        let line: Vec<Place> = (0..100_000)
            .map(|i| (f64::from(i) / 100.0, if i == 77_777 { -50.0 } else { f64::from(i % 7) }))
            .collect();
        let thin = lines(vec![line.clone()]).remove(0);
        assert!(thin.len() <= 4_000, "{}", thin.len());
        assert!(thin.contains(&(777.77, -50.0)));
        assert_eq!((thin.first(), thin.last()), (line.first(), line.last()));
        assert_eq!(lines(vec![line[..MOST].to_vec()]), [line[..MOST].to_vec()]);
        let dot = |at| ((), Dot { at, note: None });
        let all: Vec<((), Dot)> = line.into_iter().map(dot).collect();
        let few = dots(all.clone());
        assert!(few.len() <= MOST && few.contains(&dot((777.77, -50.0))), "{}", few.len());
        assert_eq!(dots(all[..9].to_vec()), all[..9]);
    }
}

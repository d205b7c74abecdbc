//! Which kinds of anomalies a detector found, of which nobody has to have said so.
//!
//! Owns: groups of anomalous rows, what marks each, one moment of each to look at. Does not own: the grouping of
//! points (`math::directions`), or how strange each feature of a row is (the detector).
//!
//! Rows are grouped by the direction of what is strange about them: per feature the logarithm of its reconstruction
//! error, with the side to which it went. On recordings of a real CoreDNS with faults of 14 classes, four turns, the
//! groups of the test part agree with the classes by an adjusted Rand index (Hubert and Arabie, "Comparing
//! Partitions", 1985) of .63; groups of latent vectors, as the `CoreDNS` RFC has them, by .07, of the directions of
//! whitened ones by .41: those speak of the whole window, in which the incident before still is.

use std::collections::BTreeMap;
use std::ops::Range;

use super::Hall;
use crate::backtest::Row;
use crate::math::directions;
use crate::math::random::Random;
use crate::math::stats;
use crate::quality::Incidents;

/// Points of a picture before the moment that it shows, and after it.
const BEFORE: usize = 32;
const AFTER: usize = 16;

/// Points whose errors are what is strange about a row.
const NEWEST: usize = 3;

/// Anomalous rows that are grouped, at least: of fewer each is looked at by itself.
const FEWEST: usize = 5;

/// Features that are named, at most, and how much of what is strange each has at least.
const MOST_MARKS: usize = 4;
const LEAST_SHARE: f64 = 0.05;

/// Rows that are anomalous in about the same way.
#[derive(Debug, Clone, PartialEq)]
pub struct Group {
    /// Places of its rows on the evaluation's grid, ascending.
    pub rows: Vec<usize>,
    /// How many incidents these rows are.
    pub n_incidents: usize,
    /// The row that is most like all others: the one to look at.
    pub shown: usize,
    /// Rows around it.
    pub around: Range<usize>,
    /// The features that mark it, the most conspicuous one first.
    pub marks: Vec<Mark>,
    /// How many of its rows are of which labelled class, most first; `None` is not labelled.
    pub classes: Vec<(Option<String>, usize)>,
}

/// A feature that marks a group.
#[derive(Debug, Clone, PartialEq)]
pub struct Mark {
    /// Its name.
    pub feature: String,
    /// Its mean share of what is strange, 0 to 1.
    pub share: f64,
    /// Whether it lies above what was to be expected, mostly.
    pub above: bool,
    /// The median, over the group's rows, of the value farthest from what is usual among the newest ones that a row
    /// is judged by; as they were read, NaN where all are gaps.
    pub there: f64,
    /// The median of its values where the detector learnt what is normal.
    pub usual: f64,
    /// Its values in the rows around the one that is shown.
    pub around: Vec<f64>,
}

impl Hall<'_> {
    /// The groups of the anomalous rows of the test part, the largest first; none of a handful of rows, or of a
    /// detector that does not tell which way a feature went.
    pub(super) fn groups(&self, names: &[String], replayed: &[Row]) -> Vec<Group> {
        let first = self.rows.grid.len - replayed.len();
        let judged = |(i, row): (usize, &Row)| Some((i + first, row.deviations.clone()?));
        let test = replayed.iter().enumerate().skip(self.middle - first);
        let found: Vec<(usize, Vec<f64>)> = test.filter_map(judged).collect();
        if found.len() < FEWEST {
            return Vec::new();
        }
        let values: Vec<f64> =
            found.iter().flat_map(|(_, deviations)| deviations).copied().collect();
        let groups = directions::groups(&values, names.len(), None, &mut Random::new(0));
        let usual: Vec<f64> = (0..names.len()).map(|f| self.usual(f)).collect();
        let group = |group: directions::Group| {
            let own = |&i: &usize| found[i].1.as_slice();
            let rows: Vec<usize> = group.members.iter().map(|&i| found[i].0).collect();
            let deviations: Vec<&[f64]> = group.members.iter().map(own).collect();
            let shown = found[group.medoid].0;
            let around = self.around(shown);
            let mark = |(f, share, above): (usize, f64, bool)| Mark {
                feature: names[f].clone(),
                share,
                above,
                there: self.there(f, &rows, usual[f]),
                usual: usual[f],
                around: around.clone().map(|i| self.rows.row(i)[f]).collect(),
            };
            Group {
                n_incidents: self.n_incidents(&rows),
                marks: marks(&deviations).into_iter().map(mark).collect(),
                classes: self.classes(&rows),
                shown,
                around,
                rows,
            }
        };
        groups.into_iter().map(group).collect()
    }

    /// Of a feature where nothing was wrong and something was learnt.
    fn usual(&self, feature: usize) -> f64 {
        let learnt = (0..self.settings.train_rows).filter(|&i| self.truth.rows[i].is_none());
        self.median(feature, learnt)
    }

    fn there(&self, feature: usize, rows: &[usize], usual: f64) -> f64 {
        let n_newest = NEWEST * self.rows_of_a_point();
        let farthest = |&i: &usize| {
            let newest = (i + 1).saturating_sub(n_newest)..i + 1;
            let known = newest.map(|i| self.rows.row(i)[feature]).filter(|v| !v.is_nan());
            known.max_by(|a, b| (a - usual).abs().total_cmp(&(b - usual).abs()))
        };
        stats::median(rows.iter().filter_map(farthest))
    }

    fn median(&self, feature: usize, rows: impl Iterator<Item = usize>) -> f64 {
        stats::median(rows.map(|i| self.rows.row(i)[feature]).filter(|v| !v.is_nan()))
    }

    fn rows_of_a_point(&self) -> usize {
        let step_s = self.rows.grid.step_s;
        (self.settings.bucket_s.unwrap_or(step_s) / step_s).max(1) as usize
    }

    fn around(&self, shown: usize) -> Range<usize> {
        let rows = self.rows_of_a_point();
        let to = shown + 1 + AFTER * rows;
        shown.saturating_sub(BEFORE * rows)..to.min(self.rows.grid.len)
    }

    fn n_incidents(&self, rows: &[usize]) -> usize {
        let mut own = vec![false; self.rows.grid.len];
        rows.iter().for_each(|&i| own[i] = true);
        Incidents::new(&own, self.rows.grid.step_s, self.settings.paging).len()
    }

    fn classes(&self, rows: &[usize]) -> Vec<(Option<String>, usize)> {
        let mut counts: BTreeMap<Option<usize>, usize> = BTreeMap::new();
        rows.iter().for_each(|&i| *counts.entry(self.truth.rows[i]).or_default() += 1);
        let named = |(class, n): (Option<usize>, usize)| {
            (class.map(|class| self.truth.classes[class].clone()), n)
        };
        let mut classes: Vec<(Option<String>, usize)> = counts.into_iter().map(named).collect();
        classes.sort_by_key(|(_, n)| std::cmp::Reverse(*n));
        classes
    }
}

/// The features that have most of what is strange in these rows, with their mean share, and whether they lie above.
fn marks(rows: &[&[f64]]) -> Vec<(usize, f64, bool)> {
    let mut sums: Vec<(f64, f64)> = vec![(0.0, 0.0); rows.first().map_or(0, |row| row.len())];
    for row in rows {
        let whole = row.iter().map(|v| v.abs()).sum::<f64>().max(f64::MIN_POSITIVE);
        for ((size, side), v) in sums.iter_mut().zip(*row) {
            *size += v.abs() / whole;
            *side += v / whole;
        }
    }
    let mean = |(f, (size, side)): (usize, (f64, f64))| (f, size / rows.len() as f64, side > 0.0);
    let mut marks: Vec<(usize, f64, bool)> = sums.into_iter().enumerate().map(mean).collect();
    marks.sort_by(|a, b| b.1.total_cmp(&a.1));
    marks.retain(|(_, share, _)| *share >= LEAST_SHARE);
    marks.truncate(MOST_MARKS);
    marks
}

#[cfg(test)]
mod tests;

//! Precision and recall that forgive a few rows: the range-aware area, and the volume under it.

use super::runs::runs;

/// Thresholds at most: all of the highest ranks, geometrically fewer of the lower.
const MOST_THRESHOLDS: usize = 400;

/// Labels and scores of one series, sorted once for every width of the label buffer.
///
/// After Paparrizos et al., Volume Under the Surface (VLDB 2022), in the formula of TSB-AD: a row in the
/// buffer around an anomaly is an anomaly by the square root of its nearness. The thresholds are the
/// scores of exact ranks: the usual 250 quantiles would cap a perfect scorer on rare anomalies.
///
/// The rows are sorted once; then a width costs as many operations as there are rows in the buffers.
#[derive(Debug, Clone)]
pub struct RangePr {
    labels: Vec<bool>,
    runs: Vec<(usize, usize)>,
    /// The first threshold that each row reaches.
    first_hit: Vec<u32>,
    /// Rows that reach each threshold.
    predicted: Vec<f64>,
    /// Labelled rows that reach each threshold first.
    hits: Vec<f64>,
}

/// What is kept from one width of the buffer to the next.
struct Widening {
    /// By how much each row is in a buffer; all zero between two widths.
    soft: Vec<f64>,
    touched: Vec<usize>,
    /// The first threshold that a row of each run or its buffer reaches.
    earliest: Vec<u32>,
    half: usize,
}

impl RangePr {
    /// One label and one score per row; of scores only the order counts, NaN is 0.
    pub fn new(labels: &[bool], scores: &[f64]) -> RangePr {
        let n = labels.len().min(scores.len());
        let labels = labels[..n].to_vec();
        let scores: Vec<f64> =
            scores[..n].iter().map(|s| if s.is_nan() { 0.0 } else { *s }).collect();
        let mut order: Vec<u32> = (0..n as u32).collect();
        order.sort_unstable_by(|&a, &b| scores[b as usize].total_cmp(&scores[a as usize]));
        let sorted: Vec<f64> = order.iter().map(|&i| scores[i as usize]).collect();
        let mut range = RangePr {
            runs: runs(&labels),
            labels,
            first_hit: vec![0; n],
            predicted: vec![],
            hits: vec![],
        };
        let mut from = 0;
        for rank in ranks(n) {
            // Everything of the threshold's own score is above it, too; −0 and 0 are one score.
            let threshold = sorted[rank];
            let to = rank + sorted[rank..].partition_point(|s| *s >= threshold);
            let place = range.predicted.len() as u32;
            order[from..to].iter().for_each(|&i| range.first_hit[i as usize] = place);
            range.predicted.push(to as f64);
            from = to;
        }
        range.hits = vec![0.0; range.predicted.len()];
        for (i, _) in range.labels.iter().enumerate().filter(|(_, label)| **label) {
            range.hits[range.first_hit[i] as usize] += 1.0;
        }
        range
    }

    /// The area under precision and recall with a label buffer of `width` rows, 0 to 1; NaN without an
    /// anomaly. Width 0 is the plain area, but that recall also counts whole runs.
    pub fn area(&self, width: usize) -> f64 {
        self.of_width(&mut self.widening(), width)
    }

    /// VUS-PR: the mean of the areas of all widths from 0 to `most` rows; NaN without an anomaly.
    pub fn volume(&self, most: usize) -> f64 {
        let mut widening = self.widening();
        let areas = (0..=most).map(|width| self.of_width(&mut widening, width));
        areas.sum::<f64>() / (most + 1) as f64
    }

    /// Precision and recall at each threshold without a buffer, from the highest on.
    pub fn curve(&self) -> Vec<(f64, f64)> {
        let positives = self.hits.iter().sum::<f64>();
        let mut hits = 0.0;
        let point = |(predicted, of): (&f64, &f64)| {
            hits += of;
            (hits / predicted, hits / positives)
        };
        self.predicted.iter().zip(&self.hits).map(point).collect()
    }

    fn widening(&self) -> Widening {
        let earliest = |&(first, last): &(usize, usize)| {
            self.first_hit[first..=last].iter().copied().min().unwrap_or(0)
        };
        Widening {
            soft: vec![0.0; self.labels.len()],
            touched: Vec::new(),
            earliest: self.runs.iter().map(earliest).collect(),
            half: 0,
        }
    }

    /// Widths have to come in ascending order.
    fn of_width(&self, widening: &mut Widening, width: usize) -> f64 {
        if self.runs.is_empty() {
            return f64::NAN;
        }
        let mut softly = vec![0.0; self.predicted.len()];
        self.buffers(widening, width);
        for &i in &widening.touched {
            softly[self.first_hit[i] as usize] += widening.soft[i].min(1.0);
            widening.soft[i] = 0.0;
        }
        widening.touched.clear();
        self.widen(widening, width / 2);
        let existing = self.existing(&widening.earliest, width / 2);
        let positives = self.hits.iter().sum::<f64>();
        let (mut hits, mut soft, mut exist, mut area, mut before) = (0.0, 0.0, 0.0, 0.0, 0.0);
        for (j, predicted) in self.predicted.iter().enumerate() {
            hits += self.hits[j];
            soft += softly[j];
            exist += existing[j];
            let true_positives = hits + soft;
            let labelled = positives + soft;
            let recall = (true_positives / ((positives + labelled) / 2.0)).min(1.0) * exist;
            area += (recall - before) * (true_positives / predicted);
            before = recall;
        }
        area
    }

    /// By how much rows beside the runs are anomalies; those within are whole ones anyway.
    fn buffers(&self, widening: &mut Widening, width: usize) {
        let n = self.labels.len();
        let weights: Vec<f64> =
            (1..=width / 2).map(|d| (1.0 - d as f64 / width as f64).sqrt()).collect();
        let Widening { soft, touched, .. } = widening;
        let mut touch = |i: usize, weight: f64| {
            if !self.labels[i] {
                if soft[i] == 0.0 {
                    touched.push(i);
                }
                soft[i] += weight;
            }
        };
        for &(first, last) in &self.runs {
            let after = weights.iter().enumerate().take(n - 1 - last);
            after.for_each(|(d, weight)| touch(last + 1 + d, *weight));
            let before = weights.iter().enumerate().take(first);
            before.for_each(|(d, weight)| touch(first - 1 - d, *weight));
        }
    }

    /// Takes in the rows up to `half` away from each run.
    fn widen(&self, widening: &mut Widening, half: usize) {
        let n = self.labels.len();
        for d in widening.half + 1..=half {
            for (earliest, &(first, last)) in widening.earliest.iter_mut().zip(&self.runs) {
                let before = first.checked_sub(d).map(|i| self.first_hit[i]);
                let after = Some(last + d).filter(|i| *i < n).map(|i| self.first_hit[i]);
                for hit in [before, after].into_iter().flatten() {
                    *earliest = hit.min(*earliest);
                }
            }
        }
        widening.half = half;
    }

    /// The share of runs, taken together where their buffers touch, that each threshold reaches first.
    fn existing(&self, earliest: &[u32], half: usize) -> Vec<f64> {
        let mut existing = vec![0.0; self.predicted.len()];
        let mut together = Vec::new();
        for (k, &(first, last)) in self.runs.iter().enumerate() {
            match together.last_mut() {
                Some((end, hit)) if *end + half >= first.saturating_sub(half) => {
                    (*end, *hit) = (last, earliest[k].min(*hit));
                }
                _ => together.push((last, earliest[k])),
            }
        }
        let share = 1.0 / together.len() as f64;
        together.iter().for_each(|(_, hit)| existing[*hit as usize] += share);
        existing
    }
}

/// The ranks at which to threshold `n` scores, ascending and different.
fn ranks(n: usize) -> Vec<usize> {
    let Some(last) = n.checked_sub(1) else { return Vec::new() };
    let top = (n as f64).log10();
    let rank = |k: usize| {
        let part = k as f64 / (MOST_THRESHOLDS - 1) as f64;
        let place = if k + 1 == MOST_THRESHOLDS { n as f64 } else { 10f64.powf(top * part) };
        (place.round_ties_even() as usize).clamp(1, n) - 1
    };
    let mut ranks: Vec<usize> = (0..MOST_THRESHOLDS).map(rank).chain([0, last]).collect();
    ranks.sort_unstable();
    ranks.dedup();
    ranks
}

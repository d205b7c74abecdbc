//! What an on-call engineer counts: incidents found, time to detect, false pages.

use std::ops::Range;

use super::runs::runs;

const WEEK_S: f64 = 604_800.0;
const HALF_HOUR_S: i64 = 1800;

/// What makes one incident of labelled runs, and one page of alarms.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Paging {
    /// Labelled runs closer than this are one incident, in seconds.
    pub merge_s: i64,
    /// Alarms no further apart than this are one page, in seconds.
    pub cool_s: i64,
    /// An alarm so much later than the end of an incident still finds it, and one so much earlier than
    /// its beginning is no false page, in seconds.
    pub grace_s: i64,
    /// A false page that stays up pages again after so many seconds.
    pub repage_s: i64,
}

impl Default for Paging {
    /// Half an hour, ten minutes of grace, a page again every six hours.
    fn default() -> Paging {
        Paging::within(HALF_HOUR_S)
    }
}

impl Paging {
    /// For incidents that are `apart_s` seconds apart or more; all else in proportion.
    pub fn within(apart_s: i64) -> Paging {
        Paging {
            merge_s: apart_s,
            cool_s: apart_s,
            grace_s: apart_s / 3,
            repage_s: apart_s.saturating_mul(12),
        }
    }
}

/// The incidents of one labelled series.
#[derive(Debug, Clone, PartialEq)]
pub struct Incidents {
    /// First and last row of each.
    runs: Vec<(usize, usize)>,
    /// Rows at which an alarm is not false.
    zone: Vec<bool>,
    step_s: i64,
    cool: usize,
    grace: usize,
    repage: usize,
}

/// What alarms make of the incidents.
#[derive(Debug, Clone, PartialEq)]
pub struct Found {
    /// Pages for nothing. One that begins before its incident does is one, too.
    pub false_pages: usize,
    /// Per incident, seconds from its first row to the first alarm; `None` where there was none.
    pub after_s: Vec<Option<i64>>,
}

impl Found {
    /// How many incidents were found.
    pub fn n_found(&self) -> usize {
        self.after_s.iter().flatten().count()
    }

    /// The median time to detect of those found, in seconds; NaN of none.
    pub fn median_s(&self) -> f64 {
        crate::math::stats::median(self.after_s.iter().flatten().map(|&s| s as f64))
    }
}

impl Incidents {
    /// The rows of each; between parts that were merged, others.
    pub fn runs(&self) -> impl Iterator<Item = Range<usize>> + '_ {
        self.runs.iter().map(|&(first, last)| first..last + 1)
    }

    /// The incidents of rows every `step_s` seconds (above 0), of which `labels` says whether something
    /// was wrong.
    pub fn new(labels: &[bool], step_s: i64, paging: Paging) -> Incidents {
        Incidents::beside(labels, |_| false, step_s, paging)
    }

    /// The same among others: runs with a row of an `other` incident between them are two, however close they are.
    pub fn beside(
        labels: &[bool],
        other: impl Fn(usize) -> bool,
        step_s: i64,
        paging: Paging,
    ) -> Incidents {
        let rows = |s: i64| (s as f64 / step_s as f64).round_ties_even().max(1.0) as usize;
        let (merge, grace) = (rows(paging.merge_s), rows(paging.grace_s).max(2));
        let near =
            |last: usize, first: usize| first - last - 1 < merge && !(last + 1..first).any(&other);
        let mut merged: Vec<(usize, usize)> = Vec::new();
        for (first, last) in runs(labels) {
            match merged.last_mut() {
                Some(before) if near(before.1, first) => before.1 = last,
                _ => merged.push((first, last)),
            }
        }
        let mut zone = vec![false; labels.len()];
        for (first, last) in &merged {
            let to = last.saturating_add(grace).saturating_add(1).min(zone.len());
            zone[first.saturating_sub(grace)..to].fill(true);
        }
        let (cool, repage) = (rows(paging.cool_s), rows(paging.repage_s));
        Incidents { runs: merged, zone, step_s, cool, grace, repage }
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.runs.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.runs.is_empty()
    }

    /// The length of the series.
    pub fn weeks(&self) -> f64 {
        self.zone.len() as f64 * self.step_s as f64 / WEEK_S
    }

    /// What alarms, one mark per row, make of them.
    pub fn found(&self, alarms: &[bool]) -> Found {
        let rows: Vec<usize> =
            (0..alarms.len().min(self.zone.len())).filter(|&i| alarms[i]).collect();
        let after_s = self.runs.iter().map(|&(first, last)| {
            let alarm = *rows.get(rows.partition_point(|&row| row < first))?;
            (alarm <= last + self.grace).then_some((alarm - first) as i64 * self.step_s)
        });
        let pages = rows.chunk_by(|a, b| b - a <= self.cool);
        let false_pages = pages.map(|page| self.false_pages(page)).sum();
        Found { false_pages, after_s: after_s.collect() }
    }

    /// How often the alarms of one page called somebody for nothing.
    fn false_pages(&self, page: &[usize]) -> usize {
        match page.iter().position(|&row| self.zone[row]) {
            None => 1 + (page[page.len() - 1] - page[0]) / self.repage,
            Some(0) => 0,
            Some(_) => 1,
        }
    }
}

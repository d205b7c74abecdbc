//! Labelled rows as runs.

/// First and last row of every run of marked rows.
pub(super) fn runs(labels: &[bool]) -> Vec<(usize, usize)> {
    let mut runs: Vec<(usize, usize)> = Vec::new();
    for (i, _) in labels.iter().enumerate().filter(|(_, label)| **label) {
        match runs.last_mut() {
            Some((_, last)) if *last + 1 == i => *last = i,
            _ => runs.push((i, i)),
        }
    }
    runs
}

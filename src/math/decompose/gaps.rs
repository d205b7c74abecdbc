//! What is fitted where no neighbour can be trusted.
//!
//! Owns: season and trend at gaps longer than their smoothers reach. A value that is there, but not
//! trusted, is what it is: so has the procedure it.

/// Puts a number in the place of every NaN of smoothed phases, which have a cycle more than `values`
/// at both ends: the nearest cycle's, or where no cycle has any, the line between the phases beside it.
pub(super) fn fill_phases(smooth: &mut [f64], values: &[f64], known: &[bool], period: usize) {
    if !smooth.iter().any(|v| v.is_nan()) {
        return;
    }
    take_known(&mut smooth[period..], values, known);
    let before = smooth.to_vec();
    let cycles = smooth.len().div_ceil(period);
    for i in (0..before.len()).filter(|&i| before[i].is_nan()) {
        let (cycle, phase) = (i / period, i % period);
        let at = |cycle: usize| before.get(cycle * period + phase).filter(|v| !v.is_nan());
        let near = |off: usize| cycle.checked_sub(off).and_then(at).or_else(|| at(cycle + off));
        smooth[i] = (1..cycles).find_map(near).copied().unwrap_or(f64::NAN);
    }
    interpolate(smooth);
}

/// Puts a number in the place of every NaN of a trend: on the line between its neighbours.
pub(super) fn fill_times(trend: &mut [f64], values: &[f64], known: &[bool]) {
    if trend.iter().any(|v| v.is_nan()) {
        take_known(trend, values, known);
        interpolate(trend);
    }
}

fn take_known(smooth: &mut [f64], values: &[f64], known: &[bool]) {
    for ((smooth, value), known) in smooth.iter_mut().zip(values).zip(known) {
        if smooth.is_nan() && *known {
            *smooth = *value;
        }
    }
}

/// NaNs on the line between their neighbours; at the ends as the nearest, and nought if there is none.
fn interpolate(values: &mut [f64]) {
    let n = values.len();
    let mut from = 0;
    while let Some(start) = (from..n).find(|&i| values[i].is_nan()) {
        let end = (start..n).find(|&i| !values[i].is_nan()).unwrap_or(n);
        let before = start.checked_sub(1).map(|i| values[i]);
        let after = values.get(end).copied();
        let first = before.or(after).unwrap_or(0.0);
        let step = (after.unwrap_or(first) - first) / (end - start + 1) as f64;
        for (k, value) in values[start..end].iter_mut().enumerate() {
            *value = first + step * (k + 1) as f64;
        }
        from = end;
    }
}

//! Traffic of one port in half-hours: a rhythm of day and week, noise that remembers, outages, gaps.
//!
//! Deterministic, and the same for both sides: what Python reads is what is written here.

use std::fmt::Write as _;

use portent::series::Grid;
use portent::series::Window;

/// Distance of two points.
pub(crate) const STEP_S: i64 = 1800;
/// 2023-01-01T00:00:00Z, a Sunday.
const START_S: i64 = 1_672_531_200;
/// Points of a day.
const DAY: usize = 48;

/// `n` points, preprocessed as `traffic` is: on a log scale, centred, scaled; NaN is a gap.
pub(crate) fn window(n: usize) -> Window {
    let mut dice = Dice(7);
    let mut bytes: Vec<f64> = usual(n, &mut dice);
    // A port fails or is flooded about once in ten days, for one to six hours.
    let mut at = 300;
    while at < n {
        let hours = 1.0 + 5.0 * dice.even();
        let times = if dice.even() < 0.5 { 0.02 } else { 2.0 + dice.even() };
        let end = (at + (2.0 * hours) as usize).min(n);
        bytes[at..end].iter_mut().for_each(|v| *v *= times);
        at = end + 96 + (770.0 * dice.even()) as usize;
    }
    for i in 0..n {
        // Single scrapes that failed, and now and then a collector that was away.
        if dice.even() < 0.002 {
            let rows = if dice.even() < 0.15 { 12 } else { 1 };
            bytes[i..(i + rows).min(n)].fill(f64::NAN);
        }
    }
    Window::single(Grid { start_s: START_S, step_s: STEP_S, len: n }, scaled(&bytes))
}

/// Traffic without faults.
fn usual(n: usize, dice: &mut Dice) -> Vec<f64> {
    let (mut noise, mut of_day) = (0.0, 0.0);
    let value = |i: usize| {
        if i.is_multiple_of(DAY) {
            of_day = 0.06 * dice.bell();
        }
        noise = 0.8 * noise + 0.09 * dice.bell();
        let hour = (i % DAY) as f64 / 2.0;
        let weekend = [0, 6].contains(&(i / DAY % 7));
        let office =
            1.0 / (1.0 + (-(hour - 8.3) / 0.5).exp()) / (1.0 + ((hour - 17.8) / 0.7).exp())
                * (1.0 - 0.2 * (-((hour - 13.0) / 0.7).powi(2)).exp());
        let evening = (-((hour - 21.0) / 2.2).powi(2)).exp();
        let day = if weekend { 0.3 * office } else { office };
        let backup = if (1.5..3.0).contains(&hour) { 1.2 } else { 0.0 };
        let trend = 1.2_f64.powf(i as f64 / (365 * DAY) as f64);
        let level = 0.2 + 0.8 * (day + 0.4 * evening) + backup;
        5.4e9 * trend * level * (of_day + noise + 0.05 * dice.bell()).exp()
    };
    (0..n).map(value).collect()
}

fn scaled(bytes: &[f64]) -> Vec<f64> {
    let logs: Vec<f64> = bytes.iter().map(|v| v.ln_1p()).collect();
    let mut known: Vec<f64> = logs.iter().copied().filter(|v| !v.is_nan()).collect();
    known.sort_by(f64::total_cmp);
    let at = |q: f64| known[(q * (known.len() - 1) as f64) as usize];
    let (centre, scale) = (at(0.5), (at(0.75) - at(0.25)) / 1.349);
    logs.into_iter().map(|v| (v - centre) / scale).collect()
}

/// Gaps on the line between their neighbours, for what knows no gaps.
pub(crate) fn filled(values: &[f64]) -> Vec<f64> {
    let known: Vec<usize> = (0..values.len()).filter(|&i| !values[i].is_nan()).collect();
    let fill = |i: usize| {
        let next = known.partition_point(|&k| k < i);
        let (a, b) = (known[next.saturating_sub(1)], known[next.min(known.len() - 1)]);
        let part = if b > a { (i.clamp(a, b) - a) as f64 / (b - a) as f64 } else { 0.0 };
        values[a] + part * (values[b] - values[a])
    };
    (0..values.len()).map(fill).collect()
}

/// What Python reads: time, value (empty where there is a gap), value with gaps filled.
pub(crate) fn to_csv(window: &Window) -> String {
    let values = window.column(0);
    let mut text = String::from("t,y,filled\n");
    for (i, (value, filled)) in values.iter().zip(filled(&values)).enumerate() {
        let value = if value.is_nan() { String::new() } else { value.to_string() };
        let _ = writeln!(text, "{},{value},{filled}", window.grid.time(i));
    }
    text
}

/// Seeded noise (SplitMix64).
struct Dice(u64);

impl Dice {
    /// Even in 0..1.
    fn even(&mut self) -> f64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut x = self.0;
        x = (x ^ (x >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        x = (x ^ (x >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((x ^ (x >> 31)) >> 11) as f64 / (1_u64 << 53) as f64
    }

    /// Gaussian (Box and Muller).
    fn bell(&mut self) -> f64 {
        let radius = (-2.0 * (1.0 - self.even()).ln()).sqrt();
        radius * (std::f64::consts::TAU * self.even()).cos()
    }
}

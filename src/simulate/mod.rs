//! A cluster that does not exist: CoreDNS and six ports, with a rhythm, noise and faults.
//!
//! Two models. [`Cluster`] is what the demo and tests watch when there is no Prometheus: features, as functions of the
//! seed and the time alone, so history of any length costs nothing to keep. [`coredns`] is a service in which every
//! question is followed, and which tells the metrics of a real CoreDNS: what `portent simulate` writes.
//!
//! Owns: what is simulated. Does not own: how values become samples of a source, or when now is.

pub mod coredns;
pub mod exposition;
pub mod families;
pub mod port_counters;

mod dns;
mod faults;
mod noise;
mod ports;

use crate::series::Entity;
use crate::series::Grid;
use crate::series::Window;

pub use faults::Fault;
pub use faults::Kind;

/// The name of the simulated CoreDNS watch.
pub const COREDNS: &str = "coredns";
/// The name of the simulated ports watch.
pub const PORTS: &str = "ports";

/// A simulated cluster.
#[derive(Debug, Clone)]
pub struct Cluster {
    seed: u64,
    day_s: i64,
    clean_until_s: i64,
    port_step_s: i64,
}

impl Cluster {
    /// A cluster with a day of 20 minutes, ports counted every 5 s, and faults since 1970.
    pub fn new(seed: u64) -> Cluster {
        Cluster { seed, day_s: 1200, clean_until_s: 0, port_step_s: 5 }
    }

    /// The length of a day in seconds, at least 1.
    pub fn day_s(mut self, day_s: i64) -> Cluster {
        self.day_s = day_s.max(1);
        self
    }

    /// No fault begins before this unix second; the first of each watch follows within three minutes.
    pub fn clean_until_s(mut self, clean_until_s: i64) -> Cluster {
        self.clean_until_s = clean_until_s;
        self
    }

    /// The seconds over which a port's bytes are counted, at least 1.
    pub fn port_step_s(mut self, port_step_s: i64) -> Cluster {
        self.port_step_s = port_step_s.max(1);
        self
    }

    /// The entities of a watch; none of a watch that is not simulated.
    pub fn entities(&self, watch: &str) -> Vec<Entity> {
        match watch {
            COREDNS => vec![Entity::new([("job", "coredns")])],
            PORTS => ports::entities(),
            _ => Vec::new(),
        }
    }

    /// The features of a watch, named as in the presets; none of a watch that is not simulated.
    pub fn features(&self, watch: &str) -> &'static [&'static str] {
        match watch {
            COREDNS => &dns::FEATURES,
            PORTS => &ports::FEATURES,
            _ => &[],
        }
    }

    /// One value, in the preset's units; NaN where watch, feature or entity are not simulated.
    pub fn value(&self, watch: &str, feature: &str, entity_idx: usize, t_s: i64) -> f64 {
        let column = self.features(watch).iter().position(|name| *name == feature);
        match (watch, column) {
            (COREDNS, Some(column)) if entity_idx == 0 => dns::row(self, t_s)[column],
            (PORTS, Some(column)) if entity_idx < ports::N => {
                ports::bytes(self, entity_idx, column, t_s)
            }
            _ => f64::NAN,
        }
    }

    /// All features of an entity on a grid, in the order of [`Cluster::features`].
    pub fn window(&self, watch: &str, entity_idx: usize, grid: Grid) -> Window {
        let mut window = Window::gaps(grid, self.features(watch).len());
        for i in 0..grid.len {
            let t_s = grid.time(i);
            match watch {
                COREDNS if entity_idx == 0 => {
                    window.row_mut(i).copy_from_slice(&dns::row(self, t_s));
                }
                PORTS if entity_idx < ports::N => {
                    for (column, value) in window.row_mut(i).iter_mut().enumerate() {
                        *value = ports::bytes(self, entity_idx, column, t_s);
                    }
                }
                _ => {}
            }
        }
        window
    }

    /// How busy the time of day is, from −1 at night to 1.
    fn rhythm(&self, t_s: i64) -> f64 {
        let phase = t_s.rem_euclid(self.day_s) as f64 / self.day_s as f64;
        let turn = phase * std::f64::consts::TAU;
        0.8 * -turn.cos() + 0.2 * (2.0 * turn + 1.0).sin()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const START_S: i64 = 1_790_000_000;

    fn cluster() -> Cluster {
        Cluster::new(7).clean_until_s(START_S)
    }

    /// Spread as preprocessing measures it: a sixth of the span of the middle 90 %.
    fn spread(mut values: Vec<f64>) -> f64 {
        values.sort_by(f64::total_cmp);
        let at = |q: f64| values[(q * (values.len() - 1) as f64) as usize];
        (at(0.95) - at(0.05)) / 6.0
    }

    /// The watch's values in the units of its preset's transform.
    fn scaled(cluster: &Cluster, watch: &str, entity_idx: usize, grid: Grid) -> Window {
        let mut window = cluster.window(watch, entity_idx, grid);
        if watch == PORTS {
            window.values.iter_mut().for_each(|value| *value = value.ln_1p());
        }
        window
    }

    #[test]
    fn a_value_depends_on_seed_and_time_only() {
        let grid = Grid::covering(START_S - 600, START_S + 600, 5);
        for watch in [COREDNS, PORTS] {
            let window = cluster().window(watch, 0, grid);
            assert_eq!(window, cluster().window(watch, 0, grid), "{watch}");
            assert_ne!(window, Cluster::new(8).window(watch, 0, grid), "{watch}");
            for (column, feature) in cluster().features(watch).iter().enumerate() {
                let value = cluster().value(watch, feature, 0, grid.time(9));
                assert_eq!(value, window.row(9)[column], "{watch} {feature}");
            }
        }
        assert!(cluster().value(COREDNS, "no_such", 0, START_S).is_nan());
        assert!(cluster().value(PORTS, "in", 6, START_S).is_nan());
    }

    #[test]
    fn shares_are_shares_and_response_codes_sum_to_one() {
        let cluster = cluster();
        let window = cluster.window(COREDNS, 0, Grid::covering(START_S - 1200, START_S + 3600, 1));
        for i in 0..window.grid.len {
            let of = |name: &str| {
                let column = cluster.features(COREDNS).iter().position(|f| *f == name);
                window.row(i)[column.unwrap()]
            };
            for (feature, &value) in cluster.features(COREDNS).iter().zip(window.row(i)) {
                let share = feature.contains("_share") || feature.contains("_gt_");
                let most = if share || feature.contains("_ratio") { 1.0 } else { 1e6 };
                assert!((0.0..=most).contains(&value), "{feature} {value}");
            }
            let codes = ["noerror", "nxdomain", "servfail", "refused"];
            let sum: f64 = codes.iter().map(|code| of(&format!("rcode_share_{code}"))).sum();
            assert!((sum - 1.0).abs() < 1e-9, "{sum}");
            let bad = of("rcode_share_servfail") + of("rcode_share_refused");
            assert!((of("bad_share_robust") - bad).abs() < 1e-9);
            let slower =
                ["latency_gt_0_032", "latency_gt_0_256", "latency_gt_1_024", "latency_gt_4_096"];
            assert!(slower.windows(2).all(|pair| of(pair[0]) >= of(pair[1])));
        }
    }

    #[test]
    fn every_kind_of_fault_moves_a_feature_by_more_than_five_spreads() {
        let cluster = cluster();
        for watch in [COREDNS, PORTS] {
            let faults = cluster.faults(watch, START_S, START_S + 7200);
            let n_kinds = Kind::ALL.iter().filter(|kind| kind.watch() == watch).count();
            assert!(faults.len() > 2 * n_kinds);
            for fault in faults {
                // Compared with the same time of day before the first fault, traffic on a log scale.
                let days = (fault.interval.to_s - START_S) / 1200 + 1;
                let grid = Grid::covering(fault.interval.from_s + 10, fault.interval.to_s, 1);
                let calm = Grid { start_s: grid.start_s - days * 1200, ..grid };
                let hour = Grid::covering(START_S - 3600, START_S, 1);
                let [bad, good, normal] =
                    [grid, calm, hour].map(|grid| scaled(&cluster, watch, fault.entity_idx, grid));
                let mean = |w: &Window, f| w.column(f).iter().sum::<f64>() / w.grid.len as f64;
                let moved = (0..cluster.features(watch).len())
                    .map(|f| (mean(&bad, f) - mean(&good, f)).abs() / spread(normal.column(f)));
                let most = moved.fold(0.0, f64::max);
                assert!(most > 5.0, "{fault:?} moved nothing by more than {most:.1}");
            }
        }
    }

    #[test]
    fn the_clean_part_has_no_fault_and_no_outlier() {
        let cluster = cluster();
        assert_eq!(cluster.faults(COREDNS, START_S - 86_400, START_S), []);
        assert_eq!(cluster.faults(PORTS, START_S - 86_400, START_S), []);
        let window = cluster.window(COREDNS, 0, Grid::covering(START_S - 7200, START_S, 1));
        for (feature, name) in cluster.features(COREDNS).iter().enumerate() {
            let values = window.column(feature);
            let middle = values.iter().sum::<f64>() / values.len() as f64;
            let furthest = values.iter().map(|v| (v - middle).abs()).fold(0.0, f64::max);
            let usual = spread(values).max(1e-3);
            assert!(furthest < 12.0 * usual, "{name}: {furthest} of {usual}");
        }
    }

    #[test]
    fn a_fault_fits_its_place_and_says_what_it_is() {
        let cluster = cluster();
        for watch in [COREDNS, PORTS] {
            let faults = cluster.faults(watch, START_S, START_S + 3600);
            assert!((8..=20).contains(&faults.len()), "{watch}: {}", faults.len());
            assert!(faults[0].interval.from_s < START_S + 180);
            for pair in faults.windows(2) {
                assert!(pair[0].interval.to_s + 60 < pair[1].interval.from_s);
            }
            for fault in faults {
                assert!((45..=90).contains(&(fault.interval.to_s - fault.interval.from_s)));
                assert_eq!(cluster.fault_at(watch, fault.interval.from_s), Some(fault));
                assert_eq!(cluster.fault_at(watch, fault.interval.to_s), None);
                assert!(fault.describe().len() > 20);
            }
        }
    }
}

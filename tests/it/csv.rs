//! `portent serve` on a CSV file that something appends to.

use std::fmt::Write as _;
use std::io::Write as _;

use crate::lab::Lab;
use crate::lab::free_port;
use crate::lab::now_s;
use crate::lab::portent::COMBINED;
use crate::lab::portent::Portent;
use crate::lab::secs;

const STEP_S: i64 = 2;

/// A little noise that needs no dice.
fn usual(time_s: i64) -> f64 {
    100.0 + (time_s as f64 * 0.7).sin() + (time_s as f64 * 0.31).cos()
}

#[test]
fn rows_are_scored_as_they_are_appended() {
    let lab = Lab::new("csv");
    let port = free_port();
    let text = format!(
        "source: {{csv: {{file: traffic.csv}}}}\nwatches:\n  - name: traffic\n    \
         queries: {{traffic: traffic}}\n    step: {STEP_S}s\n    detectors: [seasonal_median]\n    \
         consecutive: 2\n    train: {{every: 1h, history: 20m, min_history: 5m}}\n\
         store: {{path: '{}'}}\n",
        lab.path("store").display()
    );
    let config = lab.write("portent.yml", text);
    let flag = format!("--config.file={}", config.display());
    // In the columns of the workshop, with seconds of this century.
    let mut rows = String::from("index,t,traffic\n");
    let mut newest_s = now_s() / STEP_S * STEP_S;
    for (i, time_s) in (newest_s - 1_200..=newest_s).step_by(STEP_S as usize).enumerate() {
        writeln!(rows, "{i},{time_s},{}", usual(time_s)).unwrap();
    }
    let mut file = std::fs::File::create(lab.path("traffic.csv")).unwrap();
    file.write_all(rows.as_bytes()).unwrap();
    let portent = Portent::serve(&lab, "portent", port, &[&flag]);
    let value = |name: &str| portent.metrics().value(name, &[]);
    let mut append = |value: &dyn Fn(i64) -> f64| {
        while newest_s + STEP_S <= now_s() {
            newest_s += STEP_S;
            writeln!(file, "0,{newest_s},{}", value(newest_s)).unwrap();
        }
    };
    let usually = lab.until("a score", secs(90), || {
        append(&usual);
        portent.score("traffic")
    });
    assert!(usually < 2.0, "what is usual scores {usually}");
    lab.until("what is not usual stands out", secs(30), || {
        append(&|time_s| 5.0 * usual(time_s));
        portent.score("traffic").filter(|score| *score > 1.0)
    });
    let labels = [("watch", "traffic"), ("file", "traffic.csv"), COMBINED];
    assert_eq!(portent.metrics().all("portent_anomaly", &labels).len(), 1);
    assert_eq!(value("portent_source_up"), Some(1.0));
    std::fs::remove_file(lab.path("traffic.csv")).unwrap();
    lab.until("a missing file is told", secs(20), || {
        (value("portent_source_up") == Some(0.0)).then_some(())
    });
    portent.terminate(&lab);
}

//! What is known of a scenario's rows: which of them hold something of which injection.
//!
//! Owns: where labels begin and end, and their file. Does not own: the rows.

use std::fmt::Write as _;

use super::Injection;
use super::Scenario;

/// One injection, as rows show it.
#[derive(Debug, Clone, PartialEq)]
pub struct Label {
    /// In unix seconds.
    pub from_s: i64,
    /// The same; not in it any more.
    pub to_s: i64,
    /// What was injected.
    pub injection: Injection,
}

impl Label {
    /// Whether nothing was wrong.
    pub fn is_benign(&self) -> bool {
        self.injection.class.is_benign()
    }
}

impl Scenario {
    /// Which rows hold something of which injection: its own, those of its last effects, and those whose rates
    /// still reach back to it. The first row's time is `start_s`, in unix seconds.
    pub fn labels(&self, start_s: i64) -> Vec<Label> {
        let mut labels: Vec<Label> = Vec::new();
        for injection in &self.injections {
            let from_s = start_s + injection.at_s;
            if let Some(before) = labels.last_mut() {
                before.to_s = before.to_s.min(from_s);
            }
            let after_s = injection.class.settles_s + self.rate_window_s;
            let to_s = start_s + injection.end_s() + after_s;
            labels.push(Label { from_s, to_s, injection: injection.clone() });
        }
        labels
    }
}

/// As `portent evaluate` reads them; what is benign is `normal`, and has its name in a column of its own.
pub fn labels_csv(labels: &[Label]) -> String {
    let mut text = "from,to,class,verdict,injected,strength\n".to_owned();
    for Label { from_s, to_s, injection } in labels {
        let Injection { class, strength, .. } = injection;
        let class = class.name;
        let (told, verdict) = match injection.class.is_benign() {
            true => ("", "normal"),
            false => (class, "anomaly"),
        };
        let _ = writeln!(text, "{from_s},{to_s},{told},{verdict},{class},{strength}");
    }
    text
}

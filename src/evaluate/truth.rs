//! What labels say of rows.

use std::ops::Range;

use crate::series::Grid;
use crate::source::csv::Told;
use crate::verdict::Verdict;

/// What a class is called of which nobody said what it is.
pub(super) const UNNAMED: &str = "anomaly";

/// What is known of every row.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Truth {
    /// In the order in which they were first named.
    pub(super) classes: Vec<String>,
    /// The place of the row's class in `classes`; `None` where nothing was wrong.
    pub(super) rows: Vec<Option<usize>>,
}

impl Truth {
    /// Labels on a grid: a row's is that of its time, and one between two times is of the row before. Of
    /// two that overlap the later line counts.
    pub(super) fn new(told: &[Told], grid: Grid) -> Truth {
        let mut truth = Truth { classes: Vec::new(), rows: vec![None; grid.len] };
        for told in told {
            let class = match told.verdict {
                Verdict::Normal => None,
                Verdict::Anomaly => Some(truth.class(told.class.as_deref().unwrap_or(UNNAMED))),
            };
            let row = |time_s: i64| {
                let place = (time_s - grid.start_s + grid.step_s - 1).div_euclid(grid.step_s);
                place.clamp(0, grid.len as i64) as usize
            };
            let (from, to) = (row(told.interval.from_s), row(told.interval.to_s));
            let inside = told.interval.from_s >= grid.start_s && told.interval.to_s <= grid.end_s();
            let from = if from == to && inside { from.saturating_sub(1) } else { from };
            truth.rows[from..to].fill(class);
        }
        truth
    }

    fn class(&mut self, name: &str) -> usize {
        let known = self.classes.iter().position(|class| class == name);
        known.unwrap_or_else(|| {
            self.classes.push(name.to_string());
            self.classes.len() - 1
        })
    }

    /// Whether something was wrong in each row.
    pub(super) fn labels(&self, rows: Range<usize>) -> Vec<bool> {
        self.rows[rows].iter().map(Option::is_some).collect()
    }

    /// Whether something of this class was wrong in each row.
    pub(super) fn of_class(&self, class: usize, rows: Range<usize>) -> Vec<bool> {
        self.rows[rows].iter().map(|row| *row == Some(class)).collect()
    }

    /// The place of a class of this name.
    pub(super) fn named(&self, name: &str) -> Option<usize> {
        self.classes.iter().position(|class| class == name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::verdict::Interval;

    #[test]
    fn rows_have_the_class_of_their_time_and_the_last_word_counts() {
        let grid = Grid { start_s: 600, step_s: 60, len: 10 };
        let told = |from_s, to_s, class: &str| Told {
            interval: Interval { from_s, to_s },
            verdict: if class == "normal" { Verdict::Normal } else { Verdict::Anomaly },
            class: Some(class.to_string()).filter(|class| class != "normal" && !class.is_empty()),
        };
        let shown = |told: &[Told]| {
            let truth = Truth::new(told, grid);
            let letter = |row: &Option<usize>| row.map_or("-", |class| &truth.classes[class][..1]);
            truth.rows.iter().map(letter).collect::<String>()
        };
        assert_eq!(shown(&[told(600, 720, "slow"), told(1_140, 9_999, "")]), "ss-------a");
        assert_eq!(shown(&[told(601, 721, "slow")]), "-ss-------", "from the first row within");
        assert_eq!(shown(&[told(790, 800, "x")]), "---x------", "shorter than a step");
        assert_eq!(shown(&[told(0, 600, "x"), told(1_200, 1_300, "x")]), "----------", "elsewhere");
        let all = [told(600, 1_200, "a"), told(720, 840, "normal"), told(780, 900, "b")];
        assert_eq!(shown(&all), "aa-bbaaaaa");
    }
}

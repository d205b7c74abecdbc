//! The states of alerts over time, as `AlertingRule.Eval` of Prometheus (rules/alerting.go) has them.
//!
//! At each evaluation, every series of the expression is an active alert. It is pending from the first
//! evaluation with it, and firing once that is at least `for` ago. An evaluation without it ends it, but a
//! firing one goes on firing until it has been gone for `keep_firing_for`. Where the expression has no
//! samples, because of a gap or because it is false, the alert is not active: Prometheus cannot tell them
//! apart either.

use crate::series::Grid;
use crate::verdict::Interval;
use crate::weak::Rule;

/// The state of an alert.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum State {
    /// The expression holds, but not yet for as long as `for`.
    Pending,
    /// It has held for long enough, or did until less than `keep_firing_for` ago.
    Firing,
}

impl State {
    /// The word of Prometheus' `alertstate`.
    pub fn as_str(self) -> &'static str {
        match self {
            State::Pending => "pending",
            State::Firing => "firing",
        }
    }
}

/// A stretch of evaluations in one state.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Span {
    /// Which.
    pub state: State,
    /// From its first evaluation to the one after its last.
    pub interval: Interval,
    /// The first evaluation at which the expression held.
    pub active_s: i64,
}

/// An alert that is pending or firing.
#[derive(Debug, Clone, Copy)]
struct Alive {
    active_s: i64,
    firing: bool,
    gone_since_s: Option<i64>,
}

/// The spans of each alert of a rule, evaluated at every time of `grid`; `active`: for each alert, the times
/// on the grid at which the expression has a sample, ascending. Where more than `limit` alerts are active (0:
/// any number), all are forgotten, as in Prometheus, whose evaluation then fails.
pub fn spans(rule: &Rule, limit: usize, grid: Grid, active: &[Vec<i64>]) -> Vec<Vec<Span>> {
    let mut all = vec![Vec::new(); active.len()];
    let mut alive: Vec<(usize, Alive)> = Vec::new();
    // Who begins or goes on at a time: looked up, since a rule may have thousands of alerts over weeks.
    let mut samples: Vec<(i64, usize)> = active
        .iter()
        .enumerate()
        .flat_map(|(i, times)| times.iter().map(move |t| (*t, i)))
        .collect();
    samples.sort_unstable();
    let mut rest = samples.as_slice();
    for row in 0..grid.len {
        let now_s = grid.time(row);
        let here = rest.partition_point(|(time_s, _)| *time_s <= now_s);
        let (now, after) = rest.split_at(here);
        rest = after;
        let has = |alert: usize| now.binary_search(&(now_s, alert)).is_ok();
        let known: Vec<usize> = alive.iter().map(|(alert, _)| *alert).collect();
        alive.retain_mut(|(alert, state)| goes_on(rule, state, has(*alert), now_s));
        for &(time_s, alert) in now {
            // `known` is sorted, as is what is added to it here.
            if time_s == now_s && known.binary_search(&alert).is_err() {
                let new = Alive { active_s: now_s, firing: rule.for_s <= 0, gone_since_s: None };
                alive.push((alert, new));
            }
        }
        alive.sort_unstable_by_key(|(alert, _)| *alert);
        if limit > 0 && alive.len() > limit {
            alive.clear();
        }
        for (alert, state) in &alive {
            note(&mut all[*alert], state, now_s, grid.step_s);
        }
    }
    all
}

/// What an alert is after an evaluation with a sample of it or without; `false`: no more.
fn goes_on(rule: &Rule, alert: &mut Alive, has: bool, now_s: i64) -> bool {
    if has {
        alert.gone_since_s = None;
    } else {
        // As in Prometheus, the time counts from the first evaluation without it.
        let since_s = *alert.gone_since_s.get_or_insert(now_s);
        if !alert.firing || now_s - since_s >= rule.keep_firing_for_s {
            return false;
        }
    }
    alert.firing |= now_s - alert.active_s >= rule.for_s;
    true
}

/// Makes the last span longer, or begins another.
fn note(spans: &mut Vec<Span>, alert: &Alive, now_s: i64, step_s: i64) {
    let state = if alert.firing { State::Firing } else { State::Pending };
    let to_s = now_s + step_s;
    match spans.last_mut() {
        Some(last)
            if (last.state, last.active_s, last.interval.to_s)
                == (state, alert.active_s, now_s) =>
        {
            last.interval.to_s = to_s;
        }
        _ => {
            let interval = Interval { from_s: now_s, to_s };
            spans.push(Span { state, interval, active_s: alert.active_s });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What `ALERTS` would show at each evaluation: `.` none, `p` pending, `F` firing.
    fn shown(for_m: i64, keep_m: i64, expression: &str) -> String {
        let rule = Rule { for_s: for_m * 60, keep_firing_for_s: keep_m * 60, ..Rule::default() };
        let grid = Grid { start_s: 0, step_s: 60, len: expression.len() };
        let has = expression.chars().zip(0..).filter(|(c, _)| *c == 'x');
        let times = has.map(|(_, i)| i * 60).collect();
        let spans = spans(&rule, 0, grid, &[times]).remove(0);
        drawn(&spans, grid)
    }

    fn drawn(spans: &[Span], grid: Grid) -> String {
        let at = |row| spans.iter().find(|span| span.interval.contains(grid.time(row)));
        let letter = |row| match at(row).map(|span| span.state) {
            None => '.',
            Some(State::Pending) => 'p',
            Some(State::Firing) => 'F',
        };
        (0..grid.len).map(letter).collect()
    }

    #[test]
    fn states_are_those_of_prometheus() {
        assert_eq!(shown(0, 0, "..xx.x.."), "..FF.F..");
        assert_eq!(shown(2, 0, ".xx.xxxx.x"), ".pp.ppFF.p");
        assert_eq!(shown(0, 3, ".x......"), ".FFFF...");
        assert_eq!(shown(2, 3, "xxx..x...."), "ppFFFFFFF.");
        assert_eq!(shown(2, 3, "xx.xxx....."), "pp.ppFFFF..", "what was pending is not kept");
        assert_eq!(shown(1, 1, "xx.x"), "pFFF", "the first evaluation without it is 0 s of 1 min");
    }

    #[test]
    fn a_span_knows_when_the_expression_began_to_hold() {
        let rule = Rule { for_s: 120, ..Rule::default() };
        let grid = Grid { start_s: 600, step_s: 60, len: 6 };
        let found = spans(&rule, 0, grid, &[vec![660, 720, 780, 840]]).remove(0);
        let interval = |from_s, to_s| Interval { from_s, to_s };
        let pending = Span { state: State::Pending, interval: interval(660, 780), active_s: 660 };
        let firing = Span { state: State::Firing, interval: interval(780, 900), active_s: 660 };
        assert_eq!(found, [pending, firing]);
    }

    #[test]
    fn too_many_alerts_are_none() {
        let rule = Rule { for_s: 60, ..Rule::default() };
        let grid = Grid { start_s: 0, step_s: 60, len: 5 };
        let times = [vec![0, 60, 120, 180, 240], vec![120]];
        let drawn = |limit| {
            let all = spans(&rule, limit, grid, &times);
            all.iter().map(|spans| drawn(spans, grid)).collect::<Vec<_>>()
        };
        assert_eq!(drawn(0), ["pFFFF", "..p.."]);
        assert_eq!(drawn(2), ["pFFFF", "..p.."]);
        assert_eq!(drawn(1), ["pF.pF", "....."], "all begin anew");
    }

    #[test]
    fn samples_off_the_grid_are_no_evaluations() {
        let rule = Rule::default();
        let grid = Grid { start_s: 60, step_s: 60, len: 2 };
        let found = spans(&rule, 0, grid, &[vec![0, 90, 120, 180]]).remove(0);
        assert_eq!(found.len(), 1);
        assert_eq!(found[0].interval, Interval { from_s: 120, to_s: 180 });
    }
}

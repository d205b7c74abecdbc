//! Rules that can never fire, or say nothing when they do.
//!
//! Owns: what follows from the text of a rule and from what a server has. Does not own: asking it (`gather`).
//!
//! It does not see: labels that no series has (a counter such as that of a response code has its series only
//! from its first event on, so nobody can tell), and expressions that are not understood, which
//! [`not_understood`] names.

use std::collections::BTreeMap;
use std::collections::BTreeSet;

use crate::weak::CLASS_LABEL;
use crate::weak::Group;
use crate::weak::Rule;
use crate::weak::Why;
use crate::weak::bounds::Bounds;
use crate::weak::bounds::bounds;
use crate::weak::promql::Binary;
use crate::weak::promql::Expr;
use crate::weak::promql::Selector;
use crate::weak::promql::compares;
use crate::weak::promql::parse;
use crate::weak::template::is_beyond_us;

/// What a server has. By default nothing is known of it, and only the text counts.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Known {
    /// Metrics of which it has no series.
    pub missing: BTreeSet<String>,
    /// The finite bounds of histograms by the name of their buckets (`…_bucket`), ascending.
    pub buckets: BTreeMap<String, Vec<f64>>,
}

/// What one has to know of a server: the metrics that rules name, and which of them are buckets.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Asked {
    /// Every metric.
    pub metrics: BTreeSet<String>,
    /// Those that end in `_bucket`.
    pub buckets: BTreeSet<String>,
}

/// A rule that can never fire, always does, or says nothing when it does.
#[derive(Debug, Clone, PartialEq)]
pub struct Finding {
    /// The rule's file.
    pub file: String,
    /// Its line there.
    pub line: Option<usize>,
    /// Its group.
    pub group: String,
    /// Its name.
    pub alert: String,
    /// Why.
    pub why: Vec<Why>,
}

/// The metrics that the alerts of these groups name.
pub fn asked(groups: &[Group]) -> Asked {
    let rules = groups.iter().flat_map(|group| &group.alerts);
    let trees: Vec<Expr> = rules.filter_map(|rule| parse(&rule.expr)).collect();
    let named = trees.iter().flat_map(Expr::selectors).filter_map(|s| s.name.clone());
    let metrics: BTreeSet<String> = named.collect();
    let buckets = metrics.iter().filter(|name| name.ends_with("_bucket")).cloned().collect();
    Asked { metrics, buckets }
}

/// The alerts, by group, whose expressions are not understood here, so that nothing can be found in them.
pub fn not_understood(groups: &[Group]) -> Vec<(&Group, &Rule)> {
    let all = groups.iter().flat_map(|group| group.alerts.iter().map(move |rule| (group, rule)));
    all.filter(|(_, rule)| parse(&rule.expr).is_none()).collect()
}

/// Whether a rule may fire where there are no samples at all, as with `absent`: then nobody can tell by its
/// answer whether anything was evaluated. So, too, if its expression is not understood.
pub fn fires_on_nothing(rule: &Rule) -> bool {
    let Some(expr) = parse(&rule.expr) else { return true };
    let names = expr.selectors().into_iter().filter_map(|selector| selector.name.clone());
    let nothing = Known { missing: names.collect(), ..Known::default() };
    never(&expr, &nothing).is_empty()
}

/// Every alert that can never fire, with all reasons, in the order of the groups.
pub fn lint(groups: &[Group], known: &Known) -> Vec<Finding> {
    let mut findings = Vec::new();
    for group in groups {
        for rule in &group.alerts {
            let why = of_rule(rule, known);
            if !why.is_empty() {
                findings.push(Finding::of(group, rule, why));
            }
        }
    }
    findings
}

impl Finding {
    /// A finding in a rule.
    pub fn of(group: &Group, rule: &Rule, why: Vec<Why>) -> Finding {
        let (file, name) = (group.file.clone(), group.name.clone());
        Finding { file, line: rule.line, group: name, alert: rule.alert.clone(), why }
    }
}

fn of_rule(rule: &Rule, known: &Known) -> Vec<Why> {
    let class = rule.labels.get(CLASS_LABEL).filter(|class| is_beyond_us(class));
    let class = class.map(|class| Why::Template(class.clone()));
    let class = class.or(rule.is_of_unknown_class().then_some(Why::UnknownClass));
    let never = parse(&rule.expr).map(|expr| never(&expr, known)).unwrap_or_default();
    class.into_iter().chain(merged(never)).collect()
}

/// Missing metrics in one list, and nothing twice.
fn merged(all: Vec<Why>) -> Vec<Why> {
    let mut names: Vec<String> = Vec::new();
    let mut rest: Vec<Why> = Vec::new();
    for why in all {
        match why {
            Why::Missing(more) => names.extend(more),
            other if rest.contains(&other) => {}
            other => rest.push(other),
        }
    }
    names.sort();
    names.dedup();
    if !names.is_empty() {
        rest.insert(0, Why::Missing(names));
    }
    rest
}

/// Why an expression never has a series; empty where it may have one.
fn never(expr: &Expr, known: &Known) -> Vec<Why> {
    match expr {
        Expr::Number(_) | Expr::Text => Vec::new(),
        Expr::Negative(inner) => never(inner, known),
        Expr::Selector(selector) => of_selector(selector, known).into_iter().collect(),
        // These speak up where there is nothing, or always.
        Expr::Call(name, _)
            if matches!(name.as_str(), "absent" | "absent_over_time" | "scalar" | "vector") =>
        {
            Vec::new()
        }
        // The second argument only adds labels.
        Expr::Call(name, args) if name == "info" => {
            args.first().map(|arg| never(arg, known)).unwrap_or_default()
        }
        Expr::Call(_, args) => args.iter().flat_map(|arg| never(arg, known)).collect(),
        Expr::Binary(binary) => {
            let (left, right) = (never(&binary.left, known), never(&binary.right, known));
            match binary.op.as_str() {
                "or" if left.is_empty() || right.is_empty() => Vec::new(),
                "unless" => left,
                op if compares(op) && !binary.gives_bool => {
                    let own = never_true(binary, known);
                    left.into_iter().chain(right).chain(own).collect()
                }
                _ => left.into_iter().chain(right).collect(),
            }
        }
    }
}

fn of_selector(selector: &Selector, known: &Known) -> Option<Why> {
    let name = selector.name.as_ref()?;
    if known.missing.contains(name) {
        return Some(Why::Missing(vec![name.clone()]));
    }
    let (buckets, le) = (known.buckets.get(name)?, selector.le.as_ref()?);
    let there = le.parse().is_ok_and(|le| le == f64::INFINITY || buckets.contains(&le));
    let why =
        || Why::NoBucket { bucket: name.clone(), le: le.clone(), last: buckets.last().copied() };
    (!there).then(why)
}

fn never_true(binary: &Binary, known: &Known) -> Option<Why> {
    let (a, b) = (bounds(&binary.left, known), bounds(&binary.right, known));
    let never = match binary.op.as_str() {
        ">" => a.high <= b.low,
        ">=" => a.high < b.low,
        "<" => a.low >= b.high,
        "<=" => a.low > b.high,
        "==" => a.high < b.low || a.low > b.high,
        "!=" => a.low == a.high && a == b,
        _ => false,
    };
    let of = |bounds: Bounds| (bounds.low, bounds.high);
    let sides = [&binary.left, &binary.right].into_iter().flat_map(Expr::selectors);
    let names = sides.filter_map(|selector| selector.name.clone());
    let why = || Why::Never {
        comparison: binary.text.clone(),
        left: of(a),
        right: of(b),
        histograms: names.filter(|name| known.buckets.contains_key(name)).collect(),
    };
    never.then(why)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn known() -> Known {
        let missing = ["gone", "old_bucket"].map(str::to_string).into();
        let buckets = [("a_bucket".to_string(), vec![0.1, 2.5])].into();
        Known { missing, buckets }
    }

    fn found(expr: &str, known: &Known) -> String {
        let why = of_rule(&Rule { expr: expr.into(), ..Rule::default() }, known);
        why.iter().map(ToString::to_string).collect::<Vec<_>>().join("; ")
    }

    #[test]
    fn rules_that_may_fire_are_clean() {
        let clean = [
            "a > 5",
            "rate(gone[5m]) > 0 or rate(a[5m]) > 0",
            "sum(rate(a[5m]) or rate(gone[5m])) / sum(b) > 0.03",
            "a > 1 unless gone > 1",
            "absent(gone) == 1",
            "absent(up{job=\"x\"} == 1)",
            "histogram_quantile(0.99, sum by (le) (rate(a_bucket[5m]))) > 1",
            "histogram_quantile(0.99, rate(old_bucket[5m]) or rate(a_bucket[5m])) >= 2.5",
            "rate(a_bucket{le=\"2.50\"}[5m]) < 1 and a_bucket{le=\"+Inf\"} > 0",
            "rate(a[5m]) == 0",
            "count(a) or vector(0) == 0",
            "not PromQL",
        ];
        for expr in clean {
            assert_eq!(found(expr, &known()), "", "{expr}");
        }
    }

    #[test]
    fn each_reason_is_found() {
        let cases = [
            ("gone > 5", "the server has no series of gone"),
            ("a / on (job) sum(rate(gone[5m])) > 5", "the server has no series of gone"),
            ("gone or rate(old_bucket[5m]) > 1", "the server has no series of gone, old_bucket"),
            ("gone unless a", "the server has no series of gone"),
            (
                "histogram_quantile(0.95, sum by (le) (rate(a_bucket[5m]))) > 10",
                "`histogram_quantile(0.95, sum by (le) (rate(a_bucket[5m]))) > 10` is never true: \
                 at most 2.5 on the left, 10 on the right, by the last finite bucket of a_bucket",
            ),
            (
                "10 <= 2 * histogram_quantile(0.5, a_bucket)",
                "`10 <= 2 * histogram_quantile(0.5, a_bucket)` is never true: 10 on the left, \
                 at most 5 on the right, by the last finite bucket of a_bucket",
            ),
            (
                "1 - rate(a_bucket{le=\"5\"}[5m]) / rate(a_count[5m]) > 0.1",
                "a_bucket has no bucket le=\"5\"; its last finite one is 2.5",
            ),
            (
                "sum(rate(a[5m])) < 0",
                "`sum(rate(a[5m])) < 0` is never true: at least 0 on the left, 0 on the right",
            ),
            (
                "count(up == 1) == 0",
                "`count(up == 1) == 0` is never true: at least 1 on the left, 0 on the right",
            ),
        ];
        for (expr, wanted) in cases {
            assert_eq!(found(expr, &known()), wanted, "{expr}");
        }
        assert_eq!(found("gone > 5", &Known::default()), "", "nothing is known");
    }

    #[test]
    fn a_long_comparison_is_shown_by_its_ends() {
        let sum = ["rate(a[5m])"; 30].join(" + ");
        let why = found(&format!("{sum} < 0"), &known());
        assert!(why.starts_with("`rate(a[5m]) + rate(a[5m])"), "{why}");
        assert!(why.contains("…") && why.contains("[5m]) < 0` is never true"), "{why}");
        assert!(why.len() < 250, "{why}");
    }

    #[test]
    fn a_class_that_names_no_kind_is_found() {
        let of = |class: &str| {
            let labels = [(CLASS_LABEL.to_string(), class.to_string())].into();
            let rule = Rule { expr: "a > 1".into(), labels, ..Rule::default() };
            let why = of_rule(&rule, &known());
            why.iter().map(ToString::to_string).collect::<Vec<_>>().join("; ")
        };
        assert!(of("{{ $value }}").contains("is a template of more than labels; wanted"));
        assert!(
            of("{{ $value }}").ends_with("or such as {{ $labels.job }}"),
            "{}",
            of("{{ $value }}")
        );
        assert!(of("unknown").ends_with("wanted another class, or none"), "{}", of("unknown"));
        assert_eq!((of("{{ $labels.kind }}"), of("slow")), (String::new(), String::new()));
    }

    #[test]
    fn some_fire_on_nothing() {
        let fires = |expr: &str| fires_on_nothing(&Rule { expr: expr.into(), ..Rule::default() });
        let silent =
            ["a > 1", "sum(rate(a[5m])) / sum(b) > 1 or c", "absent(a) and b", "a unless b"];
        let speak =
            ["absent(a == 1)", "vector(time()) > 1", "a or absent(b)", "{x=\"y\"} > 1", "a b"];
        assert!(silent.into_iter().all(|expr| !fires(expr)));
        assert!(speak.into_iter().all(fires));
    }

    #[test]
    fn what_is_asked_of_a_server_is_named_once() {
        let rule = |expr: &str| Rule { expr: expr.into(), ..Rule::default() };
        let alerts = vec![rule("a > 1 or b_bucket > 1"), rule("a + {job=\"x\"} > 2"), rule("c d")];
        let (file, name) = (String::new(), String::new());
        let group = Group { file, name, interval_s: 60, limit: 0, alerts, records: Vec::new() };
        let asked = asked(std::slice::from_ref(&group));
        assert_eq!(asked.metrics.into_iter().collect::<Vec<_>>(), ["a", "b_bucket"]);
        assert_eq!(asked.buckets.into_iter().collect::<Vec<_>>(), ["b_bucket"]);
        let groups = [group];
        let unread = not_understood(&groups);
        assert_eq!(unread.iter().map(|(_, rule)| rule.expr.as_str()).collect::<Vec<_>>(), ["c d"]);
    }
}

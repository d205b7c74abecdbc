//! Between which values an expression stays, whatever is measured.
//!
//! Owns: what is certain of PromQL's functions. Does not own: what follows for a rule (`lint`).
//!
//! Bounds are wide where nothing is certain; they never leave out a value that can occur, but for NaN, which
//! every comparison with `>`, `<` and `==` leaves out too.

use crate::weak::lint::Known;
use crate::weak::promql::Binary;
use crate::weak::promql::Expr;
use crate::weak::promql::compares;

/// The lowest and the highest value.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Bounds {
    pub(super) low: f64,
    pub(super) high: f64,
}

const ANY: Bounds = Bounds { low: f64::NEG_INFINITY, high: f64::INFINITY };
const NOT_NEGATIVE: Bounds = Bounds { low: 0.0, high: f64::INFINITY };

/// Between which values an expression stays. Of histograms, `known` says the buckets.
pub(super) fn bounds(expr: &Expr, known: &Known) -> Bounds {
    match expr {
        Expr::Number(number) => only(*number),
        Expr::Text | Expr::Selector(_) => ANY,
        Expr::Negative(inner) => {
            let Bounds { low, high } = bounds(inner, known);
            Bounds { low: -high, high: -low }
        }
        Expr::Binary(binary) => of_binary(binary, known),
        Expr::Call(name, args) => of_call(name, args, known),
    }
}

fn only(value: f64) -> Bounds {
    // NaN is below nothing and above nothing.
    if value.is_nan() { ANY } else { Bounds { low: value, high: value } }
}

/// Where a sum or product has no value, as of infinities, nothing is certain.
fn around(values: &[f64]) -> Bounds {
    if values.iter().any(|value| value.is_nan()) {
        return ANY;
    }
    let low = values.iter().copied().fold(f64::INFINITY, f64::min);
    let high = values.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    Bounds { low, high }
}

fn of_binary(binary: &Binary, known: &Known) -> Bounds {
    let (a, b) = (bounds(&binary.left, known), bounds(&binary.right, known));
    match binary.op.as_str() {
        "or" => around(&[a.low, a.high, b.low, b.high]),
        "and" | "unless" => a,
        op if compares(op) && binary.gives_bool => Bounds { low: 0.0, high: 1.0 },
        // It chooses among the values of the left side; where that is one number, of the right one.
        op if compares(op) && binary.left.selectors().is_empty() => {
            around(&[a.low, a.high, b.low, b.high])
        }
        op if compares(op) => a,
        "+" => around(&[a.low + b.low, a.high + b.high]),
        "-" => around(&[a.low - b.high, a.high - b.low]),
        "*" => {
            let times = |x: f64, y: f64| if x == 0.0 || y == 0.0 { 0.0 } else { x * y };
            around(&[
                times(a.low, b.low),
                times(a.low, b.high),
                times(a.high, b.low),
                times(a.high, b.high),
            ])
        }
        "/" if b.low == b.high && b.low != 0.0 && b.low.is_finite() => {
            around(&[a.low / b.low, a.high / b.low])
        }
        "/" if a.low >= 0.0 && b.low >= 0.0 => NOT_NEGATIVE,
        _ => ANY,
    }
}

fn of_call(name: &str, args: &[Expr], known: &Known) -> Bounds {
    let arg = |i: usize| args.get(i).map_or(ANY, |arg| bounds(arg, known));
    let among = |low, high| Bounds { low, high };
    match name {
        "rate" | "irate" | "increase" | "changes" | "resets" | "abs" | "time" | "stddev"
        | "stdvar" | "stddev_over_time" | "stdvar_over_time" => NOT_NEGATIVE,
        // Of nothing they give nothing, not 0.
        "count" | "count_over_time" | "count_values" => among(1.0, f64::INFINITY),
        "absent" | "absent_over_time" | "present_over_time" | "group" => only(1.0),
        "histogram_fraction" => among(0.0, 1.0),
        "sgn" => among(-1.0, 1.0),
        "minute" => among(0.0, 59.0),
        "hour" => among(0.0, 23.0),
        "day_of_week" => among(0.0, 6.0),
        "day_of_month" => among(1.0, 31.0),
        "month" => among(1.0, 12.0),
        "vector" | "min" | "max" | "avg" | "min_over_time" | "max_over_time" | "avg_over_time"
        | "last_over_time" | "first_over_time" | "sort" | "sort_desc" | "sort_by_label"
        | "sort_by_label_desc" | "label_replace" | "label_join" => arg(0),
        "topk" | "bottomk" | "limitk" | "limit_ratio" => arg(1),
        "quantile" | "quantile_over_time" if is_share(args.first()) => arg(1),
        "histogram_quantile" if is_share(args.first()) => of_quantile(args.get(1), known),
        "sum" | "sum_over_time" => {
            let Bounds { low, high } = arg(0);
            let low = if low >= 0.0 { low } else { f64::NEG_INFINITY };
            Bounds { low, high: if high <= 0.0 { high } else { f64::INFINITY } }
        }
        "ceil" => among(arg(0).low.ceil(), arg(0).high.ceil()),
        "floor" => among(arg(0).low.floor(), arg(0).high.floor()),
        "clamp_max" => among(arg(0).low.min(arg(1).low), arg(0).high.min(arg(1).high)),
        "clamp_min" => among(arg(0).low.max(arg(1).low), arg(0).high.max(arg(1).high)),
        "clamp" => among(
            arg(0).low.max(arg(1).low).min(arg(2).low),
            arg(0).high.max(arg(1).high).min(arg(2).high),
        ),
        _ => ANY,
    }
}

/// Outside of 0 … 1, quantiles are infinite.
fn is_share(arg: Option<&Expr>) -> bool {
    matches!(arg, Some(Expr::Number(share)) if (0.0..=1.0).contains(share))
}

/// A quantile in the bucket that has no end is told as the last bound that there is.
fn of_quantile(buckets: Option<&Expr>, known: &Known) -> Bounds {
    let mut high = f64::NEG_INFINITY;
    for selector in buckets.map(Expr::selectors).unwrap_or_default() {
        let Some(name) = &selector.name else { return ANY };
        if known.missing.contains(name) {
            continue; // one of the names of before and after a rename
        }
        match known.buckets.get(name).and_then(|bounds| bounds.last()) {
            Some(last) => high = high.max(*last),
            None => return ANY,
        }
    }
    if high.is_finite() { Bounds { high, ..ANY } } else { ANY }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::weak::promql::parse;

    fn of(expr: &str) -> (f64, f64) {
        let mut known = Known::default();
        known.missing.insert("old_bucket".into());
        known.buckets.insert("a_bucket".into(), vec![0.1, 2.5]);
        known.buckets.insert("b_bucket".into(), vec![10.0]);
        let Bounds { low, high } = bounds(&parse(expr).unwrap(), &known);
        (low, high)
    }

    #[test]
    fn bounds_hold_all_that_can_occur() {
        const INF: f64 = f64::INFINITY;
        let cases = [
            ("150 * 1024 ^ 1 * 1024 - 2 / -4", (-INF, INF)),
            ("-(2 + 3) * 4 - 1", (-21.0, -21.0)),
            ("a", (-INF, INF)),
            ("sum(rate(a[5m])) / sum(rate(b[5m]))", (0.0, INF)),
            ("100 * rate(a[5m])", (0.0, INF)),
            ("-rate(a[5m])", (-INF, 0.0)),
            ("1 - rate(a[5m])", (-INF, 1.0)),
            ("sum(a)", (-INF, INF)),
            ("count(a) or vector(0)", (0.0, INF)),
            ("count(a)", (1.0, INF)),
            ("histogram_quantile(0.9, rate(a_bucket[5m])) * 1000", (-INF, 2500.0)),
            ("histogram_quantile(0.9, rate(a_bucket[5m]) or rate(b_bucket[5m]))", (-INF, 10.0)),
            ("histogram_quantile(0.9, rate(a_bucket[5m]) or rate(old_bucket[5m]))", (-INF, 2.5)),
            ("histogram_quantile(0.9, rate(a_bucket[5m]) or rate(c_bucket[5m]))", (-INF, INF)),
            ("histogram_quantile(0.9, rate(native[5m]))", (-INF, INF)),
            ("histogram_quantile(2, rate(a_bucket[5m]))", (-INF, INF)),
            ("max(histogram_quantile(0.9, a_bucket) > 1)", (-INF, 2.5)),
            ("clamp_max(a, 5)", (-INF, 5.0)),
            ("clamp(a, 1, 5)", (1.0, 5.0)),
            ("ceil(hour() / 2)", (0.0, 12.0)),
            ("a > bool 5", (0.0, 1.0)),
            ("5 < count(a)", (1.0, INF)),
            ("-5 * 2 < clamp(a, 1, 5)", (-10.0, 5.0)),
            ("count(a) and b", (1.0, INF)),
            ("Inf - Inf", (-INF, INF)),
            ("NaN", (-INF, INF)),
        ];
        for (expr, wanted) in cases {
            assert_eq!(of(expr), wanted, "{expr}");
        }
    }
}

//! What is wrong with a rule, in words.

use std::fmt;

use crate::verdict::UNKNOWN;
use crate::verdict::rfc3339;
use crate::weak::CLASS_LABEL;

/// Why a rule can never fire.
#[derive(Debug, Clone, PartialEq, PartialOrd)]
pub enum Why {
    /// The server has no series of these, and without one of them there is nothing to compare.
    Missing(Vec<String>),
    /// Buckets are asked for that the histogram does not have.
    NoBucket {
        /// The metric.
        bucket: String,
        /// The value of `le`.
        le: String,
        /// The last finite bound.
        last: Option<f64>,
    },
    /// A comparison that is never true.
    Never {
        /// As it was written.
        comparison: String,
        /// The lowest and the highest value of its left side.
        left: (f64, f64),
        /// The same of its right side.
        right: (f64, f64),
        /// The histograms by whose last bucket that is so.
        histograms: Vec<String>,
    },
    /// The server refuses the expression, and says why.
    Refused(String),
    /// The class is a template that only Prometheus could fill in.
    Template(String),
    /// The class is the word for what nobody knows the kind of.
    UnknownClass,
    /// It fires, or is pending, for most of the time that is known, or for more than a day on end.
    Usual {
        /// Since when something is known, unix seconds.
        since_s: i64,
    },
}

/// The longest piece of a rule that is shown, in characters.
const SHOWN: usize = 100;

impl fmt::Display for Why {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Why::Missing(names) => write!(f, "the server has no series of {}", names.join(", ")),
            Why::NoBucket { bucket, le, last } => {
                write!(f, "{bucket} has no bucket le={le:?}")?;
                last.map_or(Ok(()), |last| write!(f, "; its last finite one is {last}"))
            }
            Why::Never { comparison, left, right, histograms } => {
                let mut shown: String = comparison.split_whitespace().collect::<Vec<_>>().join(" ");
                let chars: Vec<char> = shown.chars().collect();
                if chars.len() > SHOWN {
                    // Its end says what is wanted.
                    let (begin, end) = (&chars[..SHOWN / 2], &chars[chars.len() - SHOWN / 2..]);
                    shown = begin.iter().chain(&['…']).chain(end).collect();
                }
                write!(f, "`{shown}` is never true: {} on the left", Side(*left))?;
                write!(f, ", {} on the right", Side(*right))?;
                if !histograms.is_empty() {
                    write!(f, ", by the last finite bucket of {}", histograms.join(", "))?;
                }
                Ok(())
            }
            Why::Refused(error) => write!(f, "the server refuses the expression: {error}"),
            Why::Template(value) => {
                write!(
                    f,
                    "labels.{CLASS_LABEL}: {value:?} is a template of more than labels; wanted a \
                     plain class, or such as {{{{ $labels.job }}}}"
                )
            }
            Why::UnknownClass => {
                write!(
                    f,
                    "labels.{CLASS_LABEL}: {UNKNOWN:?} is what networks call a kind that they never learnt, "
                )?;
                f.write_str("so the alert labels nothing; wanted another class, or none")
            }
            Why::Usual { since_s } => {
                let since = rfc3339(*since_s);
                write!(
                    f,
                    "it holds for most of the time since {since}, or a day on end: it labels nothing"
                )
            }
        }
    }
}

/// The values of one side of a comparison.
struct Side((f64, f64));

impl fmt::Display for Side {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            (low, high) if low == high => write!(f, "{low}"),
            (f64::NEG_INFINITY, f64::INFINITY) => f.write_str("any value"),
            (f64::NEG_INFINITY, high) => write!(f, "at most {high}"),
            (low, f64::INFINITY) => write!(f, "at least {low}"),
            (low, high) => write!(f, "{low} to {high}"),
        }
    }
}

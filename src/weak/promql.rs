//! One look at a PromQL expression: which metrics it names, and how they are put together.
//!
//! Owns: as much of the grammar as rules are made of. Does not own: types, and whether a server accepts the
//! expression; the server itself is asked for that.
//!
//! Ranges, subqueries, `offset`, `@` and the labels of `by`, `on` and the like are read over. What is not
//! understood gives no tree, rather than a wrong one.

mod tokens;

use tokens::Token;
use tokens::Word;
use tokens::tokens;

/// Brackets and operators within each other: nobody's rule has more, and the stack is not endless.
const DEEPEST: usize = 100;

/// An expression.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Expr {
    /// A number, or a duration in seconds.
    Number(f64),
    /// A string.
    Text,
    /// Series by name and labels.
    Selector(Selector),
    /// A function or an aggregation, by its name in lower case.
    Call(String, Vec<Expr>),
    /// An operator between two expressions.
    Binary(Box<Binary>),
    /// The same with the other sign.
    Negative(Box<Expr>),
}

/// Series by name and labels.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Selector {
    /// The metric; `None` where only labels choose.
    pub(super) name: Option<String>,
    /// What `le` has to be equal to.
    pub(super) le: Option<String>,
}

/// An operator between two expressions.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Binary {
    /// In lower case.
    pub(super) op: String,
    /// Whether a comparison gives 0 and 1 instead of choosing.
    pub(super) gives_bool: bool,
    /// The left side.
    pub(super) left: Expr,
    /// The right side.
    pub(super) right: Expr,
    /// The whole as it was written.
    pub(super) text: String,
}

/// Aggregations: their labels may stand before the brackets or after them.
const AGGREGATIONS: [&str; 14] = [
    "sum",
    "min",
    "max",
    "avg",
    "group",
    "stddev",
    "stdvar",
    "count",
    "count_values",
    "bottomk",
    "topk",
    "quantile",
    "limitk",
    "limit_ratio",
];

/// Binding strength of operators, as in Prometheus; `^` is the only one that binds to the right.
const OPERATORS: [(&[&str], u8); 6] = [
    (&["or"], 1),
    (&["and", "unless"], 2),
    (&["==", "!=", "<=", "<", ">=", ">"], 3),
    (&["+", "-"], 4),
    (&["*", "/", "%", "atan2"], 5),
    (&["^"], 6),
];
const POWER: u8 = 6;

/// Whether an operator compares.
pub(super) fn compares(op: &str) -> bool {
    OPERATORS[2].0.contains(&op)
}

/// Reads an expression; `None` where it is not understood.
pub(super) fn parse(expr: &str) -> Option<Expr> {
    let tokens = tokens(expr)?;
    let mut reader = Reader { expr, tokens: &tokens, at: 0, depth: 0 };
    let tree = reader.binary(1)?;
    (reader.at == tokens.len()).then_some(tree)
}

impl Expr {
    /// Every selector in it.
    pub(super) fn selectors(&self) -> Vec<&Selector> {
        match self {
            Expr::Number(_) | Expr::Text => Vec::new(),
            Expr::Selector(selector) => vec![selector],
            Expr::Call(_, args) => args.iter().flat_map(Expr::selectors).collect(),
            Expr::Binary(b) => [&b.left, &b.right].into_iter().flat_map(Expr::selectors).collect(),
            Expr::Negative(inner) => inner.selectors(),
        }
    }
}

struct Reader<'a> {
    expr: &'a str,
    tokens: &'a [Token],
    at: usize,
    depth: usize,
}

impl Reader<'_> {
    fn word(&self) -> Option<&Word> {
        self.tokens.get(self.at).map(|token| &token.word)
    }

    /// The name or sign that comes next, in lower case.
    fn next_is(&self) -> String {
        match self.word() {
            Some(Word::Name(name)) => name.to_ascii_lowercase(),
            Some(Word::Sign(sign)) => (*sign).to_string(),
            _ => String::new(),
        }
    }

    fn take(&mut self, wanted: &str) -> Option<()> {
        (self.next_is() == wanted).then(|| self.at += 1)
    }

    fn number(&mut self) -> Option<f64> {
        let Some(Word::Number(number)) = self.word() else { return None };
        let number = *number;
        self.at += 1;
        Some(number)
    }

    /// Operators that bind at least so strongly.
    fn binary(&mut self, weakest: u8) -> Option<Expr> {
        self.depth += 1;
        if self.depth > DEEPEST {
            return None;
        }
        let from = self.tokens.get(self.at)?.from;
        let mut left = self.unary()?;
        loop {
            let op = self.next_is();
            let strength = OPERATORS.iter().find(|(ops, _)| ops.contains(&op.as_str()));
            let Some(&(_, strength)) = strength.filter(|(_, s)| *s >= weakest) else { break };
            self.at += 1;
            let gives_bool = self.take("bool").is_some();
            self.matching()?;
            let right = self.binary(if strength == POWER { strength } else { strength + 1 })?;
            let text = self.expr[from..self.tokens[self.at - 1].to].to_string();
            left = Expr::Binary(Box::new(Binary { op, gives_bool, left, right, text }));
        }
        self.depth -= 1;
        Some(left)
    }

    /// `on (…) group_left (…)`.
    fn matching(&mut self) -> Option<()> {
        // A metric may be called `on`.
        let opens = self.tokens.get(self.at + 1).map(|token| &token.word) == Some(&Word::Sign("("));
        if opens && self.take("on").or_else(|| self.take("ignoring")).is_some() {
            self.labels()?;
            let group = self.take("group_left").or_else(|| self.take("group_right"));
            if group.is_some() && self.next_is() == "(" {
                self.labels()?;
            }
        }
        Some(())
    }

    /// A list of labels in brackets.
    fn labels(&mut self) -> Option<()> {
        self.take("(")?;
        while self.take(")").is_none() {
            match self.word()? {
                Word::Name(_) | Word::Text(_) | Word::Sign(",") => self.at += 1,
                _ => return None,
            }
        }
        Some(())
    }

    fn unary(&mut self) -> Option<Expr> {
        if self.take("-").is_some() {
            return Some(Expr::Negative(Box::new(self.binary(POWER)?)));
        }
        if self.take("+").is_some() {
            return self.binary(POWER);
        }
        let inner = self.operand()?;
        self.modifiers()?;
        Some(inner)
    }

    fn operand(&mut self) -> Option<Expr> {
        if self.take("(").is_some() {
            let inner = self.binary(1)?;
            self.take(")")?;
            return Some(inner);
        }
        let name = match self.word()? {
            Word::Name(name) => name.clone(),
            Word::Number(_) => return self.number().map(Expr::Number),
            Word::Text(_) => {
                self.at += 1;
                return Some(Expr::Text);
            }
            Word::Sign("{") => return self.selector(None),
            _ => return None,
        };
        self.at += 1;
        let called = name.to_ascii_lowercase();
        let aggregates = AGGREGATIONS.contains(&called.as_str());
        match self.next_is().as_str() {
            "by" | "without" if aggregates => {
                self.at += 1;
                self.labels()?;
                Some(Expr::Call(called, self.args()?))
            }
            "(" => {
                let args = self.args()?;
                let after =
                    aggregates && self.take("by").or_else(|| self.take("without")).is_some();
                if after {
                    self.labels()?;
                }
                Some(Expr::Call(called, args))
            }
            _ => self.selector(Some(name)),
        }
    }

    fn args(&mut self) -> Option<Vec<Expr>> {
        self.take("(")?;
        let mut args = Vec::new();
        while self.take(")").is_none() {
            args.push(self.binary(1)?);
            if self.next_is() != ")" {
                self.take(",")?;
            }
        }
        Some(args)
    }

    /// Matchers in braces, where there are any: `{job="a"}`, `{"name", job="a"}`.
    fn selector(&mut self, mut name: Option<String>) -> Option<Expr> {
        let mut le = None;
        if self.take("{").is_some() {
            while self.take("}").is_none() {
                let label = match self.word()? {
                    Word::Name(label) | Word::Text(label) => label.clone(),
                    _ => return None,
                };
                self.at += 1;
                let op = self.next_is();
                if matches!(op.as_str(), "=" | "!=" | "=~" | "!~") {
                    self.at += 1;
                    let Some(Word::Text(value)) = self.word() else { return None };
                    match (op.as_str(), label.as_str()) {
                        ("=", "__name__") => name = Some(value.clone()),
                        ("=", "le") => le = Some(value.clone()),
                        _ => {}
                    }
                    self.at += 1;
                } else {
                    name = Some(label);
                }
                if self.next_is() != "}" {
                    self.take(",")?;
                }
            }
        }
        Some(Expr::Selector(Selector { name, le }))
    }

    /// What changes only the time that is looked at.
    fn modifiers(&mut self) -> Option<()> {
        loop {
            if self.word() == Some(&Word::Range) {
                self.at += 1;
            } else if self.take("offset").is_some() {
                let _ = self.take("-").or_else(|| self.take("+"));
                self.number()?;
            } else if self.take("@").is_some() {
                let _ = self.take("-").or_else(|| self.take("+"));
                if self.take("start").or_else(|| self.take("end")).is_some() {
                    self.args()?;
                } else {
                    self.number()?;
                }
            } else {
                return Some(());
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(expr: &str) -> String {
        let tree = parse(expr).unwrap_or_else(|| panic!("{expr}"));
        let names = tree.selectors().into_iter().map(|s| s.name.clone().unwrap_or("-".into()));
        names.collect::<Vec<_>>().join(" ")
    }

    /// The tree with a pair of brackets around everything.
    fn drawn(expr: &str) -> String {
        fn draw(expr: &Expr) -> String {
            match expr {
                Expr::Number(number) => number.to_string(),
                Expr::Text => "''".into(),
                Expr::Selector(selector) => selector.name.clone().unwrap_or_default(),
                Expr::Call(name, args) => {
                    format!("{name}[{}]", args.iter().map(draw).collect::<Vec<_>>().join(" "))
                }
                Expr::Binary(b) => format!("({}{}{})", draw(&b.left), b.op, draw(&b.right)),
                Expr::Negative(inner) => format!("-{}", draw(inner)),
            }
        }
        draw(&parse(expr).unwrap_or_else(|| panic!("{expr}")))
    }

    #[test]
    fn only_metrics_are_names() {
        let cases = [
            ("up", "up"),
            ("sum by (job, le) (rate(a_bucket{job=~\"x|y\", le='b'}[5m]))", "a_bucket"),
            ("SUM(a) without(instance) / count(b) by (job,)", "a b"),
            ("a * on (job) group_left (version) b", "a b"),
            ("a and ignoring(x) b unless on() c", "a b c"),
            ("max_over_time(rate(a[5m])[1h:1m] offset -5m) > bool 5 # not c\n", "a"),
            ("a{b=\"# c\\\"}\"} @ end() offset 1d", "a"),
            ("{__name__=\"a\"} + {\"b\", c!=\"d\"} + {job=~\"e\"}", "a b -"),
            ("job:a:rate5m > 1e-3 or vector(0x1f)", "job:a:rate5m"),
            ("label_replace(a, 'x', '$1', 'y', `(.*)`)", "a"),
            ("by > 0 and on > 0", "by on"),
            ("time() - a > 5m", "a"),
        ];
        for (expr, wanted) in cases {
            assert_eq!(names(expr), wanted, "{expr}");
        }
    }

    #[test]
    fn operators_bind_as_in_prometheus() {
        let cases = [
            ("a or b and c", "(aor(bandc))"),
            ("a + b * c ^ 2 ^ 3 > 1", "((a+(b*(c^(2^3))))>1)"),
            ("a - b - c", "((a-b)-c)"),
            ("-a ^ 2 * 3", "(-(a^2)*3)"),
            ("a > 1 unless b > 2 or c", "(((a>1)unless(b>2))orc)"),
            ("sum(a) / 1_000 == Inf", "((sum[a]/1000)==inf)"),
        ];
        for (expr, wanted) in cases {
            assert_eq!(drawn(expr), wanted, "{expr}");
        }
    }

    #[test]
    fn what_is_not_understood_gives_no_tree() {
        let deep = "(".repeat(500) + "a" + &")".repeat(500);
        let bad =
            ["", "a b", "sum(a", "a >", "a{b=c}", "a{b=\"c}", "a ! b", "1x", "a[5m", &deep, "ä"];
        for expr in bad {
            assert_eq!(parse(expr), None, "{expr}");
        }
    }

    proptest::proptest! {
        #[test]
        fn no_text_makes_it_panic(expr in "[a-c0-9(){}\\[\\]\"'`=~!<>+*/^,@ #.\\\\äb-]{0,40}") {
            let _ = parse(&expr);
        }
    }
}

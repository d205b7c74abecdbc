//! The words of a PromQL expression.

use crate::math::duration::parse_duration_ms;

/// A word, and where it begins and ends in the expression, in bytes.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Token {
    pub(super) word: Word,
    pub(super) from: usize,
    pub(super) to: usize,
}

/// A word.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Word {
    /// A metric, label, function or keyword.
    Name(String),
    /// A number; of a duration, its seconds.
    Number(f64),
    /// A string without its quotes.
    Text(String),
    /// `[…]`, whatever is in it.
    Range,
    /// An operator, bracket or comma.
    Sign(&'static str),
}

/// Longest first.
const SIGNS: [&str; 21] = [
    "==", "!=", ">=", "<=", "=~", "!~", "=", ">", "<", "+", "-", "*", "/", "%", "^", "(", ")", "{",
    "}", ",", "@",
];

/// All words; `None` where something is no word of PromQL.
pub(super) fn tokens(expr: &str) -> Option<Vec<Token>> {
    let mut tokens = Vec::new();
    let mut from = 0;
    while let Some(c) = expr[from..].chars().next() {
        let rest = &expr[from..];
        let (word, len) = if c.is_whitespace() {
            from += c.len_utf8();
            continue;
        } else if c == '#' {
            from += rest.find('\n').unwrap_or(rest.len());
            continue;
        } else if c == '[' {
            (Word::Range, rest.find(']')? + 1)
        } else if matches!(c, '"' | '\'' | '`') {
            text(rest, c)?
        } else if c.is_ascii_digit() || c == '.' {
            number(rest)?
        } else if c.is_ascii_alphabetic() || c == '_' || c == ':' {
            name(rest)
        } else {
            let sign = SIGNS.iter().find(|sign| rest.starts_with(**sign))?;
            (Word::Sign(sign), sign.len())
        };
        tokens.push(Token { word, from, to: from + len });
        from += len;
    }
    Some(tokens)
}

fn name(rest: &str) -> (Word, usize) {
    let ends = |c: char| !c.is_ascii_alphanumeric() && c != '_' && c != ':';
    let len = rest.find(ends).unwrap_or(rest.len());
    match rest[..len].to_ascii_lowercase().as_str() {
        "inf" => (Word::Number(f64::INFINITY), len),
        "nan" => (Word::Number(f64::NAN), len),
        _ => (Word::Name(rest[..len].to_string()), len),
    }
}

/// `1`, `.5`, `1e-3`, `0x1f`, and durations, which count as numbers since Prometheus 3.
fn number(rest: &str) -> Option<(Word, usize)> {
    let hex = rest.starts_with("0x") || rest.starts_with("0X");
    let mut len = 0;
    for (i, c) in rest.char_indices() {
        let exponent = !hex && matches!(c, '+' | '-') && rest[..i].ends_with(['e', 'E']);
        if !(c.is_ascii_alphanumeric() || c == '.' || c == '_' || exponent) {
            break;
        }
        len = i + 1;
    }
    let digits = rest[..len].replace('_', "");
    let value = match digits.strip_prefix("0x").or(digits.strip_prefix("0X")) {
        Some(hex) => u64::from_str_radix(hex, 16).ok().map(|n| n as f64),
        None => digits.parse().ok(),
    };
    let seconds = || parse_duration_ms(&digits).ok().map(|ms| ms as f64 / 1000.0);
    Some((Word::Number(value.or_else(seconds)?), len))
}

/// A string as Go writes it; of escapes, only those are understood that occur in names and values.
fn text(rest: &str, quote: char) -> Option<(Word, usize)> {
    let mut value = String::new();
    let mut chars = rest.char_indices().skip(1);
    while let Some((i, c)) = chars.next() {
        match c {
            _ if c == quote => return Some((Word::Text(value), i + 1)),
            '\\' if quote != '`' => match chars.next()?.1 {
                'n' => value.push('\n'),
                't' => value.push('\t'),
                escaped => value.push(escaped),
            },
            _ => value.push(c),
        }
    }
    None
}

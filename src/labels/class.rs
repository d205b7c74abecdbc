//! What a kind of anomaly may be called.

use crate::verdict::UNKNOWN;
use crate::verdict::Verdict;

/// Longest class, in bytes.
pub const MAX_CLASS_LEN: usize = 64;

/// What is wrong with a class that a person wrote.
pub(super) fn class_problem(class: &str, verdict: Option<Verdict>) -> Option<String> {
    let snake = class.starts_with(|c: char| c.is_ascii_lowercase())
        && class.bytes().all(|b| matches!(b, b'a'..=b'z' | b'0'..=b'9' | b'_'));
    if !snake || class.len() > MAX_CLASS_LEN {
        let shown: String = class.chars().take(MAX_CLASS_LEN).collect();
        return Some(format!(
            "class: {shown:?}; wanted snake_case such as upstream_slow, at most {MAX_CLASS_LEN} long"
        ));
    }
    if class == UNKNOWN {
        return Some(format!(
            "class: {UNKNOWN:?} is what the networks call a kind that they never learnt; wanted another, or no class"
        ));
    }
    (verdict == Some(Verdict::Normal)).then(|| {
        "class: what is normal has none; wanted the verdict anomaly, or no class".to_string()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_class_is_a_short_word_and_not_the_networks_own() {
        let problem = |class| class_problem(class, Some(Verdict::Anomaly)).unwrap_or_default();
        assert_eq!(problem("upstream_slow"), "");
        assert_eq!(problem("unknown_upstream"), "");
        assert!(problem("unknown").starts_with("class: \"unknown\" is what the networks call"));
        assert!(problem("Unknown").contains("wanted snake_case"));
    }
}

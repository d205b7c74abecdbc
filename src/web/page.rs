//! The landing page: `page.html` with what is known now.
//!
//! Owns: the filling in. Does not own: the rows (`app`).

use std::borrow::Cow;
use std::fmt::Write as _;

const PAGE: &str = include_str!("page.html");

/// The page. `rows` are name and value; everything is escaped.
pub(super) fn render(metrics: &str, rows: &[(String, String)]) -> String {
    let mut table = String::new();
    for (name, value) in rows {
        let _ = write!(
            table,
            "<tr><th scope=\"row\">{}</th><td>{}</td></tr>",
            escape(name),
            escape(value)
        );
    }
    if !table.is_empty() {
        table = format!("<table>{table}</table>");
    }
    let mut page = String::with_capacity(PAGE.len() + table.len());
    let mut rest = PAGE;
    // In one sweep, so that a value that looks like a placeholder stays what it is.
    let fillings = [
        ("{version}", Cow::Borrowed(env!("CARGO_PKG_VERSION"))),
        ("{metrics}", escape(metrics)),
        ("{rows}", Cow::Borrowed(&*table)),
    ];
    for (placeholder, filling) in fillings {
        if let Some((before, after)) = rest.split_once(placeholder) {
            page.push_str(before);
            page.push_str(&filling);
            rest = after;
        }
    }
    page.push_str(rest);
    page
}

/// Text as HTML, for elements and quoted attributes.
fn escape(text: &str) -> Cow<'_, str> {
    if !text.contains(['&', '<', '>', '"', '\'']) {
        return Cow::Borrowed(text);
    }
    let mut safe = String::with_capacity(text.len() + 16);
    for c in text.chars() {
        match c {
            '&' => safe.push_str("&amp;"),
            '<' => safe.push_str("&lt;"),
            '>' => safe.push_str("&gt;"),
            '"' => safe.push_str("&quot;"),
            '\'' => safe.push_str("&#39;"),
            other => safe.push(other),
        }
    }
    Cow::Owned(safe)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn everything_is_filled_in_and_escaped() {
        let rows = [("<b>".to_string(), "{rows} & \"x\"".to_string())];
        let page = render("/m\"><script>", &rows);
        assert!(
            page.contains("<th scope=\"row\">&lt;b&gt;</th><td>{rows} &amp; &quot;x&quot;</td>")
        );
        assert!(page.contains("href=\"/m&quot;&gt;&lt;script&gt;\""));
        assert!(page.contains(env!("CARGO_PKG_VERSION")) && page.ends_with("</html>\n"));
        for left in ["{version}", "{metrics}"] {
            assert!(!page.contains(left), "{left}");
        }
        assert!(!render("/metrics", &[]).contains("<table>"));
    }
}

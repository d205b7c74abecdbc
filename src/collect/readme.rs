//! `README.md` of a data set: its card, for people.

use std::fmt::Write as _;

use super::card::Card;
use super::card::Column;
use super::summary::Who;

/// Entities that are listed; the card has all.
const LISTED: usize = 20;

/// The card as Markdown.
pub(super) fn readme(card: &Card) -> String {
    let mut text = String::new();
    let n_entities = card.entities.len();
    let Card { watch, from, to, rows, step_seconds, source, portent, versions, command, .. } = card;
    let gaps = card.rows_without_values;
    let prometheus = versions.prometheus.as_deref().unwrap_or("of an unknown version");
    let _ = write!(
        text,
        "# {watch}: {rows} rows of {n_entities} entities\n\n\
         From {from} to {to}, one row every {step_seconds} s; {gaps} rows have no value.\n\
         Collected by Portent {portent} from {source} (version {prometheus}).\n"
    );
    if !versions.coredns.is_empty() {
        let _ = writeln!(text, "CoreDNS in that time: {}.", versions.coredns.join(", "));
    }
    let _ = write!(text, "\n```sh\n{command}\n```\n{FILES}");
    entities(&mut text, card);
    columns(&mut text, card);
    labels(&mut text, card);
    limits(&mut text, card);
    text
}

const FILES: &str = "
## Files

- `part-….parquet`: all rows, a file for each stretch of time, sorted by entity and time. A row is a step of the grid for an entity with a sample in that stretch; null is a gap.
- `ENTITY.csv`: the rows of one entity from its first sample on, with `t` in unix seconds; an empty cell is a gap.
- `ENTITY-labels.csv`: what is known of it. Where two lines overlap the later counts.
- `card.json`: all of this page, the queries, and the SHA-256 of every file. `collection.json`: what was asked for, and what rules and people said.

```sh
portent evaluate ENTITY.csv --labels ENTITY-labels.csv
duckdb -c \"SELECT weak_class, count(*) FROM 'part-*.parquet' GROUP BY ALL\"
```
";

fn entities(text: &mut String, card: &Card) {
    text.push_str("\n## Entities\n\n| entity | file | rows | without values | first | last |\n|---|---|---|---|---|---|\n");
    for of in card.entities.iter().take(LISTED) {
        let (entity, gaps) = (cell(&of.entity.to_string()), of.rows_without_values);
        let (file, first, last) = (&of.rows_file, &of.first, &of.last);
        let _ = writeln!(text, "| {entity} | `{file}` | {} | {gaps} | {first} | {last} |", of.rows);
    }
    if card.entities.len() > LISTED {
        let _ = writeln!(text, "\n{} more are in `card.json`.", card.entities.len() - LISTED);
    }
}

fn columns(text: &mut String, card: &Card) {
    text.push_str("\n## Columns\n\n| column | type | unit | known | least | mean | most |\n|---|---|---|---|---|---|---|\n");
    for column in &card.columns {
        let Column { name, r#type, unit, known_ratio, min_mean_max, .. } = column;
        let known = known_ratio.map(|known| format!("{:.1} %", 100.0 * known)).unwrap_or_default();
        let [least, mean, most] = match min_mean_max {
            Some(range) => range.map(number),
            None => [String::new(), String::new(), String::new()],
        };
        let (name, unit) = (cell(name), cell(unit));
        let _ = writeln!(
            text,
            "| `{name}` | {} | {unit} | {known} | {least} | {mean} | {most} |",
            r#type
        );
    }
}

fn labels(text: &mut String, card: &Card) {
    text.push_str("\n## Labels\n\n");
    if card.labels.is_empty() {
        text.push_str("Nobody said anything of these rows: no rule fired, and no person and no fault is known.\n");
        return;
    }
    text.push_str(
        "| said by | what | class | strength | intervals | hours |\n|---|---|---|---|---|---|\n",
    );
    for line in &card.labels {
        let who = match line.saying.who {
            Who::Rules => "rules",
            Who::People => "people",
            Who::Injected => "injected",
        };
        let or_none = |text: &Option<String>| cell(text.as_deref().unwrap_or("–"));
        let (class, strength) = (or_none(&line.saying.class), or_none(&line.saying.strength));
        let (what, n, hours) = (&line.saying.what, line.amount.intervals, line.hours);
        let _ = writeln!(text, "| {who} | {what} | {class} | {strength} | {n} | {hours:.2} |");
    }
    text.push_str("\nHours and intervals are of all entities together.\n");
}

fn limits(text: &mut String, card: &Card) {
    text.push_str(LIMITS);
    for problem in &card.problems {
        let _ = writeln!(text, "- {}", problem.replace('\n', " "));
    }
}

const LIMITS: &str = "
## Known limits

- Labels of rules are weak: what Prometheus' alerts would have said, not what happened. Where a rule was pending nobody knows; the CSV files of labels leave that time out, so `portent evaluate` counts it as normal.
- Rows without a label are not known to be normal.
- Rows around a counter's restart, above line rate, or with scrapes missing are gaps, as for Portent's trainings.
";

/// A text in a table's cell.
fn cell(text: &str) -> String {
    text.replace('|', "\\|").replace('\n', " ")
}

/// Four digits that count.
fn number(value: f64) -> String {
    match value.abs() {
        0.0 => "0".to_string(),
        size if (1e-3..1e6).contains(&size) => {
            let digits = (3 - size.log10().floor() as i32).max(0) as usize;
            format!("{value:.digits$}")
        }
        _ => format!("{value:.3e}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_have_four_digits_that_count() {
        let shown = [0.0, 0.012_345_6, 12.345_67, 123_456.7, 1_234_567.0, -1e-9].map(number);
        assert_eq!(shown, ["0", "0.01235", "12.35", "123457", "1.235e6", "-1.000e-9"]);
    }
}

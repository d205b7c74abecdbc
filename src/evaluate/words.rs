//! The evaluation in lines and cells, the same on a terminal and on a page.

use std::ops::Range;

use super::Chance;
use super::Evaluation;
use super::Group;
use super::Judged;
use super::Mark;
use super::Outcome;
use super::Quality;
use super::truth::UNNAMED;
use crate::math::duration::format_duration;
use crate::verdict::rfc3339;

/// What the cells of [`row`] are.
pub const HEAD: [&str; 13] = [
    "detector",
    "precision",
    "recall",
    "F1",
    "VUS-PR",
    "found",
    "time to detect",
    "false pages/week",
    "TP",
    "FP",
    "FN",
    "TN",
    "seconds",
];

/// What the cells of [`classes`] are.
pub const CLASS_HEAD: [&str; 9] = [
    "class",
    "detector",
    "precision",
    "recall",
    "F1",
    "VUS-PR",
    "found",
    "named",
    "time to detect",
];

/// What the cells of [`group`] are; the last is a picture.
pub const GROUP_HEAD: [&str; 6] =
    ["group", "rows", "incidents", "marked by", "labelled classes", "most like the others"];

/// A ratio, or what stands for nothing to divide by.
fn ratio(value: f64) -> String {
    if value.is_nan() { "–".to_string() } else { format!("{value:.3}") }
}

fn after(seconds: f64) -> String {
    if seconds.is_nan() { "–".to_string() } else { format_duration(seconds.round() as i64) }
}

fn found(quality: &Quality) -> String {
    format!("{} of {}", quality.n_found, quality.n_incidents)
}

fn pages(quality: &Quality) -> String {
    let per_week = quality.false_pages_per_week();
    if per_week.is_nan() { "–".to_string() } else { format!("{per_week:.2}") }
}

/// A detector's name, and whether it can win.
fn shown(judged: &Judged) -> String {
    let control = if judged.control { " (control)" } else { "" };
    format!("{}{control}", judged.detector)
}

/// A detector's cells; where it could not learn, the reason in one of them.
pub fn row(judged: &Judged, of: fn(&Outcome) -> &Quality) -> [String; HEAD.len()] {
    let name = shown(judged);
    let mut cells = [(); HEAD.len()].map(|()| String::new());
    match &judged.outcome {
        Err(error) => cells[1] = error.to_string(),
        Ok(outcome) => {
            let quality = of(outcome);
            let rows = &quality.rows;
            cells = [
                String::new(),
                ratio(rows.precision()),
                ratio(rows.recall()),
                ratio(rows.f1()),
                ratio(quality.vus_pr),
                found(quality),
                after(quality.detect_s),
                pages(quality),
                rows.true_positives.to_string(),
                rows.false_positives.to_string(),
                rows.false_negatives.to_string(),
                rows.true_negatives.to_string(),
                format!("{:.2}", outcome.seconds),
            ];
        }
    }
    cells[0] = name;
    cells
}

/// The cells of every class and detector, class by class.
pub fn classes(evaluation: &Evaluation) -> Vec<[String; CLASS_HEAD.len()]> {
    let mut all = Vec::new();
    let mut names: Vec<&String> = Vec::new();
    let outcomes =
        || evaluation.detectors.iter().filter_map(|d| Some((d.detector, d.outcome.as_ref().ok()?)));
    for (name, _) in outcomes().flat_map(|(_, outcome)| &outcome.classes) {
        if !names.contains(&name) {
            names.push(name);
        }
    }
    // Where nobody said what was wrong, there are no classes.
    if names.iter().all(|name| *name == UNNAMED) {
        return all;
    }
    for name in names {
        let held_out = evaluation.holdout_class.as_ref() == Some(name);
        let shown = if held_out { format!("{name} (held out)") } else { name.clone() };
        for (detector, outcome) in outcomes() {
            let of_class = outcome.classes.iter().filter(|(class, _)| class == name);
            all.extend(of_class.map(|(_, quality)| {
                [
                    shown.clone(),
                    detector.to_string(),
                    ratio(quality.rows.precision()),
                    ratio(quality.rows.recall()),
                    ratio(quality.rows.f1()),
                    ratio(quality.vus_pr),
                    found(quality),
                    quality.n_named.map_or("–".to_string(), |n| n.to_string()),
                    after(quality.detect_s),
                ]
            }));
        }
    }
    all
}

/// Of each detector that found groups, its name and the cells of [`group`].
pub fn groups(evaluation: &Evaluation) -> Vec<(&'static str, Vec<[String; GROUP_HEAD.len() - 1]>)> {
    let of = |judged: &Judged| {
        let groups = &judged.outcome.as_ref().ok()?.groups;
        let cells = groups.iter().enumerate().map(|(k, one)| group(evaluation, k, one));
        (!groups.is_empty()).then(|| (judged.detector, cells.collect()))
    };
    evaluation.detectors.iter().filter_map(of).collect()
}

/// A group's cells, without its picture; `k` counts groups.
pub fn group(evaluation: &Evaluation, k: usize, group: &Group) -> [String; GROUP_HEAD.len() - 1] {
    let side = |mark: &Mark| if mark.above { "higher" } else { "lower" };
    let mark = |mark: &Mark| {
        let (name, side, percent) = (&mark.feature, side(mark), 100.0 * mark.share);
        format!("{name} {side} ({percent:.0} %): {}, usually {}", few(mark.there), few(mark.usual))
    };
    let class = |(class, n): &(Option<String>, usize)| {
        format!("{} {n}", class.as_deref().unwrap_or("not labelled"))
    };
    [
        format!("{}, {}", k + 1, rfc3339(evaluation.grid.time(group.shown))),
        group.rows.len().to_string(),
        group.n_incidents.to_string(),
        group.marks.iter().map(mark).collect::<Vec<_>>().join("; "),
        group.classes.iter().map(class).collect::<Vec<_>>().join(", "),
    ]
}

/// A number with as many digits as one compares.
fn few(value: f64) -> String {
    let decimals = 2 - value.abs().max(1e-4).log10().floor() as i64;
    match value {
        value if value.is_nan() => "–".to_string(),
        value if value == 0.0 || (1e-4..1e6).contains(&value.abs()) => {
            let text = format!("{value:.*}", decimals.clamp(0, 6) as usize);
            let short =
                text.contains('.').then(|| text.trim_end_matches('0').trim_end_matches('.'));
            short.unwrap_or(&text).to_string()
        }
        value => format!("{value:.2e}"),
    }
}

/// Which rows were for what, a line each.
pub fn parts(evaluation: &Evaluation) -> Vec<String> {
    let grid = evaluation.grid;
    let part = |name: &str, rows: &Range<usize>, what: &str| {
        let n = rows.len();
        let inside = |at: &&(Range<usize>, String)| at.0.start < rows.end && rows.start < at.0.end;
        let n_labelled = evaluation.labelled.iter().filter(inside).count();
        let times = match n {
            0 => String::new(),
            _ => {
                format!(", {} to {}", rfc3339(grid.time(rows.start)), rfc3339(grid.time(rows.end)))
            }
        };
        format!("{name}: {n} rows{times}, {n_labelled} labelled stretches: {what}")
    };
    let mut lines = vec![
        part("training", &evaluation.train, "learnt from, without the labelled anomalies"),
        part("validation", &evaluation.validation, "the winner is chosen by them"),
        part("test", &evaluation.test, "everything is judged on them"),
    ];
    if evaluation.detectors.iter().any(|judged| judged.outcome.is_ok()) {
        let Chance { validation, test } = evaluation.chance;
        let [validation, test] = [validation, test].map(ratio);
        lines.push(format!(
            "chance: a score that says nothing has VUS-PR {validation} (validation) and {test} (test)"
        ));
    }
    lines.extend(evaluation.holdout_class.as_ref().map(|class| {
        format!(
            "held out: {class} is a gap in training and validation, and wanted in the test part"
        )
    }));
    lines
}

/// Who is best, in a line.
pub fn winner(evaluation: &Evaluation) -> String {
    let Some(winner) = evaluation.winner else {
        return "winner: none, there is no labelled anomaly in the validation part to choose by"
            .to_string();
    };
    let judged = &evaluation.detectors[winner.place];
    let Ok(Outcome { validation, test, .. }) = &judged.outcome else { return String::new() };
    let budget = match winner.keeps_budget {
        true => "compatible with the page budget",
        false => "like all others beyond the page budget",
    };
    format!(
        "winner: {} (validation: VUS-PR {}, {} false pages a week, {budget}); test: VUS-PR {}, {} \
         incidents found, {} to detect, {} false pages a week{}{}",
        judged.detector,
        ratio(validation.vus_pr),
        pages(validation),
        ratio(test.vus_pr),
        found(test),
        after(test.detect_s),
        pages(test),
        control(evaluation),
        no_better_than_chance(evaluation, validation.vus_pr),
    )
}

/// Where the best knows no more than a score that says nothing.
fn no_better_than_chance(evaluation: &Evaluation, vus_pr: f64) -> String {
    let chance = evaluation.chance.validation;
    match vus_pr > chance {
        true => String::new(),
        false => format!("; no better than chance, which has {} (validation)", ratio(chance)),
    }
}

/// The best of the controls: whether it was worth the trouble.
fn control(evaluation: &Evaluation) -> String {
    let controls = evaluation.detectors.iter().filter(|judged| judged.control);
    let judged = controls.filter_map(|judged| Some((judged, judged.outcome.as_ref().ok()?)));
    let known = judged.filter(|(_, outcome)| !outcome.validation.vus_pr.is_nan());
    let best = known.max_by(|a, b| a.1.validation.vus_pr.total_cmp(&b.1.validation.vus_pr));
    best.map_or(String::new(), |(judged, Outcome { validation, test, .. })| {
        format!(
            "; control: {} (validation: VUS-PR {}; test: VUS-PR {}, {} incidents found)",
            judged.detector,
            ratio(validation.vus_pr),
            ratio(test.vus_pr),
            found(test),
        )
    })
}

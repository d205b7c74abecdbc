//! The evaluation as one page that needs nothing else.

use std::fmt::Write as _;
use std::ops::Range;

use super::Evaluation;
use super::Group;
use super::Judged;
use super::Mark;
use super::Outcome;
use super::Quality;
use super::words;
use crate::detect::Look;
use crate::plot;
use crate::plot::Curves;
use crate::plot::Glimpse;
use crate::plot::Loss;
use crate::plot::Losses;
use crate::plot::Timeline;
use crate::plot::escaped;
use crate::quality::Confusion;
use crate::verdict::rfc3339;

const STYLE: &str = "body{font-family:Roboto,'Helvetica Neue',Arial,sans-serif;color:#1a1a1a;\
    max-width:1240px;margin:2em auto;padding:0 1em}table{border-collapse:collapse;margin:1em 0}\
    th,td{padding:.3em .8em;border-bottom:1px solid #e9e9e9;text-align:right}\
    th:first-child,td:first-child{text-align:left}th{color:#5c5c5c;font-weight:500}\
    tr.winner{background:#eef6ee}.matrices{display:flex;flex-wrap:wrap;gap:2em}\
    table.groups td{text-align:left;vertical-align:top}caption{text-align:left;font-weight:500}p.winner{font-weight:500}svg{max-width:100%;height:auto}";

/// The page: tables, matrices and pictures of what was judged from the file named `title`. HTML that is
/// also XML, with its pictures in it and no script.
pub fn report(evaluation: &Evaluation, title: &str) -> String {
    let title = escaped(title);
    let mut page = format!(
        "<!DOCTYPE html>\n<html lang=\"en\" xmlns=\"http://www.w3.org/1999/xhtml\">\n<head>\
         <meta charset=\"utf-8\"/><title>{title}: evaluation</title><style>{STYLE}</style></head>\n\
         <body>\n<h1>{title}</h1>\n"
    );
    for line in words::parts(evaluation) {
        let _ = writeln!(page, "<p>{}</p>", escaped(&line));
    }
    let _ = writeln!(page, "<p class=\"winner\">{}</p>", escaped(&words::winner(evaluation)));
    page.push_str("<h2>Test part</h2>\n");
    table(&mut page, evaluation, "test", |outcome| &outcome.test);
    page.push_str("<h2>Classes of the test part</h2>\n");
    classes(&mut page, evaluation);
    groups(&mut page, evaluation);
    page.push_str(
        "<h2>Confusion matrices of the test part, in rows</h2>\n<div class=\"matrices\">\n",
    );
    for (judged, outcome) in judged(evaluation) {
        matrix(&mut page, judged.detector, &outcome.test.rows);
    }
    page.push_str("</div>\n<h2>Precision and recall</h2>\n");
    page.push_str(&plot::curves(&precision(evaluation)).to_svg_within("curves-"));
    page.push_str("<h2>Scores</h2>\n");
    page.push_str(&plot::timeline(&scores(evaluation)).to_svg_within("scores-"));
    let trained = losses(evaluation);
    if !trained.curves.is_empty() {
        page.push_str("<h2>Losses of training</h2>\n");
        page.push_str(&plot::losses(&trained).to_svg_within("losses-"));
    }
    page.push_str("<h2>Validation part</h2>\n<p>What the choice was made by.</p>\n");
    table(&mut page, evaluation, "validation", |outcome| &outcome.validation);
    page.push_str("</body>\n</html>\n");
    page
}

/// Those that could learn.
fn judged(evaluation: &Evaluation) -> impl Iterator<Item = (&Judged, &Outcome)> {
    evaluation.detectors.iter().filter_map(|judged| Some((judged, judged.outcome.as_ref().ok()?)))
}

fn row(page: &mut String, class: &str, tag: &str, cells: &[String]) {
    let cells = cells.iter().map(|cell| format!("<{tag}>{}</{tag}>", escaped(cell)));
    let class = if class.is_empty() { String::new() } else { format!(" class=\"{class}\"") };
    let _ = writeln!(page, "<tr{class}>{}</tr>", cells.collect::<String>());
}

fn table(page: &mut String, evaluation: &Evaluation, id: &str, of: fn(&Outcome) -> &Quality) {
    let _ = writeln!(page, "<table id=\"{id}\">");
    row(page, "", "th", &words::HEAD.map(String::from));
    for (place, judged) in evaluation.detectors.iter().enumerate() {
        let winner = evaluation.winner.is_some_and(|winner| winner.place == place);
        let class = if winner { "winner" } else { "" };
        row(page, class, "td", &words::row(judged, of));
    }
    page.push_str("</table>\n");
}

fn classes(page: &mut String, evaluation: &Evaluation) {
    page.push_str("<table id=\"classes\">\n");
    row(page, "", "th", &words::CLASS_HEAD.map(String::from));
    for cells in words::classes(evaluation) {
        row(page, "", "td", &cells);
    }
    page.push_str("</table>\n");
}

/// Of the autoencoder, where it was among those judged and found something.
fn groups(page: &mut String, evaluation: &Evaluation) {
    for (judged, outcome) in judged(evaluation).filter(|(_, outcome)| !outcome.groups.is_empty()) {
        let n_rows: usize = outcome.groups.iter().map(|group| group.rows.len()).sum();
        let _ = writeln!(
            page,
            "<h2>Groups of anomalies</h2>\n<p>The {n_rows} rows of the test part that the {} scored above 1, \
             by which features left what it expected, to which side, and in what proportion; labels have no \
             part in it. Each picture is of the row that is most like the others of its group; grey is what \
             was usual in training.</p>\n<table class=\"groups\">",
            escaped(judged.detector)
        );
        row(page, "", "th", &words::GROUP_HEAD.map(String::from));
        for (k, group) in outcome.groups.iter().enumerate() {
            let cells = words::group(evaluation, k, group);
            let cells = cells.iter().map(|cell| format!("<td>{}</td>", escaped(cell)));
            let name = format!("{}-group-{}-", judged.detector, k + 1);
            let picture = plot::glimpse(&glimpse(evaluation, k, group)).to_svg_within(&name);
            let _ = writeln!(page, "<tr>{}<td>{picture}</td></tr>", cells.collect::<String>());
        }
        page.push_str("</table>\n");
    }
}

fn glimpse(evaluation: &Evaluation, k: usize, group: &Group) -> Glimpse {
    let strip = |mark: &Mark| (mark.feature.clone(), mark.usual, mark.around.clone());
    Glimpse {
        title: format!("Group {}", k + 1),
        start_s: evaluation.grid.time(group.around.start),
        step_s: evaluation.grid.step_s,
        moment_s: evaluation.grid.time(group.shown),
        strips: group.marks.iter().map(strip).collect(),
    }
}

fn matrix(page: &mut String, detector: &str, rows: &Confusion) {
    let Confusion { true_positives, false_positives, false_negatives, true_negatives } = *rows;
    let _ = writeln!(page, "<table class=\"matrix\"><caption>{}</caption>", escaped(detector));
    row(page, "", "th", &["", "alarm", "no alarm"].map(String::from));
    let counts = |name: &str, a: usize, b: usize| [name.to_string(), a.to_string(), b.to_string()];
    row(page, "", "td", &counts("anomaly", true_positives, false_negatives));
    row(page, "", "td", &counts("normal", false_positives, true_negatives));
    page.push_str("</table>\n");
}

fn precision(evaluation: &Evaluation) -> Curves {
    let curve = |(judged, outcome): (&Judged, &Outcome)| {
        (judged.detector.to_string(), outcome.curve.clone())
    };
    Curves {
        title: "Precision and recall".to_string(),
        subtitle: "Rows of the test part, at every threshold".to_string(),
        curves: judged(evaluation).map(curve).collect(),
    }
}

/// Of the networks among them.
fn losses(evaluation: &Evaluation) -> Losses {
    let networks = judged(evaluation).filter(|(_, outcome)| !outcome.looks.is_empty());
    let curve = |(judged, outcome): (&Judged, &Outcome)| {
        (judged.detector.to_string(), outcome.looks.iter().map(loss).collect())
    };
    Losses {
        title: "Losses of training".to_string(),
        subtitle: "The weights of the least held-out loss were kept".to_string(),
        curves: networks.map(curve).collect(),
    }
}

/// A look as a picture wants it.
pub(crate) fn loss(look: &Look) -> Loss {
    let Look { step, loss, held_out } = *look;
    Loss { step, training: f64::from(loss), held_out: f64::from(held_out) }
}

fn scores(evaluation: &Evaluation) -> Timeline {
    let grid = evaluation.grid;
    let time = |row: usize| grid.time(row);
    let test_s = time(evaluation.test.start);
    let wrong = |(rows, _): &(Range<usize>, String)| (time(rows.start), time(rows.end));
    let strip = |(judged, outcome): (&Judged, &Outcome)| {
        (judged.detector.to_string(), outcome.scores.clone())
    };
    Timeline {
        title: "Scores".to_string(),
        subtitle: "After what was learnt from; higher than 3 is shown as 3".to_string(),
        start_s: time(evaluation.validation.start),
        step_s: grid.step_s,
        strips: judged(evaluation).map(strip).collect(),
        wrong: evaluation.labelled.iter().map(wrong).collect(),
        border: (test_s, format!("test part from {}", rfc3339(test_s))),
    }
}

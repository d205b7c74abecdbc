//! One pass of every watch, then the end: for a Job, or for a person who wants to see.
//!
//! Owns: what is said of the pass, and when it counts as failed. Does not own: the pass (`pipeline`).

use std::collections::BTreeMap;

use serde_json::json;

use super::Error;
use super::Inputs;
use super::cores;
use super::counted::counted;
use super::finding;
use super::now_s;
use super::offline::columns;
use super::say;
use crate::export::Board;
use crate::export::Format;
use crate::pipeline::Alike;
use crate::pipeline::Findings;
use crate::pipeline::Found;
use crate::pipeline::Opined;
use crate::pipeline::PassError;
use crate::pipeline::Pipeline;
use crate::schedule;
use crate::store::Lock;
use crate::store::Store;
use crate::verdict::rfc3339;
use crate::watch::Watch;
use crate::workers::Workers;

/// How scores are said.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ScoreFormat {
    /// A line per score, one for what an alarm looks like, and one for what has no score.
    Table,
    /// One JSON object.
    Json,
    /// What a scrape would see, in Prometheus' text format: for node_exporter's textfile collector.
    Prometheus,
}

/// Scores every watch once and prints what was found. Streaks go on from the pass before, of whomever.
///
/// # Errors
/// The configuration, the source or the store cannot be used, or a sidecar has the store; a pass failed, or
/// scored nobody (what was found elsewhere is printed all the same).
pub async fn score(inputs: Inputs, format: ScoreFormat) -> Result<(), Error> {
    let config = inputs.load()?;
    let board = Board::new();
    let source = counted(inputs.source(&config)?, &board);
    let mut terminations = schedule::Terminations::new()?;
    let folder = inputs.store_folder(&config);
    // Two that hold streaks would each write what the other knows better.
    let Some(_lock) = Lock::take(folder)? else {
        let what = "a sidecar has it: its scores are on its /metrics";
        return Err(format!("store {}: {what}", folder.display()).into());
    };
    let store = Store::open(folder)?;
    let workers = Workers::new(cores());
    let all = async {
        let watches = finding::at_once(&source, inputs.candidates(&config)?).await?;
        let mut passes = Vec::new();
        for watch in watches {
            let name = watch.name.clone();
            let (source, store) = (source.clone(), store.clone());
            let (board, workers) = (board.clone(), workers.clone());
            let mut pipeline = Pipeline::new(watch.clone(), source, store, board, workers);
            passes.push((watch, pipeline.find(now_s()).await));
            tracing::debug!(watch = name, "scored");
        }
        Ok::<_, Error>(passes)
    };
    let passes = tokio::select! {
        passes = all => passes?,
        signal = terminations.next() => {
            workers.stop();
            return Err(signal.into());
        }
    };
    if passes.is_empty() {
        return Err(format!("{}: nothing there that a preset watches", source.describe()).into());
    }
    say(&match format {
        ScoreFormat::Table => table(&passes),
        ScoreFormat::Json => as_json(&passes),
        ScoreFormat::Prometheus => {
            String::from_utf8_lossy(&board.scrape(Format::Text, false).into_bytes()).into_owned()
        }
    })?;
    failure(&passes).map_or(Ok(()), |what| Err(what.into()))
}

type Pass = (Watch, Result<Findings, PassError>);

/// What went wrong, a line per watch.
fn failure(passes: &[Pass]) -> Option<String> {
    let failed = |(watch, pass): &Pass| match pass {
        Err(error) => Some(error.to_string()),
        Ok(findings) if findings.scores.is_empty() => {
            let mut reasons: BTreeMap<&str, usize> = BTreeMap::new();
            findings.missing.iter().for_each(|m| *reasons.entry(m.reason).or_default() += 1);
            let reasons: Vec<String> =
                reasons.iter().map(|(why, n)| format!("{why} ({n})")).collect();
            let why = if reasons.is_empty() { "no series".into() } else { reasons.join(", ") };
            Some(format!("watch {:?}: nobody has a score: {why}", watch.name))
        }
        Ok(_) => None,
    };
    let failed: Vec<String> = passes.iter().filter_map(failed).collect();
    (!failed.is_empty()).then(|| failed.join("\n"))
}

fn findings(passes: &[Pass]) -> impl Iterator<Item = &Findings> {
    passes.iter().filter_map(|(_, pass)| pass.as_ref().ok())
}

fn table(passes: &[Pass]) -> String {
    let heads = [
        "WATCH", "ENTITY", "FEATURE", "DETECTOR", "SCORE", "STREAK", "ANOMALY", "OBSERVED",
        "EXPECTED", "TIME",
    ];
    let mut scores = vec![heads.map(String::from)];
    scores.extend(findings(passes).flat_map(|findings| &findings.scores).map(line));
    let mut missing = vec![["WATCH", "ENTITY", "FEATURE", "PROBLEM"].map(String::from)];
    for lacks in findings(passes).flat_map(|findings| &findings.missing) {
        let (entity, feature) = (lacks.entity.to_string(), lacks.feature.clone());
        let entity = if entity.is_empty() { "-".into() } else { entity };
        let cells = [lacks.watch.clone(), entity, or_dash(feature), lacks.reason.into()];
        missing.push(cells);
    }
    let heads = ["WATCH", "ENTITY", "DETECTOR", "CLASS", "PROBABILITY", "LOOKS LIKE (DISTANCE)"];
    let mut opinions = vec![heads.map(String::from)];
    opinions.extend(findings(passes).flat_map(Findings::opinions_above).map(opinion));
    let tables = [
        (scores.len() > 1, columns(&scores)),
        (opinions.len() > 1, columns(&opinions)),
        (missing.len() > 1, columns(&missing)),
    ];
    let tables: Vec<String> =
        tables.into_iter().filter_map(|(any, table)| any.then_some(table)).collect();
    tables.join("\n")
}

fn line(found: &Found) -> [String; 10] {
    let value = |value: Option<f64>| or_dash(value.map(|value| format!("{value:.4}")));
    [
        found.watch.clone(),
        found.entity.to_string(),
        or_dash(found.feature.clone()),
        found.detector.clone(),
        format!("{:.2}", found.score),
        found.streak_points.to_string(),
        if found.anomaly { "yes".into() } else { "no".into() },
        value(found.band.map(|band| band.observed)),
        value(found.band.map(|band| band.expected)),
        rfc3339(found.time_s),
    ]
}

/// The likeliest class, and the labelled incidents that were most like it.
fn opinion(opined: &Opined) -> [String; 6] {
    let likeliest = opined.classes.first();
    let alike = |Alike { incident, class, distance }: &Alike| {
        let class = class.as_deref().map(|class| format!(" {class}")).unwrap_or_default();
        format!("{incident}{class} ({distance:.2})")
    };
    let similar: Vec<String> = opined.similar.iter().map(alike).collect();
    [
        opined.watch.clone(),
        opined.entity.to_string(),
        opined.detector.clone(),
        or_dash(likeliest.map(|known| known.class.clone())),
        or_dash(likeliest.map(|known| format!("{:.2}", known.probability))),
        if similar.is_empty() { "-".into() } else { similar.join(", ") },
    ]
}

fn or_dash(text: Option<String>) -> String {
    text.unwrap_or_else(|| "-".into())
}

fn as_json(passes: &[Pass]) -> String {
    let scores: Vec<_> = findings(passes).flat_map(|findings| &findings.scores).collect();
    let opinions: Vec<_> = findings(passes).flat_map(|findings| &findings.opinions).collect();
    let missing: Vec<_> = findings(passes).flat_map(|findings| &findings.missing).collect();
    let above = findings(passes).flat_map(Findings::above).count();
    let failed = passes.iter().filter_map(|(watch, pass)| {
        let error = pass.as_ref().err()?.to_string();
        Some(json!({"watch": watch.name, "error": error}))
    });
    let failed: Vec<_> = failed.collect();
    let all = json!({
        "scores": scores, "opinions": opinions, "missing": missing, "above": above, "failed": failed,
    });
    format!("{all:#}\n")
}

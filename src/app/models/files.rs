//! Models as files that people hand around: a JSON card, and beside it the model, never executable.
//!
//! Owns: the form of a card, and what a file must keep to be taken. Whatever the files hold, nothing here
//! panics, reads outside their folder, or takes what a watch would not have made itself.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::Read;
use std::path::Path;
use std::path::PathBuf;

use serde::Deserialize;
use serde::Serialize;
use serde_json::Value;

use super::Error;
use super::Which;
use super::Word;
use super::known_watches;
use super::meant;
use super::put;
use super::select;
use super::sound;
use super::unsuited;
use crate::app::now_s;
use crate::app::offline::existing;
use crate::app::offline::write_whole;
use crate::model::Model;
use crate::model::sha256;
use crate::series::Entity;
use crate::store::Change;
use crate::store::Deed;
use crate::store::ModelKey;
use crate::store::NewModel;
use crate::store::Store;
use crate::watch::Watch;

/// No card is longer, and no model: a forest of a thousand trees has 3 MB.
const MOST_CARD_BYTES: u64 = 1 << 20;
const MOST_MODEL_BYTES: u64 = 256 << 20;

/// Bytes of models that are held in memory and written at once.
const AT_ONCE: usize = 32 << 20;

/// How far another machine's clock may be ahead of ours.
const CLOCK_SKEW_S: i64 = 300;

/// The card beside a model's file.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Card {
    /// [`FORMAT`].
    format: String,
    watch: String,
    entity: Entity,
    feature: Option<String>,
    detector: String,
    /// In the store that it comes from.
    version: i64,
    trained_s: i64,
    sha256: String,
    /// The model's file, in the folder of the card.
    file: String,
    /// What people may want to know of it; nobody reads it again.
    card: Value,
}

const FORMAT: &str = "portent-model/1";

/// Files to import, and what may be said otherwise than they do.
#[derive(Debug, Clone, Default)]
pub struct ModelFiles {
    /// Cards, or folders of cards.
    pub paths: Vec<PathBuf>,
    /// The watch that they are for, where the cards name another.
    pub watch: Option<String>,
    /// The entity that they are for, as text, where the cards name another.
    pub entity: Option<String>,
    /// Whether they are put in use at once.
    pub promote: bool,
}

/// Writes the versions that are meant to a folder, a card and a model each, and says which, a line each.
///
/// # Errors
/// There is no such version, one is damaged, or the folder cannot be written.
pub fn export_models(folder: &Path, which: &Which, output: &Path) -> Result<Vec<String>, Error> {
    let store = existing(folder)?;
    std::fs::create_dir_all(output).map_err(|error| format!("{}: {error}", output.display()))?;
    let mut said = Vec::new();
    for (key, rows) in select(&store, which)? {
        let Some(row) = meant(&rows, which) else { continue };
        sound(&store, &key, row.version)?;
        let Some(stored) = store.model(&key, row.version)? else { continue };
        let name = file_name(&key, row.version, &stored.sha256);
        let file = format!("{name}.model");
        write_whole(&output.join(&file), &stored.bytes)?;
        let text = format!("{key} version {}", row.version);
        let card = Card {
            format: FORMAT.into(),
            watch: key.watch,
            entity: key.entity,
            feature: key.feature,
            detector: key.detector,
            version: row.version,
            trained_s: stored.trained_s,
            sha256: stored.sha256,
            file,
            card: stored.card,
        };
        // After its model: where there is a card, all is there.
        let path = output.join(format!("{name}.json"));
        write_whole(&path, format!("{}\n", serde_json::to_string_pretty(&card)?).as_bytes())?;
        said.push(format!("{text}: {}", path.display()));
    }
    match said.is_empty() {
        true => Err("no such version; `portent models list` shows what there is".into()),
        false => Ok(said),
    }
}

/// A name that tells people what it is, and is another for each version of each key.
fn file_name(key: &ModelKey, version: i64, sha: &str) -> String {
    let parts = [Some(&key.watch), Some(&key.detector), key.feature.as_ref()];
    let parts: Vec<&str> = parts.into_iter().flatten().map(String::as_str).collect();
    let plain = |c: char| if c.is_ascii_alphanumeric() || matches!(c, '_' | '-') { c } else { '_' };
    let readable: String = parts.join("-").chars().take(80).map(plain).collect();
    let own = sha256(format!("{key} {version} {sha}").as_bytes());
    format!("{readable}-v{version}-{}", own.chars().take(12).collect::<String>())
}

/// Takes models from files into the store, and says which, a line each: versions of their own, kept for
/// ever, in use only where `promote` says so. All files are looked at before the first is taken.
///
/// # Errors
/// Every file that is not a model of one of these watches' settings, a line each; then none was taken.
pub fn import_models(
    folder: &Path,
    config_file: Option<&Path>,
    files: &ModelFiles,
    word: Word,
) -> Result<Vec<String>, Error> {
    let store = existing(folder)?;
    let entity = files.entity.as_deref().map(str::parse::<Entity>).transpose()?;
    let mut reading = Reading { config_file, files, entity, watches: BTreeMap::new() };
    let cards = cards(&files.paths)?;
    let mut problems = Vec::new();
    for path in &cards {
        problems.extend(reading.read(path).err().map(|why| format!("{}: {why}", path.display())));
    }
    if !problems.is_empty() {
        return Err(problems.join("\n").into());
    }
    let said = Word { hold_s: 0, ..word.clone() }.checked(Deed::Import)?;
    let (mut keys, mut lines) = (Vec::new(), Vec::new());
    let mut cards = cards.iter();
    loop {
        let (mut models, mut n_bytes) = (Vec::new(), 0);
        while n_bytes < AT_ONCE
            && let Some(path) = cards.next()
        {
            let model = reading.read(path).map_err(|why| format!("{}: {why}", path.display()))?;
            n_bytes += model.bytes.len();
            models.push(model);
        }
        if models.is_empty() {
            break;
        }
        let versions = store.import_models(&models, &said)?;
        for (model, (version, new)) in models.into_iter().zip(versions) {
            let how = if new { "imported" } else { "already there, of the same bytes" };
            lines.push(format!("{}: version {version} {how}", model.key));
            keys.push((model.key, version));
        }
    }
    if files.promote {
        let changes = keys.into_iter().map(|(key, to)| change(&store, key, to));
        let changes = changes.collect::<Result<Vec<_>, _>>()?;
        match put(&store, config_file, &changes, word.checked(Deed::Promote)?) {
            Ok(said) => lines.extend(said),
            // They are in the store by now.
            Err(error) => return Err(format!("{}\n{error}", lines.join("\n")).into()),
        }
    }
    Ok(lines)
}

fn change(store: &Store, key: ModelKey, to: i64) -> Result<Change, Error> {
    let (from, _) = store.version_before(&key)?;
    Ok(Change { key, from, to: Some(to) })
}

/// The cards that paths name, in the order of their names within a folder.
fn cards(paths: &[PathBuf]) -> Result<Vec<PathBuf>, Error> {
    let mut cards = Vec::new();
    for path in paths {
        let fail = |what: String| Error::from(format!("{}: {what}", path.display()));
        if !path.is_dir() {
            cards.push(path.clone());
            continue;
        }
        let mut inside = Vec::new();
        for entry in std::fs::read_dir(path).map_err(|error| fail(error.to_string()))? {
            let entry = entry.map_err(|error| fail(error.to_string()))?.path();
            if entry.extension().is_some_and(|extension| extension == "json") {
                inside.push(entry);
            }
        }
        if inside.is_empty() {
            return Err(fail("a folder without a card (*.json)".into()));
        }
        inside.sort();
        cards.extend(inside);
    }
    Ok(cards)
}

/// How files are read.
struct Reading<'a> {
    config_file: Option<&'a Path>,
    files: &'a ModelFiles,
    entity: Option<Entity>,
    /// By name, as they are needed.
    watches: BTreeMap<String, Vec<Watch>>,
}

impl Reading<'_> {
    /// A model that a watch could have made, or why these files are none.
    fn read(&mut self, path: &Path) -> Result<NewModel, String> {
        let card = content(path, MOST_CARD_BYTES)?;
        let card: Card = serde_json::from_slice(&card).map_err(|e| format!("not a card: {e}"))?;
        if card.format != FORMAT {
            return Err(format!("format {:?}, wanted {FORMAT:?}", card.format));
        }
        if !(0..=now_s() + CLOCK_SKEW_S).contains(&card.trained_s) {
            return Err(format!("trained_s: {}; wanted a time that has passed", card.trained_s));
        }
        if Path::new(&card.file).file_name() != Some(card.file.as_ref()) {
            return Err(format!(
                "file: {:?}; wanted the name of a file beside the card",
                card.file
            ));
        }
        let beside = path.parent().unwrap_or(Path::new("")).join(&card.file);
        let bytes =
            content(&beside, MOST_MODEL_BYTES).map_err(|e| format!("{}: {e}", card.file))?;
        let model = Model::from_stored(&bytes, &card.sha256);
        let model = model.map_err(|error| format!("{}: {error}", card.file))?;
        let key = ModelKey {
            watch: self.files.watch.clone().unwrap_or(card.watch),
            entity: self.entity.clone().unwrap_or(card.entity),
            feature: card.feature,
            detector: card.detector,
        };
        self.check(&key, &model)?;
        let Card { sha256, trained_s, .. } = card;
        // Not the file's own words: a store lists what is in the model.
        Ok(NewModel { card: model.card(), key, bytes, sha256, trained_s })
    }

    fn check(&mut self, key: &ModelKey, model: &Model) -> Result<(), String> {
        let name = key.watch.as_str();
        if !self.watches.contains_key(name) {
            let known = known_watches(self.config_file, name).map_err(|error| error.to_string())?;
            self.watches.insert(name.to_string(), known);
        }
        let watches = &self.watches[name];
        let Some(watch) = watches.first() else {
            return Err(format!("watch {name:?}: wanted the --config.file that says what it is"));
        };
        let strange = |(label, _): &(&str, &str)| !watch.entity.iter().any(|known| known == label);
        if let Some((label, _)) = key.entity.pairs().find(strange) {
            let known = watch.entity.join(", ");
            return Err(format!("watch {name} has no entity label {label:?}; there are: {known}"));
        }
        unsuited(model, key, watches).map_or(Ok(()), |why| {
            let (detector, of) = (model.detector(), key.feature.as_deref());
            let of = of.unwrap_or("all features");
            Err(format!(
                "{detector} of {of} is not what watch {name} would make by its settings ({why}): it would not score"
            ))
        })
    }
}

/// What a file holds, if it is one and no longer than `most` bytes.
fn content(path: &Path, most: u64) -> Result<Vec<u8>, String> {
    let said = |error: std::io::Error| error.to_string();
    let file = path.metadata().map_err(said)?;
    if !file.is_file() {
        return Err("not a file".into());
    }
    let mut bytes = Vec::new();
    File::open(path).map_err(said)?.take(most + 1).read_to_end(&mut bytes).map_err(said)?;
    match bytes.len() as u64 > most {
        true => Err(format!("too long; wanted at most {} MiB", most >> 20)),
        false => Ok(bytes),
    }
}

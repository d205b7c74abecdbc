//! What people do with models: look at them, put one in use, go back to the one before.
//!
//! Owns: which versions are meant by what was said, and whether they may be put in use.
//! Does not own: the files of models (`files`), where versions are kept (`store`).

mod back;
mod files;
mod show;

use std::collections::BTreeMap;
use std::path::Path;

use super::Error;
use super::labels::from_command_line;
use super::now_s;
use super::offline::existing;
use crate::config;
use crate::config::Preset;
use crate::labels::MAX_AUTHOR_LEN;
use crate::labels::MAX_NOTE_LEN;
use crate::model::Model;
use crate::series::Entity;
use crate::store::Change;
use crate::store::Deed;
use crate::store::ModelKey;
use crate::store::ModelRow;
use crate::store::ModelState;
use crate::store::ModelWord;
use crate::store::Store;
use crate::train::recipe;
use crate::verdict::rfc3339;
use crate::watch::Watch;

pub use back::roll_back_models;
pub use files::ModelFiles;
pub use files::export_models;
pub use files::import_models;
pub use show::show_models;

/// Which versions are meant; what is left out narrows nothing.
#[derive(Debug, Clone, Default)]
pub struct Which {
    /// The watch.
    pub watch: Option<String>,
    /// The entity, as text.
    pub entity: Option<String>,
    /// The detector's name.
    pub detector: Option<String>,
    /// The feature's name, of detectors that have a model for each.
    pub feature: Option<String>,
    /// The version; without it, the one in use.
    pub version: Option<i64>,
}

/// Who says it, and for how long it holds.
#[derive(Debug, Clone, Default)]
pub struct Word {
    /// Who; without it, the login name.
    pub author: Option<String>,
    /// Why.
    pub note: Option<String>,
    /// For how long no training puts another version in use, in seconds; 0 for not at all.
    pub hold_s: i64,
}

impl Word {
    fn checked(self, deed: Deed) -> Result<ModelWord, Error> {
        let text = |what: &str, text: Option<String>, most: usize| {
            let text = text.map(|text| text.trim().to_string()).filter(|text| !text.is_empty());
            match text {
                Some(text) if text.len() > most => {
                    Err(Error::from(format!("{what}: longer than {most} bytes")))
                }
                text => Ok(text),
            }
        };
        let created_s = now_s();
        Ok(ModelWord {
            deed,
            before: None,
            hold_until_s: (self.hold_s > 0).then(|| created_s.saturating_add(self.hold_s)),
            author: text("--author", from_command_line(self.author).author, MAX_AUTHOR_LEN)?,
            note: text("--note", self.note, MAX_NOTE_LEN)?,
            created_s,
        })
    }
}

/// The watches of this name, in the form for either kind of server: of the configuration, else the preset;
/// empty where neither knows.
///
/// # Errors
/// The configuration is wrong, or has no such watch.
fn known_watches(config_file: Option<&Path>, name: &str) -> Result<Vec<Watch>, Error> {
    let mut watches = Vec::new();
    let mut calendar = None;
    if let Some(path) = config_file {
        let forms = [config::load_for(path, true)?, config::load_for(path, false)?];
        if let Some(all) = &forms[0].watches {
            let known: Vec<&str> = all.iter().map(|watch| watch.name.as_str()).collect();
            if !known.contains(&name) {
                let known = known.join(", ");
                return Err(format!("no watch is named {name:?}; there are: {known}").into());
            }
            let of_form = |form: config::Config| form.watches.unwrap_or_default();
            watches.extend(forms.into_iter().flat_map(of_form));
            watches.retain(|watch| watch.name == name);
            return Ok(watches);
        }
        calendar = Some(forms[0].calendar.clone());
    }
    if let Some(preset) = Preset::named(name) {
        watches.extend(preset.watch());
        watches.extend(preset.classic().and_then(|classic| classic.watch()));
    }
    if let Some(calendar) = calendar {
        watches.iter_mut().for_each(|watch| watch.calendar = calendar.clone());
    }
    Ok(watches)
}

/// Why the model is none that these settings make of this key, in any of the watch's forms; `None` where it is.
fn unsuited(model: &Model, key: &ModelKey, watches: &[Watch]) -> Option<String> {
    let mut why = None;
    for watch in watches {
        for (detector, feature) in watch.members() {
            let name = feature.map(|f| watch.features[f].name.as_str());
            if (detector.name(), name) == (key.detector.as_str(), key.feature.as_deref()) {
                let differs = model.differs_from(&recipe(watch, detector, feature))?;
                why.get_or_insert(differs);
            }
        }
    }
    Some(why.unwrap_or_else(|| "the watch has no such detector, or no such feature".to_owned()))
}

/// The versions of each model that is meant, oldest first.
fn select(store: &Store, which: &Which) -> Result<BTreeMap<ModelKey, Vec<ModelRow>>, Error> {
    let entity = which.entity.as_deref().map(str::parse::<Entity>).transpose()?;
    let mut selected: BTreeMap<ModelKey, Vec<ModelRow>> = BTreeMap::new();
    let rows = store.models(which.watch.as_deref())?;
    let is = |wanted: &Option<String>, has: Option<&str>| {
        wanted.as_deref().is_none_or(|wanted| has == Some(wanted))
    };
    let meant = |row: &ModelRow| {
        let ModelKey { entity: of, feature, detector, .. } = &row.key;
        entity.as_ref().is_none_or(|entity| entity == of)
            && is(&which.feature, feature.as_deref())
            && is(&which.detector, Some(detector))
    };
    for row in rows.into_iter().filter(meant) {
        selected.entry(row.key.clone()).or_default().push(row);
    }
    match selected.is_empty() {
        true => Err("no such model; `portent models list` shows what there is".into()),
        false => Ok(selected),
    }
}

/// The version that is meant: the one that was named, else the one in use, else the newest.
fn meant<'a>(rows: &'a [ModelRow], which: &Which) -> Option<&'a ModelRow> {
    match which.version {
        Some(version) => rows.iter().find(|row| row.version == version),
        None => rows.iter().find(|row| row.state == ModelState::Promoted).or(rows.last()),
    }
}

/// The model of a version; one that a pass would refuse may not be put in use.
fn sound(store: &Store, key: &ModelKey, version: i64) -> Result<Model, Error> {
    let stored = store.model(key, version)?;
    let stored = stored.ok_or_else(|| format!("there is no version {version} of {key}"))?;
    Model::from_stored(&stored.bytes, &stored.sha256)
        .map_err(|error| format!("version {version} of {key}: {error}").into())
}

/// Puts versions in use as a person says, and says what changed, a line each.
///
/// # Errors
/// No such version, or one that could not score; then all are as they were.
pub fn promote_models(
    folder: &Path,
    config_file: Option<&Path>,
    which: &Which,
    word: Word,
) -> Result<Vec<String>, Error> {
    let store = existing(folder)?;
    let version = which.version.ok_or("--version: wanted the one to put in use")?;
    let selected = select(&store, which)?;
    let mut changes = Vec::new();
    let mut trained = BTreeMap::new();
    for (key, rows) in &selected {
        let found = meant(rows, which);
        let row = found.ok_or_else(|| format!("there is no version {version} of {key}"))?;
        trained.insert(row.trained_s, key);
        let in_use = rows.iter().find(|row| row.state == ModelState::Promoted);
        let from = in_use.map(|row| row.version);
        changes.push(Change { key: key.clone(), from, to: Some(version) });
    }
    if let (Some((first_s, first)), Some((last_s, last))) =
        (trained.first_key_value(), trained.last_key_value())
        && first_s != last_s
    {
        let of = |time_s: i64, key: &ModelKey| format!("{key} of {}", rfc3339(time_s));
        return Err(format!(
            "version {version} was not trained at once: {}, {}; name one with --entity, --detector, --feature",
            of(*first_s, first),
            of(*last_s, last)
        )
        .into());
    }
    put(&store, config_file, &changes, word.checked(Deed::Promote)?)
}

/// Makes changes whose versions can score.
fn put(
    store: &Store,
    config_file: Option<&Path>,
    changes: &[Change],
    word: ModelWord,
) -> Result<Vec<String>, Error> {
    let mut settings: BTreeMap<&str, Vec<Watch>> = BTreeMap::new();
    let mut in_use: BTreeMap<&str, BTreeMap<ModelKey, ModelRow>> = BTreeMap::new();
    for Change { key, to, .. } in changes {
        let Some(to) = *to else { continue };
        let (model, name) = (sound(store, key, to)?, key.watch.as_str());
        if config_file.is_none() {
            // What a sidecar scores by is made with its settings, which only it knows.
            if !in_use.contains_key(name) {
                let rows = store.models_in_use(Some(name))?.into_iter();
                in_use.insert(name, rows.map(|row| (row.key.clone(), row)).collect());
            }
            let other = |row: &&ModelRow| {
                row.fingerprint.as_deref().is_some_and(|known| known != model.fingerprint())
            };
            if let Some(row) = in_use[name].get(key).filter(other) {
                return Err(other_settings_than(key, to, row.version).into());
            }
            continue;
        }
        if !settings.contains_key(name) {
            settings.insert(name, known_watches(config_file, name)?);
        }
        let watches = &settings[name];
        if let Some(why) = unsuited(&model, key, watches).filter(|_| !watches.is_empty()) {
            return Err(other_settings(key, to, &why).into());
        }
    }
    store.put_in_use(changes, &word)?;
    let held = word.hold_until_s.map(|until_s| format!(", held until {}", rfc3339(until_s)));
    let held = held.unwrap_or_default();
    let line = |Change { key, from, to }: &Change| {
        let version = |version: &i64| format!("version {version}");
        let (old, new) = (from.as_ref().map(version), to.as_ref().map(version));
        match (old, new, from) {
            (Some(old), None, _) => {
                format!("{key}: {old} is out of use, and none in its place{held}")
            }
            (_, Some(new), None) => format!("{key}: {new} is in use{held}"),
            (_, Some(new), Some(_)) if from == to => {
                format!("{key}: {new} is in use as before{held}")
            }
            (_, Some(new), Some(from)) => format!("{key}: {new} is in use instead of {from}{held}"),
            (None, None, _) => format!("{key}: none is in use, as before"),
        }
    };
    Ok(changes.iter().map(line).collect())
}

/// What a sidecar would do with such a version: nothing.
fn other_settings(key: &ModelKey, version: i64, why: &str) -> String {
    format!(
        "version {version} of {key} was made with other settings than the configuration's ({why}): it would not score"
    )
}

/// What a running sidecar would do with such a version, as far as the store tells: nothing.
fn other_settings_than(key: &ModelKey, version: i64, in_use: i64) -> String {
    format!(
        "version {version} of {key} was made with other settings than version {in_use}, which is in use: a sidecar \
         that scores by that one would not score by it; where the settings have changed, name them with --config.file"
    )
}

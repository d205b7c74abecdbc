//! Going back: to the version before, or to none where others score.
//!
//! Owns: which versions people go back to, and what stays. Does not own: putting them in use (the module above).

use std::collections::BTreeMap;
use std::path::Path;

use super::Error;
use super::Which;
use super::Word;
use super::known_watches;
use super::put;
use super::select;
use crate::app::offline::existing;
use crate::detect;
use crate::series::Entity;
use crate::store::Change;
use crate::store::Deed;
use crate::store::ModelKey;
use crate::store::Store;
use crate::watch::Watch;

/// Puts the versions back in use that were before, and says what changed, a line each. Those that were in
/// use are rejected from then on. The first version of a detector that is named is taken out of use where
/// others score without it. What is not in use, and what the configuration has no more, is left as it is.
///
/// # Errors
/// There is none to go back to, or it could not score; then all are as they were.
pub fn roll_back_models(
    folder: &Path,
    config_file: Option<&Path>,
    which: &Which,
    word: Word,
) -> Result<Vec<String>, Error> {
    let store = existing(folder)?;
    let mut others = Others::new(&store, config_file);
    let (mut changes, mut stay) = (Vec::new(), Vec::new());
    for key in select(&store, which)?.into_keys() {
        if !others.knows(&key)? {
            stay.push(format!("{key}: the configuration has it no more, it stays as it is"));
            continue;
        }
        let (from, to) = store.version_before(&key)?;
        match (from, to) {
            (None, _) => {
                let how = "`portent models promote` puts one in use";
                stay.push(format!("{key}: none is in use, it stays so; {how}"));
            }
            (Some(_), Some(_)) => changes.push(Change { key, from, to }),
            (Some(only), None) => match (others.score_without(&key)?, &which.detector) {
                (true, Some(_)) => changes.push(Change { key, from, to }),
                (true, None) => {
                    let out = format!("--detector={} takes it out of use", key.detector);
                    stay.push(format!("{key}: none before version {only}, it stays; {out}"));
                }
                (false, _) => {
                    let why = "it stays, since nothing else would score";
                    stay.push(format!("{key}: none before version {only}; {why}"));
                }
            },
        }
    }
    if changes.is_empty() {
        let none = "no version to go back to; `portent models list` shows what there is";
        stay.insert(0, none.to_string());
        return Err(stay.join("\n").into());
    }
    let mut said = put(&store, config_file, &changes, word.checked(Deed::Rollback)?)?;
    said.extend(stay);
    Ok(said)
}

/// The settings of a watch, as far as they are known, and what is in use of each of its entities.
struct OfWatch {
    settings: Vec<Watch>,
    in_use: BTreeMap<Entity, Vec<ModelKey>>,
}

/// What else there is than a model, by watch.
struct Others<'a> {
    store: &'a Store,
    config_file: Option<&'a Path>,
    watches: BTreeMap<String, OfWatch>,
}

impl<'a> Others<'a> {
    fn new(store: &'a Store, config_file: Option<&'a Path>) -> Others<'a> {
        Others { store, config_file, watches: BTreeMap::new() }
    }

    fn of(&mut self, watch: &str) -> Result<&OfWatch, Error> {
        if !self.watches.contains_key(watch) {
            // Without a configuration a preset may have been changed: a sidecar's own settings are its own.
            let settings = match self.config_file {
                Some(_) => known_watches(self.config_file, watch)?,
                None => Vec::new(),
            };
            let mut in_use: BTreeMap<Entity, Vec<ModelKey>> = BTreeMap::new();
            for row in self.store.models_in_use(Some(watch))? {
                in_use.entry(row.key.entity.clone()).or_default().push(row.key);
            }
            self.watches.insert(watch.to_string(), OfWatch { settings, in_use });
        }
        self.watches.get(watch).ok_or_else(|| "no such watch".into())
    }

    /// Whether the settings have such a detector and feature, as far as they are known.
    fn knows(&mut self, key: &ModelKey) -> Result<bool, Error> {
        Ok(is_member(key, &self.of(&key.watch)?.settings))
    }

    /// Whether others of the entity judge what this one judges. Those that learn from incidents only add to what
    /// the others say.
    fn score_without(&mut self, key: &ModelKey) -> Result<bool, Error> {
        let supervised =
            |name: &str| detect::Config::named(name).is_some_and(|detector| detector.supervised());
        let OfWatch { settings, in_use } = self.of(&key.watch)?;
        let judges = |other: &&ModelKey| {
            let of_it = other.feature.is_none() || key.feature.is_none();
            other.detector != key.detector
                && (of_it || other.feature == key.feature)
                && (supervised(&key.detector) || !supervised(&other.detector))
                && is_member(other, settings)
        };
        Ok(in_use.get(&key.entity).into_iter().flatten().any(|other| judges(&other)))
    }
}

fn is_member(key: &ModelKey, watches: &[Watch]) -> bool {
    watches.is_empty()
        || watches.iter().any(|watch| {
            let member = (key.feature.clone(), key.detector.clone());
            watch.fingerprints().contains_key(&member)
        })
}

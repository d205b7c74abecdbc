//! People's labels, and the feature rows kept with them.
//!
//! Owns: the log of labels and which of them is the present word on an interval.
//! Does not own: how a label is read and checked (`labels`).

use rusqlite::Connection;
use rusqlite::OptionalExtension;
use rusqlite::Row;
use rusqlite::named_params;
use rusqlite::params;

use super::Store;
use super::StoreError;
use super::entity_text;
use super::json_column;
use super::json_text;
use super::unreadable;
use crate::series::Grid;
use crate::series::Window;
use crate::verdict::Interval;
use crate::verdict::Label;
use crate::verdict::Verdict;
use crate::verdict::Withdrawal;

/// The feature rows of a label's interval, with the rows before it that a detector looks back on.
#[derive(Debug, Clone, PartialEq)]
pub struct LabelRows {
    /// The columns' names; as many as `window.n_features`.
    pub features: Vec<String>,
    /// The rows; NaN is a gap.
    pub window: Window,
}

impl LabelRows {
    /// The time of rows within `interval`, if only in part, of which a feature is known, in seconds.
    fn known_s(&self, feature: &str, interval: Interval) -> i64 {
        let grid = self.window.grid;
        let inside = |i: &usize| {
            let from_s = grid.time(*i);
            from_s < interval.to_s && from_s + grid.step_s > interval.from_s
        };
        let column = self.features.iter().position(|name| name == feature);
        let known = |column: usize| {
            let is_known = |i: &usize| !self.window.row(*i)[column].is_nan();
            (0..grid.len).filter(inside).filter(is_known).count()
        };
        column.map_or(0, known) as i64 * grid.step_s
    }

    /// Whether rows of another step say so much less of the interval, of any feature that they are of, that
    /// these are not given up for them. A feature that the watch no longer has is no loss.
    fn is_better_than(&self, other: &LabelRows, interval: Interval) -> bool {
        let less = |feature: &String| {
            other.known_s(feature, interval) * 2 < self.known_s(feature, interval)
        };
        self.window.grid.step_s != other.window.grid.step_s && other.features.iter().any(less)
    }

    /// Both together, where they have the same step; `newer` holds where both know a sample.
    fn joined(&self, newer: &LabelRows) -> Option<LabelRows> {
        let (old, new) = (self.window.grid, newer.window.grid);
        if old.step_s != new.step_s || (old.start_s - new.start_s) % old.step_s != 0 {
            return None;
        }
        let (start_s, end_s) = (old.start_s.min(new.start_s), old.end_s().max(new.end_s()));
        let mut features = self.features.clone();
        features.extend(newer.features.iter().filter(|f| !self.features.contains(f)).cloned());
        let len = ((end_s - start_s) / old.step_s) as usize;
        let grid = Grid { start_s, step_s: old.step_s, len };
        let mut window = Window::gaps(grid, features.len());
        for rows in [self, newer] {
            let known = rows.features.iter().map(|f| features.iter().position(|g| g == f));
            let known: Vec<Option<usize>> = known.collect();
            for i in 0..rows.window.grid.len {
                let Some(to) = window.grid.index(rows.window.grid.time(i)) else { continue };
                for (value, column) in rows.window.row(i).iter().zip(&known) {
                    if let Some(column) = column.filter(|_| !value.is_nan()) {
                        window.row_mut(to)[column] = *value;
                    }
                }
            }
        }
        Some(LabelRows { features, window })
    }
}

/// A label as the store has it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredLabel {
    /// Counts up in the order of saying.
    pub id: i64,
    /// What was said.
    pub label: Label,
    /// Whether feature rows of its interval are kept.
    pub has_rows: bool,
    /// Whether it was taken back, and by whom.
    pub withdrawn: Option<Withdrawal>,
}

const COLUMNS: &str = "
SELECT id, watch, entity, from_s, to_s, verdict, class, label.author, label.note, label.source,
  label.created_s, EXISTS (
    SELECT 1 FROM label_rows JOIN label AS twin ON twin.id = label_rows.label_id
    WHERE twin.watch = label.watch AND twin.entity = label.entity
      AND twin.from_s = label.from_s AND twin.to_s = label.to_s),
  back.author, back.note, back.source, back.created_s
FROM label LEFT JOIN label_withdrawal AS back ON back.label_id = id
WHERE (?1 IS NULL OR watch = ?1)";

/// Narrows a selection to labels that nobody has taken back or spoken about since.
const PRESENT: &str = "
AND id NOT IN (SELECT label_id FROM label_withdrawal)
AND NOT EXISTS (
  SELECT 1 FROM label AS later
  WHERE later.watch = label.watch AND later.entity = label.entity
    AND later.from_s = label.from_s AND later.to_s = label.to_s AND later.id > label.id
    AND later.id NOT IN (SELECT label_id FROM label_withdrawal))";

impl Store {
    /// Appends a label, with its rows if they are at hand, and returns its id.
    ///
    /// A label that adds nothing to the present word on the same interval (the same verdict; class,
    /// note and author the same or left out; and nobody has contradicted a part of it since) returns
    /// that one's id: a request may be repeated. Any other is appended and is the present word from
    /// then on.
    ///
    /// # Errors
    /// The write failed, or the rows' shape does not hold; then nothing was stored.
    pub fn add_label(&self, label: &Label, rows: Option<&LabelRows>) -> Result<i64, StoreError> {
        const ACTION: &str = "store a label";
        if let Some(problem) = rows.and_then(shape_problem) {
            return Err(self.invalid(ACTION, problem));
        }
        self.write(ACTION, |transaction| {
            let id = match repeated(transaction, label)? {
                Some(id) => id,
                None => insert(transaction, label)?,
            };
            if let Some(rows) = rows {
                replace_rows(transaction, id, rows)?;
            }
            Ok(id)
        })
    }

    /// Keeps the feature rows of a label that came without. Of rows that are already kept for its
    /// interval, no sample is lost, since Prometheus forgets: they are joined. Rows of another step are
    /// replaced by rows that reach as far. Returns whether the rows were taken.
    ///
    /// # Errors
    /// No such label, or the write failed.
    pub fn set_label_rows(&self, id: i64, rows: &LabelRows) -> Result<bool, StoreError> {
        const ACTION: &str = "store a label's rows";
        if let Some(problem) = shape_problem(rows) {
            return Err(self.invalid(ACTION, problem));
        }
        let exists = "SELECT EXISTS (SELECT 1 FROM label WHERE id = ?1)";
        self.write(ACTION, |transaction| {
            match transaction.query_row(exists, [id], |row| row.get(0))? {
                true => replace_rows(transaction, id, rows).map(Some),
                false => Ok(None),
            }
        })?
        .ok_or_else(|| self.not_found(ACTION, format!("label {id}")))
    }

    /// The present word on every labelled interval, in the order of saying.
    ///
    /// # Errors
    /// The store cannot be read.
    pub fn labels(&self, watch: Option<&str>) -> Result<Vec<StoredLabel>, StoreError> {
        self.select_labels(&format!("{COLUMNS} {PRESENT} ORDER BY id"), watch)
    }

    /// Takes a label back, as if it had never been said; what was said before on the same interval
    /// holds again. Its rows stay. Returns the label; one that was taken back before comes with that
    /// first withdrawal, and stays as it is.
    ///
    /// # Errors
    /// No such label, or the write failed.
    pub fn withdraw_label(
        &self,
        id: i64,
        withdrawal: &Withdrawal,
    ) -> Result<StoredLabel, StoreError> {
        const ACTION: &str = "withdraw a label";
        let Withdrawal { author, note, source, created_s } = withdrawal;
        let said = format!("{COLUMNS} AND id = ?2");
        let sql = "
            INSERT INTO label_withdrawal (label_id, author, note, source, created_s)
            VALUES (?1, ?2, ?3, ?4, ?5) ON CONFLICT DO NOTHING";
        self.write(ACTION, |transaction| {
            let all = None::<&str>;
            let known = transaction.query_row(&said, params![all, id], stored).optional()?;
            if known.is_some() {
                transaction.execute(sql, params![id, author, note, source, created_s])?;
            }
            Ok(known)
        })?
        .ok_or_else(|| self.not_found(ACTION, format!("label {id}")))
    }

    /// Everything that was ever said, in that order; also what was taken back since.
    ///
    /// # Errors
    /// The store cannot be read.
    pub fn label_log(&self, watch: Option<&str>) -> Result<Vec<StoredLabel>, StoreError> {
        self.select_labels(&format!("{COLUMNS} ORDER BY id"), watch)
    }

    fn select_labels(
        &self,
        sql: &str,
        watch: Option<&str>,
    ) -> Result<Vec<StoredLabel>, StoreError> {
        self.read("read labels", |connection| {
            connection.prepare_cached(sql)?.query_map([watch], stored)?.collect()
        })
    }

    /// The feature rows kept for this label's interval; `None` if there are none yet.
    ///
    /// # Errors
    /// The store cannot be read.
    pub fn label_rows(&self, id: i64) -> Result<Option<LabelRows>, StoreError> {
        self.read("read a label's rows", |connection| kept_rows(connection, id))
    }

    /// How many intervals are labelled, by verdict and by where it was said.
    ///
    /// # Errors
    /// The store cannot be read.
    pub fn label_counts(&self) -> Result<Vec<(Verdict, String, u64)>, StoreError> {
        let sql = format!(
            "SELECT verdict, source, count(*) FROM label WHERE ?1 IS NULL {PRESENT}
             GROUP BY verdict, source ORDER BY verdict, source"
        );
        self.read("count labels", |connection| {
            let count = |row: &Row<'_>| Ok((verdict(row, 0)?, row.get(1)?, row.get(2)?));
            connection.prepare_cached(&sql)?.query_map([None::<&str>], count)?.collect()
        })
    }
}

/// The present word on the label's interval, if the label adds nothing to it.
fn repeated(connection: &Connection, label: &Label) -> rusqlite::Result<Option<i64>> {
    let sql = "
        SELECT id, verdict = :verdict AND (:class IS NULL OR class IS :class)
          AND (:author IS NULL OR author IS :author) AND (:note IS NULL OR note IS :note)
          AND NOT EXISTS (
            SELECT 1 FROM label AS later
            WHERE later.watch = :watch AND later.entity = :entity AND later.verdict <> :verdict
              AND later.from_s < :to AND later.to_s > :from AND later.id > label.id
              AND later.id NOT IN (SELECT label_id FROM label_withdrawal))
        FROM label WHERE watch = :watch AND entity = :entity AND from_s = :from AND to_s = :to
          AND id NOT IN (SELECT label_id FROM label_withdrawal)
        ORDER BY id DESC LIMIT 1";
    let entity = entity_text(&label.entity)?;
    let present = connection.prepare_cached(sql)?.query_row(
        named_params! {
            ":watch": label.watch, ":entity": entity,
            ":from": label.interval.from_s, ":to": label.interval.to_s,
            ":verdict": label.verdict.as_str(), ":class": label.class,
            ":author": label.author, ":note": label.note,
        },
        |row| Ok((row.get(0)?, row.get::<_, bool>(1)?)),
    );
    Ok(present.optional()?.and_then(|(id, same)| same.then_some(id)))
}

fn insert(connection: &Connection, label: &Label) -> rusqlite::Result<i64> {
    let sql = "
        INSERT INTO label (watch, entity, from_s, to_s, verdict, class, author, note, source, created_s)
        VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10)";
    connection.prepare_cached(sql)?.insert(params![
        label.watch,
        entity_text(&label.entity)?,
        label.interval.from_s,
        label.interval.to_s,
        label.verdict.as_str(),
        label.class,
        label.author,
        label.note,
        label.source,
        label.created_s,
    ])
}

fn shape_problem(rows: &LabelRows) -> Option<String> {
    let window = &rows.window;
    let (n_names, n_values) = (rows.features.len(), window.values.len());
    (n_names != window.n_features || n_values != window.n_features * window.grid.len).then(|| {
        format!(
            "{n_names} feature names and {n_values} values; wanted {} and {} × {}",
            window.n_features, window.grid.len, window.n_features
        )
    })
}

/// The rows of a label's interval, whichever label on it they came with; its own first.
fn kept_rows(connection: &Connection, id: i64) -> rusqlite::Result<Option<LabelRows>> {
    let sql = "
        SELECT features, start_s, step_s, n_rows, sample_values FROM label
        JOIN label AS twin USING (watch, entity, from_s, to_s)
        JOIN label_rows ON label_id = twin.id
        WHERE label.id = ?1 ORDER BY twin.id = label.id DESC, twin.id DESC LIMIT 1";
    connection.prepare_cached(sql)?.query_row([id], rows_of).optional()
}

/// Stores the rows, with what is kept for the interval already.
fn replace_rows(connection: &Connection, id: i64, rows: &LabelRows) -> rusqlite::Result<bool> {
    let kept = kept_rows(connection, id)?;
    let interval =
        connection.query_row("SELECT from_s, to_s FROM label WHERE id = ?1", [id], |row| {
            Ok(Interval { from_s: row.get(0)?, to_s: row.get(1)? })
        })?;
    if kept.as_ref().is_some_and(|kept| kept.is_better_than(rows, interval)) {
        return Ok(false);
    }
    let joined = kept.and_then(|kept| kept.joined(rows));
    let rows = joined.as_ref().unwrap_or(rows);
    let bytes: Vec<u8> = rows.window.values.iter().flat_map(|value| value.to_le_bytes()).collect();
    let grid = rows.window.grid;
    let sql = "
        INSERT INTO label_rows (label_id, features, start_s, step_s, n_rows, sample_values)
        VALUES (?1, ?2, ?3, ?4, ?5, ?6)
        ON CONFLICT (label_id) DO UPDATE SET features = ?2, start_s = ?3, step_s = ?4, n_rows = ?5,
          sample_values = ?6";
    let features = json_text(&rows.features)?;
    connection.execute(sql, params![id, features, grid.start_s, grid.step_s, grid.len, bytes])?;
    Ok(true)
}

fn from_bytes(bytes: &[u8]) -> Vec<f64> {
    bytes.as_chunks().0.iter().map(|chunk| f64::from_le_bytes(*chunk)).collect()
}

fn rows_of(row: &Row<'_>) -> rusqlite::Result<LabelRows> {
    let features: Vec<String> = json_column(row, 0)?;
    let grid = Grid { start_s: row.get(1)?, step_s: row.get(2)?, len: row.get(3)? };
    let values = from_bytes(row.get_ref(4)?.as_blob()?);
    let rows = LabelRows { window: Window { grid, n_features: features.len(), values }, features };
    match shape_problem(&rows) {
        Some(problem) => Err(unreadable(4, problem)),
        None => Ok(rows),
    }
}

fn stored(row: &Row<'_>) -> rusqlite::Result<StoredLabel> {
    let label = Label {
        watch: row.get(1)?,
        entity: json_column(row, 2)?,
        interval: Interval { from_s: row.get(3)?, to_s: row.get(4)? },
        verdict: verdict(row, 5)?,
        class: row.get(6)?,
        author: row.get(7)?,
        note: row.get(8)?,
        source: row.get(9)?,
        created_s: row.get(10)?,
    };
    let source: Option<String> = row.get(14)?;
    let withdrawn = match source {
        Some(source) => Some(Withdrawal {
            author: row.get(12)?,
            note: row.get(13)?,
            source,
            created_s: row.get(15)?,
        }),
        None => None,
    };
    Ok(StoredLabel { id: row.get(0)?, label, has_rows: row.get(11)?, withdrawn })
}

fn verdict(row: &Row<'_>, column: usize) -> rusqlite::Result<Verdict> {
    let text = row.get_ref(column)?.as_str()?;
    let found = Verdict::ALL.into_iter().find(|verdict| verdict.as_str() == text);
    found.ok_or_else(|| unreadable(column, format!("verdict {text:?}")))
}

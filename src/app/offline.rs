//! Commands that need no running sidecar.

use std::fs::Permissions;
use std::io::Write;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use tempfile::NamedTempFile;

use super::Error;
use crate::backtest;
use crate::math::duration::format_duration;
use crate::source::csv::CsvFile;
use crate::store::FILE_NAME;
use crate::store::ModelState;
use crate::store::Store;
use crate::verdict::rfc3339;

pub(super) fn check_settings(
    input: &Path,
    file: &CsvFile,
    settings: &backtest::Settings,
) -> Result<(), Error> {
    let (n_rows, train_rows) = (file.rows.len(), settings.train_rows);
    if train_rows == 0 {
        return Err("--train-rows: 0; wanted at least 1 row to learn from".into());
    }
    if train_rows >= n_rows {
        let what = format!("--train-rows: {train_rows}; wanted fewer than the {n_rows} rows");
        return Err(format!("{what} of {}", input.display()).into());
    }
    check_bucket(file, settings.bucket_s)
}

pub(super) fn check_bucket(file: &CsvFile, bucket_s: Option<i64>) -> Result<(), Error> {
    if bucket_s.is_some_and(|bucket_s| bucket_s % file.step_s != 0) {
        let step = format_duration(file.step_s);
        return Err(format!("--bucket: must be a whole number of the file's steps ({step})").into());
    }
    Ok(())
}

pub(super) fn check_output(input: &Path, output: &Path) -> Result<(), Error> {
    let same = |path: &Path| path.canonicalize().ok();
    if same(input).is_some() && same(input) == same(output) {
        return Err(format!("{}: the output would replace the input", output.display()).into());
    }
    if output.is_dir() {
        return Err(format!("{}: a folder; wanted a file to write", output.display()).into());
    }
    if is_special(output) {
        return Ok(());
    }
    temporary(output).map(drop).map_err(|error| {
        let output = output.display();
        format!("{output}: {error}; wanted a file in a folder that can be written").into()
    })
}

/// Writes a file that is whole or not there; what is no file, such as a pipe, is written to as it is.
pub(super) fn write_whole(path: &Path, bytes: &[u8]) -> Result<(), Error> {
    let written = if is_special(path) { std::fs::write(path, bytes) } else { replace(path, bytes) };
    written.map_err(|error| format!("{}: {error}", path.display()).into())
}

fn replace(path: &Path, bytes: &[u8]) -> std::io::Result<()> {
    let mut file = temporary(path)?;
    file.write_all(bytes)?;
    file.persist(path)?;
    Ok(())
}

fn is_special(path: &Path) -> bool {
    path.metadata().is_ok_and(|known| !known.is_file())
}

/// A file beside `path` that may take its name, and goes with its value.
fn temporary(path: &Path) -> std::io::Result<NamedTempFile> {
    let folder = path.parent().filter(|parent| !parent.as_os_str().is_empty());
    tempfile::Builder::new()
        .permissions(Permissions::from_mode(0o644))
        .tempfile_in(folder.unwrap_or(Path::new(".")))
}

/// The models of a store as a table.
///
/// # Errors
/// The store cannot be opened.
pub fn list_models(store: &Path) -> Result<String, Error> {
    let mut table = vec![
        [
            "WATCH", "ENTITY", "FEATURE", "DETECTOR", "VERSION", "STATE", "TRAINED", "SHA256",
            "REASON",
        ]
        .map(String::from),
    ];
    for row in existing(store)?.models(None)? {
        let state = row.state.as_str().to_string();
        let reason = match (row.state, &row.word) {
            (ModelState::Rejected { reason }, _) => reason,
            (_, Some(word)) => word.describe(),
            _ => String::new(),
        };
        table.push([
            row.key.watch,
            row.key.entity.to_string(),
            row.key.feature.unwrap_or_else(|| "-".into()),
            row.key.detector,
            row.version.to_string(),
            state,
            rfc3339(row.trained_s),
            row.sha256.chars().take(12).collect(),
            reason,
        ]);
    }
    Ok(columns(&table))
}

/// The store in a folder. A mistyped folder is an error, not an empty store.
pub(super) fn existing(folder: &Path) -> Result<Store, Error> {
    if !folder.join(FILE_NAME).exists() {
        return Err(format!("{}: no store of Portent is there", folder.display()).into());
    }
    Ok(Store::open_to_read(folder)?)
}

/// Cells padded to the width of their column.
pub(super) fn columns<const N: usize>(table: &[[String; N]]) -> String {
    let width = |c: usize| table.iter().map(|row| row[c].chars().count()).max().unwrap_or(0);
    let widths: Vec<usize> = (0..N).map(width).collect();
    let mut text = String::new();
    for row in table {
        let cell = |(cell, width): (&String, &usize)| format!("{cell:width$}");
        let line: Vec<String> = row.iter().zip(&widths).map(cell).collect();
        text.push_str(line.join("  ").trim_end());
        text.push('\n');
    }
    text
}

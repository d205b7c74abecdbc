//! Scenarios of the simulator as rows: its samples in a Prometheus' history, asked for as a real server's.
//!
//! Owns: the way from one to the other. Does not own: the simulator (`portent simulate`), or the questions (`record`).

use std::fs;
use std::path::Path;

use portent::config;
use portent::scenario::labels::labels_csv;

use super::record;
use crate::lab::Lab;
use crate::lab::free_port;
use crate::lab::portent::portent;
use crate::lab::process::Process;
use crate::lab::process::debian;
use crate::lab::process::run;
use crate::lab::secs;

/// A Monday's midnight, 2026-01-05, on the grid of all steps.
const START_S: i64 = 1_767_571_200;

/// Writes a simulated scenario's rows, `NAME.csv` and `NAME-labels.csv`, into a folder.
///
/// # Errors
/// The file is no scenario of the simulator, or Prometheus has no rows of it.
pub(crate) fn simulate(file: &Path, out: &Path) -> Result<(), String> {
    let scenario = config::load_simulation(file)?;
    let name = &scenario.name;
    let lab = Lab::new(&format!("simulated-{name}"));
    let (_server, url) = history(&lab, file, START_S)?;
    let runtime = tokio::runtime::Runtime::new().map_err(|error| error.to_string())?;
    let (features, rows, problems) = runtime.block_on(record::history(&scenario, &url, START_S))?;
    let [rows] = &rows[..] else { return Err(format!("{name}: {} entities", rows.len())) };
    if !problems.is_empty() {
        return Err(format!("{name}: {}", problems.join(", ")));
    }
    let write = |ending: &str, text: String| {
        let path = out.join(format!("{name}{ending}"));
        fs::write(&path, text).map_err(|error| format!("{}: {error}", path.display()))
    };
    fs::create_dir_all(out).map_err(|error| format!("{}: {error}", out.display()))?;
    write("-labels.csv", labels_csv(&scenario.labels(START_S)))?;
    write(".csv", record::csv(&features, &rows.window))
}

/// A Prometheus that has the samples of a scenario from `start_s` on as its history, and its URL.
///
/// # Errors
/// A file cannot be listed.
pub(crate) fn history(lab: &Lab, file: &Path, start_s: i64) -> Result<(Process, String), String> {
    let (samples, data) = (lab.folder("samples"), lab.path("data"));
    let shown = |path: &Path| path.display().to_string();
    let (from, to, start) = (shown(file), shown(&samples), start_s.to_string());
    portent(&["simulate", &from, "--start", &start, "--output", &to]);
    let listed = fs::read_dir(&samples).map_err(|error| error.to_string())?;
    let mut pieces: Vec<_> = listed.filter_map(|entry| Some(entry.ok()?.path())).collect();
    pieces.retain(|path| path.extension().is_some_and(|ending| ending == "om"));
    pieces.sort();
    for piece in pieces {
        let how = ["tsdb", "create-blocks-from", "--max-block-duration=6h", "openmetrics"];
        let arguments = how.into_iter().map(str::to_owned).chain([shown(&piece), shown(&data)]);
        run(&debian("promtool", "prometheus"), arguments);
        fs::remove_file(&piece).map_err(|error| error.to_string())?;
    }
    let configured = lab.write("prometheus.yml", "global: {scrape_interval: 1h}\n");
    let address = format!("127.0.0.1:{}", free_port());
    let arguments = [
        format!("--config.file={}", configured.display()),
        format!("--storage.tsdb.path={}", data.display()),
        format!("--web.listen-address={address}"),
        "--storage.tsdb.retention.time=100y".to_owned(),
    ];
    let server = Process::start(lab, "prometheus", &debian("prometheus", "prometheus"), arguments);
    let url = format!("http://{address}");
    server.ready(lab, &format!("{url}/-/ready"), secs(60));
    Ok((server, url))
}

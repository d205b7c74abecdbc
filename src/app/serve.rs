//! The sidecar: read the configuration, start what it says, reload, drain.

use std::collections::BTreeSet;
use std::path::Path;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::Mutex;
use std::sync::PoisonError;
use std::time::Duration;

use tokio::sync::mpsc;
use tokio::task::JoinSet;

use super::Error;
use super::Options;
use super::WebOptions;
use super::board::Served;
use super::cores;
use super::counted::counted;
use super::finding;
use super::labels;
use super::now_s;
use super::watching::Register;
use super::watching::Watching;
use crate::config;
use crate::config::Config;
use crate::export::Board;
use crate::math::duration::format_duration;
use crate::schedule;
use crate::source;
use crate::source::Source;
use crate::store::LOCK_NAME;
use crate::store::Lock;
use crate::store::Store;
use crate::store::StoreError;
use crate::train::Trainer;
use crate::watch::Watch;
use crate::web;
use crate::web::ReloadRequest;
use crate::workers::Workers;

/// How often files are looked at for changes: a ConfigMap takes a minute to arrive anyway.
const LOOK_AT_FILES: Duration = Duration::from_secs(10);

/// How often the store is asked whether somebody wants a training.
const LOOK_AT_STORE: Duration = Duration::from_secs(2);

/// Queries of all trainings, and of all labels, that the source has at once: of its usual four, passes
/// always find one.
const TRAININGS_AT_ONCE: usize = 2;
const LABELS_AT_ONCE: usize = 1;

/// How long another sidecar may take to let the store go.
const LOCK_PATIENCE_S: u64 = 30;

/// Runs the sidecar until a signal ends it.
///
/// # Errors
/// The configuration, the store or an address cannot be used.
pub async fn serve(options: Options) -> Result<(), Error> {
    let config = options.inputs.load()?;
    if !cfg!(feature = "deep") {
        tracing::info!("built without the networks: where a preset has one, pca and var judge");
    }
    let board = Board::new();
    board.own().reload(true, now_s());
    let listeners = web::bind(&options.web.listen).await?;
    let folder = options.inputs.store_folder(&config).to_path_buf();
    // Once, before anything is waited for: a second listener would not hear what came before it.
    let mut terminations = schedule::Terminations::new()?;
    let hangups = schedule::Hangups::new()?;
    let _lock = tokio::select! {
        lock = lock(&folder) => lock?,
        _ = terminations.next() => return Ok(()),
    };
    let store = Store::open(&folder)?;
    let workers = Workers::new(cores());
    let shown = Arc::default();
    let (changes, changed) = mpsc::channel::<()>(1);
    let mut sidecar =
        Sidecar { options, board, store, folder, workers, shown, changes, heard: None };
    sidecar.run(config, listeners, terminations, hangups, changed).await
}

/// What outlives a reload.
struct Sidecar {
    options: Options,
    board: Board,
    store: Store,
    /// The store's.
    folder: PathBuf,
    workers: Workers,
    /// What the landing page tells of: the source and the watches.
    shown: Arc<Mutex<Option<(String, Register)>>>,
    /// Told when a file changed.
    changes: mpsc::Sender<()>,
    /// The newest word of a person on a model that was heard.
    heard: Option<i64>,
}

/// What a configuration brought to life; dropping it ends it.
struct Running {
    watching: Watching,
    /// The watches that run as soon as the source says how.
    names: BTreeSet<String>,
    found: mpsc::Receiver<Watch>,
    /// Of the rows of labels.
    source: Arc<dyn Source>,
    tasks: JoinSet<()>,
    /// Looks at the files that the configuration names.
    _files: JoinSet<()>,
}

impl Sidecar {
    async fn run(
        &mut self,
        config: Config,
        listeners: Vec<tokio::net::TcpListener>,
        mut terminations: schedule::Terminations,
        mut hangups: schedule::Hangups,
        mut changed: mpsc::Receiver<()>,
    ) -> Result<(), Error> {
        let (reloads, mut reload_requests) = mpsc::channel::<ReloadRequest>(4);
        let (labels, label_requests) = mpsc::channel(64);
        let label_requests = Arc::new(tokio::sync::Mutex::new(label_requests));
        let mut running = self.start(&config, None)?;
        running.take_labels(config.labels_api, &label_requests, &self.store);
        self.show(&running);
        let context = self.context(labels, reloads);
        let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
        let mut server = tokio::spawn(web::serve(listeners, context, async move {
            let _ = stopped.await;
        }));
        let _file = self.watch_files(self.options.inputs.config_file.iter().cloned().collect());
        let mut looks = tokio::time::interval(LOOK_AT_STORE);
        let signal = loop {
            tokio::select! {
                signal = terminations.next() => break signal,
                () = hangups.next() => drop(self.reload(&mut running, &label_requests)),
                Some(()) = changed.recv() => drop(self.reload(&mut running, &label_requests)),
                Some(request) = reload_requests.recv() => {
                    let outcome = self.reload(&mut running, &label_requests);
                    let _ = request.reply.send(outcome);
                }
                Some(watch) = running.found.recv() => running.watching.start(watch),
                // It only ends by itself where it cannot begin: a bad web.config.file, a bad path.
                ended = &mut server => return Ok(ended??),
                _ = looks.tick() => tokio::select! {
                    signal = terminations.next() => break signal,
                    () = self.look(&mut running) => {}
                },
            }
        };
        tracing::info!(signal, "ending");
        self.workers.stop();
        drop(running);
        let _ = stop.send(());
        server.await??;
        Ok(())
    }

    /// Starts what the configuration says. Waits for nothing: neither a signal nor a reload has to wait
    /// for a source that hangs.
    fn start(&self, config: &Config, before: Option<&Running>) -> Result<Running, Error> {
        let source = counted(self.options.inputs.source(config)?, &self.board);
        let candidates = self.options.inputs.candidates(config)?;
        tracing::info!(source = source.describe(), "reading");
        let trainer = Trainer {
            source: source::patient(&source, TRAININGS_AT_ONCE),
            store: self.store.clone(),
            board: self.board.clone(),
            workers: self.workers.clone(),
        };
        let mut watching = Watching::new(Arc::clone(&source), trainer);
        let names = candidates.iter().filter_map(|c| c.certain().map(String::from)).collect();
        // Another source may know other queries, and have nothing of what the one before had.
        let before = before.filter(|before| before.source.describe() == source.describe());
        let before = before.map(|before| before.watching.register().watches()).unwrap_or_default();
        let (at_once, later) = finding::settle(candidates, &before);
        for watch in at_once {
            if !before.contains(&watch) {
                tell_of_short_history(&watch);
            }
            watching.start(watch);
        }
        let (finds, found) = mpsc::channel(4);
        let mut tasks = JoinSet::new();
        let patient = source::patient(&source, LABELS_AT_ONCE);
        let (store, board) = (self.store.clone(), self.board.clone());
        tasks.spawn(finding::find(source, store, board, later, finds));
        let _files = self.watch_files(config.rule_files.clone());
        Ok(Running { watching, names, found, source: patient, tasks, _files })
    }

    /// Loads the file again; the old configuration stays where the new one is wrong.
    fn reload(
        &self,
        running: &mut Running,
        requests: &Arc<tokio::sync::Mutex<mpsc::Receiver<web::LabelRequest>>>,
    ) -> Result<(), String> {
        let reloaded = self.options.inputs.load().and_then(|config| {
            self.keeps_store(&config)?;
            Ok((self.start(&config, Some(running))?, config))
        });
        match reloaded {
            Ok((new, config)) => {
                let before = running.watching.register().names();
                *running = new;
                running.take_labels(config.labels_api, requests, &self.store);
                let gone = before.iter().filter(|name| !running.watches(name));
                gone.for_each(|name| self.board.forget(name));
                self.show(running);
                self.board.own().reload(true, now_s());
                tracing::info!("configuration reloaded");
                Ok(())
            }
            Err(error) => {
                self.board.own().reload(false, now_s());
                tracing::error!(%error, "configuration not reloaded, the old one stays");
                Err(error.to_string())
            }
        }
    }

    /// What runs keeps its store; to say that another one is in use would be a lie.
    fn keeps_store(&self, config: &Config) -> Result<(), Error> {
        let wanted = self.options.inputs.store_folder(config);
        match wanted == self.folder {
            true => Ok(()),
            false => Err(format!(
                "store.path: {} is in use; wanted the same, or a restart to use {}",
                self.folder.display(),
                wanted.display()
            )
            .into()),
        }
    }

    /// What may have appeared since the last look: requests for a training, models that people put in use.
    async fn look(&mut self, running: &mut Running) {
        let (store, heard) = (self.store.clone(), self.heard);
        let asked = tokio::task::spawn_blocking(move || {
            let (requests, counts) = (store.training_requests()?, store.label_counts()?);
            // At first all of them are old, and a pass reads what is in use anyway.
            let (newest, changed) = store.watches_changed_since(heard.unwrap_or(i64::MAX))?;
            Ok::<_, StoreError>((requests, counts, newest, changed))
        });
        match asked.await {
            Ok(Ok((requests, counts, newest, changed))) => {
                self.heard = Some(newest);
                self.board.own().labels(&counts);
                running.watching.deliver(requests);
                running.watching.take_over(&changed);
            }
            Ok(Err(error)) => tracing::warn!(%error, "store not read"),
            Err(error) => tracing::error!(%error, "store not read"),
        }
    }

    fn watch_files(&self, files: Vec<PathBuf>) -> JoinSet<()> {
        let mut tasks = JoinSet::new();
        if !files.is_empty() {
            let changes = self.changes.clone();
            tasks.spawn(schedule::watch_content(files, LOOK_AT_FILES, move |_| {
                let changes = changes.clone();
                async move {
                    let _ = changes.send(()).await;
                }
            }));
        }
        tasks
    }

    fn show(&self, running: &Running) {
        let shown = (running.source.describe(), running.watching.register());
        *self.shown.lock().unwrap_or_else(PoisonError::into_inner) = Some(shown);
    }

    fn context(
        &self,
        labels: mpsc::Sender<web::LabelRequest>,
        reloads: mpsc::Sender<ReloadRequest>,
    ) -> web::Context {
        let WebOptions { config_file, telemetry_path, enable_lifecycle, .. } = &self.options.web;
        let shown = Arc::clone(&self.shown);
        let status = move || {
            let shown = shown.lock().unwrap_or_else(PoisonError::into_inner);
            shown.as_ref().map(|(source, register)| status(source, register)).unwrap_or_default()
        };
        let loader: web::Loader = Arc::new(|path: &Path| config::web_config(path));
        web::Context {
            scrape: Arc::new(Served(self.board.clone())),
            telemetry_path: telemetry_path.clone(),
            status: Arc::new(status),
            labels: Some(labels),
            reload: enable_lifecycle.then_some(reloads),
            config_file: config_file.clone().map(|path| (path, loader)),
            limits: web::Limits::default(),
        }
    }
}

impl Running {
    /// Whether a watch runs, or waits for the source alone.
    fn watches(&self, name: &str) -> bool {
        self.names.contains(name) || self.watching.register().get(name).is_some()
    }

    fn take_labels(
        &mut self,
        on: bool,
        requests: &Arc<tokio::sync::Mutex<mpsc::Receiver<web::LabelRequest>>>,
        store: &Store,
    ) {
        let (requests, store) = (Arc::clone(requests), store.clone());
        let (register, source) = (self.watching.register(), Arc::clone(&self.source));
        self.tasks.spawn(async move {
            let mut requests = requests.lock().await;
            labels::take(on, &mut requests, register, source, store).await;
        });
    }
}

fn status(source: &str, register: &Register) -> Vec<(String, String)> {
    let mut rows = vec![("Source".to_string(), source.to_string())];
    for name in register.names() {
        let Some(running) = register.get(&name) else { continue };
        let Watch { features, detectors, .. } = &running.watch;
        let names: Vec<&str> = detectors.iter().map(|d| d.name()).collect();
        let value = format!("{} features, {}", features.len(), names.join(", "));
        rows.push((format!("Watch {name}"), value));
    }
    rows
}

/// Takes the store. In a rollout the old sidecar may need some seconds to end.
async fn lock(folder: &Path) -> Result<Lock, Error> {
    for waited_s in 0..LOCK_PATIENCE_S {
        if let Some(lock) = Lock::take(folder)? {
            return Ok(lock);
        }
        if waited_s == 0 {
            let store = folder.display();
            tracing::warn!(%store, "another sidecar has the store, waiting {LOCK_PATIENCE_S} s for it");
        }
        tokio::time::sleep(Duration::from_secs(1)).await;
    }
    let what =
        "another sidecar has it, as its lock says; wanted a store of its own for each sidecar";
    Err(format!("store {}: {what}", folder.join(LOCK_NAME).display()).into())
}

/// The shipped alert `PortentAnomaly` calls nobody for what models say that know less.
const NO_PAGE_BELOW_S: i64 = 20 * 3_600;

/// Of a watch whose models never know a day. Of buckets only whole ones count.
fn tell_of_short_history(watch: &Watch) {
    if watch.train.history_s - watch.bucket_s.unwrap_or(0) < NO_PAGE_BELOW_S {
        let (watch, history) = (&watch.name, format_duration(watch.train.history_s));
        tracing::warn!(
            watch,
            history,
            "less than a day to learn from: PortentAnomaly stays at severity info"
        );
    }
}

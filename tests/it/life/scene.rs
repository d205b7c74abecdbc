//! A watch with its source, trainer and pipeline, where the test is the clock and the history.

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::Arc;
use std::sync::Mutex;

use portent::config;
use portent::export::Board;
use portent::export::Format;
use portent::pipeline::Pipeline;
use portent::pipeline::Summary;
use portent::series::Entity;
use portent::series::Grid;
use portent::source::Answer;
use portent::source::AnswerSeries;
use portent::source::BoxFuture;
use portent::source::Source;
use portent::source::SourceError;
use portent::store::FILE_NAME;
use portent::store::LabelRows;
use portent::store::SavedStreak;
use portent::store::Store;
use portent::train::Outcome;
use portent::train::TrainError;
use portent::train::Trainer;
use portent::train::Which;
use portent::verdict::Interval;
use portent::verdict::Label;
use portent::verdict::Verdict;
use portent::watch::Watch;
use portent::workers::Workers;

pub(super) const DAY_S: i64 = 86_400;
pub(super) const HOUR_S: i64 = 3_600;
pub(super) const MINUTE_S: i64 = 60;

/// A day on which all has been there for long.
pub(super) const TODAY_S: i64 = 20_000 * DAY_S;

pub(super) const CONFIG: &str = "
watches:
  - name: ports
    queries: {in: in, out: out}
    entity: [port]
    step: 5m
    lag: 0s
    bucket: 30m
    detectors: [seasonal_median]
    train: {every: 1d, history: 2w, min_history: 2d}
    score: {every: 5m}
";

/// A check's query, and at the same time the only thing that it ever says.
pub(super) const DOWN: &str = "down";

/// What is measured: samples of a feature of a port, from one time until another.
#[derive(Default)]
pub(super) struct History {
    pub(super) series: Vec<(&'static str, &'static str, i64, i64)>,
    /// Features that the server does not understand.
    pub(super) refused: BTreeSet<&'static str>,
    /// From then on there is ten times as much traffic.
    pub(super) tenfold_s: Option<i64>,
    /// The oldest time that was asked for.
    pub(super) oldest_s: i64,
    pub(super) n_queries: usize,
}

#[derive(Clone, Default)]
pub(super) struct Server(pub(super) Arc<Mutex<History>>);

impl Server {
    pub(super) fn has(&self, feature: &'static str, port: &'static str, from_s: i64, to_s: i64) {
        self.0.lock().unwrap().series.push((feature, port, from_s, to_s));
    }

    pub(super) fn has_port(&self, port: &'static str, from_s: i64, to_s: i64) {
        self.has("in", port, from_s, to_s);
        self.has("out", port, from_s, to_s);
    }

    pub(super) fn lose_before(&self, from_s: i64) {
        for (_, _, from, _) in &mut self.0.lock().unwrap().series {
            *from = from_s.max(*from);
        }
    }

    pub(super) fn refuse(&self, features: &[&'static str]) {
        self.0.lock().unwrap().refused = features.iter().copied().collect();
    }

    /// The oldest time that was asked for since the last call.
    pub(super) fn take_oldest_s(&self) -> i64 {
        std::mem::replace(&mut self.0.lock().unwrap().oldest_s, i64::MAX)
    }

    pub(super) fn answer(&self, query: &str, grid: Grid) -> Result<Answer, SourceError> {
        let mut history = self.0.lock().unwrap();
        history.oldest_s = history.oldest_s.min(grid.start_s);
        history.n_queries += 1;
        if history.refused.contains(query) {
            return Err(SourceError::BadQuery(format!("what is {query}?")));
        }
        let mut series = Vec::new();
        for (_, port, from_s, to_s) in history.series.iter().filter(|(f, ..)| *f == query) {
            let times = (0..grid.len).map(|i| grid.time(i)).filter(|t| (from_s..to_s).contains(&t));
            let tenfold = |t| history.tenfold_s.is_some_and(|tenfold_s| t >= tenfold_s);
            let value = |t| if tenfold(t) { 10.0 * traffic(t) } else { traffic(t) };
            let value = |t| if query == DOWN { 0.0 } else { value(t) };
            let samples: Vec<_> = times.map(|t| (t, value(t))).collect();
            if !samples.is_empty() {
                series.push(AnswerSeries { labels: Entity::new([("port", *port)]), samples });
            }
        }
        Ok(Answer { series, ..Answer::default() })
    }
}

/// A daily rhythm with some noise.
pub(super) fn traffic(time_s: i64) -> f64 {
    let noise = (time_s / 300).wrapping_mul(2_654_435_761) % 1_000;
    let day = (time_s % DAY_S) as f64 / DAY_S as f64 * std::f64::consts::TAU;
    1e6 * (2.0 + day.sin() + noise as f64 / 5_000.0)
}

impl Source for Server {
    fn range<'a>(
        &'a self,
        query: &'a str,
        grid: Grid,
    ) -> BoxFuture<'a, Result<Answer, SourceError>> {
        Box::pin(async move { self.answer(query, grid) })
    }

    fn instant<'a>(
        &'a self,
        query: &'a str,
        time_s: i64,
    ) -> BoxFuture<'a, Result<Answer, SourceError>> {
        self.range(query, Grid { start_s: time_s, step_s: 1, len: 1 })
    }

    fn describe(&self) -> String {
        "a test's history".into()
    }
}

pub(super) struct Scene {
    pub(super) server: Server,
    pub(super) watch: Watch,
    pub(super) trainer: Trainer,
    pub(super) pipeline: Pipeline,
}

impl Scene {
    pub(super) fn new() -> Scene {
        Scene::of(Store::in_memory().unwrap())
    }

    pub(super) fn of(store: Store) -> Scene {
        let watch = config::parse("test", CONFIG).unwrap().watches.unwrap().remove(0);
        let server = Server::default();
        let trainer = Trainer {
            source: Arc::new(server.clone()),
            store,
            board: Board::new(),
            workers: Workers::new(2),
        };
        let pipeline = pipeline(&watch, &trainer);
        Scene { server, watch, trainer, pipeline }
    }

    /// With ports `a` and `b` as they have always been, trained today.
    pub(super) async fn with_two_ports() -> Scene {
        Scene::with_two_ports_in(Store::in_memory().unwrap()).await
    }

    pub(super) async fn with_two_ports_in(store: Store) -> Scene {
        let scene = Scene::of(store);
        scene.server.has_port("a", 0, i64::MAX);
        scene.server.has_port("b", 0, i64::MAX);
        assert_eq!(scene.train(TODAY_S).await.unwrap().n_promoted, 2);
        scene
    }

    pub(super) async fn train(&self, now_s: i64) -> Result<Outcome, TrainError> {
        self.trainer.train(&self.watch, &Which::All, now_s).await
    }

    /// The process ends, and another one begins.
    pub(super) fn restart(&mut self) {
        self.trainer.board = Board::new();
        self.pipeline = pipeline(&self.watch, &self.trainer);
    }

    pub(super) async fn pass(&mut self, now_s: i64) -> Summary {
        self.pipeline.pass(now_s).await.unwrap()
    }

    pub(super) fn scrape(&self) -> String {
        let body = self.trainer.board.scrape(Format::Text, false).into_bytes();
        String::from_utf8(body).unwrap()
    }

    /// Lines of one metric, without its name and the watch.
    pub(super) fn shown(&self, metric: &str) -> Vec<String> {
        let start = format!("{metric}{{watch=\"ports\",");
        self.scrape()
            .lines()
            .filter_map(|line| Some(line.strip_prefix(&start)?.to_string()))
            .collect()
    }

    pub(super) fn problems(&self) -> Vec<String> {
        let shown = self.shown("portent_input_problem").into_iter();
        shown.map(|line| line.trim_end_matches("} 1").replace('"', "")).collect()
    }

    pub(super) fn is_scored(&self, port: &str) -> bool {
        let wanted = format!("detector=\"combined\",port=\"{port}\"}}");
        self.shown("portent_anomaly_score").iter().any(|line| line.contains(&wanted))
    }

    /// The streak of port `a`'s traffic.
    pub(super) fn streak(&self) -> u32 {
        let wanted = "feature=\"in\",detector=\"combined\",port=\"a\"} ";
        let shown = self.shown("portent_anomaly_streak_points");
        shown.iter().find_map(|line| line.strip_prefix(wanted)).unwrap().parse().unwrap()
    }

    /// Leaves a streak of port `a` behind, as it stands once the newest point is scored.
    pub(super) fn save_streak(&self, points: u32) {
        let feature = Some("in".to_string());
        let (detector, last_scored_s) = ("combined".to_string(), TODAY_S - 30 * MINUTE_S);
        let streak = SavedStreak { entity: port("a"), feature, detector, points, last_scored_s };
        self.trainer.store.save_streaks("ports", &[streak]).unwrap();
    }

    pub(super) fn ports_in_use(&self) -> BTreeSet<String> {
        let rows = self.trainer.store.models_in_use(Some("ports")).unwrap();
        rows.iter().map(|row| row.key.entity.get("port").unwrap().to_string()).collect()
    }

    /// Says that the hour before `at_s` was normal, without its rows.
    pub(super) fn label(&self, port: &str, at_s: i64) -> i64 {
        self.label_as(port, Verdict::Normal, at_s - HOUR_S, at_s)
    }

    /// Says what an interval was, without its rows.
    pub(super) fn label_as(&self, port: &str, verdict: Verdict, from_s: i64, to_s: i64) -> i64 {
        let label = Label {
            watch: "ports".into(),
            entity: Entity::new([("port", port)]),
            interval: Interval { from_s, to_s },
            verdict,
            class: None,
            author: None,
            note: None,
            source: "api".into(),
            created_s: to_s,
        };
        let rows = None::<&LabelRows>;
        self.trainer.store.add_label(&label, rows).unwrap()
    }
}

pub(super) fn pipeline(watch: &Watch, trainer: &Trainer) -> Pipeline {
    let Trainer { source, store, board, workers } = trainer.clone();
    Pipeline::new(watch.clone(), source, store, board, workers)
}

/// Does to a store what a full disk or a busy neighbour does.
pub(super) fn tamper(store: &Path, sql: &str) {
    rusqlite::Connection::open(store.join(FILE_NAME)).unwrap().execute_batch(sql).unwrap();
}

pub(super) fn port(name: &str) -> Entity {
    Entity::new([("port", name)])
}

pub(super) fn names<const N: usize>(names: [&str; N]) -> BTreeSet<String> {
    names.map(String::from).into()
}

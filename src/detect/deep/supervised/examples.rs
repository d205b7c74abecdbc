//! What supervised detectors are shown: windows of what was, and windows in which an incident came at another time.
//!
//! Owns: which windows are examples of what. Does not own: what is learnt from them.

use crate::detect::Episode;
use crate::detect::deep::rfc::Cuts;
use crate::detect::deep::rfc::Example;
use crate::detect::deep::train::thin;
use crate::math::random::Random;
use crate::series::Window;
use crate::verdict::Class;

/// Normal windows trained on, at most; those after an incident come on top.
const MOST_NORMAL: usize = 8192;
/// Windows of one episode that are trained on, at most.
const MOST_OF_ONE: usize = 256;
/// Episodes that are learnt from, at most: the newest.
pub(super) const MOST_EPISODES: usize = 1024;
/// Made-up windows, at most: of one incident, and of all.
const PASTED_OF_ONE: usize = 64;
const PASTED: usize = 4096;

/// The newest of them, in order of time.
pub(super) fn newest(episodes: &[Episode]) -> Vec<&Episode> {
    let mut newest: Vec<&Episode> = episodes.iter().collect();
    newest.sort_by_key(|episode| episode.from_s);
    newest.split_off(newest.len().saturating_sub(MOST_EPISODES))
}

/// A stretch of rows as the network reads it.
pub(super) struct History {
    /// `[gaps before it + its rows, features]`.
    values: Vec<f32>,
    features: usize,
    /// Gaps before the first row: one less than a window has rows.
    padding: usize,
    /// The number of the first row: its time in steps.
    first: i64,
    /// What each row is known to be.
    classes: Vec<Option<Class>>,
}

impl History {
    /// The rows from `from` on, normal where there is a number.
    pub(super) fn of(window: &Window, from: usize, live: &[usize], rows: usize) -> History {
        let Window { grid, .. } = window;
        let features = live.len();
        let padding = rows - 1;
        let mut values = vec![f32::NAN; padding * features];
        for i in from..grid.len {
            values.extend(live.iter().map(|&f| window.row(i)[f] as f32));
        }
        let n = grid.len - from.min(grid.len);
        let first = grid.time(from).div_euclid(grid.step_s);
        History { values, features, padding, first, classes: vec![Some(Class::Normal); n] }
    }

    /// The window whose newest row is the `i`-th.
    pub(super) fn window(&self, i: usize, rows: usize) -> &[f32] {
        let end = i + self.padding + 1;
        &self.values[(end - rows) * self.features..end * self.features]
    }

    fn row_mut(&mut self, i: usize) -> &mut [f32] {
        let from = (i + self.padding) * self.features;
        &mut self.values[from..from + self.features]
    }

    /// What can be learnt from it: all of each episode, what follows an incident until its rows have left the
    /// window, and some of the rest.
    pub(super) fn examples(&self, rows: usize) -> Vec<Example<'_>> {
        let example = |i: usize| {
            let class = self.classes[i].clone()?;
            let (window, end) = (self.window(i, rows), self.first + i as i64);
            Some(Example { window, end, class })
        };
        let is_anomaly = |i: usize| self.classes[i].as_ref().is_some_and(Class::is_anomaly);
        let (mut near, mut far, mut since) = (Vec::new(), Vec::new(), rows);
        for i in 0..self.classes.len() {
            since = if is_anomaly(i) { 0 } else { since + 1 };
            let observed = |i: usize| {
                let at = (i + self.padding) * self.features;
                self.values[at..at + self.features].iter().any(|v| !v.is_nan())
            };
            if self.classes[i].is_some() && observed(i) {
                if since <= rows { near.push(i) } else { far.push(i) }
            }
        }
        near.into_iter().chain(thin(&far, MOST_NORMAL)).filter_map(example).collect()
    }
}

/// All rows that there are examples in: those of training, in which incidents are gaps, with the incidents put
/// back, and the rows of episodes from other times.
pub(super) fn histories(
    train: &Window,
    episodes: &[&Episode],
    live: &[usize],
    rows: usize,
) -> Vec<History> {
    let mut main = History::of(train, 0, live, rows);
    let mut histories = Vec::new();
    let mut later: Vec<&Episode> = Vec::new();
    for episode in episodes {
        let grid = episode.rows.grid;
        let own: Vec<usize> = (grid.at_or_after(episode.from_s)..grid.len).collect();
        let own = thin(&own, MOST_OF_ONE);
        let inside = |i: &usize| train.grid.index(grid.time(*i)).is_some();
        if episode.rows.n_features != train.n_features || grid.step_s != train.grid.step_s {
            continue;
        }
        if !own.iter().all(inside) {
            let mut history = History::of(&episode.rows, 0, live, rows);
            history.classes.fill(None);
            own.iter().for_each(|&i| history.classes[i] = Some(episode.class.clone()));
            histories.push(history);
            continue;
        }
        later.push(episode);
        // What lies between two rows that are learnt from is part of a window all the same.
        for i in grid.at_or_after(episode.from_s)..grid.len {
            let Some(at) = train.grid.index(grid.time(i)) else { continue };
            let values: Vec<f32> = live.iter().map(|&f| episode.rows.row(i)[f] as f32).collect();
            main.row_mut(at).copy_from_slice(&values);
            main.classes[at] = own.contains(&i).then(|| episode.class.clone());
        }
    }
    histories.insert(0, main);
    histories
}

/// Windows of other times with an episode put into their newest rows, from its first row on: a handful of
/// incidents, or of false alarms, would else be learnt together with what happened to go on around them, and their
/// beginnings least of all, of which there are fewest. In every fourth the episode is over, and the newest rows are
/// those of the other time: normal again.
///
/// With `cuts`, the other time is of the part of the incident's, so that no part is judged by rows that another one
/// saw; where a part has no such rows it goes without. The same seed gives the same windows but for that.
pub(super) fn pasted(
    train: &Window,
    episodes: &[&Episode],
    live: &[usize],
    rows: usize,
    seed: u64,
    cuts: Option<Cuts>,
) -> Vec<Pasted> {
    let main = History::of(train, 0, live, rows);
    let places = most_whole(&main, train.grid.len, rows);
    let part = |end: i64| cuts.map_or(Some(0), |cuts| cuts.part(end, rows));
    let of_part = |which: usize| -> Vec<usize> {
        let own = |place: &usize| part(main.first + *place as i64) == Some(which);
        places.iter().copied().filter(own).collect()
    };
    let places_of = [0, 1, 2].map(of_part);
    let mut random = Random::new(seed);
    if places.is_empty() || episodes.is_empty() {
        return Vec::new();
    }
    let each = (PASTED / episodes.len()).clamp(1, PASTED_OF_ONE);
    let mut pasted = Vec::with_capacity(each * episodes.len());
    for episode in episodes {
        let grid = episode.rows.grid;
        let first = grid.at_or_after(episode.from_s);
        let own = History::of(&episode.rows, first, live, 1);
        let longest = (grid.len - first).min(rows);
        if longest == 0 || episode.rows.n_features != train.n_features {
            continue;
        }
        for k in 0..each {
            let drawn = random.below(places.len());
            let length = 1 + random.below(longest);
            let over = k % 4 == 3 && length < rows;
            let since = if over { 1 + random.below(rows - length) } else { 0 };
            let end = grid.time(first).div_euclid(grid.step_s) + length as i64 - 1;
            let Some(places) = part(end).map(|which| &places_of[which]) else { continue };
            let Some(&place) = places.get(drawn % places.len().max(1)) else { continue };
            let mut window = main.window(place, rows).to_vec();
            let at = (rows - since - length) * live.len();
            let cells = length * live.len();
            window[at..at + cells].copy_from_slice(&own.values[..cells]);
            let class = if over { Class::Normal } else { episode.class.clone() };
            pasted.push(Pasted { window, end, class });
        }
    }
    pasted
}

/// The ends of the windows that have the fewest gaps, a tenth of all at least: some features have one in every window.
fn most_whole(main: &History, n: usize, rows: usize) -> Vec<usize> {
    let gaps = |end: usize| main.window(end, rows).iter().filter(|v| v.is_nan()).count();
    let ends: Vec<(usize, usize)> = (rows - 1..n).map(|end| (gaps(end), end)).collect();
    let mut sorted: Vec<usize> = ends.iter().map(|(gaps, _)| *gaps).collect();
    sorted.sort_unstable();
    // Of a window without any cell, nothing can be told.
    let most = sorted.get(sorted.len() / 10).copied().unwrap_or(0);
    let most = most.min((rows * main.features).saturating_sub(1));
    ends.into_iter().filter(|(gaps, _)| *gaps <= most).map(|(_, end)| end).collect()
}

/// A window that never was.
pub(super) struct Pasted {
    window: Vec<f32>,
    end: i64,
    class: Class,
}

impl Pasted {
    pub(super) fn example(&self) -> Example<'_> {
        Example { window: &self.window, end: self.end, class: self.class.clone() }
    }
}

use super::*;
use crate::series::Grid;

/// Rows of `features` metrics that hang together, as those of one server do: a cycle, two slow
/// wanderings, noise. Every seventh is quiet but for rare counts, every eleventh is dead.
fn server(rows: usize, features: usize, seed: u64) -> Window {
    let mut random = Random::new(seed);
    let mut normal = move || (0..12).map(|_| f64::from(random.unit())).sum::<f64>() - 6.0;
    let loads: Vec<[f64; 4]> =
        (0..features).map(|_| [normal(), normal(), normal(), 0.3 + 0.2 * normal().abs()]).collect();
    let grid = Grid { start_s: 0, step_s: 1, len: rows };
    let mut window = Window::gaps(grid, features);
    let (mut slow, mut fast) = (0.0, 0.0);
    for i in 0..rows {
        slow += -0.02 * slow + 0.2 * normal();
        fast += -0.3 * fast + 0.7 * normal();
        let cycle = (i as f64 * std::f64::consts::TAU / 60.0).sin();
        for (f, cell) in window.row_mut(i).iter_mut().enumerate() {
            let [a, b, c, d] = loads[f];
            let size = (a * a / 2.0 + b * b + c * c + d * d).sqrt();
            let noise = normal();
            *cell = match f {
                _ if f % 11 == 10 => 0.0,
                _ if f % 7 == 6 => (noise - 1.5).max(0.0).floor(),
                _ => (a * cycle + b * slow + c * fast + d * noise) / size,
            };
        }
    }
    window
}

fn context() -> FitContext<'static> {
    FitContext { seed: 1, keep_going: &|| true }
}

fn fitted(window: &Window) -> Autoencoder {
    Autoencoder::fit(&Config::default(), window, &context()).unwrap()
}

fn raw(model: &Autoencoder, window: &Window, first: usize) -> Vec<f64> {
    model.score(window, first).iter().map(|r| r.value).collect()
}

fn quantile(scores: &[f64], q: f64) -> f64 {
    let mut sorted: Vec<f64> = scores.iter().copied().filter(|s| !s.is_nan()).collect();
    sorted.sort_by(f64::total_cmp);
    sorted[((sorted.len() - 1) as f64 * q) as usize]
}

#[test]
#[ignore = "experiment"]
fn experiment() {
    let get = |n: &str, d: usize| std::env::var(n).ok().and_then(|v| v.parse().ok()).unwrap_or(d);
    let (n, features) = (get("ROWS", 180), get("FEATURES", 45));
    let mut config = Config::default();
    if let Ok(v) = std::env::var("CONFIG") { config = serde_json::from_str(&v).unwrap(); }
    let mut sums = vec![0.0; 16];
    let seeds = get("SEEDS", 6) as u64;
    for seed in 1..=seeds {
        let all = server(n + 600, features, seed);
        let started = std::time::Instant::now();
        let mut model = Autoencoder::fit(&config, &all.slice(0, n), &context()).unwrap();
        let took = started.elapsed().as_secs_f64();
        if get("ZERO", 0) > 0 {
            let mut parts = model.parts();
            for t in &mut parts.tensors { if t.name.starts_with("up2") { t.values.fill(0.0); } }
            let zero = stored::restore(Backend::Flex, parts).unwrap();
            let w = all.slice(0, n);
            let frames = Frames::new(&w, &zero.live, 32);
            let ends = frames.trainable();
            model = Autoencoder::measured(zero.net, zero.n_features, zero.live, &frames, &ends, &context()).unwrap();
        }
        let inside = raw(&model, &all.slice(0, n), 31);
        let cut = 31 + (inside.len() * 85 / 100);
        let late = raw(&model, &all.slice(0, n), cut);
        let outside = raw(&model, &all, n);
        let found = |from: usize, len: usize, feature: usize, by: f64| {
            let mut bad = all.slice(from - 31, from + len);
            for i in 31..31 + len { bad.row_mut(i)[feature] += by; }
            raw(&model, &bad, 31).iter().fold(0.0f64, |a, &b| a.max(b))
        };
        let mut scales = model.scales.clone(); scales.sort_by(f32::total_cmp);
        let normal = quantile(&outside, 0.99);
        let mut row = vec![took, f64::from(scales[scales.len()/2]), quantile(&inside, 0.5), quantile(&inside, 1.0), quantile(&late, 0.5),
            quantile(&outside, 0.5), quantile(&outside, 0.99), quantile(&outside, 0.5) / quantile(&inside, 0.5)];
        for by in [3.0, 5.0, 10.0] {
            for len in [1, 10] {
                let hits = (0..200).filter(|i| found(n + 31 + (2 * i) , len, (i * 7) % features, by) > normal).count();
                row.push(hits as f64 / 2.0);
            }
        }
        for (s, v) in sums.iter_mut().zip(&row) { *s += v / seeds as f64; }
    }
    println!("RESULT took {:.1} scale {:.2} in {:.2} max {:.2} late {:.2} out {:.2} q99 {:.2} ratio {:.2} | 3σ×1 {:.0} ×10 {:.0} 5σ×1 {:.0} ×10 {:.0} 10σ×1 {:.0} ×10 {:.0}", sums[0], sums[1], sums[2], sums[3], sums[4], sums[5], sums[6], sums[7], sums[8], sums[9], sums[10], sums[11], sums[12], sums[13]);
}

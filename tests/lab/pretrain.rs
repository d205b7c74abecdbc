//! The networks that Portent ships, learnt from recordings and simulations.

use std::fs;
use std::ops::Range;
use std::path::Path;
use std::time::Instant;

use portent::detect::FitContext;
use portent::model::Elsewhere;
use portent::model::Model;
use portent::train::recipe;

use super::judge;
use super::lessons;
use super::lessons::Lesson;

/// Minibatches: there is more to learn than one cluster has.
const STEPS: usize = 6_000;
/// Of the networks that these lead to, the one is kept that finds most of what it is chosen by.
const SEEDS: Range<u64> = 0..3;
/// How far above the highest of what is normal the line is drawn.
const MARGIN: f64 = 1.1;

/// Trains each network on some recordings, draws its line by what others have of normal, and writes it to a folder of
/// its own.
///
/// # Errors
/// A network cannot learn from them, or a file cannot be written.
pub(crate) fn pretrain(learnt: &[Lesson], chosen: &[Lesson], out: &Path) -> Result<(), String> {
    let watch = lessons::watch()?;
    let services: Vec<Elsewhere> = learnt.iter().flat_map(Lesson::learnt).collect();
    for (detector, feature) in watch.members() {
        let mut recipe = recipe(&watch, detector, feature);
        if recipe.detector.supervised() {
            recipe.detector = recipe.detector.with_steps(STEPS);
        }
        let begun = Instant::now();
        let name = recipe.detector.name();
        let mut best: Option<(usize, Model)> = None;
        for seed in SEEDS {
            let context = FitContext::new(seed, &|| true);
            let mut model = Model::train_across(&recipe, &services, &context)
                .map_err(|error| format!("{name}: {error}"))?;
            let highest = judge::highest_normal(chosen, &model.pretrained())?;
            model.draw_line(MARGIN * highest);
            let found = judge::found(chosen, &model.pretrained())?;
            println!("{name}, seed {seed}: {found} found, line at {highest:.2}");
            if best.as_ref().is_none_or(|(most, _)| found > *most) {
                best = Some((found, model));
            }
        }
        let Some((_, model)) = best else { return Err(format!("{name}: no seed")) };
        let folder = out.join(format!("coredns-{name}"));
        let (bytes, card) = (model.to_bytes(), model.card());
        let card = serde_json::to_string_pretty(&card).map_err(|error| error.to_string())?;
        let seconds = begun.elapsed().as_secs_f64();
        println!("{}: {} bytes, {seconds:.0} s", folder.display(), bytes.len());
        let written = fs::create_dir_all(&folder)
            .and_then(|()| fs::write(folder.join("model"), bytes))
            .and_then(|()| fs::write(folder.join("card.json"), card + "\n"));
        written.map_err(|error| format!("{}: {error}", folder.display()))?;
    }
    Ok(())
}

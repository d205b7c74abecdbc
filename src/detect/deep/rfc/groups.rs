//! Where the classes lie in the space of embeddings.
//!
//! Owns: each class's mean and how far it reaches. Does not own: embeddings.

use crate::verdict::Class;
use serde::Deserialize;
use serde::Serialize;

use crate::detect::RestoreError;
use crate::detect::Tensor;
use crate::detect::Tensors;
use crate::math::stats;

/// Most kinds of anomalies, and longest name of one in bytes.
pub(super) const MAX_KINDS: usize = 256;

/// Share of a class's examples that lie within its reach.
const REACH: f64 = 0.99;

/// How far a window's embedding lies from one class.
#[derive(Debug, Clone, PartialEq)]
pub struct ClassDistance {
    /// Which class.
    pub class: Class,
    /// Euclidean distance to the mean of the class's examples.
    pub distance: f32,
    /// The distance within which 99 % of the class's examples lie, and a little more where they are few; of a
    /// siamese network at least half its margin.
    pub reach: f32,
}

impl ClassDistance {
    /// Whether the window lies as near to the class as the class's own examples do.
    pub fn within_reach(&self) -> bool {
        self.distance <= self.reach
    }
}

/// The classes, the normal one first.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Groups {
    classes: Vec<Class>,
    /// `[classes, latent]`.
    means: Vec<f32>,
    reaches: Vec<f32>,
    latent: usize,
}

/// What a header says of the groups.
#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(transparent)]
pub(super) struct Names(pub(super) Vec<Class>);

impl Groups {
    /// The groups of these examples, each with its embedding of length `latent`; none reaches less far than
    /// `least`.
    pub(super) fn of(examples: &[(Class, Vec<f32>)], latent: usize, least: f32) -> Groups {
        let mut classes: Vec<Class> = examples.iter().map(|(class, _)| class.clone()).collect();
        classes.sort();
        classes.dedup();
        let mut groups = Groups { classes: Vec::new(), means: vec![], reaches: vec![], latent };
        for class in classes {
            let own: Vec<&[f32]> =
                examples.iter().filter(|e| e.0 == class).map(|e| e.1.as_slice()).collect();
            let n = own.len() as f64;
            let mean = |i: usize| (own.iter().map(|e| f64::from(e[i])).sum::<f64>() / n) as f32;
            let mean: Vec<f32> = (0..latent).map(mean).collect();
            let distances = stats::sorted(own.iter().map(|e| f64::from(distance(e, &mean))));
            // A quantile of few is too small a reach for the next one.
            let reach = stats::quantile(&distances, REACH) * (1.0 + 1.0 / n.sqrt());
            groups.reaches.push(least.max(reach as f32));
            groups.means.extend(mean);
            groups.classes.push(class);
        }
        groups
    }

    /// The distances to all of them, nearest first.
    pub(super) fn distances(&self, embedding: &[f32]) -> Vec<ClassDistance> {
        let means = self.means.chunks(self.latent).zip(&self.reaches);
        let one = |(class, (mean, &reach)): (&Class, (&[f32], &f32))| ClassDistance {
            class: class.clone(),
            distance: distance(embedding, mean),
            reach,
        };
        let mut out: Vec<ClassDistance> = self.classes.iter().zip(means).map(one).collect();
        out.sort_by(|a, b| a.distance.total_cmp(&b.distance));
        out
    }

    /// Whether all numbers are.
    pub(super) fn finite(&self) -> bool {
        self.means.iter().chain(&self.reaches).all(|v| v.is_finite())
    }

    pub(super) fn names(&self) -> Names {
        Names(self.classes.clone())
    }

    pub(super) fn save(&self, out: &mut Vec<Tensor>) {
        out.push(Tensor::flat("group.means", self.means.clone()));
        out.push(Tensor::flat("group.reaches", self.reaches.clone()));
    }

    pub(super) fn restore(
        names: Names,
        latent: usize,
        tensors: &mut Tensors,
    ) -> Result<Groups, RestoreError> {
        let n = names.0.len();
        if n == 0 || n > MAX_KINDS + 2 || !names.0.is_sorted() {
            return Err(RestoreError(format!("{n} classes, or they are out of order")));
        }
        let means = tensors.take("group.means", &[n * latent])?;
        let reaches = tensors.take("group.reaches", &[n])?;
        Ok(Groups { classes: names.0, means, reaches, latent })
    }
}

/// Euclidean distance.
pub(super) fn distance(a: &[f32], b: &[f32]) -> f32 {
    a.iter().zip(b).map(|(a, b)| (a - b) * (a - b)).sum::<f32>().sqrt()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_nearest_class_is_first_and_reach_covers_its_own() {
        let examples: Vec<(Class, Vec<f32>)> = (0..200)
            .map(|i| match i % 2 {
                0 => (Class::Normal, vec![(i as f32).sin(), 0.0]),
                _ => (Class::anomaly("x"), vec![10.0 + 0.1 * (i as f32).sin(), 0.0]),
            })
            .collect();
        let groups = Groups::of(&examples, 2, 0.0);
        let within = |e: &&(Class, Vec<f32>)| {
            let nearest = &groups.distances(&e.1)[0];
            nearest.class == e.0 && nearest.within_reach()
        };
        assert!(examples.iter().filter(within).count() >= 198);
        let far = groups.distances(&[0.0, 10.0]);
        assert_eq!(far[0].class, Class::Normal);
        assert!(far.iter().all(|d| !d.within_reach()));
        assert!(groups.finite());
    }
}

//! K-means: points in groups around their means.
//!
//! Owns: seeding, Lloyd's iterations, the silhouette that a number of groups is chosen by. On a fixture the
//! inertia and the silhouette equal scikit-learn's. Does not own: what the points mean.
//!
//! Sources: Arthur and Vassilvitskii, "k-means++: The Advantages of Careful Seeding" (2007), in the greedy
//! variant that tries a few candidates a centre; Lloyd, "Least Squares Quantization in PCM" (1982);
//! Rousseeuw, "Silhouettes" (1987).

use crate::math::random::Random;

/// Lloyd's iterations end after so many, if not by themselves.
const MOST_ITERATIONS: usize = 300;

/// Points `[n, dimensions]`, row-major, none of them NaN.
#[derive(Debug, Clone, Copy)]
pub struct Points<'a> {
    values: &'a [f64],
    dimensions: usize,
}

/// Points in groups.
#[derive(Debug, Clone, PartialEq)]
pub struct Clustering {
    /// `[k, dimensions]`, row-major.
    pub centres: Vec<f64>,
    /// Each point's group, below k.
    pub groups: Vec<usize>,
    /// Sum over the points of the squared distance to their group's centre.
    pub inertia: f64,
}

impl<'a> Points<'a> {
    /// Points of `dimensions` numbers each, not 0; what is left over at the end is not looked at.
    pub fn new(values: &'a [f64], dimensions: usize) -> Points<'a> {
        let dimensions = dimensions.max(1);
        Points { values: &values[..values.len() / dimensions * dimensions], dimensions }
    }

    /// How many.
    pub fn len(&self) -> usize {
        self.values.len() / self.dimensions
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.values.is_empty()
    }

    fn iter(&self) -> impl Iterator<Item = &'a [f64]> {
        self.values.chunks(self.dimensions)
    }

    fn at(&self, i: usize) -> &'a [f64] {
        &self.values[i * self.dimensions..(i + 1) * self.dimensions]
    }

    /// The best of `starts` clusterings in `k` groups, fewer where there are fewer points.
    pub fn cluster(&self, k: usize, starts: usize, random: &mut Random) -> Clustering {
        let k = k.clamp(1, self.len().max(1));
        let once = |_| self.lloyd(self.seed(k, random));
        let none = Clustering { centres: vec![], groups: vec![], inertia: 0.0 };
        if self.is_empty() {
            return none;
        }
        let best = (0..starts.max(1)).map(once).min_by(|a, b| a.inertia.total_cmp(&b.inertia));
        best.unwrap_or(none)
    }

    /// The clustering in 2 to `most` groups whose silhouette is largest; in one where there are fewer than
    /// three points, or where no silhouette is at least `least`: then the points are no groups.
    pub fn cluster_by_silhouette(
        &self,
        most: usize,
        least: f64,
        starts: usize,
        random: &mut Random,
    ) -> Clustering {
        let mut best = (least, None);
        for k in 2..=most.min(self.len().saturating_sub(1)) {
            let clustering = self.cluster(k, starts, random);
            let silhouette = self.silhouette(&clustering.groups);
            if silhouette >= best.0 {
                best = (silhouette, Some(clustering));
            }
        }
        best.1.unwrap_or_else(|| self.cluster(1, 1, random))
    }

    /// Centres that are points, each drawn with a chance that grows with the squared distance to those before.
    fn seed(&self, k: usize, random: &mut Random) -> Vec<f64> {
        let mut centres = self.at(random.below(self.len())).to_vec();
        let mut nearest: Vec<f64> = self.iter().map(|p| square(p, &centres)).collect();
        let candidates = 2 + k.ilog2() as usize;
        while centres.len() < k * self.dimensions {
            let tries = (0..candidates).map(|_| {
                let centre = self.at(draw(&nearest, random));
                let closer: Vec<f64> =
                    self.iter().zip(&nearest).map(|(p, &d)| d.min(square(p, centre))).collect();
                (closer.iter().sum::<f64>(), centre, closer)
            });
            let Some((_, centre, closer)) = tries.min_by(|a, b| a.0.total_cmp(&b.0)) else {
                break;
            };
            centres.extend_from_slice(centre);
            nearest = closer;
        }
        centres
    }

    /// Points to their nearest centre, centres to the mean of their points, until nothing moves.
    fn lloyd(&self, mut centres: Vec<f64>) -> Clustering {
        let mut groups = self.nearest(&centres);
        for _ in 0..MOST_ITERATIONS {
            self.move_to_means(&groups, &mut centres);
            let next = self.nearest(&centres);
            if next == groups {
                break;
            }
            groups = next;
        }
        let own = |g: usize| &centres[g * self.dimensions..(g + 1) * self.dimensions];
        let inertia = self.iter().zip(&groups).map(|(p, &g)| square(p, own(g))).sum();
        Clustering { centres, groups, inertia }
    }

    fn nearest(&self, centres: &[f64]) -> Vec<usize> {
        let nearest = |point: &[f64]| {
            let distances = centres.chunks(self.dimensions).map(|c| square(point, c)).enumerate();
            distances.min_by(|a, b| a.1.total_cmp(&b.1)).map_or(0, |(group, _)| group)
        };
        self.iter().map(nearest).collect()
    }

    /// A centre without points stays where it is.
    fn move_to_means(&self, groups: &[usize], centres: &mut [f64]) {
        let k = centres.len() / self.dimensions;
        let mut sums = vec![0.0; centres.len()];
        let mut counts = vec![0.0; k];
        for (point, &group) in self.iter().zip(groups) {
            counts[group] += 1.0;
            let sums = &mut sums[group * self.dimensions..(group + 1) * self.dimensions];
            sums.iter_mut().zip(point).for_each(|(sum, v)| *sum += v);
        }
        for (i, centre) in centres.iter_mut().enumerate() {
            let count = counts[i / self.dimensions];
            if count > 0.0 {
                *centre = sums[i] / count;
            }
        }
    }

    /// Mean over the points of (b − a) / max(a, b), where a is the mean distance to the others of the own
    /// group and b that to the nearest other group; 0 for a point alone in its group, and if there is one
    /// group only. Costs the square of the number of points.
    pub fn silhouette(&self, groups: &[usize]) -> f64 {
        let k = groups.iter().max().map_or(0, |most| most + 1);
        let mut sizes = vec![0.0; k];
        groups.iter().for_each(|&g| sizes[g] += 1.0);
        if sizes.iter().filter(|&&n| n > 0.0).count() < 2 {
            return 0.0;
        }
        let one = |(i, point): (usize, &[f64])| {
            let mut sums = vec![0.0; k];
            self.iter().zip(groups).for_each(|(p, &g)| sums[g] += square(point, p).sqrt());
            let own = groups[i];
            if sizes[own] < 2.0 {
                return 0.0;
            }
            let a = sums[own] / (sizes[own] - 1.0);
            let others = (0..k).filter(|&g| g != own && sizes[g] > 0.0);
            let b = others.map(|g| sums[g] / sizes[g]).fold(f64::INFINITY, f64::min);
            if a.max(b) > 0.0 { (b - a) / a.max(b) } else { 0.0 }
        };
        self.iter().enumerate().map(one).sum::<f64>() / self.len() as f64
    }

    /// The point of each group that is nearest to its centre; none for a group without points.
    pub fn medoids(&self, clustering: &Clustering) -> Vec<Option<usize>> {
        let medoid = |(group, centre): (usize, &[f64])| {
            let own = clustering.groups.iter().enumerate().filter(|&(_, &g)| g == group);
            let distances = own.map(|(i, _)| (i, square(self.at(i), centre)));
            distances.min_by(|a, b| a.1.total_cmp(&b.1)).map(|(i, _)| i)
        };
        clustering.centres.chunks(self.dimensions).enumerate().map(medoid).collect()
    }
}

/// Squared Euclidean distance.
fn square(a: &[f64], b: &[f64]) -> f64 {
    a.iter().zip(b).map(|(a, b)| (a - b) * (a - b)).sum()
}

/// A place drawn with these weights; any if all are 0.
fn draw(weights: &[f64], random: &mut Random) -> usize {
    let total: f64 = weights.iter().sum();
    let mut left = random.unit() * total;
    for (i, weight) in weights.iter().enumerate() {
        left -= weight;
        if left < 0.0 {
            return i;
        }
    }
    random.below(weights.len())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn numbers(text: &str) -> Vec<f64> {
        text.lines().skip(1).flat_map(|line| line.split(',')).map(|v| v.parse().unwrap()).collect()
    }

    #[test]
    fn inertia_and_silhouette_are_scikit_learns() {
        let points = numbers(include_str!("../../tests/data/reference/kmeans.csv"));
        let points = Points::new(&points, 3);
        let reference = numbers(include_str!("../../tests/data/reference/kmeans_inertia.csv"));
        for row in reference.chunks(3) {
            let clustering = points.cluster(row[0] as usize, 50, &mut Random::new(1));
            let silhouette = points.silhouette(&clustering.groups);
            assert!((clustering.inertia - row[1]).abs() < 1e-5, "{row:?} {}", clustering.inertia);
            assert!((silhouette - row[2]).abs() < 1e-5, "{row:?} {silhouette}");
        }
        let best = reference.chunks(3).max_by(|a, b| a[2].total_cmp(&b[2])).unwrap()[0] as usize;
        let chosen = points.cluster_by_silhouette(6, 0.25, 20, &mut Random::new(1));
        assert_eq!(chosen.centres.len(), 3 * best);
    }

    #[test]
    fn same_seed_same_groups() {
        let values: Vec<f64> = (0..60).map(|i| f64::from(i * 37 % 61)).collect();
        let points = Points::new(&values, 2);
        let cluster = |seed| points.cluster(4, 1, &mut Random::new(seed));
        assert_eq!(cluster(3), cluster(3));
        let clustering = cluster(3);
        for (group, medoid) in points.medoids(&clustering).into_iter().enumerate() {
            assert_eq!(clustering.groups[medoid.unwrap()], group);
        }
    }

    #[test]
    fn few_points_and_equal_points_are_no_trouble() {
        let mut random = Random::new(1);
        let none = Points::new(&[], 2);
        assert!(none.cluster(3, 2, &mut random).groups.is_empty());
        assert!(none.cluster_by_silhouette(3, 0.2, 2, &mut random).groups.is_empty());
        let equal = [1.0; 10];
        let equal = Points::new(&equal, 2);
        let clustering = equal.cluster(3, 2, &mut random);
        assert_eq!((clustering.inertia, clustering.groups.len()), (0.0, 5));
        assert_eq!(equal.silhouette(&clustering.groups), 0.0);
        let one = equal.cluster_by_silhouette(4, 0.2, 2, &mut random);
        assert_eq!(one.centres, [1.0, 1.0]);
        assert_eq!(Points::new(&[1.0, 2.0], 1).cluster(9, 1, &mut random).inertia, 0.0);
    }
}

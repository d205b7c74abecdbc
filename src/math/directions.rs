//! Groups of points by their direction alone: a weak one is of the same kind as a strong one.
//!
//! Owns: unit vectors in groups, and how many groups. Does not own: k-means itself (`kmeans`).
//!
//! After the spherical k-means of Dhillon and Modha, "Concept Decompositions for Large Sparse Text Data Using
//! Clustering" (2001), with the means as they are instead of their directions: the sum of squared distances of unit
//! vectors to their mean is n (1 − |mean|²), so both look for groups whose mean is long.

use crate::math::kmeans::Points;
use crate::math::random::Random;

/// Clusterings that the best one is taken of.
const STARTS: usize = 20;

/// Groups at most, where their number is not given.
const MOST: usize = 20;

/// Least mean silhouette of what is taken for a structure (Kaufman and Rousseeuw, "Finding Groups in Data", 1990).
const LEAST_SILHOUETTE: f64 = 0.25;

/// Points that a number of groups is chosen by, at most: it costs their square.
const MOST_CHOSEN_BY: usize = 512;

/// Points of about one direction.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Group {
    /// Their places, ascending.
    pub members: Vec<usize>,
    /// The place of the one whose direction is nearest to their mean.
    pub medoid: usize,
}

/// Points `[n, dimensions]`, row-major, in `k` groups, or in as many (up to 20) as the silhouette finds; the largest
/// first. Places count points. One that holds what is no number, or has no direction, points nowhere and is like
/// others of its kind.
pub fn groups(
    values: &[f64],
    dimensions: usize,
    k: Option<usize>,
    random: &mut Random,
) -> Vec<Group> {
    let dimensions = dimensions.max(1);
    let units: Vec<f64> = values.chunks_exact(dimensions).flat_map(unit).collect();
    let points = Points::new(&units, dimensions);
    let k = k.unwrap_or_else(|| {
        let every = points.len().div_ceil(MOST_CHOSEN_BY).max(1);
        let few = units.chunks_exact(dimensions).step_by(every).flatten().copied();
        let few: Vec<f64> = few.collect();
        let few = Points::new(&few, dimensions);
        let chosen = few.cluster_by_silhouette(MOST, LEAST_SILHOUETTE, STARTS, random);
        chosen.centres.len() / dimensions
    });
    let clustering = points.cluster(k, STARTS, random);
    let group = |(group, medoid): (usize, Option<usize>)| {
        let members = (0..points.len()).filter(|&i| clustering.groups[i] == group).collect();
        Some(Group { members, medoid: medoid? })
    };
    let medoids = points.medoids(&clustering);
    let mut groups: Vec<Group> = medoids.into_iter().enumerate().filter_map(group).collect();
    groups.sort_by_key(|group| std::cmp::Reverse(group.members.len()));
    groups
}

/// The point at distance 1 in the same direction; the origin if there is none.
fn unit(point: &[f64]) -> Vec<f64> {
    // By the largest first, so that no square is beyond numbers.
    let most = point.iter().fold(0.0_f64, |most, v| most.max(v.abs()));
    let scaled = || point.iter().map(|v| v / most);
    let length = scaled().map(|v| v * v).sum::<f64>().sqrt();
    match length.is_finite() && length > 0.0 {
        true => scaled().map(|v| v / length).collect(),
        false => vec![0.0; point.len()],
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Points of three directions, of many lengths, and a little off.
    fn points() -> Vec<f64> {
        let noise = |i: usize, k: usize| ((i * 7919 + i * i * 31 * k) % 101) as f64 / 1010.0 - 0.05;
        let point = |i: usize| {
            let length = 10f64.powi(i as i32 % 7 - 3);
            let direction = [[1.0, 0.0, 0.0], [0.0, 1.0, 1.0], [-1.0, 0.0, 0.0]][i % 3];
            let off = |d: usize| length * (direction[d] + noise(i, d + 1));
            [off(0), off(1), off(2)]
        };
        (0..62).flat_map(point).collect()
    }

    #[test]
    fn groups_are_those_of_one_direction_whatever_their_lengths() {
        let found = groups(&points(), 3, None, &mut Random::new(1));
        let members = |first: usize| (first..62).step_by(3).collect::<Vec<_>>();
        let mut of: Vec<Vec<usize>> = found.iter().map(|group| group.members.clone()).collect();
        assert!(of.is_sorted_by_key(|members| std::cmp::Reverse(members.len())));
        of.sort();
        assert_eq!(of, [members(0), members(1), members(2)]);
        assert!(found.iter().all(|group| group.members.contains(&group.medoid)));
        assert_eq!(groups(&points(), 3, Some(2), &mut Random::new(1)).len(), 2);
    }

    #[test]
    fn no_structure_is_one_group_and_no_point_is_none() {
        let same: Vec<f64> = (1..40).flat_map(|i| [f64::from(i), 2.0 * f64::from(i)]).collect();
        assert_eq!(groups(&same, 2, None, &mut Random::new(1)).len(), 1);
        assert_eq!(groups(&[], 2, None, &mut Random::new(1)), []);
        let odd = [0.0, 0.0, f64::NAN, 1.0, f64::INFINITY, 1.0, f64::MAX, f64::MAX, 5e-324, 0.0];
        let found = groups(&odd, 2, None, &mut Random::new(1));
        assert_eq!(found.iter().map(|group| group.members.len()).sum::<usize>(), 5);
    }

    #[test]
    fn of_many_points_a_part_says_how_many_groups_there_are() {
        let many = points().repeat(100);
        let found = groups(&many, 3, None, &mut Random::new(1));
        let sizes: Vec<usize> = found.iter().map(|group| group.members.len()).collect();
        assert_eq!(sizes, [2100, 2100, 2000]);
    }
}

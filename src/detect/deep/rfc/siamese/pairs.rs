//! Which pairs of windows a siamese network learns from.
//!
//! Owns: what counts as the same class, and the draw. Does not own: what is made of a pair.

use crate::detect::deep::rfc::data::Example;
use crate::detect::deep::rfc::heads;
use crate::detect::deep::rfc::windows::Scaler;
use crate::math::random::Random;
use crate::verdict::Class;

/// Draws pairs of examples: half of them of one class, however rare a class is.
pub(super) struct Drawer<'a> {
    normal: Vec<&'a [f32]>,
    /// One entry per kind.
    kinds: Vec<Vec<&'a [f32]>>,
    /// Anomalies that may be of any kind, which are only known to differ from normal windows. Where no kinds are
    /// known at all they are one, as in the RFC.
    others: Vec<&'a [f32]>,
}

/// Pairs of windows, and whether they are of one class.
pub(super) struct Pairs<'a>(Vec<(&'a [f32], &'a [f32], bool)>);

impl<'a> Drawer<'a> {
    /// Pairs of the examples in these places, among which are normal ones and anomalies.
    pub(super) fn new(data: &[Example<'a>], places: &[usize]) -> Drawer<'a> {
        let mut drawer = Drawer { normal: vec![], kinds: vec![], others: vec![] };
        let mut classes: Vec<&Class> = vec![];
        for &place in places {
            let Example { window, class, .. } = &data[place];
            match class {
                Class::Normal => drawer.normal.push(window),
                Class::Anomaly(None) => drawer.others.push(window),
                Class::Anomaly(Some(_)) => {
                    if let Some(i) = classes.iter().position(|c| *c == class) {
                        drawer.kinds[i].push(window);
                    } else {
                        classes.push(class);
                        drawer.kinds.push(vec![window]);
                    }
                }
            }
        }
        if drawer.kinds.is_empty() {
            drawer.kinds.push(std::mem::take(&mut drawer.others));
        }
        drawer
    }

    /// So many pairs, in turn of one class and of two.
    pub(super) fn draw(&self, n: usize, random: &mut Random) -> Pairs<'a> {
        let pair =
            |i: usize| if i.is_multiple_of(2) { self.same(random) } else { self.different(random) };
        Pairs((0..n).map(pair).collect())
    }

    fn same(&self, random: &mut Random) -> (&'a [f32], &'a [f32], bool) {
        let normal = random.below(2) == 0;
        let kind = random.below(self.kinds.len());
        let group = if normal { &self.normal } else { &self.kinds[kind] };
        let left = random.below(group.len());
        // Another one if there is: of the own window a network learns nothing but what is hidden.
        let right = (left + 1 + random.below(group.len().saturating_sub(1))) % group.len().max(1);
        (group[left], group[right], true)
    }

    fn different(&self, random: &mut Random) -> (&'a [f32], &'a [f32], bool) {
        if self.kinds.len() > 1 && random.below(2) == 0 {
            let left = random.below(self.kinds.len());
            let right = (left + 1 + random.below(self.kinds.len() - 1)) % self.kinds.len();
            return (one(&self.kinds[left], random), one(&self.kinds[right], random), false);
        }
        let place = random.below(self.kinds.len() + usize::from(!self.others.is_empty()));
        let anomalies = self.kinds.get(place).unwrap_or(&self.others);
        (one(&self.normal, random), one(anomalies, random), false)
    }
}

fn one<'a>(windows: &[&'a [f32]], random: &mut Random) -> &'a [f32] {
    windows[random.below(windows.len())]
}

impl Pairs<'_> {
    /// To learn from, with some of each window hidden.
    pub(super) fn hidden(&self, scaler: &Scaler, random: &mut Random) -> heads::Pairs {
        let (left, right) = self.sides();
        let left = scaler.hidden(&left, random).input;
        heads::Pairs { left, right: scaler.hidden(&right, random).input, same: self.verdicts() }
    }

    /// To judge by.
    pub(super) fn shown(&self, scaler: &Scaler) -> heads::Pairs {
        let (left, right) = self.sides();
        let (left, right) = (scaler.inputs(&left), scaler.inputs(&right));
        heads::Pairs { left, right, same: self.verdicts() }
    }

    fn sides(&self) -> (Vec<&[f32]>, Vec<&[f32]>) {
        self.0.iter().map(|(left, right, _)| (*left, *right)).unzip()
    }

    fn verdicts(&self) -> Vec<f32> {
        self.0.iter().map(|(_, _, same)| f32::from(u8::from(*same))).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn half_the_pairs_are_of_one_class_and_none_is_uncertain() {
        let cells: Vec<[f32; 1]> = (0..100u8).map(|i| [f32::from(i)]).collect();
        let class = |i: usize| match i {
            0..4 => Class::anomaly("a"),
            4..6 => Class::anomaly("b"),
            6..9 => Class::Anomaly(None),
            _ => Class::Normal,
        };
        let example = |(i, cell): (usize, &'static [f32; 1])| Example {
            window: cell,
            end: i as i64,
            class: class(i),
        };
        let cells: &'static [[f32; 1]] = cells.leak();
        let data: Vec<Example<'_>> = cells.iter().enumerate().map(example).collect();
        let all: Vec<usize> = (0..100).collect();
        let pairs = Drawer::new(&data, &all).draw(1000, &mut Random::new(1)).0;
        assert_eq!(pairs.iter().filter(|p| p.2).count(), 500);
        for (left, right, same) in pairs {
            let [a, b] = [left, right].map(|w| class(w[0] as usize));
            assert_eq!(a == b, same, "{a:?} {b:?}");
            let uncertain = |c: &Class| *c == Class::Anomaly(None);
            assert!(!(uncertain(&a) && b.is_anomaly() || uncertain(&b) && a.is_anomaly()));
        }
        // One anomaly of unknown kind is enough for a draw.
        let few = Drawer::new(&data, &[6, 50]).draw(4, &mut Random::new(1)).0;
        assert_eq!(few.iter().map(|p| p.2).collect::<Vec<_>>(), [true, false, true, false]);
    }
}

//! Rows with gaps whose differences are an ARMA.
//!
//! Owns: what is unknown of the levels before the first difference, and which rows tell.
//! Does not own: their likelihood (`undifferenced`, `direct`).
//!
//! A level that is missing there enters all rows after it, in a way that no parameter changes: by the differences'
//! factors alone. So does each sum of such ways. The first row that one is seen in says how far it went, and nothing
//! else; what it was is then taken out of the others. A way that no row is seen in, as a slot of the season that is
//! always missing, changes nothing.

/// Share of what a way was that is taken for what rounding leaves of none.
const ROUNDING: f64 = 1e-9;

/// Rows before differences.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Levels {
    /// NaN: missing.
    rows: Vec<f64>,
    /// `(lag, c)`, rising, where a row is its difference and `Σ c·y(−lag)`.
    lags: Vec<(usize, f64)>,
    /// Rows before the first difference that are missing: each begins a way.
    missing: Vec<usize>,
    /// Where rows say how far ways went, rising.
    settled: Vec<Settled>,
    /// Those of `missing` that the rows tell from the others.
    told: Vec<usize>,
}

/// A row that says how far a way went.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Settled {
    pub(super) row: usize,
    /// What the way is before it, as many rows as differences use up, oldest first, where it is 1 in the row.
    pub(super) way: Vec<f64>,
    /// What it is in the row where it begins with 1.
    pub(super) size: f64,
}

impl Levels {
    /// Of lags that rise.
    pub(super) fn new(rows: Vec<f64>, lags: Vec<(usize, f64)>) -> Levels {
        let mut levels =
            Levels { rows, lags, missing: Vec::new(), settled: Vec::new(), told: Vec::new() };
        let begin = levels.n_lost().min(levels.rows.len());
        levels.missing = (0..begin).filter(|&t| levels.rows[t].is_nan()).collect();
        let left = levels.settle();
        let untold = distinct(left);
        let told = levels.missing.iter().enumerate().filter(|(i, _)| !untold.contains(i));
        levels.told = told.map(|(_, &row)| row).collect();
        levels
    }

    /// False beyond the end, too.
    pub(super) fn is_seen(&self, row: usize) -> bool {
        self.rows.get(row).is_some_and(|y| !y.is_nan())
    }

    /// Rows that differences use up.
    pub(super) fn n_lost(&self) -> usize {
        self.lags.last().map_or(0, |&(lag, _)| lag)
    }

    /// NaN: missing.
    pub(super) fn rows(&self) -> &[f64] {
        &self.rows
    }

    /// `(lag, c)`, rising, where a row is its difference and `Σ c·y(−lag)`.
    pub(super) fn lags(&self) -> &[(usize, f64)] {
        &self.lags
    }

    /// What each level that is missing and that rows tell about adds to the differences.
    pub(super) fn added(&self) -> Vec<Vec<f64>> {
        let n_lost = self.n_lost();
        let column = |&row: &usize| {
            let mut column = vec![0.0; self.rows.len().saturating_sub(n_lost)];
            for &(lag, c) in self.lags.iter().filter(|(lag, _)| row + lag >= n_lost) {
                if let Some(to) = column.get_mut(row + lag - n_lost) {
                    *to = -c;
                }
            }
            column
        };
        self.told.iter().map(column).collect()
    }

    /// Where rows say how far ways went, rising.
    pub(super) fn settled(&self) -> &[Settled] {
        &self.settled
    }

    /// Finds the rows that settle something. What is left, as factors of the unknown levels.
    fn settle(&mut self) -> Vec<Vec<f64>> {
        let n_lost = self.n_lost();
        // The last rows of each way, a ring; and how much of each unknown level is in it.
        let places = n_lost + 1;
        let mut ways: Vec<(Vec<f64>, Vec<f64>)> = Vec::new();
        for (i, &row) in self.missing.iter().enumerate() {
            let (mut own, mut of) = (vec![0.0; places], vec![0.0; self.missing.len()]);
            (own[row], of[i]) = (1.0, 1.0);
            ways.push((own, of));
        }
        for t in n_lost..self.rows.len() {
            if ways.is_empty() {
                break;
            }
            for (own, _) in &mut ways {
                let next = self.lags.iter().map(|&(lag, c)| c * own[(t - lag) % places]).sum();
                own[t % places] = next;
            }
            if self.rows[t].is_nan() {
                continue;
            }
            let largest = |own: &[f64]| own.iter().fold(0.0, |most: f64, x| most.max(x.abs()));
            let is_in = |own: &[f64]| own[t % places].abs() > ROUNDING * largest(own);
            let size = |way: &usize| ways[*way].0[t % places].abs();
            let seen = (0..ways.len()).filter(|&way| is_in(&ways[way].0));
            // What rounding leaves of none is left as it is: to make it none would be an error that grows.
            let Some(way) = seen.max_by(|a, b| size(a).total_cmp(&size(b))) else { continue };
            let (own, of) = ways.swap_remove(way);
            for (other, other_of) in &mut ways {
                let share = other[t % places] / own[t % places];
                other.iter_mut().zip(&own).for_each(|(to, from)| *to -= share * from);
                other_of.iter_mut().zip(&of).for_each(|(to, from)| *to -= share * from);
                other[t % places] = 0.0;
            }
            let size = own[t % places];
            let way = (t - n_lost..t).map(|row| own[row % places] / size).collect();
            self.settled.push(Settled { row: t, way, size });
        }
        ways.into_iter().map(|(_, of)| of).collect()
    }
}

/// As many places as there are vectors, at which these tell each other apart.
fn distinct(mut vectors: Vec<Vec<f64>>) -> Vec<usize> {
    let mut places = Vec::new();
    while let Some(own) = vectors.pop() {
        let size = |place: &usize| own[*place].abs();
        let place = (0..own.len()).max_by(|a, b| size(a).total_cmp(&size(b)));
        let Some(place) = place.filter(|&place| own[place] != 0.0) else { continue };
        places.push(place);
        for other in &mut vectors {
            let share = other[place] / own[place];
            other.iter_mut().zip(&own).for_each(|(to, from)| *to -= share * from);
            other[place] = 0.0;
        }
    }
    places
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_rows_that_are_seen_tell_where_missing_levels_were() {
        let nan = f64::NAN;
        let levels =
            |rows: &[f64], lags: &[(usize, f64)]| Levels::new(rows.to_vec(), lags.to_vec());
        // The slope of a line whose second row is missing.
        let line = levels(&[1.0, nan, nan, 7.0, 9.0], &[(1, 2.0), (2, -1.0)]);
        assert_eq!((&line.missing[..], line.settled.len()), (&[1][..], 1));
        assert_eq!(line.settled[0], Settled { row: 3, way: vec![1.0 / 3.0, 2.0 / 3.0], size: 3.0 });
        assert_eq!(line.added(), [[-2.0, 1.0, 0.0]]);
        // Of a season of three rows one slot is seen late, and one never.
        let season = levels(&[1.0, nan, nan, 1.0, nan, nan, 1.0, 2.0, nan], &[(3, 1.0)]);
        assert_eq!((&season.missing[..], season.settled[0].row), (&[1, 2][..], 7));
        assert_eq!(season.added(), [[0.0, -1.0, 0.0, 0.0, 0.0, 0.0]]);
        assert_eq!(season.settled.len(), 1);
        // Nothing is told by fewer rows than differences use up.
        assert_eq!(levels(&[1.0, nan], &[(3, 1.0)]).added(), Vec::<Vec<f64>>::new());
    }
}

//! A matrix product of rows that may overlap, for layers of small networks.
//!
//! Owns: how weights lie in memory, the product. Does not own: which layers there are.
//!
//! Over a zero-padded signal of rows of channels, the cells that a convolution reads for one output
//! are contiguous, so that it is this product with a step shorter than a row, and nothing is copied.

use crate::math::simd;
use crate::math::simd::Wide;
use crate::math::simd::fma32;

/// Columns that are computed together: the widest register.
const LINE: usize = 16;

/// The weights of neighbouring columns, aligned so that none straddles a cache line.
#[derive(Debug, Clone, Copy, PartialEq)]
#[repr(C, align(64))]
struct Line([f32; LINE]);

/// A linear layer `inputs` → `outputs`.
#[derive(Debug, Clone, PartialEq)]
pub struct Dense {
    /// Columns in groups of [`LINE`], the last one filled up with zeros; a group is `inputs` lines.
    lines: Vec<Line>,
    /// One line a group.
    bias: Vec<Line>,
    inputs: usize,
    outputs: usize,
}

/// Where rows are read and written, in numbers from the start of their slices.
#[derive(Debug, Clone, Copy)]
pub struct Rows {
    /// How many rows there are.
    pub count: usize,
    /// From one row that is read to the next; rows may overlap. Written rows do not.
    pub step: usize,
    /// Whether negative outputs become 0.
    pub relu: bool,
}

impl Dense {
    /// The layer `x·weight + bias`, `weight` being `[inputs, outputs]`, row-major, and `bias`
    /// `[outputs]`. What is missing of `weight` is 0.
    pub fn new(weight: &[f32], bias: &[f32]) -> Dense {
        let outputs = bias.len();
        let inputs = weight.len() / outputs.max(1);
        let line = |row: &[f32], group: usize| {
            let mut line = Line([0.0; LINE]);
            let have = &row[group * LINE..outputs.min((group + 1) * LINE)];
            line.0[..have.len()].copy_from_slice(have);
            line
        };
        let groups = outputs.div_ceil(LINE);
        let rows = || weight.chunks_exact(outputs.max(1));
        let lines = (0..groups).flat_map(|group| rows().map(move |row| line(row, group)));
        let lines = lines.collect();
        Dense { lines, bias: (0..groups).map(|g| line(bias, g)).collect(), inputs, outputs }
    }

    /// Numbers that a row reads.
    pub fn inputs(&self) -> usize {
        self.inputs
    }

    /// Numbers that a row writes.
    pub fn outputs(&self) -> usize {
        self.outputs
    }

    /// The weights `[inputs, outputs]`, row-major, and the biases `[outputs]`.
    pub fn weights(&self) -> (Vec<f32>, Vec<f32>) {
        let row = |lines: &mut dyn Iterator<Item = &Line>| {
            let mut row: Vec<f32> = lines.flat_map(|line| line.0).collect();
            row.truncate(self.outputs);
            row
        };
        let weight = (0..self.inputs)
            .flat_map(|j| row(&mut self.lines.iter().skip(j).step_by(self.inputs)))
            .collect();
        (weight, row(&mut self.bias.iter()))
    }

    /// Reads `rows` from `input` and writes them one after the other into `output`, but for columns
    /// before `from`, which may or may not be written.
    pub fn apply(&self, rows: Rows, from: usize, input: &[f32], output: &mut [f32]) {
        if rows.count > 0 && self.outputs > 0 {
            simd::widest_f32(Product { dense: self, rows, from, input, output });
        }
    }
}

struct Product<'a> {
    dense: &'a Dense,
    rows: Rows,
    from: usize,
    input: &'a [f32],
    output: &'a mut [f32],
}

impl Wide for Product<'_> {
    type Output = ();

    #[inline(always)]
    fn run<const LANES: usize, const FMA: bool>(mut self) {
        let groups = self.dense.bias.len();
        let mut group = self.from / LINE;
        while group < groups {
            // As many sums as there are registers for, and few enough rows for their addresses.
            group += match (self.rows.count, LANES) {
                (1, _) => self.single::<FMA>(group),
                (_, 16) if group + 2 <= groups => self.tiles::<8, 2, FMA>(group),
                (_, 16) => self.tiles::<8, 1, FMA>(group),
                (_, 8) => self.tiles::<6, 1, FMA>(group),
                _ => self.tiles::<2, 1, FMA>(group),
            };
        }
    }
}

impl Product<'_> {
    /// All rows of `WIDE` groups of columns; returns `WIDE`.
    #[inline(always)]
    fn tiles<const TILE: usize, const WIDE: usize, const FMA: bool>(
        &mut self,
        group: usize,
    ) -> usize {
        let count = self.rows.count;
        let mut row = 0;
        while row + TILE <= count {
            self.tile::<TILE, WIDE, FMA>(group, row);
            row += TILE;
        }
        while row + 2 <= count {
            self.tile::<2, WIDE, FMA>(group, row);
            row += 2;
        }
        if row < count {
            self.tile::<1, WIDE, FMA>(group, row);
        }
        WIDE
    }

    /// `WIDE` groups of columns of `TILE` rows.
    #[inline(always)]
    fn tile<const TILE: usize, const WIDE: usize, const FMA: bool>(
        &mut self,
        group: usize,
        row: usize,
    ) {
        let Dense { lines, bias, inputs, .. } = self.dense;
        let n = *inputs;
        let weights: [&[Line]; WIDE] = std::array::from_fn(|g| &lines[(group + g) * n..][..n]);
        let x: [&[f32]; TILE] =
            std::array::from_fn(|r| &self.input[(row + r) * self.rows.step..][..n]);
        let mut sums: [[[f32; LINE]; WIDE]; TILE] =
            std::array::from_fn(|_| std::array::from_fn(|g| bias[group + g].0));
        for j in 0..n {
            for r in 0..TILE {
                for g in 0..WIDE {
                    add::<FMA>(&mut sums[r][g], x[r][j], &weights[g][j]);
                }
            }
        }
        for (r, sums) in sums.into_iter().enumerate() {
            for (g, sums) in sums.into_iter().enumerate() {
                self.write(group + g, row + r, sums);
            }
        }
    }

    /// The columns of `group`, of the only row: four sums of it at once hide how long one takes.
    #[inline(always)]
    fn single<const FMA: bool>(&mut self, group: usize) -> usize {
        let Dense { lines, bias, inputs, .. } = self.dense;
        let lines = &lines[group * inputs..][..*inputs];
        let input = &self.input[..*inputs];
        let mut sums = [bias[group].0, [0.0; LINE], [0.0; LINE], [0.0; LINE]];
        let (four, rest) = input.as_chunks::<4>();
        let (four_lines, rest_lines) = lines.as_chunks::<4>();
        for (x, lines) in four.iter().zip(four_lines) {
            for s in 0..4 {
                add::<FMA>(&mut sums[s], x[s], &lines[s]);
            }
        }
        let [mut sum, b, c, d] = sums;
        for (x, line) in rest.iter().zip(rest_lines) {
            add::<FMA>(&mut sum, *x, line);
        }
        for (i, sum) in sum.iter_mut().enumerate() {
            *sum = (*sum + b[i]) + (c[i] + d[i]);
        }
        self.write(group, 0, sum);
        1
    }

    #[inline(always)]
    fn write(&mut self, group: usize, row: usize, mut sums: [f32; LINE]) {
        if self.rows.relu {
            for sum in &mut sums {
                // Not `max`, which would hide a NaN.
                *sum = if *sum < 0.0 { 0.0 } else { *sum };
            }
        }
        let outputs = self.dense.outputs;
        let row = &mut self.output[row * outputs..][..outputs];
        let out = &mut row[group * LINE..];
        match out.first_chunk_mut::<LINE>() {
            Some(out) => {
                for (out, sum) in out.iter_mut().zip(sums) {
                    *out = sum;
                }
            }
            None => out.copy_from_slice(&sums[..out.len()]),
        }
    }
}

/// Adds `x` times a line.
#[inline(always)]
fn add<const FMA: bool>(sums: &mut [f32; LINE], x: f32, line: &Line) {
    for (sum, weight) in sums.iter_mut().zip(&line.0) {
        *sum = fma32::<FMA>(x, *weight, *sum);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wave(n: usize) -> Vec<f32> {
        (0..n).map(|i| (i as f32 * 0.7).sin()).collect()
    }

    fn product(dense: &Dense, rows: Rows, x: &[f32]) -> Vec<f64> {
        let (weight, bias) = dense.weights();
        let n = dense.outputs();
        let cell = |i: usize| {
            let (row, c) = (i / n, i % n);
            let inputs = x[row * rows.step..][..dense.inputs()].iter().zip(weight.chunks(n));
            let sum = inputs.map(|(x, w)| f64::from(*x) * f64::from(w[c])).sum::<f64>();
            let y = f64::from(bias[c]) + sum;
            if rows.relu { y.max(0.0) } else { y }
        };
        (0..rows.count * n).map(cell).collect()
    }

    /// Every register width, whatever this machine has.
    #[test]
    fn it_is_the_product_for_all_counts_of_rows_and_columns() {
        for (inputs, outputs, count) in
            [(1, 1, 1), (5, 16, 2), (7, 17, 3), (12, 32, 8), (9, 45, 9), (3, 63, 17), (4, 8, 33)]
        {
            let dense = Dense::new(&wave(inputs * outputs), &wave(outputs));
            assert_eq!(dense.weights(), (wave(inputs * outputs), wave(outputs)));
            let step = inputs.div_ceil(2);
            let x = wave(count * step + inputs);
            for relu in [false, true] {
                let rows = Rows { count, step, relu };
                let wanted = product(&dense, rows, &x);
                let run = |work: &dyn Fn(Product<'_>)| {
                    let mut output = vec![f32::NAN; count * outputs];
                    let (input, output) = (&x[..], &mut output[..]);
                    work(Product { dense: &dense, rows, from: 0, input, output });
                    let close = |(a, b): (&f32, &f64)| (f64::from(*a) - b).abs() < 1e-5;
                    assert!(output.iter().zip(&wanted).all(close), "{output:?} {wanted:?}");
                };
                run(&|product| product.run::<4, false>());
                run(&|product| product.run::<8, true>());
                run(&|product| product.run::<16, true>());
                run(&|product| dense.apply(rows, 0, product.input, product.output));
            }
        }
    }

    #[test]
    fn columns_from_somewhere_on() {
        let (dense, x) = (Dense::new(&wave(3 * 50), &wave(50)), wave(3));
        let rows = Rows { count: 1, step: 0, relu: false };
        let (mut all, mut late) = (vec![0.0; 50], vec![0.0; 50]);
        dense.apply(rows, 0, &x, &mut all);
        dense.apply(rows, 37, &x, &mut late);
        assert_eq!(all[37..], late[37..]);
        assert_eq!(late[0], 0.0);
    }

    #[test]
    fn what_is_not_a_number_stays_none() {
        let dense = Dense::new(&[f32::INFINITY, f32::NEG_INFINITY], &[0.0]);
        let mut out = [0.0];
        dense.apply(Rows { count: 1, step: 0, relu: true }, 0, &[1.0, 1.0], &mut out);
        assert!(out[0].is_nan());
    }
}

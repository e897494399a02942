//! The equations of closed-form training and their alternating solution; the method is described in
//! [`closed_form`](super::closed_form).

use rayon::prelude::*;

use super::closed_form::{ClosedFormParams, TimestepWeights};
use super::error::TrainError;
use super::stats::Sums;
use super::symmetric::{column, columns, outer_product, quadratic_form, solve_positive, trace};
use crate::model::ModelKind;

/// Values (K x N x d_out) that may be held to choose the first gates: 1 GiB. Larger problems start from open gates.
const MAX_START_VALUES: usize = 1 << 28;
/// Power iterations for the first gates; a start need not be exact.
const START_ITERATIONS: usize = 10;

/// One timestep of the fold being solved.
pub(super) struct Level<'a> {
    pub(super) sums: &'a Sums,
    /// Weight of a row; over all rows they add up to 1. A timestep of weight 0 takes no part.
    pub(super) weight: f64,
    /// `trace(G_k) / N`.
    pub(super) mean_diagonal: f64,
}

/// Gates per timestep, and theta2 as d_out columns of N values.
pub(super) struct Solution {
    pub(super) gates: Vec<Vec<f64>>,
    pub(super) theta2: Vec<f64>,
}

/// The equations of one fold.
pub(super) struct Problem<'a> {
    n: usize,
    d_out: usize,
    pub(super) levels: Vec<Level<'a>>,
}

impl<'a> Problem<'a> {
    pub(super) fn new(
        n: usize,
        d_out: usize,
        sums: &'a [Sums],
        weights: &TimestepWeights,
    ) -> Result<Self, TrainError> {
        let raw: Vec<f64> = sums
            .iter()
            .enumerate()
            .map(|(k, sums)| match weights {
                _ if sums.count() == 0 => 0.0,
                TimestepWeights::PerRow => 1.0,
                TimestepWeights::PerTimestep => 1.0 / sums.count() as f64,
                TimestepWeights::Rows(weights) => weights.get(k).copied().unwrap_or(0.0),
            })
            .collect();
        let rows = sums.iter().map(|s| s.count() as f64);
        let total: f64 = raw.iter().zip(rows).map(|(w, rows)| w * rows).sum();
        if !(total > 0.0 && total.is_finite()) {
            return Err(TrainError::NoData);
        }
        let levels = sums
            .iter()
            .zip(&raw)
            .map(|(sums, w)| Level {
                sums,
                weight: w / total,
                mean_diagonal: trace(sums.gram(), n) / n as f64,
            })
            .collect();
        Ok(Self { n, d_out, levels })
    }

    /// theta2 for given gates: one solve.
    pub(super) fn solve_theta2(
        &self,
        gates: &[Vec<f64>],
        ridge: f64,
    ) -> Result<Vec<f64>, TrainError> {
        let n = self.n;
        let active: Vec<(&Level<'_>, &Vec<f64>)> = self
            .levels
            .iter()
            .zip(gates)
            .filter(|(level, _)| level.weight > 0.0)
            .collect();
        let mut matrix = vec![0.0; n * n];
        matrix.par_chunks_mut(n).enumerate().for_each(|(i, out)| {
            let out = &mut out[i..];
            for (level, gates) in &active {
                let gates = &gates[i..];
                let factor = level.weight * gates[0];
                let column = column(level.sums.gram(), n, i);
                for ((a, s), g) in out.iter_mut().zip(column).zip(gates) {
                    *a += factor * g * s;
                }
                out[0] += factor * gates[0] * ridge * level.mean_diagonal;
            }
        });
        let mut theta2 = vec![0.0; n * self.d_out];
        for (level, gates) in active {
            let rows = level.sums.cross().chunks_exact(self.d_out);
            for (i, (row, g)) in rows.zip(gates).enumerate() {
                for (column, h) in theta2.chunks_exact_mut(n).zip(row) {
                    column[i] += level.weight * g * h;
                }
            }
        }
        solve_positive(&mut matrix, &mut theta2, n, "theta2")?;
        Ok(theta2)
    }

    /// The gates of every timestep for given theta2: one solve each. `outer` is `theta2 theta2'`.
    pub(super) fn solve_gates(
        &self,
        theta2: &[f64],
        outer: &[f64],
        ridge: f64,
    ) -> Result<Vec<Vec<f64>>, TrainError> {
        let n = self.n;
        self.levels
            .par_iter()
            .map(|level| {
                let mut gates = vec![0.0; n];
                if level.weight == 0.0 {
                    return Ok(gates);
                }
                let mut matrix = vec![0.0; n * n];
                let products = outer.chunks_exact(n);
                for ((out, outer), (i, column)) in matrix
                    .chunks_exact_mut(n)
                    .zip(products)
                    .zip(columns(level.sums.gram(), n))
                {
                    let (out, outer) = (&mut out[i..], &outer[i..]);
                    for ((a, s), p) in out.iter_mut().zip(column).zip(outer) {
                        *a = s * p;
                    }
                    out[0] += ridge * level.mean_diagonal * outer[0];
                }
                gates.copy_from_slice(&self.correlation(level, theta2));
                solve_positive(&mut matrix, &mut gates, n, "the gates of a timestep")?;
                Ok(gates)
            })
            .collect()
    }

    /// `rowsum(h_k .* theta2)`.
    fn correlation(&self, level: &Level<'_>, theta2: &[f64]) -> Vec<f64> {
        let rows = level.sums.cross().chunks_exact(self.d_out);
        rows.enumerate()
            .map(|(i, row)| {
                let columns = theta2.chunks_exact(self.n);
                row.iter()
                    .zip(columns)
                    .map(|(h, column)| h * column[i])
                    .sum()
            })
            .collect()
    }

    /// Sum of the squared errors of a timestep, all outputs together.
    pub(super) fn squared_error(
        &self,
        level: &Level<'_>,
        gates: &[f64],
        theta2: &[f64],
        outer: &[f64],
    ) -> f64 {
        if level.sums.count() == 0 {
            return 0.0;
        }
        let r = self.correlation(level, theta2);
        let linear: f64 = r.iter().zip(gates).map(|(r, g)| r * g).sum();
        let constant: f64 = level.sums.target_sq().iter().sum();
        constant - 2.0 * linear + quadratic_form(level.sums.gram(), outer, gates)
    }

    /// Mean squared error per output.
    pub(super) fn loss(&self, solution: &Solution) -> f64 {
        let outer = outer_product(&solution.theta2, self.n);
        let terms: Vec<f64> = self
            .levels
            .par_iter()
            .zip(&solution.gates)
            .map(|(level, gates)| match level.weight {
                0.0 => 0.0,
                w => w * self.squared_error(level, gates, &solution.theta2, &outer),
            })
            .collect();
        terms.iter().sum::<f64>() / self.d_out as f64
    }

    /// Gates and theta2 for one ridge. `after_round` gets the number of the round and the loss.
    pub(super) fn solve(
        &self,
        params: &ClosedFormParams,
        ridge: f64,
        mut after_round: impl FnMut(usize, f64) -> Result<(), TrainError>,
    ) -> Result<Solution, TrainError> {
        let open = vec![vec![1.0; self.n]; self.levels.len()];
        if params.kind == ModelKind::Rf {
            let theta2 = self.solve_theta2(&open, ridge)?;
            let solution = Solution {
                gates: open,
                theta2,
            };
            after_round(1, self.loss(&solution))?;
            return Ok(solution);
        }
        let gates = match self.levels.len() * self.n * self.d_out {
            ..=MAX_START_VALUES => self.rank_one_gates(ridge)?,
            _ => open,
        };
        let theta2 = self.solve_theta2(&gates, ridge)?;
        let mut solution = Solution { gates, theta2 };
        for round in 1..=params.rounds {
            let outer = outer_product(&solution.theta2, self.n);
            solution.gates = self.solve_gates(&solution.theta2, &outer, ridge)?;
            self.scale_gates(&mut solution);
            solution.theta2 = self.solve_theta2(&solution.gates, ridge)?;
            after_round(round, self.loss(&solution))?;
        }
        Ok(solution)
    }

    /// Gates to start from: per feature, the best factors `g_k v` of the coefficients of K separate ridge models
    /// (power iteration), each timestep weighted by how much the feature matters there.
    ///
    /// Measured on one synthetic problem (tones in noise, 16 inputs, 2 outputs, K = 11): the training loss after two
    /// alternations from here takes seven (N = 768) or fifteen (N = 256) from open gates; after 24 it is still lower by
    /// 0.07 % and 0.4 %. Random gates come out as open ones. The validation loss at the chosen ridge differed by less
    /// than 0.4 % between the three, in no constant order: this start saves time, it does not make better models.
    fn rank_one_gates(&self, ridge: f64) -> Result<Vec<Vec<f64>>, TrainError> {
        let (n, d_out) = (self.n, self.d_out);
        let coefficients: Vec<Vec<f32>> = self
            .levels
            .par_iter()
            .map(|level| {
                let (c, _) = self.separate(level, ridge)?;
                Ok(c.iter().map(|c| *c as f32).collect())
            })
            .collect::<Result<_, TrainError>>()?;
        let by_feature: Vec<Vec<f64>> = (0..n)
            .into_par_iter()
            .map(|i| {
                let rows: Vec<(f64, Vec<f64>)> = self
                    .levels
                    .iter()
                    .zip(&coefficients)
                    .map(|(level, c)| {
                        let diagonal = column(level.sums.gram(), n, i).first();
                        let weight = level.weight * diagonal.copied().unwrap_or(0.0);
                        let row = c.chunks_exact(n).map(|c| f64::from(c[i]));
                        (weight, row.collect())
                    })
                    .collect();
                rank_one(&rows, d_out)
            })
            .collect();
        let levels = 0..self.levels.len();
        let gates = levels.map(|k| by_feature.iter().map(|g| g[k]).collect());
        Ok(gates.collect())
    }

    /// Gives the timesteps that took no part the gates between their neighbours', and scales every feature to
    /// `max_k |g_k| = 1`, so that gates are cosines.
    fn scale_gates(&self, solution: &mut Solution) {
        let known: Vec<usize> = (0..self.levels.len())
            .filter(|k| self.levels[*k].weight > 0.0)
            .collect();
        for k in (0..self.levels.len()).filter(|k| self.levels[*k].weight == 0.0) {
            let after = known.partition_point(|known| *known < k);
            let below = after.checked_sub(1).and_then(|at| known.get(at));
            let (a, b) = match (below, known.get(after)) {
                (Some(a), Some(b)) => (*a, *b),
                (Some(only), None) | (None, Some(only)) => (*only, *only),
                (None, None) => continue,
            };
            let position = (k - a.min(k)) as f64 / (b - a).max(1) as f64;
            for i in 0..self.n {
                let (a, b) = (solution.gates[a][i], solution.gates[b][i]);
                solution.gates[k][i] = a + position * (b - a);
            }
        }
        for i in 0..self.n {
            let largest = solution
                .gates
                .iter()
                .map(|g| g[i].abs())
                .fold(0.0, f64::max);
            if largest > 0.0 {
                solution.gates.iter_mut().for_each(|g| g[i] /= largest);
                for column in solution.theta2.chunks_exact_mut(self.n) {
                    column[i] *= largest;
                }
            }
        }
    }

    /// A ridge model of one timestep alone: its coefficients (d_out columns of N) and squared error.
    pub(super) fn separate(
        &self,
        level: &Level<'_>,
        ridge: f64,
    ) -> Result<(Vec<f64>, f64), TrainError> {
        let n = self.n;
        let mut coefficients = vec![0.0; n * self.d_out];
        if level.sums.count() == 0 {
            return Ok((coefficients, 0.0));
        }
        let lambda = ridge * level.mean_diagonal;
        let mut matrix = vec![0.0; n * n];
        let packed = columns(level.sums.gram(), n);
        for (out, (i, column)) in matrix.chunks_exact_mut(n).zip(packed) {
            out[i..].copy_from_slice(column);
            out[i] += lambda;
        }
        for (i, row) in level.sums.cross().chunks_exact(self.d_out).enumerate() {
            for (column, h) in coefficients.chunks_exact_mut(n).zip(row) {
                column[i] = *h;
            }
        }
        let h = coefficients.clone();
        solve_positive(&mut matrix, &mut coefficients, n, "a separate model")?;
        // With (G + lambda) C = h, the error c - 2 tr C'h + tr C'GC is c - tr C'h - lambda |C|^2.
        let fitted: f64 = coefficients
            .iter()
            .zip(&h)
            .map(|(c, h)| c * h + lambda * c * c)
            .sum();
        let constant: f64 = level.sums.target_sq().iter().sum();
        Ok((coefficients, constant - fitted))
    }
}

/// Factors g of the best weighted approximation `row_k ~ g_k v`, with the largest |g_k| 1; all 1 if the rows are zero.
pub(super) fn rank_one(rows: &[(f64, Vec<f64>)], d_out: usize) -> Vec<f64> {
    let dot = |a: &[f64], b: &[f64]| a.iter().zip(b).map(|(a, b)| a * b).sum::<f64>();
    let open = vec![1.0; rows.len()];
    let size = |(weight, row): &&(f64, Vec<f64>)| weight * dot(row, row);
    let Some((_, largest)) = rows.iter().max_by(|a, b| size(a).total_cmp(&size(b))) else {
        return open;
    };
    let mut v = largest.clone();
    let mut gates = open.clone();
    for _ in 0..START_ITERATIONS {
        let length = dot(&v, &v);
        if !length.is_normal() {
            return open;
        }
        for (g, (_, row)) in gates.iter_mut().zip(rows) {
            *g = dot(row, &v) / length;
        }
        let mut next = vec![0.0; d_out];
        for (g, (weight, row)) in gates.iter().zip(rows) {
            next.iter_mut()
                .zip(row)
                .for_each(|(next, c)| *next += weight * g * c);
        }
        let scale = dot(&next, &next).sqrt();
        if !scale.is_normal() {
            break;
        }
        v = next.iter().map(|x| x / scale).collect();
    }
    let largest = gates.iter().map(|g| g.abs()).fold(0.0, f64::max);
    if !largest.is_normal() {
        return open;
    }
    gates.iter().map(|g| g / largest).collect()
}

//! Closed-form training in the dual: for more features than training rows.
//!
//! With fixed gates, `theta2 = Phi' alpha` where the rows of Phi are `sin(x W + b) * cos(theta1[k])` and
//!
//! ```text
//! (Phi Phi' + lambda) alpha = targets,    lambda = ridge * trace(Phi Phi') / rows
//! ```
//!
//! is as large as the number of rows, however many features there are: the paper's 80000 features on 10000 rows take a
//! matrix of 10000 x 10000 instead of 80000 x 80000. Same ridge regression, same theta2 as the primal equations of
//! [`closed_form`](super::closed_form) with `lambda_k = lambda`.

use drfm_linalg::{Matrix, cholesky, cholesky_solve, multiply, multiply_strided};
use ndarray::Array2;
use rayon::prelude::*;
use serde::{Deserialize, Serialize};

use super::batch::Batch;
use super::closed_form::RidgeReport;
use super::error::TrainError;
use super::params::{Observer, TrainEvent, require, require_ridges, tell};
use crate::model::wide::{BLOCK, block_features_into};
use crate::model::{Drfm, RandomFeatures};

/// Most training rows: the two matrices of the solution then take 3 GB.
pub const MAX_ROWS: usize = 16_384;
/// Features per pass of the products, and rows per task.
const PASS: usize = 2048;
const ROW_TILE: usize = 512;

/// What [`solve`] found out.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct DualReport {
    /// Rows of the training fold.
    pub train_rows: usize,
    /// Rows of the validation fold.
    pub validation_rows: usize,
    /// The ridges tried, relative to the mean diagonal of `Phi Phi'`.
    pub ridges: Vec<RidgeReport>,
    /// The ridge of the final solve.
    pub chosen_ridge: f64,
    /// Mean squared error per output of the final model on all rows it was solved for.
    pub loss: f64,
}

/// Solves for theta2 with given features and `theta1` (K x N). `validation` tells of each row whether it is set aside to
/// choose the ridge with; the final solve takes all rows.
///
/// Memory: 12 bytes x rows^2 and 8 bytes x rows x outputs, and theta2. Same bits for any number of threads.
///
/// # Errors
/// [`TrainError::Parameter`], [`TrainError::NoData`], [`TrainError::NoValidation`], [`TrainError::Mismatch`],
/// [`TrainError::Unsolvable`], [`TrainError::Stopped`].
pub fn solve(
    features: RandomFeatures,
    theta1: Array2<f32>,
    rows: &Batch,
    validation: &[bool],
    ridge_grid: &[f64],
    observer: Observer<'_>,
) -> Result<(Drfm, DualReport), TrainError> {
    check(&features, &theta1, rows, validation, ridge_grid)?;
    let problem = Dual {
        features: &features,
        theta1: &theta1,
        rows,
    };
    let gram = problem.gram(observer)?;
    let all: Vec<usize> = (0..rows.len()).collect();
    let (held_out, train): (Vec<usize>, Vec<usize>) = all.iter().partition(|i| validation[**i]);
    let mut ridges = Vec::new();
    let mut chosen_ridge = *ridge_grid.first().ok_or(TrainError::NoValidation)?;
    if ridge_grid.len() > 1 {
        ridges = ridge_grid
            .par_iter()
            .map(|ridge| problem.judge(&gram, &train, &held_out, *ridge))
            .collect::<Result<Vec<_>, _>>()?;
        let best = ridges
            .iter()
            .filter_map(|r| Some((r.ridge, r.validation_loss?)))
            .min_by(|a, b| a.1.total_cmp(&b.1));
        chosen_ridge = best.ok_or(TrainError::NoValidation)?.0;
        for r in &ridges {
            let event = TrainEvent::Ridge {
                ridge: r.ridge,
                validation_loss: r.validation_loss.unwrap_or_default(),
            };
            tell(&mut *observer, &event)?;
        }
    }
    let (alpha, loss) = problem.alpha(&gram, &all, chosen_ridge)?;
    drop(gram);
    let theta2 = problem.theta2(&alpha);
    let report = DualReport {
        train_rows: train.len(),
        validation_rows: held_out.len(),
        ridges,
        chosen_ridge,
        loss,
    };
    Ok((Drfm::new(features, theta1, theta2)?, report))
}

fn check(
    features: &RandomFeatures,
    theta1: &Array2<f32>,
    rows: &Batch,
    validation: &[bool],
    ridge_grid: &[f64],
) -> Result<(), TrainError> {
    let found = (rows.d_in(), rows.timesteps(), validation.len());
    let expected = (features.d_in(), theta1.nrows(), rows.len());
    if found != expected || theta1.ncols() != features.n_features() {
        return Err(TrainError::Mismatch {
            what: "the shape (inputs, timesteps, rows)",
            found: format!("{found:?}"),
            expected: format!("{expected:?}"),
        });
    }
    if rows.is_empty() || validation.iter().all(|v| *v) {
        return Err(TrainError::NoData);
    }
    require(
        rows.len() <= MAX_ROWS,
        "rows",
        rows.len(),
        "the dual takes at most 16384 rows; use fewer, or fewer features and the primal",
    )?;
    require_ridges(ridge_grid)?;
    if ridge_grid.is_empty() || (ridge_grid.len() > 1 && !validation.contains(&true)) {
        return Err(TrainError::NoValidation);
    }
    Ok(())
}

struct Dual<'a> {
    features: &'a RandomFeatures,
    theta1: &'a Array2<f32>,
    rows: &'a Batch,
}

impl Dual<'_> {
    /// `cos(theta1)` of the features of a block, K x block.
    fn gates(&self, (first, count): (usize, usize)) -> Vec<f32> {
        let part = self.theta1.slice(ndarray::s![.., first..first + count]);
        part.iter().map(|t| libm::cosf(*t)).collect()
    }

    /// Gated features of a block for rows from `row` on; `out` has rows of `block` values.
    fn phi_into(&self, row: usize, block: (usize, usize), gates: &[f32], out: &mut [f32]) {
        let count = block.1;
        let rows = out.len() / count;
        let d = self.rows.d_in();
        let x = &self.rows.x()[row * d..(row + rows) * d];
        block_features_into(self.features, block, x, out);
        let timesteps = &self.rows.timestep()[row..row + rows];
        for (phi, k) in out.chunks_exact_mut(count).zip(timesteps) {
            let gates = &gates[(usize::from(*k) - 1) * count..][..count];
            for (p, g) in phi.iter_mut().zip(gates) {
                *p *= g;
            }
        }
    }

    /// `Phi Phi'`, rows x rows, row after row; only the lower triangle is right.
    fn gram(&self, observer: Observer<'_>) -> Result<Vec<f32>, TrainError> {
        let (rows, n) = (self.rows.len(), self.features.n_features());
        let mut gram = vec![0.0f32; rows * rows];
        let mut phi = vec![0.0f32; rows * PASS.min(n)];
        for first in (0..n).step_by(PASS) {
            let block = (first, PASS.min(n - first));
            let phi = &mut phi[..rows * block.1];
            let gates = self.gates(block);
            phi.par_chunks_mut(ROW_TILE * block.1)
                .enumerate()
                .for_each(|(tile, out)| self.phi_into(tile * ROW_TILE, block, &gates, out));
            let phi = &*phi;
            // The last tiles have the longest rows: they go first, so that threads end together.
            gram.par_chunks_mut(ROW_TILE * rows)
                .enumerate()
                .rev()
                .with_max_len(1)
                .for_each(|(tile, out)| {
                    let from = tile * ROW_TILE;
                    let to = from + out.len() / rows;
                    let mine = Matrix::new(&phi[from * block.1..to * block.1], block.1);
                    let others = Matrix::new(&phi[..to * block.1], block.1);
                    multiply_strided(mine, others.t(), true, out, rows);
                });
            let done = first + block.1;
            tell(&mut *observer, &TrainEvent::Features { done, total: n })?;
        }
        Ok(gram)
    }

    /// Alpha of some rows (rows x outputs, row after row), and the mean squared error per output on them.
    fn alpha(
        &self,
        gram: &[f32],
        chosen: &[usize],
        ridge: f64,
    ) -> Result<(Vec<f32>, f64), TrainError> {
        let (all, m, d) = (self.rows.len(), chosen.len(), self.rows.d_out());
        let trace: f64 = chosen.iter().map(|i| f64::from(gram[i * all + i])).sum();
        let lambda = ridge * trace / m as f64;
        if !(lambda > 0.0 && lambda.is_finite()) {
            return Err(TrainError::Unsolvable("alpha"));
        }
        let mut matrix = vec![0.0f64; m * m];
        // Column j of the lower triangle is row j of the upper one; chosen is ascending.
        matrix
            .par_chunks_mut(m)
            .enumerate()
            .for_each(|(j, column)| {
                let at = chosen[j];
                for (a, i) in column.iter_mut().zip(chosen).skip(j) {
                    *a = f64::from(gram[i * all + at]);
                }
                column[j] += lambda;
            });
        if !cholesky(&mut matrix, m) {
            return Err(TrainError::Unsolvable("alpha"));
        }
        let mut columns = vec![0.0f64; m * d];
        columns
            .par_chunks_mut(m)
            .enumerate()
            .for_each(|(o, column)| {
                for (c, i) in column.iter_mut().zip(chosen) {
                    *c = f64::from(self.rows.target_row(*i)[o]);
                }
            });
        // Right-hand sides are independent of each other.
        columns
            .par_chunks_mut(m * 64)
            .for_each(|columns| cholesky_solve(&matrix, columns, m));
        drop(matrix);
        if !columns.iter().all(|v| v.is_finite()) {
            return Err(TrainError::Unsolvable("alpha"));
        }
        // targets - Gram alpha = lambda alpha.
        let square: f64 = columns.iter().map(|a| a * a).sum();
        let mut alpha = vec![0.0f32; m * d];
        alpha.par_chunks_mut(d).enumerate().for_each(|(i, row)| {
            for (o, a) in row.iter_mut().enumerate() {
                *a = columns[o * m + i] as f32;
            }
        });
        Ok((alpha, lambda * lambda * square / (m * d) as f64))
    }

    fn judge(
        &self,
        gram: &[f32],
        train: &[usize],
        held_out: &[usize],
        ridge: f64,
    ) -> Result<RidgeReport, TrainError> {
        let (all, d) = (self.rows.len(), self.rows.d_out());
        let (alpha, train_loss) = self.alpha(gram, train, ridge)?;
        let mut sum = 0.0;
        for rows in held_out.chunks(ROW_TILE) {
            let products: Vec<f32> = rows
                .iter()
                .flat_map(|i| train.iter().map(move |j| gram[i.max(j) * all + i.min(j)]))
                .collect();
            let mut p = vec![0.0f32; rows.len() * d];
            multiply(
                Matrix::new(&products, train.len()),
                Matrix::new(&alpha, d),
                false,
                &mut p,
            );
            for (p, i) in p.chunks_exact(d).zip(rows) {
                for (p, t) in p.iter().zip(self.rows.target_row(*i)) {
                    sum += f64::from(p - t).powi(2);
                }
            }
        }
        Ok(RidgeReport {
            ridge,
            train_loss,
            validation_loss: Some(sum / (held_out.len() * d).max(1) as f64),
        })
    }

    /// `Phi' alpha`, N x outputs.
    fn theta2(&self, alpha: &[f32]) -> Array2<f32> {
        let (rows, d) = (self.rows.len(), self.rows.d_out());
        let n = self.features.n_features();
        let mut theta2 = Array2::<f32>::zeros((n, d));
        if let Some(values) = theta2.as_slice_mut() {
            values
                .par_chunks_mut(BLOCK * d)
                .enumerate()
                .for_each(|(block, out)| {
                    let block = (block * BLOCK, out.len() / d);
                    let gates = self.gates(block);
                    let mut phi = vec![0.0; rows * block.1];
                    self.phi_into(0, block, &gates, &mut phi);
                    multiply(
                        Matrix::new(&phi, block.1).t(),
                        Matrix::new(alpha, d),
                        false,
                        out,
                    );
                });
        }
        theta2
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{FeatureDraw, ModelKind};
    use crate::rng::StableRng;
    use crate::train::closed_form::{ClosedFormParams, TimestepWeights};
    use crate::train::{Control, Fold, Stats};

    fn rows(count: usize, seed: u64) -> Batch {
        let mut rng = StableRng::new(seed, 0);
        let mut batch = Batch::new(4, 3, 5);
        for _ in 0..count {
            let x: Vec<f32> = (0..4).map(|_| rng.normal() as f32).collect();
            let t = [x[0] * x[1], x[2], 0.3 * rng.normal() as f32];
            batch.push(&x, 1 + rng.below(5), &t).unwrap();
        }
        batch
    }

    fn go(_: &TrainEvent) -> Control {
        Control::Continue
    }

    #[test]
    fn dual_and_primal_have_the_same_solution() {
        // More rows than a tile, more features than a block: all seams are crossed.
        let (n, count) = (BLOCK + 88, ROW_TILE + 200);
        let batch = rows(count, 1);
        let draw = FeatureDraw::gaussian(4, n, 3, 0.7);
        let mut stats = Stats::new(draw.clone(), 3, 5).unwrap();
        stats.accumulate(&batch, Fold::Train).unwrap();
        let params = ClosedFormParams {
            kind: ModelKind::Rf,
            rounds: 1,
            ridge_grid: vec![1e-2],
            weights: TimestepWeights::PerRow,
        };
        let (primal, report) = crate::train::closed_form::solve(&stats, &params, &mut go).unwrap();
        // The primal ridge is relative to each timestep's mean diagonal, summed with its rows.
        let (trace, lambda) = stats.sums(Fold::Train).iter().fold((0.0, 0.0), |sums, s| {
            let mut at = 0;
            let trace: f64 = (0..n)
                .map(|i| {
                    let v = s.gram()[at];
                    at += n - i;
                    v
                })
                .sum();
            (sums.0 + trace, sums.1 + 1e-2 * trace / n as f64)
        });
        let features = RandomFeatures::draw(&draw).unwrap();
        let ridge = lambda / (trace / count as f64);
        let (dual, found) = solve(
            features,
            Array2::zeros((5, n)),
            &batch,
            &vec![false; count],
            &[ridge],
            &mut go,
        )
        .unwrap();
        assert!(
            (found.loss - report.loss).abs() < 1e-4,
            "{} {}",
            found.loss,
            report.loss
        );
        for (a, b) in primal.theta2().iter().zip(dual.theta2()) {
            assert!((a - b).abs() < 2e-3, "{a} {b}");
        }
    }

    #[test]
    fn gates_count_and_ridges_are_judged() {
        let batch = rows(400, 2);
        let validation: Vec<bool> = (0..400).map(|i| i % 4 == 0).collect();
        let features = RandomFeatures::draw(&FeatureDraw::gaussian(4, 900, 3, 0.7)).unwrap();
        let theta1 = Array2::from_shape_fn((5, 900), |(k, i)| (k * i) as f32 * 0.01);
        let run = |grid: &[f64]| {
            solve(
                features.clone(),
                theta1.clone(),
                &batch,
                &validation,
                grid,
                &mut go,
            )
        };
        let (model, report) = run(&[1e-6, 1e-3, 1e-1]).unwrap();
        assert_eq!(report.ridges.len(), 3);
        let best = report
            .ridges
            .iter()
            .min_by(|a, b| a.validation_loss.partial_cmp(&b.validation_loss).unwrap());
        assert_eq!(best.unwrap().ridge, report.chosen_ridge);
        let mut sum = 0.0;
        for i in 0..400 {
            let mut p = [0.0; 3];
            model.predict_rows_into(
                batch.x_row(i),
                batch.timestep()[i].into(),
                &mut Vec::new(),
                &mut p,
            );
            for (p, t) in p.iter().zip(batch.target_row(i)) {
                sum += f64::from(p - t).powi(2);
            }
        }
        assert!(
            (sum / 1200.0 - report.loss).abs() < 1e-3,
            "{} {}",
            sum / 1200.0,
            report.loss
        );
        assert_eq!(run(&[1e-3]).unwrap(), run(&[1e-3]).unwrap());
        assert!(run(&[]).is_err());
        assert!(run(&[0.0]).is_err());
    }
}

//! Closed-form training: alternating ridge solves on the statistics.
//!
//! For a fixed draw of features DRFM's loss is, at each timestep k, a quadratic form of the effective coefficients
//! `C_k = D_k theta2` with the gates `D_k = diag(cos theta1[k])` (Eq. 21). The objective here is
//!
//! ```text
//! sum_k w_k ( sum |target - phi C_k|^2 + lambda_k |C_k|^2 ),   lambda_k = ridge * trace(G_k) / N
//! ```
//!
//! with `G_k = sum phi' phi` and `h_k = sum phi' target`. The ridge acts on the product of gates and theta2, so that
//! moving a factor from one to the other changes nothing, and each half step is an exact minimisation:
//!
//! ```text
//! theta2 <- solve( sum_k w_k D_k (G_k + lambda_k) D_k,       sum_k w_k D_k h_k )
//! g_k    <- solve( (G_k + lambda_k) .* (theta2 theta2'),     rowsum(h_k .* theta2) )
//! ```

use std::borrow::Cow;

use ndarray::Array2;
use rayon::prelude::*;
use serde::{Deserialize, Serialize};

use super::alternating::Problem;
use super::batch::Fold;
use super::error::TrainError;
use super::params::{Observer, TrainEvent, require, require_ridges, tell};
use super::stats::{Stats, Sums};
use super::symmetric::outer_product;
use crate::model::{Drfm, ModelKind};

/// How much each timestep counts in the loss.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TimestepWeights {
    /// Every training row counts the same.
    PerRow,
    /// Every timestep counts the same, however many rows it has (the sum over k of Algorithm 1).
    PerTimestep,
    /// A weight for the rows of each timestep, K finite numbers of at least 0.
    Rows(Vec<f64>),
}

/// Parameters of [`solve`].
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ClosedFormParams {
    /// [`ModelKind::Drfm`] or [`ModelKind::Rf`]; NN has no closed form.
    pub kind: ModelKind,
    /// Alternations of the two ridge solves, 1 to 1000; RF needs a single solve and ignores it.
    pub rounds: usize,
    /// Ridges to choose from, relative to the mean diagonal of `G_k`: finite, above 0. With a single one no validation
    /// data is needed.
    pub ridge_grid: Vec<f64>,
    /// Weights of the timesteps.
    pub weights: TimestepWeights,
}

impl Default for ClosedFormParams {
    fn default() -> Self {
        Self {
            kind: ModelKind::Drfm,
            rounds: 8,
            ridge_grid: vec![1e-6, 1e-5, 1e-4, 3e-4, 1e-3, 3e-3, 1e-2, 1e-1],
            weights: TimestepWeights::PerRow,
        }
    }
}

impl ClosedFormParams {
    /// Checks the parameters against a number of timesteps; [`solve`] calls it.
    ///
    /// # Errors
    /// [`TrainError::Parameter`] naming the first one that is out of range.
    pub fn check(&self, timesteps: usize) -> Result<(), TrainError> {
        require(
            self.kind != ModelKind::Nn,
            "kind",
            "nn",
            "the closed form needs random features: use drfm or rf, or train with Adam",
        )?;
        require(
            (1..=1000).contains(&self.rounds),
            "rounds",
            self.rounds,
            "use 1 to 1000",
        )?;
        require(
            !self.ridge_grid.is_empty(),
            "ridge_grid",
            "empty",
            "give at least one ridge",
        )?;
        require_ridges(&self.ridge_grid)?;
        if let TimestepWeights::Rows(weights) = &self.weights {
            let possible = weights.len() == timesteps
                && weights.iter().all(|w| w.is_finite() && *w >= 0.0)
                && weights.iter().any(|w| *w > 0.0);
            require(
                possible,
                "weights",
                format!("{weights:?}"),
                "give one number of at least 0 for each timestep, not all 0",
            )?;
        }
        Ok(())
    }
}

/// Result of one ridge on the validation fold.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct RidgeReport {
    /// The relative ridge.
    pub ridge: f64,
    /// Mean squared error per output on the training fold.
    pub train_loss: f64,
    /// Mean squared error per output on the validation fold; `None` if there is no validation data.
    pub validation_loss: Option<f64>,
}

/// How well one timestep is predicted.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct TimestepReport {
    /// The timestep, from 1.
    pub timestep: usize,
    /// Rows of both folds.
    pub rows: u64,
    /// Mean squared error per output of the final model on all rows; 0 without rows.
    pub loss: f64,
    /// Mean squared error per output on all rows of a ridge model of this timestep alone: what K separate models with
    /// the chosen ridge would reach.
    pub separate_loss: f64,
}

/// What [`solve`] found out.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct TrainReport {
    /// Rows of the training fold.
    pub train_rows: u64,
    /// Rows of the validation fold.
    pub validation_rows: u64,
    /// The ridges tried, in the order of the grid.
    pub ridges: Vec<RidgeReport>,
    /// The ridge of the final solve.
    pub chosen_ridge: f64,
    /// Mean squared error per output on all rows after each alternation of the final solve.
    pub loss_per_round: Vec<f64>,
    /// Mean squared error per output of the final model on all rows.
    pub loss: f64,
    /// The same for K separate ridge models: no gates can do better at this ridge.
    pub separate_loss: f64,
    /// The final model per timestep.
    pub timesteps: Vec<TimestepReport>,
}

/// The sums of both folds together.
fn all_rows(stats: &Stats) -> Cow<'_, [Sums]> {
    let train = stats.sums(Fold::Train);
    if stats.rows(Fold::Validation) == 0 {
        return Cow::Borrowed(train);
    }
    let mut all = train.to_vec();
    for (all, more) in all.iter_mut().zip(stats.sums(Fold::Validation)) {
        all.add(more);
    }
    Cow::Owned(all)
}

/// Trains DRFM or RF on statistics: for every ridge of the grid a solve on the training fold, judged exactly on the
/// validation sums; then a solve with the best ridge on all rows.
///
/// Deterministic, whatever the number of threads. A timestep without rows gets gates between its neighbours'.
///
/// # Errors
/// [`TrainError::Parameter`], [`TrainError::NoData`]; [`TrainError::NoValidation`] if there are several ridges and no
/// validation rows; [`TrainError::Unsolvable`] for degenerate data; [`TrainError::Stopped`].
pub fn solve(
    stats: &Stats,
    params: &ClosedFormParams,
    observer: Observer<'_>,
) -> Result<(Drfm, TrainReport), TrainError> {
    params.check(stats.timesteps())?;
    let (n, d_out) = (stats.features().n_features(), stats.d_out());
    let ridges = judge_ridges(stats, params, &mut *observer)?;
    let ridge = ridges
        .iter()
        .filter_map(|r| Some((r.ridge, r.validation_loss?)))
        .min_by(|a, b| a.1.total_cmp(&b.1))
        .map(|(ridge, _)| ridge)
        .or(params.ridge_grid.first().copied())
        .ok_or(TrainError::NoValidation)?;
    let sums = all_rows(stats);
    let problem = Problem::new(n, d_out, &sums, &params.weights)?;
    let rounds = rounds(params);
    let mut loss_per_round = Vec::with_capacity(rounds);
    let solution = problem.solve(params, ridge, |round, loss| {
        loss_per_round.push(loss);
        let event = TrainEvent::Round {
            ridge,
            round,
            rounds,
            loss,
        };
        tell(&mut *observer, &event)
    })?;
    let outer = outer_product(&solution.theta2, n);
    let timesteps = problem
        .levels
        .par_iter()
        .zip(&solution.gates)
        .enumerate()
        .map(|(k, (level, gates))| {
            let values = (level.sums.count().max(1) * d_out as u64) as f64;
            let loss = problem.squared_error(level, gates, &solution.theta2, &outer);
            Ok(TimestepReport {
                timestep: k + 1,
                rows: level.sums.count(),
                loss: loss / values,
                separate_loss: problem.separate(level, ridge)?.1 / values,
            })
        })
        .collect::<Result<Vec<_>, TrainError>>()?;
    let weighted = |loss: fn(&TimestepReport) -> f64| {
        let terms = problem.levels.iter().zip(&timesteps);
        terms
            .map(|(level, t)| level.weight * t.rows as f64 * loss(t))
            .sum()
    };
    let report = TrainReport {
        train_rows: stats.rows(Fold::Train),
        validation_rows: stats.rows(Fold::Validation),
        ridges,
        chosen_ridge: ridge,
        loss_per_round,
        loss: weighted(|t| t.loss),
        separate_loss: weighted(|t| t.separate_loss),
        timesteps,
    };
    let theta1 = Array2::from_shape_fn((stats.timesteps(), n), |(k, i)| {
        libm::acos(solution.gates[k][i].clamp(-1.0, 1.0)) as f32
    });
    let theta2 = Array2::from_shape_fn((n, d_out), |(i, o)| solution.theta2[o * n + i] as f32);
    let model = Drfm::new(stats.features().clone(), theta1, theta2)?;
    Ok((model, report))
}

fn rounds(params: &ClosedFormParams) -> usize {
    match params.kind {
        ModelKind::Rf => 1,
        _ => params.rounds,
    }
}

/// Solves on the training fold with every ridge of the grid; empty if a single ridge leaves nothing to judge.
fn judge_ridges(
    stats: &Stats,
    params: &ClosedFormParams,
    observer: Observer<'_>,
) -> Result<Vec<RidgeReport>, TrainError> {
    if stats.rows(Fold::Validation) == 0 {
        return match params.ridge_grid.len() {
            1 => Ok(Vec::new()),
            _ => Err(TrainError::NoValidation),
        };
    }
    let (n, d_out) = (stats.features().n_features(), stats.d_out());
    let train = Problem::new(n, d_out, stats.sums(Fold::Train), &params.weights)?;
    let validation = Problem::new(n, d_out, stats.sums(Fold::Validation), &params.weights)?;
    let rounds = rounds(params);
    let mut reports = Vec::with_capacity(params.ridge_grid.len());
    for &ridge in &params.ridge_grid {
        let mut train_loss = f64::INFINITY;
        let solution = train.solve(params, ridge, |round, loss| {
            train_loss = loss;
            let event = TrainEvent::Round {
                ridge,
                round,
                rounds,
                loss,
            };
            tell(&mut *observer, &event)
        })?;
        let validation_loss = validation.loss(&solution);
        reports.push(RidgeReport {
            ridge,
            train_loss,
            validation_loss: Some(validation_loss),
        });
        let event = TrainEvent::Ridge {
            ridge,
            validation_loss,
        };
        tell(&mut *observer, &event)?;
    }
    Ok(reports)
}

/// K independent ridge models on all rows (`theta2` of each timestep, N x d_out; zeros for one without rows): what DRFM
/// would be if theta2 were not shared.
///
/// # Errors
/// [`TrainError::Parameter`] for an impossible ridge, [`TrainError::NoData`], [`TrainError::Unsolvable`].
pub fn separate_ridge(stats: &Stats, ridge: f64) -> Result<Vec<Array2<f32>>, TrainError> {
    require(
        ridge.is_finite() && ridge > 0.0,
        "ridge",
        ridge,
        "use a number above 0, such as 0.001",
    )?;
    let (n, d_out) = (stats.features().n_features(), stats.d_out());
    let sums = all_rows(stats);
    let problem = Problem::new(n, d_out, &sums, &TimestepWeights::PerRow)?;
    problem
        .levels
        .par_iter()
        .map(|level| {
            let (c, _) = problem.separate(level, ridge)?;
            Ok(Array2::from_shape_fn((n, d_out), |(i, o)| {
                c[o * n + i] as f32
            }))
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::diffusion::Schedule;
    use crate::model::FeatureDraw;
    use crate::rng::StableRng;
    use crate::train::alternating::{Solution, rank_one};
    use crate::train::symmetric::{columns, trace};
    use crate::train::{Batch, Control, MemorySet};

    const D: usize = 6;

    /// Noisy sinusoids of random frequency and phase at the levels of `schedule`; the target is the noise.
    fn tones(schedule: &Schedule, rows: usize, seed: u64) -> Batch {
        let mut rng = StableRng::new(seed, 0);
        let mut batch = Batch::new(D, D, schedule.timesteps());
        for _ in 0..rows {
            let (frequency, phase) = (rng.uniform_in(0.3, 1.5), rng.uniform_in(0.0, 6.0));
            let x0: Vec<f32> = (0..D)
                .map(|i| (1.4 * (frequency * i as f64 + phase).sin()) as f32)
                .collect();
            let noise: Vec<f32> = (0..D).map(|_| rng.normal() as f32).collect();
            let k = 1 + rng.below(schedule.timesteps());
            let mut x = vec![0.0; D];
            schedule.forward_into(&x0, k, &noise, &mut x);
            batch.push(&x, k, &noise).unwrap();
        }
        batch
    }

    fn stats(n: usize, timesteps: usize, train: usize, validation: usize) -> Stats {
        let schedule = Schedule::log_snr(timesteps, 25.0, -15.0).unwrap();
        let mut set = MemorySet::new(D, D, timesteps);
        set.push(tones(&schedule, train, 1), false).unwrap();
        set.push(tones(&schedule, validation, 2), true).unwrap();
        let draw = FeatureDraw::gaussian(D, n, 5, 0.4);
        Stats::gather(draw, &set, &mut |_| Control::Continue).unwrap()
    }

    fn quiet(stats: &Stats, params: &ClosedFormParams) -> (Drfm, TrainReport) {
        solve(stats, params, &mut |_| Control::Continue).unwrap()
    }

    fn one_ridge(kind: ModelKind, rounds: usize, ridge: f64) -> ClosedFormParams {
        ClosedFormParams {
            kind,
            rounds,
            ridge_grid: vec![ridge],
            weights: TimestepWeights::PerRow,
        }
    }

    /// Gauss elimination with pivoting: slow and obvious.
    fn eliminate(mut a: Vec<Vec<f64>>, mut b: Vec<f64>) -> Vec<f64> {
        let n = b.len();
        for i in 0..n {
            let pivot = (i..n)
                .max_by(|p, q| a[*p][i].abs().total_cmp(&a[*q][i].abs()))
                .unwrap();
            a.swap(i, pivot);
            b.swap(i, pivot);
            for r in i + 1..n {
                let f = a[r][i] / a[i][i];
                let pivot = a[i].clone();
                for (x, p) in a[r].iter_mut().zip(pivot).skip(i) {
                    *x -= f * p;
                }
                b[r] -= f * b[i];
            }
        }
        for i in (0..n).rev() {
            let known: f64 = (i + 1..n).map(|c| a[i][c] * b[c]).sum();
            b[i] = (b[i] - known) / a[i][i];
        }
        b
    }

    /// Mean squared error per output of a model on a batch, row by row.
    fn direct_loss(model: &Drfm, batch: &Batch) -> f64 {
        let mut out = vec![0.0; batch.d_out()];
        let mut sum = 0.0;
        for row in 0..batch.len() {
            let k = usize::from(batch.timestep()[row]);
            model.predict_rows_into(batch.x_row(row), k, &mut Vec::new(), &mut out);
            for (p, t) in out.iter().zip(batch.target_row(row)) {
                sum += f64::from(p - t).powi(2);
            }
        }
        sum / (batch.len() * batch.d_out()) as f64
    }

    fn features_of(model: &Drfm, x: &[f32]) -> Vec<f64> {
        let f = model.features();
        (0..f.n_features())
            .map(|n| {
                let z: f64 = (0..x.len())
                    .map(|j| f64::from(x[j]) * f64::from(f.weights()[[j, n]]))
                    .sum();
                (z + f64::from(f.bias()[n])).sin()
            })
            .collect()
    }

    #[test]
    fn one_timestep_without_gates_is_plain_ridge() {
        let n = 12;
        let schedule = Schedule::log_snr(1, 3.0, 3.0).unwrap();
        let batch = tones(&schedule, 400, 1);
        let mut stats = Stats::new(FeatureDraw::gaussian(D, n, 5, 0.4), D, 1).unwrap();
        stats.accumulate(&batch, Fold::Train).unwrap();
        let (model, report) = quiet(&stats, &one_ridge(ModelKind::Rf, 1, 1e-2));
        let mut gram = vec![vec![0.0; n]; n];
        let mut h = vec![0.0; n];
        for row in 0..400 {
            let phi = features_of(&model, batch.x_row(row));
            for i in 0..n {
                h[i] += phi[i] * f64::from(batch.target_row(row)[2]);
                for j in 0..n {
                    gram[i][j] += phi[i] * phi[j];
                }
            }
        }
        let lambda = 1e-2 * (0..n).map(|i| gram[i][i]).sum::<f64>() / n as f64;
        for (i, row) in gram.iter_mut().enumerate() {
            row[i] += lambda;
        }
        for (i, want) in eliminate(gram, h).iter().enumerate() {
            assert!((f64::from(model.theta2()[[i, 2]]) - want).abs() < 1e-3);
        }
        assert!((report.loss - direct_loss(&model, &batch)).abs() < 1e-5);
        assert!((report.separate_loss - report.loss).abs() < 1e-9);
        let separate = separate_ridge(&stats, 1e-2).unwrap();
        for (a, b) in separate[0].iter().zip(model.theta2()) {
            assert!((a - b).abs() < 1e-5);
        }
        // Gates of a single timestep add nothing.
        let (_, gated) = quiet(&stats, &one_ridge(ModelKind::Drfm, 3, 1e-2));
        assert!((gated.loss - report.loss).abs() < 1e-6);
    }

    #[test]
    fn both_half_steps_solve_the_normal_equations() {
        let (n, timesteps, ridge) = (9, 3, 1e-2);
        let stats = stats(n, timesteps, 600, 0);
        let problem =
            Problem::new(n, D, stats.sums(Fold::Train), &TimestepWeights::PerRow).unwrap();
        let mut rng = StableRng::new(8, 0);
        let gates: Vec<Vec<f64>> = (0..timesteps)
            .map(|_| (0..n).map(|_| rng.uniform_in(-1.0, 1.0)).collect())
            .collect();
        let full = |k: usize, i: usize, j: usize| {
            let (i, j) = (i.min(j), i.max(j));
            let sums = &stats.sums(Fold::Train)[k];
            let (_, column) = columns(sums.gram(), n).nth(i).unwrap();
            let lambda = ridge * trace(sums.gram(), n) / n as f64;
            column[j - i] + if i == j { lambda } else { 0.0 }
        };
        let h = |k: usize, i: usize, o: usize| stats.sums(Fold::Train)[k].cross()[i * D + o];
        let theta2 = problem.solve_theta2(&gates, ridge).unwrap();
        let mut a = vec![vec![0.0; n]; n];
        let mut b = vec![0.0; n];
        for (k, g) in gates.iter().enumerate() {
            for i in 0..n {
                b[i] += g[i] * h(k, i, 4);
                for j in 0..n {
                    a[i][j] += g[i] * g[j] * full(k, i, j);
                }
            }
        }
        for (i, want) in eliminate(a, b).iter().enumerate() {
            assert!((theta2[4 * n + i] - want).abs() < 1e-8);
        }
        let outer = outer_product(&theta2, n);
        let solved = problem.solve_gates(&theta2, &outer, ridge).unwrap();
        let dot = |i: usize, j: usize| {
            (0..D)
                .map(|o| theta2[o * n + i] * theta2[o * n + j])
                .sum::<f64>()
        };
        for (k, solved) in solved.iter().enumerate() {
            let a = (0..n)
                .map(|i| (0..n).map(|j| full(k, i, j) * dot(i, j)).collect())
                .collect();
            let b = (0..n)
                .map(|i| (0..D).map(|o| h(k, i, o) * theta2[o * n + i]).sum())
                .collect();
            for (got, want) in solved.iter().zip(eliminate(a, b)) {
                assert!((got - want).abs() < 1e-7 * (1.0 + want.abs()));
            }
        }
    }

    #[test]
    fn reported_losses_are_the_losses_of_the_model() {
        let schedule = Schedule::log_snr(4, 25.0, -15.0).unwrap();
        let stats = stats(40, 4, 3000, 800);
        let (model, report) = quiet(&stats, &one_ridge(ModelKind::Drfm, 5, 1e-3));
        let mut all = tones(&schedule, 3000, 1);
        all.append(&tones(&schedule, 800, 2)).unwrap();
        assert!((direct_loss(&model, &all) - report.loss).abs() < 1e-5);
        let last = report.loss_per_round.last().unwrap();
        assert!((last - report.loss).abs() < 1e-12);
        assert_eq!(report.timesteps.iter().map(|t| t.rows).sum::<u64>(), 3800);
        for k in 1..=4 {
            assert!(model.gates(k).iter().all(|g| g.abs() <= 1.0));
        }
        // With a fixed gate pattern theta1 = arccos(g) and the folded form are the same model.
        let folded = model.gated_theta2(2);
        let phi = features_of(&model, all.x_row(7));
        let mut out = vec![0.0; D];
        model.predict_rows_into(all.x_row(7), 2, &mut Vec::new(), &mut out);
        for (o, out) in out.iter().enumerate() {
            let p: f64 = (0..40).map(|n| phi[n] * f64::from(folded[[n, o]])).sum();
            assert!((p - f64::from(*out)).abs() < 1e-4);
        }
    }

    #[test]
    fn gates_help_and_validation_chooses_the_ridge() {
        let stats = stats(60, 6, 3000, 1500);
        let params = ClosedFormParams::default();
        let mut events = Vec::new();
        let (_, drfm) = solve(&stats, &params, &mut |e| {
            events.push(e.clone());
            Control::Continue
        })
        .unwrap();
        let rf = ClosedFormParams {
            kind: ModelKind::Rf,
            ..params.clone()
        };
        let (_, rf) = quiet(&stats, &rf);
        assert!(drfm.loss < 0.95 * rf.loss, "{} {}", drfm.loss, rf.loss);
        assert!(drfm.loss >= drfm.separate_loss);
        let best = drfm.ridges.iter().min_by(|a, b| {
            a.validation_loss
                .unwrap()
                .total_cmp(&b.validation_loss.unwrap())
        });
        assert_eq!(best.unwrap().ridge, drfm.chosen_ridge);
        let rounds = events
            .iter()
            .filter(|e| matches!(e, TrainEvent::Round { .. }))
            .count();
        assert_eq!(rounds, params.rounds * (params.ridge_grid.len() + 1));
    }

    #[test]
    fn validation_loss_needs_no_data() {
        let schedule = Schedule::log_snr(4, 25.0, -15.0).unwrap();
        let mut train_only = stats(40, 4, 3000, 0);
        let params = one_ridge(ModelKind::Drfm, 4, 1e-3);
        let (model, _) = quiet(&train_only, &params);
        let held_out = tones(&schedule, 700, 9);
        train_only.accumulate(&held_out, Fold::Validation).unwrap();
        let (_, report) = quiet(&train_only, &params);
        let exact = report.ridges[0].validation_loss.unwrap();
        assert!((exact - direct_loss(&model, &held_out)).abs() < 1e-5);
    }

    #[test]
    fn the_regularised_loss_never_rises() {
        let stats = stats(50, 5, 2000, 0);
        let (n, ridge) = (50, 1e-3);
        let problem = Problem::new(n, D, stats.sums(Fold::Train), &TimestepWeights::PerTimestep);
        let problem = problem.unwrap();
        let objective = |s: &Solution| {
            let mut penalty = 0.0;
            for (level, gates) in problem.levels.iter().zip(&s.gates) {
                for (i, g) in gates.iter().enumerate() {
                    let square: f64 = s.theta2.chunks(n).map(|c| c[i] * c[i]).sum();
                    penalty += level.weight * ridge * level.mean_diagonal * g * g * square;
                }
            }
            problem.loss(s) * D as f64 + penalty
        };
        let mut last = f64::INFINITY;
        for rounds in 1..12 {
            let solution = problem
                .solve(&one_ridge(ModelKind::Drfm, rounds, ridge), ridge, |_, _| {
                    Ok(())
                })
                .unwrap();
            let now = objective(&solution);
            assert!(now <= last * (1.0 + 1e-9), "{now} {last}");
            last = now;
        }
    }

    #[test]
    fn rank_one_finds_the_factors() {
        let v = [0.5, -2.0, 1.0];
        let g = [0.2, -0.8, 0.0, 0.4];
        let rows: Vec<(f64, Vec<f64>)> = g
            .iter()
            .map(|g| (1.0, v.iter().map(|v| g * v).collect()))
            .collect();
        let found = rank_one(&rows, 3);
        // Up to the sign, which theta2 takes over.
        let sign = found[0].signum();
        for (found, g) in found.iter().zip(g) {
            assert!((found * sign - g / 0.8).abs() < 1e-12);
        }
        assert_eq!(rank_one(&[(1.0, vec![0.0; 2])], 2), [1.0]);
    }

    #[test]
    fn the_number_of_threads_changes_no_bit() {
        let stats = stats(40, 4, 1000, 300);
        let with = |threads| {
            let pool = rayon::ThreadPoolBuilder::new().num_threads(threads);
            pool.build()
                .unwrap()
                .install(|| quiet(&stats, &ClosedFormParams::default()))
        };
        assert_eq!(with(1), with(2));
        assert_eq!(with(1), with(3));
    }

    #[test]
    fn timesteps_without_rows_get_neighbouring_gates() {
        let schedule = Schedule::log_snr(5, 25.0, -15.0).unwrap();
        let full = tones(&schedule, 2000, 1);
        let mut holes = Batch::new(D, D, 5);
        for row in 0..full.len() {
            let k = usize::from(full.timestep()[row]);
            if k == 2 || k == 4 {
                holes
                    .push(full.x_row(row), k, full.target_row(row))
                    .unwrap();
            }
        }
        let mut stats = Stats::new(FeatureDraw::gaussian(D, 30, 5, 0.4), D, 5).unwrap();
        stats.accumulate(&holes, Fold::Train).unwrap();
        let (model, _) = quiet(&stats, &one_ridge(ModelKind::Drfm, 4, 1e-3));
        for n in 0..30 {
            let g = |k| model.gates(k)[n];
            assert!((g(1) - g(2)).abs() < 1e-6 && (g(5) - g(4)).abs() < 1e-6);
            assert!((g(3) - 0.5 * (g(2) + g(4))).abs() < 1e-6);
        }
    }

    #[test]
    fn degenerate_problems_are_errors_or_models() {
        let draw = FeatureDraw::gaussian(D, 30, 5, 0.4);
        let params = one_ridge(ModelKind::Drfm, 3, 1e-9);
        let run = |stats: &Stats, params: &ClosedFormParams| {
            solve(stats, params, &mut |_| Control::Continue)
        };
        let empty = Stats::new(draw.clone(), D, 3).unwrap();
        assert!(matches!(run(&empty, &params), Err(TrainError::NoData)));
        // One row for 30 features, and all targets zero.
        let mut batch = Batch::new(D, D, 3);
        batch.push(&[0.5; D], 2, &[1.0; D]).unwrap();
        let mut one = empty.clone();
        one.accumulate(&batch, Fold::Train).unwrap();
        assert!(run(&one, &params).is_ok());
        let mut batch = Batch::new(D, D, 3);
        batch.push(&[0.5; D], 2, &[0.0; D]).unwrap();
        let mut zero = empty.clone();
        zero.accumulate(&batch, Fold::Train).unwrap();
        assert_eq!(run(&zero, &params).unwrap().1.loss, 0.0);
        // Constant features: weights of 0.
        let mut still = Stats::new(FeatureDraw::gaussian(D, 30, 5, 0.0), D, 3).unwrap();
        still.accumulate(&batch, Fold::Train).unwrap();
        assert!(run(&still, &params).is_ok());
        let good = stats(20, 3, 100, 0);
        for bad in [
            ClosedFormParams {
                kind: ModelKind::Nn,
                ..params.clone()
            },
            ClosedFormParams {
                rounds: 0,
                ..params.clone()
            },
            ClosedFormParams {
                ridge_grid: vec![],
                ..params.clone()
            },
            ClosedFormParams {
                ridge_grid: vec![0.0],
                ..params.clone()
            },
            ClosedFormParams {
                ridge_grid: vec![f64::NAN],
                ..params.clone()
            },
            ClosedFormParams {
                weights: TimestepWeights::Rows(vec![1.0]),
                ..params.clone()
            },
            ClosedFormParams {
                weights: TimestepWeights::Rows(vec![0.0; 3]),
                ..params.clone()
            },
        ] {
            assert!(matches!(
                run(&good, &bad),
                Err(TrainError::Parameter { .. })
            ));
        }
        let several = ClosedFormParams::default();
        assert!(matches!(
            run(&good, &several),
            Err(TrainError::NoValidation)
        ));
        let stopped = solve(&good, &params, &mut |_| Control::Stop);
        assert!(matches!(stopped, Err(TrainError::Stopped)));
    }
}

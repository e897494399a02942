//! Closed-form training with the noise integrated: as if every image came with infinitely many draws of noise.
//!
//! With fixed gates the normal equations need the means of `phi phi'` and `phi n'` over the noise n of
//! `x_k = sqrt(alpha_bar_k) x_0 + sigma_k n`. For features `phi_i = g_i sin(a_i)`, `a = x_k W + b`, both are known exactly.
//! With `a` the angles of the clean image, `e_i = exp(-sigma^2 |w_i|^2 / 2)` and `P = sigma^2 W' W`,
//!
//! ```text
//! E[phi_i phi_j] = g_i g_j e_i e_j (exp(P_ij) cos(a_i - a_j) - exp(-P_ij) cos(a_i + a_j)) / 2
//! E[phi_i n_o]   = g_i sigma W_oi e_i cos(a_i)                            (Stein's lemma)
//! ```
//!
//! and sums over images are matrix products of the cosines and sines of their angles. What rows of drawn noise add to that
//! is estimation error only. (Marginalised noise: Chen et al. 2012, "Marginalized Denoising Autoencoders", for linear ones.)
//!
//! With patches the equations fall apart into those of each tile, which is what makes the paper's 80000 features solvable here.

use std::ops::Range;

use drfm_linalg::{Matrix, cholesky, cholesky_solve, gram_lower, multiply};
use ndarray::Array2;
use rayon::prelude::*;

use super::closed_form::RidgeReport;
use super::dual::DualReport;
use super::error::TrainError;
use super::params::{Observer, TrainEvent, require, require_ridges, tell};
use super::symmetric::outer_product;
use crate::diffusion::Schedule;
use crate::model::patches::Patches;
use crate::model::sine::{cosine_in_place, sine_in_place};
use crate::model::{Drfm, RandomFeatures};

/// Most features of one tile: the matrices of its solution then take 3.5 GB.
pub const MAX_FEATURES: usize = 10_240;
/// The same when nothing is held out: 5.5 GB.
pub const MAX_FEATURES_WITHOUT_VALIDATION: usize = 16_384;
/// Columns of the matrix that are summed together.
const COLUMNS: usize = 256;

/// Images with the timesteps at which they are learned.
#[derive(Clone, Debug, Default)]
pub struct Pairs {
    /// Normalised images of as many values as the features have inputs, one after another.
    pub images: Vec<f32>,
    /// Image number and timestep, from 1 on; in the order of the timesteps.
    pub pairs: Vec<(usize, usize)>,
}

/// Solves for theta2 with given features and `theta1` (K x N). `held_out` (may be empty) chooses the ridge, for each
/// tile its own, relative to the mean diagonal of its matrix; the final solve takes all pairs.
///
/// Memory: 36 bytes x N^2 for the N features of a tile, for each thread, 20 without held-out pairs. Same bits for any number of threads.
///
/// # Errors
/// [`TrainError::Parameter`] for too many features in a tile or a ridge that is none, [`TrainError::NoData`],
/// [`TrainError::Mismatch`], [`TrainError::Unsolvable`], [`TrainError::Stopped`].
pub fn solve(
    features: RandomFeatures,
    theta1: Array2<f32>,
    patches: Option<&Patches>,
    schedule: &Schedule,
    (train, held_out): (&Pairs, &Pairs),
    ridge_grid: &[f64],
    observer: Observer<'_>,
) -> Result<(Drfm, DualReport), TrainError> {
    let (d, n) = (features.d_in(), features.n_features());
    let tiles = tiles(patches, d, n);
    check(&features, &theta1, &tiles, schedule, [train, held_out])?;
    require_ridges(ridge_grid)?;
    let mut theta2 = Array2::<f32>::zeros((n, d));
    let mut validation = vec![(0.0, 0.0); ridge_grid.len()];
    let (mut loss, mut log_ridge) = (0.0, 0.0);
    let together = rayon::current_num_threads().max(1);
    for (first, some) in tiles.chunks(together).enumerate() {
        let solved: Vec<Solved> = some
            .par_iter()
            .map(|tile| {
                let problem = Problem::new(tile, &features, &theta1, schedule);
                problem.solve(train, held_out, ridge_grid)
            })
            .collect::<Result<_, _>>()?;
        for (tile, solved) in some.iter().zip(solved) {
            for (o, column) in tile.outputs.iter().zip(solved.theta2.chunks(tile.len())) {
                for (i, v) in tile.features.clone().zip(column) {
                    theta2[[i, *o]] = *v as f32;
                }
            }
            for (sum, found) in validation.iter_mut().zip(&solved.losses) {
                *sum = (sum.0 + found.0, sum.1 + found.1);
            }
            loss += solved.loss;
            log_ridge += libm::log(solved.ridge);
        }
        let done = (first + 1) * together * n / tiles.len();
        let event = TrainEvent::Features {
            done: done.min(n),
            total: n,
        };
        tell(&mut *observer, &event)?;
    }
    let per = |rows: &Pairs| (rows.pairs.len() * d).max(1) as f64;
    let judged = !held_out.pairs.is_empty() && ridge_grid.len() > 1;
    let report = DualReport {
        train_rows: train.pairs.len(),
        validation_rows: held_out.pairs.len(),
        ridges: if judged {
            let both = ridge_grid.iter().zip(&validation);
            both.map(|(ridge, sums)| RidgeReport {
                ridge: *ridge,
                train_loss: sums.0 / per(train),
                validation_loss: Some(sums.1 / per(held_out)),
            })
            .collect()
        } else {
            Vec::new()
        },
        chosen_ridge: libm::exp(log_ridge / tiles.len() as f64),
        loss: loss / ((train.pairs.len() + held_out.pairs.len()) * d) as f64,
    };
    Ok((Drfm::new(features, theta1, theta2)?, report))
}

/// Features that are solved for together, what they see and what they speak about.
struct Tile {
    features: Range<usize>,
    inputs: Vec<usize>,
    outputs: Vec<usize>,
}

impl Tile {
    fn len(&self) -> usize {
        self.features.len()
    }
}

fn tiles(patches: Option<&Patches>, d: usize, n: usize) -> Vec<Tile> {
    let Some(p) = patches else {
        return vec![Tile {
            features: 0..n,
            inputs: (0..d).collect(),
            outputs: (0..d).collect(),
        }];
    };
    let tile = |at| Tile {
        features: p.features(at, n),
        inputs: p.inputs(at),
        outputs: p.outputs(at),
    };
    (0..p.count()).map(tile).collect()
}

fn check(
    features: &RandomFeatures,
    theta1: &Array2<f32>,
    tiles: &[Tile],
    schedule: &Schedule,
    rows: [&Pairs; 2],
) -> Result<(), TrainError> {
    let d = features.d_in();
    let found = (theta1.dim(), tiles.iter().map(Tile::len).sum::<usize>());
    let n = features.n_features();
    let fits = |p: &Pairs| {
        let count = p.images.len() / d;
        p.images.len() == count * d
            && p.pairs
                .iter()
                .all(|(i, k)| *i < count && (1..=schedule.timesteps()).contains(k))
    };
    if found != ((schedule.timesteps(), n), n) || !rows.into_iter().all(fits) {
        return Err(TrainError::Mismatch {
            what: "the shape (timesteps, features)",
            found: format!("{found:?}"),
            expected: format!("{:?}", (schedule.timesteps(), n)),
        });
    }
    if rows[0].pairs.is_empty() || !rows[0].images.iter().all(|v| v.is_finite()) {
        return Err(TrainError::NoData);
    }
    let most = tiles.iter().map(Tile::len).max().unwrap_or(0);
    let limit = if rows[1].pairs.is_empty() {
        MAX_FEATURES_WITHOUT_VALIDATION
    } else {
        MAX_FEATURES
    };
    require(
        most <= limit,
        "features",
        most,
        "the closed form with integrated noise solves at most 10240 features together (16384 of fewer than five images); use fewer, or tiles",
    )
}

struct Solved {
    /// Features of one output after those of another.
    theta2: Vec<f64>,
    /// Sums of squared errors on training and held-out pairs for each ridge; of all outputs of the tile.
    losses: Vec<(f64, f64)>,
    ridge: f64,
    loss: f64,
}

/// Sums over pairs.
struct Sums {
    /// Sum of `E[phi phi']`, n x n, column after column, lower triangle.
    gram: Vec<f64>,
    /// Sum of `g sigma e cos(a)`.
    response: Vec<f64>,
    count: usize,
}

struct Problem<'a> {
    tile: &'a Tile,
    /// W of the tile, inputs x features.
    weights: Vec<f32>,
    bias: Vec<f32>,
    square: Vec<f64>,
    theta1: &'a Array2<f32>,
    schedule: &'a Schedule,
    d: usize,
}

impl<'a> Problem<'a> {
    fn new(
        tile: &'a Tile,
        features: &RandomFeatures,
        theta1: &'a Array2<f32>,
        schedule: &'a Schedule,
    ) -> Self {
        let all = features.weights();
        let weights: Vec<f32> = tile
            .inputs
            .iter()
            .flat_map(|i| tile.features.clone().map(move |n| all[[*i, n]]))
            .collect();
        let mut square = vec![0.0; tile.len()];
        for row in weights.chunks_exact(tile.len().max(1)) {
            for (s, w) in square.iter_mut().zip(row) {
                *s += f64::from(*w).powi(2);
            }
        }
        Self {
            weights,
            bias: tile.features.clone().map(|n| features.bias()[n]).collect(),
            square,
            tile,
            theta1,
            schedule,
            d: features.d_in(),
        }
    }

    fn solve(
        &self,
        train: &Pairs,
        held_out: &Pairs,
        ridge_grid: &[f64],
    ) -> Result<Solved, TrainError> {
        let n = self.tile.len();
        // W' W, kept once; sums of each fold are scaled from it.
        let mut products = vec![0.0f32; n * n];
        gram_lower(&self.weights, n, &mut products);
        let mut sums = self.sums(train, &products);
        let mut ridge = *ridge_grid.first().ok_or(TrainError::NoValidation)?;
        let mut losses = vec![(0.0, 0.0); ridge_grid.len()];
        if !held_out.pairs.is_empty() {
            let unseen = self.sums(held_out, &products);
            if ridge_grid.len() > 1 {
                let mut best = f64::INFINITY;
                for (found, candidate) in losses.iter_mut().zip(ridge_grid) {
                    let (theta2, loss) = self.theta2(&sums, *candidate)?;
                    *found = (loss, self.loss(&unseen, &theta2));
                    if found.1 < best {
                        (best, ridge) = (found.1, *candidate);
                    }
                }
            }
            for (a, b) in sums.gram.iter_mut().zip(&unseen.gram) {
                *a += b;
            }
            for (a, b) in sums.response.iter_mut().zip(&unseen.response) {
                *a += b;
            }
            sums.count += unseen.count;
        }
        drop(products);
        let (theta2, loss) = self.theta2(&sums, ridge)?;
        Ok(Solved {
            theta2,
            losses,
            ridge,
            loss,
        })
    }

    fn sums(&self, rows: &Pairs, products: &[f32]) -> Sums {
        let n = self.tile.len();
        let mut gram = vec![0.0f64; n * n];
        let mut response = vec![0.0f64; n];
        for group in rows.pairs.chunk_by(|a, b| a.1 == b.1) {
            let Some(&(_, k)) = group.first() else {
                continue;
            };
            let alpha_bar = self.schedule.alpha_bar(k);
            let (signal, variance) = (alpha_bar.sqrt(), 1.0 - alpha_bar);
            let (cosines, sines) = self.waves(rows, group, signal, variance, k);
            for row in cosines.chunks_exact(n) {
                for (r, c) in response.iter_mut().zip(row) {
                    *r += variance.sqrt() * f64::from(*c);
                }
            }
            let plus = [&cosines[..], &sines[..]].concat();
            let minus: Vec<f32> = cosines
                .iter()
                .copied()
                .chain(sines.iter().map(|s| -s))
                .collect();
            let variance = variance as f32;
            gram.par_chunks_mut(COLUMNS * n)
                .enumerate()
                .for_each(|(chunk, out)| {
                    let (first, count) = (chunk * COLUMNS, out.len() / n);
                    let below = n - first;
                    let right = Matrix::new(&plus, n).columns(first, below);
                    let mut same = vec![0.0; count * below];
                    let mut opposite = vec![0.0; count * below];
                    let left = Matrix::new(&plus, n).columns(first, count).t();
                    multiply(left, right, false, &mut same);
                    let left = Matrix::new(&minus, n).columns(first, count).t();
                    multiply(left, right, false, &mut opposite);
                    for (i, column) in out.chunks_exact_mut(n).enumerate() {
                        let from = first + i;
                        let at = i * below + i..(i + 1) * below;
                        let sums = same[at.clone()].iter().zip(&opposite[at]);
                        let w = &products[from * n + from..(from + 1) * n];
                        for ((g, w), (same, opposite)) in column[from..].iter_mut().zip(w).zip(sums)
                        {
                            let e = exponential(variance * w);
                            *g += f64::from(0.5 * (e * same - opposite / e));
                        }
                    }
                });
        }
        Sums {
            gram,
            response,
            count: rows.pairs.len(),
        }
    }

    /// Gated and damped cosines and sines of the angles of images at timestep `k`: images x features each.
    fn waves(
        &self,
        rows: &Pairs,
        group: &[(usize, usize)],
        signal: f64,
        variance: f64,
        k: usize,
    ) -> (Vec<f32>, Vec<f32>) {
        let n = self.tile.len();
        let x: Vec<f32> = group
            .iter()
            .flat_map(|(i, _)| {
                let image = &rows.images[i * self.d..(i + 1) * self.d];
                self.tile.inputs.iter().map(move |p| image[*p])
            })
            .map(|v| (f64::from(v) * signal) as f32)
            .collect();
        let mut cosines = self.bias.repeat(group.len());
        multiply(
            Matrix::new(&x, self.tile.inputs.len()),
            Matrix::new(&self.weights, n),
            true,
            &mut cosines,
        );
        let mut sines = cosines.clone();
        cosine_in_place(&mut cosines);
        sine_in_place(&mut sines);
        let gates: Vec<f32> = self
            .tile
            .features
            .clone()
            .zip(&self.square)
            .map(|(f, square)| {
                let gate = libm::cos(f64::from(self.theta1[[k - 1, f]]));
                (gate * libm::exp(-0.5 * variance * square)) as f32
            })
            .collect();
        for row in cosines.chunks_exact_mut(n).chain(sines.chunks_exact_mut(n)) {
            for (v, g) in row.iter_mut().zip(&gates) {
                *v *= g;
            }
        }
        (cosines, sines)
    }

    /// `sum of E[phi n']`, features of one output after those of another.
    fn cross(&self, sums: &Sums) -> Vec<f64> {
        let n = self.tile.len();
        let inputs = &self.tile.inputs;
        self.tile
            .outputs
            .iter()
            .filter_map(|o| inputs.binary_search(o).ok())
            .flat_map(|at| {
                let weights = &self.weights[at * n..(at + 1) * n];
                let both = weights.iter().zip(&sums.response);
                both.map(|(w, r)| f64::from(*w) * r)
            })
            .collect()
    }

    /// The solution and its sum of squared errors.
    fn theta2(&self, sums: &Sums, ridge: f64) -> Result<(Vec<f64>, f64), TrainError> {
        let n = self.tile.len();
        let trace: f64 = (0..n).map(|i| sums.gram[i * n + i]).sum();
        let lambda = ridge * trace / n as f64;
        let mut matrix = sums.gram.clone();
        for i in 0..n {
            matrix[i * n + i] += lambda;
        }
        if !(lambda > 0.0 && lambda.is_finite() && cholesky(&mut matrix, n)) {
            return Err(TrainError::Unsolvable("theta2"));
        }
        let cross = self.cross(sums);
        let mut theta2 = cross.clone();
        theta2
            .par_chunks_mut(n * 64)
            .for_each(|columns| cholesky_solve(&matrix, columns, n));
        if !theta2.iter().all(|v| v.is_finite()) {
            return Err(TrainError::Unsolvable("theta2"));
        }
        // theta' (gram + lambda) theta = theta' cross.
        let explained: f64 = theta2.iter().zip(&cross).map(|(t, c)| t * c).sum();
        let size: f64 = theta2.iter().map(|t| t * t).sum();
        let power = (sums.count * self.tile.outputs.len()) as f64;
        Ok((theta2, power - explained - lambda * size))
    }

    /// Sum of squared errors of a solution on other pairs.
    fn loss(&self, sums: &Sums, theta2: &[f64]) -> f64 {
        let n = self.tile.len();
        let outer = outer_product(theta2, n);
        let mut predicted = 0.0;
        for i in 0..n {
            let at = i * n + i..(i + 1) * n;
            let mut terms = sums.gram[at.clone()].iter().zip(&outer[at]);
            predicted += terms.next().map_or(0.0, |(g, o)| g * o);
            predicted += 2.0 * terms.map(|(g, o)| g * o).sum::<f64>();
        }
        let cross = self.cross(sums);
        let explained: f64 = theta2.iter().zip(&cross).map(|(t, c)| t * c).sum();
        (sums.count * self.tile.outputs.len()) as f64 - 2.0 * explained + predicted
    }
}

/// exp(x) with a relative error below 1e-6 for |x| up to 80; the same bits on every system, and vectorised.
fn exponential(x: f32) -> f32 {
    /// 1.5 * 2^23: adding and subtracting it rounds to a whole number.
    const ROUND: f32 = 12_582_912.0;
    let x = x.clamp(-80.0, 80.0);
    let shifted = x * std::f32::consts::LOG2_E + ROUND;
    let n = shifted - ROUND;
    let r = (x - n * 0.693_359_4) + n * 2.121_944_4e-4;
    // Taylor series to degree 6 on |r| <= ln 2 / 2.
    let p = 1.0 / 720.0;
    let p = p * r + 1.0 / 120.0;
    let p = p * r + 1.0 / 24.0;
    let p = p * r + 1.0 / 6.0;
    let p = p * r + 0.5;
    let p = p * r + 1.0;
    let p = p * r + 1.0;
    let power = (shifted.to_bits() << 23).wrapping_add(1.0f32.to_bits());
    p * f32::from_bits(power)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::FeatureDraw;
    use crate::rng::StableRng;
    use crate::train::{Batch, Control, dual};

    fn go(_: &TrainEvent) -> Control {
        Control::Continue
    }

    #[test]
    fn exponentials_are_right() {
        for i in -8000..8000 {
            let x = i as f32 * 0.01;
            let right = f64::from(x).exp();
            assert!(
                (f64::from(exponential(x)) / right - 1.0).abs() < 1e-6,
                "{x}"
            );
        }
    }

    #[test]
    fn the_solution_is_that_of_very_many_rows() {
        let schedule = Schedule::linear_beta(3, 0.05, 0.4).unwrap();
        let mut rng = StableRng::new(5, 0);
        let images: Vec<f32> = (0..4 * 6).map(|_| rng.normal() as f32).collect();
        let pairs = (0..12).map(|i| (i % 4, 1 + i / 4)).collect();
        let rows = Pairs { images, pairs };
        let draw = FeatureDraw::gaussian(6, 40, 3, 0.5);
        let features = RandomFeatures::draw(&draw).unwrap();
        let theta1 = Array2::from_shape_fn((3, 40), |(k, i)| (k * i) as f32 * 0.05);
        let none = Pairs::default();
        let (exact, report) = solve(
            features.clone(),
            theta1.clone(),
            None,
            &schedule,
            (&rows, &none),
            &[1e-2],
            &mut go,
        )
        .unwrap();
        let mut batch = Batch::new(6, 6, 3);
        let (mut x, mut noise) = (vec![0.0; 6], vec![0.0; 6]);
        for _ in 0..500 {
            for (i, k) in &rows.pairs {
                for e in &mut noise {
                    *e = rng.normal() as f32;
                }
                schedule.forward_into(&rows.images[i * 6..(i + 1) * 6], *k, &noise, &mut x);
                batch.push(&x, *k, &noise).unwrap();
            }
        }
        // The dual's ridge is relative to the trace over its rows.
        let ridge = 1e-2 * batch.len() as f64 / 40.0;
        let no = vec![false; batch.len()];
        let (drawn, found) = dual::solve(features, theta1, &batch, &no, &[ridge], &mut go).unwrap();
        assert!(
            (report.loss - found.loss).abs() < 0.02,
            "{} {}",
            report.loss,
            found.loss
        );
        let largest = drawn.theta2().iter().fold(0.0f32, |l, v| l.max(v.abs()));
        for (a, b) in exact.theta2().iter().zip(drawn.theta2()) {
            assert!((a - b).abs() < 0.15 * largest, "{a} {b}");
        }
    }

    #[test]
    fn tiles_are_solved_apart_and_ridges_are_judged() {
        let patches = Patches {
            width: 4,
            height: 4,
            tile: 2,
            margin: 1,
        };
        let schedule = Schedule::linear_beta(4, 0.01, 0.2).unwrap();
        let mut rng = StableRng::new(6, 0);
        let images: Vec<f32> = (0..10 * 16).map(|_| rng.normal() as f32).collect();
        let all = Pairs {
            images,
            pairs: (0..40).map(|i| (i % 8, 1 + i / 10)).collect(),
        };
        let rest = Pairs {
            images: all.images.clone(),
            pairs: (0..8).map(|i| (8 + i % 2, 1 + i / 2)).collect(),
        };
        let mut draw = FeatureDraw::gaussian(16, 200, 3, 0.2);
        draw.patches = Some(patches);
        let features = RandomFeatures::draw(&draw).unwrap();
        let theta1 = Array2::zeros((4, 200));
        let run = |grid: &[f64]| {
            let (features, theta1) = (features.clone(), theta1.clone());
            solve(
                features,
                theta1,
                Some(&patches),
                &schedule,
                (&all, &rest),
                grid,
                &mut go,
            )
        };
        let (model, report) = run(&[1e-4, 1e-2, 1.0]).unwrap();
        assert_eq!(report.ridges.len(), 3);
        assert!(
            report
                .ridges
                .iter()
                .all(|r| r.validation_loss.unwrap() > 0.0)
        );
        assert!(report.loss > 0.0 && report.loss < 1.0);
        for tile in 0..4 {
            let outputs = patches.outputs(tile);
            for n in patches.features(tile, 200) {
                for o in 0..16 {
                    assert!(outputs.contains(&o) || model.theta2()[[n, o]] == 0.0);
                }
            }
        }
        assert!(run(&[-1.0]).is_err());
        assert_eq!(run(&[1e-2]).unwrap(), run(&[1e-2]).unwrap());
    }
}

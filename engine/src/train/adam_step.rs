//! One step of Adam: the loss of a minibatch, its gradients and the update, block of features after block.
//!
//! A wide model (the paper's 80000 features of 784 pixels hold 63 million numbers in W and as many in theta2) does not
//! fit into any cache, and a step would wait for memory if it formed all gradients first. Here a block's gradient is used
//! for its update while both are still in the cache, and blocks are worked on by several threads. All sums
//! are formed in a fixed order: same bits for any number of threads.

use drfm_linalg::{Matrix, multiply};
use ndarray::Axis;
use rayon::prelude::*;

use super::adam::{AdamParams, Minibatches};
use crate::model::sine::{cosine_in_place, sine_in_place};
use crate::model::wide::{BLOCK, TASKS, block_angles_into};
use crate::model::{Drfm, ModelKind};
use crate::rng::StableRng;

/// Running means of a gradient and of its square.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Moments {
    pub(super) first: Vec<f32>,
    pub(super) second: Vec<f32>,
}

/// The numbers of one update.
#[derive(Clone, Copy, Debug)]
pub(super) struct Rates {
    beta1: f32,
    beta2: f32,
    rate: f32,
    epsilon: f32,
}

impl Rates {
    /// Those of step number `step`, from 1, with the bias corrections of Kingma and Ba, Algorithm 1.
    pub(super) fn at(params: &AdamParams, step: u64) -> Self {
        let exponent = step as f64;
        let correct1 = 1.0 - libm::pow(f64::from(params.beta1), exponent);
        let correct2 = (1.0 - libm::pow(f64::from(params.beta2), exponent)).sqrt();
        Self {
            beta1: params.beta1,
            beta2: params.beta2,
            rate: (f64::from(params.learning_rate) * correct2 / correct1) as f32,
            epsilon: (f64::from(params.epsilon) * correct2) as f32,
        }
    }

    fn apply(&self, values: &mut [f32], gradient: &[f32], first: &mut [f32], second: &mut [f32]) {
        let moments = first.iter_mut().zip(second);
        for ((value, g), (first, second)) in values.iter_mut().zip(gradient).zip(moments) {
            *first = self.beta1 * *first + (1.0 - self.beta1) * g;
            *second = self.beta2 * *second + (1.0 - self.beta2) * g * g;
            *value -= self.rate * *first / (second.sqrt() + self.epsilon);
        }
    }
}

/// What is kept of a block of features between the way forward and back; rows x block each.
#[derive(Debug, Default)]
struct Block {
    first: usize,
    count: usize,
    sines: Vec<f32>,
    /// `cos(x W + b)`, for NN only.
    cosines: Vec<f32>,
    gates: Vec<f32>,
    /// Sines times gates; on the way back, the gradient with respect to the gates.
    gated: Vec<f32>,
}

/// The arrays of one step, kept between steps.
#[derive(Debug)]
pub(super) struct Workspace {
    kind: ModelKind,
    d_in: usize,
    d_out: usize,
    x: Vec<f32>,
    target: Vec<f32>,
    /// Index of the timestep of each row, from 0.
    level: Vec<usize>,
    /// Prediction, then `2 (p - target) / rows`.
    error: Vec<f32>,
    blocks: Vec<Block>,
}

impl Workspace {
    pub(super) fn new(model: &Drfm, params: &AdamParams) -> Self {
        let (rows, n) = (params.batch, model.n_features());
        let (d_in, d_out) = (model.d_in(), model.d_out());
        let blocks = (0..n)
            .step_by(BLOCK)
            .map(|first| {
                let count = BLOCK.min(n - first);
                let cosines = if params.kind == ModelKind::Nn {
                    rows * count
                } else {
                    0
                };
                Block {
                    first,
                    count,
                    sines: vec![0.0; rows * count],
                    cosines: vec![0.0; cosines],
                    gates: vec![0.0; rows * count],
                    gated: vec![0.0; rows * count],
                }
            })
            .collect();
        Self {
            kind: params.kind,
            d_in,
            d_out,
            x: vec![0.0; rows * d_in],
            target: vec![0.0; rows * d_out],
            level: vec![0; rows],
            error: vec![0.0; rows * d_out],
            blocks,
        }
    }

    /// Draws the minibatch of a step.
    pub(super) fn choose(&mut self, data: &dyn Minibatches, seed: u64, step: u64) {
        let mut rng = StableRng::new(seed, step);
        data.draw(&mut rng, &mut self.x, &mut self.target, &mut self.level);
    }

    /// Loss of the minibatch: squared error summed over outputs, mean over rows.
    pub(super) fn forward(&mut self, model: &Drfm) -> f64 {
        let d_out = self.d_out;
        let theta2 = model.theta2().as_slice().unwrap_or_default();
        let theta1 = model.theta1().as_slice().unwrap_or_default();
        let n = model.n_features();
        let (x, level, size) = (&self.x, &self.level, self.error.len());
        let per_task = self.blocks.len().div_ceil(TASKS).max(1);
        let sums: Vec<Vec<f32>> = self
            .blocks
            .par_chunks_mut(per_task)
            .map(|blocks| {
                let mut sum = vec![0.0; size];
                for b in blocks {
                    block_angles_into(model.features(), (b.first, b.count), x, &mut b.sines);
                    if !b.cosines.is_empty() {
                        b.cosines.copy_from_slice(&b.sines);
                        cosine_in_place(&mut b.cosines);
                    }
                    sine_in_place(&mut b.sines);
                    for (gates, level) in b.gates.chunks_exact_mut(b.count).zip(level) {
                        gates.copy_from_slice(&theta1[level * n + b.first..][..b.count]);
                    }
                    cosine_in_place(&mut b.gates);
                    for ((out, s), g) in b.gated.iter_mut().zip(&b.sines).zip(&b.gates) {
                        *out = s * g;
                    }
                    let theta2 = &theta2[b.first * d_out..][..b.count * d_out];
                    let (gated, theta2) =
                        (Matrix::new(&b.gated, b.count), Matrix::new(theta2, d_out));
                    multiply(gated, theta2, true, &mut sum);
                }
                sum
            })
            .collect();
        self.error.fill(0.0);
        for sum in &sums {
            for (e, s) in self.error.iter_mut().zip(sum) {
                *e += s;
            }
        }
        let rows = self.level.len() as f64;
        let mut loss = 0.0;
        for (e, t) in self.error.iter_mut().zip(&self.target) {
            *e -= t;
            loss += f64::from(*e).powi(2);
            *e *= (2.0 / rows) as f32;
        }
        loss / rows
    }

    /// Gradients of the minibatch that [`Self::forward`] has seen, and the update of what they belong to; moments of
    /// theta2, theta1, W and b.
    pub(super) fn backward(&mut self, model: &mut Drfm, moments: &mut [Moments; 4], rates: Rates) {
        let [of_theta2, of_theta1, of_weights, of_bias] = moments;
        let (features, theta1, theta2) = model.parameters_mut();
        let (d_in, d_out, n) = (self.d_in, self.d_out, theta2.nrows());
        let (x, error, level, kind) = (&self.x, &self.error, &self.level, self.kind);
        let theta2 = theta2.as_slice_mut().unwrap_or_default();
        self.blocks
            .par_iter_mut()
            .zip(theta2.par_chunks_mut(BLOCK * d_out))
            .zip(of_theta2.first.par_chunks_mut(BLOCK * d_out))
            .zip(of_theta2.second.par_chunks_mut(BLOCK * d_out))
            .for_each(|(((b, theta2), first), second)| {
                let mut gradient = vec![0.0; theta2.len()];
                let error = Matrix::new(error, d_out);
                multiply(
                    Matrix::new(&b.gated, b.count).t(),
                    error,
                    false,
                    &mut gradient,
                );
                if kind != ModelKind::Rf {
                    multiply(error, Matrix::new(theta2, d_out).t(), false, &mut b.gated);
                }
                rates.apply(theta2, &gradient, first, second);
            });
        if kind == ModelKind::Rf {
            return;
        }
        if kind == ModelKind::Nn {
            let (weights, bias) = features.parts_mut();
            let shape = (d_in, n);
            let views = (
                ndarray::ArrayViewMut2::from_shape(shape, &mut of_weights.first),
                ndarray::ArrayViewMut2::from_shape(shape, &mut of_weights.second),
            );
            if let (Ok(mut first), Ok(mut second)) = views {
                let columns: Vec<_> = weights
                    .axis_chunks_iter_mut(Axis(1), BLOCK)
                    .zip(first.axis_chunks_iter_mut(Axis(1), BLOCK))
                    .zip(second.axis_chunks_iter_mut(Axis(1), BLOCK))
                    .collect();
                columns.into_par_iter().zip(&self.blocks).for_each(
                    |(((mut w, mut first), mut second), b)| {
                        let slopes = slopes(b);
                        let mut gradient = vec![0.0; d_in * b.count];
                        let (x, slopes) = (Matrix::new(x, d_in), Matrix::new(&slopes, b.count));
                        multiply(x.t(), slopes, false, &mut gradient);
                        let rows = w.rows_mut().into_iter().zip(gradient.chunks_exact(b.count));
                        let rows = rows.zip(first.rows_mut().into_iter().zip(second.rows_mut()));
                        for ((mut w, g), (mut first, mut second)) in rows {
                            if let (Some(w), Some(first), Some(second)) = (
                                w.as_slice_mut(),
                                first.as_slice_mut(),
                                second.as_slice_mut(),
                            ) {
                                rates.apply(w, g, first, second);
                            }
                        }
                    },
                );
            }
            let mut gradient = vec![0.0; n];
            for b in &self.blocks {
                for row in slopes(b).chunks_exact(b.count) {
                    for (g, s) in gradient[b.first..].iter_mut().zip(row) {
                        *g += s;
                    }
                }
            }
            let bias = bias.as_slice_mut().unwrap_or_default();
            rates.apply(bias, &gradient, &mut of_bias.first, &mut of_bias.second);
        }
        let blocks = &self.blocks;
        let theta1 = theta1.as_slice_mut().unwrap_or_default();
        theta1
            .par_chunks_mut(n)
            .zip(of_theta1.first.par_chunks_mut(n))
            .zip(of_theta1.second.par_chunks_mut(n))
            .enumerate()
            .for_each(|(k, ((theta1, first), second))| {
                let mut gradient = vec![0.0; n];
                let rows = level.iter().enumerate().filter(|(_, level)| **level == k);
                for (row, _) in rows {
                    for b in blocks {
                        let at = row * b.count..(row + 1) * b.count;
                        let terms = b.gated[at.clone()].iter().zip(&b.sines[at]);
                        for (g, (d, s)) in gradient[b.first..].iter_mut().zip(terms) {
                            *g += d * s;
                        }
                    }
                }
                if level.contains(&k) {
                    // d cos(theta1) / d theta1 = -sin(theta1).
                    let mut sines = theta1.to_vec();
                    sine_in_place(&mut sines);
                    for (g, s) in gradient.iter_mut().zip(&sines) {
                        *g *= -s;
                    }
                }
                rates.apply(theta1, &gradient, first, second);
            });
    }
}

/// Gradient with respect to the angles `x W + b` of a block, rows x block.
fn slopes(b: &Block) -> Vec<f32> {
    let factors = b.gates.iter().zip(&b.cosines);
    b.gated
        .iter()
        .zip(factors)
        .map(|(d, (g, c))| d * g * c)
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{FeatureDraw, RandomFeatures};
    use crate::train::Batch;

    /// Loss of Algorithm 1, line 7, spelled out for parameters W, b, theta1, theta2.
    fn slow_loss(p: &[Vec<f64>; 4], n: usize, work: &Workspace) -> f64 {
        let mut sum = 0.0;
        for (row, level) in work.level.iter().enumerate() {
            for o in 0..2 {
                let mut e = -f64::from(work.target[row * 2 + o]);
                for i in 0..n {
                    let z: f64 = (0..3)
                        .map(|j| f64::from(work.x[row * 3 + j]) * p[0][j * n + i])
                        .sum();
                    e += (z + p[1][i]).sin() * p[2][level * n + i].cos() * p[3][i * 2 + o];
                }
                sum += e * e;
            }
        }
        sum / work.level.len() as f64
    }

    fn moments(sizes: [usize; 4]) -> [Moments; 4] {
        sizes.map(|size| Moments {
            first: vec![0.0; size],
            second: vec![0.0; size],
        })
    }

    #[test]
    fn gradients_agree_with_finite_differences() {
        // One feature more than a block, so that the seam is crossed.
        for (n, step) in [(7, 1), (BLOCK + 1, 97)] {
            let mut rng = StableRng::new(5, 0);
            let mut batch = Batch::new(3, 2, 4);
            for _ in 0..100 {
                let x: Vec<f32> = (0..3).map(|_| rng.normal() as f32).collect();
                let target = [x[0], (x[1] + x[2]).sin()];
                batch.push(&x, 1 + rng.below(4), &target).unwrap();
            }
            for kind in [ModelKind::Drfm, ModelKind::Rf, ModelKind::Nn] {
                let features = RandomFeatures::draw(&FeatureDraw::gaussian(3, n, 2, 0.8)).unwrap();
                let mut model = Drfm::initial(features, 4, 2, &mut rng).unwrap();
                let wide = |a: &ndarray::Array2<f32>| a.iter().map(|v| f64::from(*v)).collect();
                let base: [Vec<f64>; 4] = [
                    wide(model.features().weights()),
                    model
                        .features()
                        .bias()
                        .iter()
                        .map(|v| f64::from(*v))
                        .collect(),
                    wide(model.theta1()),
                    wide(model.theta2()),
                ];
                // Without decay the first moments are the gradients, and a tiny rate leaves the model as it is.
                let params = AdamParams {
                    kind,
                    batch: 16,
                    beta1: 0.0,
                    learning_rate: 1e-30,
                    ..AdamParams::default()
                };
                let mut found = moments([n * 2, n * 4, n * 3, n]);
                let mut work = Workspace::new(&model, &params);
                work.choose(&batch, 9, 0);
                let loss = work.forward(&model);
                assert!((loss - slow_loss(&base, n, &work)).abs() < 1e-4 * loss.max(1.0));
                work.backward(&mut model, &mut found, Rates::at(&params, 1));
                let (trained, of) = match kind {
                    ModelKind::Rf => (3..4, [2, 3, 1, 0]),
                    ModelKind::Drfm => (2..4, [2, 3, 1, 0]),
                    ModelKind::Nn => (0..4, [2, 3, 1, 0]),
                };
                for which in trained {
                    for i in (0..base[which].len()).step_by(step) {
                        let h = 1e-5;
                        let at = |d: f64| {
                            let mut p = base.clone();
                            p[which][i] += d;
                            slow_loss(&p, n, &work)
                        };
                        let want = (at(h) - at(-h)) / (2.0 * h);
                        let got = f64::from(found[of[which]].first[i]);
                        assert!(
                            (got - want).abs() < 4e-6 + 2e-4 * want.abs(),
                            "{kind:?} {which} {i}: {got} {want}"
                        );
                    }
                }
            }
        }
    }

    #[test]
    fn an_update_is_kingma_and_bas() {
        let params = AdamParams {
            learning_rate: 0.01,
            ..AdamParams::default()
        };
        let mut values = [0.5f32, -2.0];
        let (mut theta, mut m, mut v) = ([0.5f64, -2.0], [0.0f64; 2], [0.0f64; 2]);
        let (mut first, mut second) = ([0.0f32; 2], [0.0f32; 2]);
        for t in 1..=3 {
            let gradient = [0.3 * t as f32, -0.01];
            Rates::at(&params, t).apply(&mut values, &gradient, &mut first, &mut second);
            for i in 0..2 {
                let g = f64::from(gradient[i]);
                m[i] = 0.9 * m[i] + 0.1 * g;
                v[i] = 0.999 * v[i] + 0.001 * g * g;
                let m_hat = m[i] / (1.0 - 0.9f64.powi(t as i32));
                let v_hat = v[i] / (1.0 - 0.999f64.powi(t as i32));
                theta[i] -= 0.01 * m_hat / (v_hat.sqrt() + 1e-8);
                assert!((f64::from(values[i]) - theta[i]).abs() < 1e-6);
            }
        }
    }
}

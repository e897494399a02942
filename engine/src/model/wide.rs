//! Wide models by blocks: predictions of tens of thousands of features, block after block, by several threads.
//!
//! Sums are formed in a fixed order, so results depend on the number of threads no more than those of a small model.

use drfm_linalg::{Matrix, multiply};
use rayon::prelude::*;

use super::drfm::Drfm;
use super::features::RandomFeatures;
use super::sine::sine_in_place;
use crate::diffusion::NoisePredictor;

/// Features in a block: its weights and coefficients for a picture of 784 pixels fit into the cache of a core.
pub(crate) const BLOCK: usize = 512;
/// Blocks are dealt out to this many tasks, each of which sums its own, whatever the number of threads.
pub(crate) const TASKS: usize = 16;

/// The blocks of `n` features as (first feature, number of features), dealt out to at most [`TASKS`] tasks.
pub(crate) fn deal(n: usize) -> Vec<Vec<(usize, usize)>> {
    let blocks: Vec<(usize, usize)> = (0..n)
        .step_by(BLOCK)
        .map(|first| (first, BLOCK.min(n - first)))
        .collect();
    let per_task = blocks.len().div_ceil(TASKS).max(1);
    blocks.chunks(per_task).map(<[_]>::to_vec).collect()
}

/// The angles `x W + b` of a block of features; `out` is rows x block, row after row.
pub(crate) fn block_angles_into(
    features: &RandomFeatures,
    (first, count): (usize, usize),
    x: &[f32],
    out: &mut [f32],
) {
    let bias = features.bias();
    for row in out.chunks_exact_mut(count) {
        for (o, b) in row.iter_mut().zip(bias.iter().skip(first)) {
            *o = *b;
        }
    }
    let weights = features.weights().as_slice().unwrap_or_default();
    let weights = Matrix::new(weights, features.n_features()).columns(first, count);
    multiply(Matrix::new(x, features.d_in()), weights, true, out);
}

/// The features `sin(x W + b)` of a block, as [`block_angles_into`].
pub(crate) fn block_features_into(
    features: &RandomFeatures,
    block: (usize, usize),
    x: &[f32],
    out: &mut [f32],
) {
    block_angles_into(features, block, x, out);
    sine_in_place(out);
}

/// A [`Drfm`] with as many outputs as inputs, evaluated by blocks.
#[derive(Clone, Copy, Debug)]
pub struct WideDrfm<'m>(pub &'m Drfm);

impl WideDrfm<'_> {
    /// Eq. 20 for rows of d_in values at timestep `k`; `out` has rows of d_out values.
    ///
    /// # Panics
    /// If `x` and `out` are not equally many whole rows.
    pub fn predict_rows_into(&self, x: &[f32], k: usize, out: &mut [f32]) {
        let (model, rows) = (self.0, x.len() / self.0.d_in());
        let d_out = model.d_out();
        assert_eq!(rows * d_out, out.len());
        let gates = model.gates(k);
        let theta2 = model.theta2().as_slice().unwrap_or_default();
        let sums: Vec<Vec<f32>> = deal(model.n_features())
            .par_iter()
            .map(|blocks| {
                let mut sum = vec![0.0; rows * d_out];
                let mut phi = Vec::new();
                for &(first, count) in blocks {
                    phi.resize(rows * count, 0.0);
                    block_features_into(model.features(), (first, count), x, &mut phi);
                    for row in phi.chunks_exact_mut(count) {
                        for (p, g) in row.iter_mut().zip(gates.iter().skip(first)) {
                            *p *= g;
                        }
                    }
                    let theta2 = &theta2[first * d_out..(first + count) * d_out];
                    multiply(
                        Matrix::new(&phi, count),
                        Matrix::new(theta2, d_out),
                        true,
                        &mut sum,
                    );
                }
                sum
            })
            .collect();
        out.fill(0.0);
        for sum in &sums {
            for (o, s) in out.iter_mut().zip(sum) {
                *o += s;
            }
        }
    }
}

impl NoisePredictor for WideDrfm<'_> {
    fn dim(&self) -> usize {
        self.0.d_in()
    }

    fn timesteps(&self) -> usize {
        self.0.timesteps()
    }

    fn predict_into(&self, x_k: &[f32], k: usize, _: &mut Vec<f32>, out: &mut [f32]) {
        self.predict_rows_into(x_k, k, out);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::FeatureDraw;
    use crate::rng::StableRng;

    #[test]
    fn blocks_predict_as_the_whole() {
        let n = BLOCK * (TASKS + 3) + 17;
        assert_eq!(deal(n).iter().flatten().map(|b| b.1).sum::<usize>(), n);
        assert!(deal(n).len() <= TASKS);
        let features = RandomFeatures::draw(&FeatureDraw::gaussian(5, n, 1, 0.7)).unwrap();
        let model = Drfm::initial(features, 3, 5, &mut StableRng::new(2, 0)).unwrap();
        let x: Vec<f32> = (0..35).map(|i| (i as f32 * 0.7).sin()).collect();
        let (mut whole, mut blocks) = (vec![0.0; 35], vec![0.0; 35]);
        model.predict_rows_into(&x, 2, &mut Vec::new(), &mut whole);
        WideDrfm(&model).predict_into(&x, 2, &mut Vec::new(), &mut blocks);
        for (a, b) in whole.iter().zip(&blocks) {
            assert!((a - b).abs() < 2e-4, "{a} {b}");
        }
    }
}

//! The real-time kernel: Eq. 20 of the paper for a batch of bins, without allocating.
//!
//! The inputs of a bin come in two groups, *patch* and *context*. The gates are folded into theta2 when the kernel is
//! made: a timestep costs nothing.

use pulp::{Arch, Simd, WithSimd};

use crate::model::drfm::Drfm;

/// Features whose weights lie together: two of the widest vectors in use. All weights of such a tile are one run of
/// memory, because rows a power of two apart would crowd each other out of the cache.
const FEATURE_TILE: usize = 32;
/// Bins that share one pass over the weights; keeps weights, inputs and sums in the first-level cache.
pub const BINS_PER_PASS: usize = 16;
/// Bins whose sums are held in registers at a time.
pub const BIN_TILE: usize = 4;
/// Vectors of features whose sums are held in registers at a time.
const VECTOR_TILE: usize = 2;
/// Outputs of the model: real and imaginary part of the noise of one bin.
const OUTPUTS: usize = 2;

/// A DRFM made ready for the audio thread.
pub struct Kernel {
    context_inputs: usize,
    patch_inputs: usize,
    tiles: usize,
    timesteps: usize,
    /// `[feature tile][bias, context rows, patch rows][feature of the tile]`, in turns (1 = 2 pi).
    weights: Vec<f32>,
    /// `[timestep][feature tile][output][feature of the tile]`: theta2 with the gates folded in.
    theta: Vec<f32>,
    arch: Arch,
}

/// Working memory of [`Kernel::predict_into`].
pub struct KernelScratch {
    sums: Vec<f32>,
}

impl Default for KernelScratch {
    fn default() -> Self {
        // The widest vector has 16 lanes.
        Self {
            sums: vec![0.0; BINS_PER_PASS * OUTPUTS * 16],
        }
    }
}

/// One input of [`BIN_TILE`] neighbouring bins of a pass.
pub type Lane = [f32; BIN_TILE];

/// The inputs of up to [`BINS_PER_PASS`] bins, in tiles of [`BIN_TILE`] bins; places of a last, short tile may hold any
/// finite number.
#[derive(Clone, Copy)]
pub struct KernelInput<'a> {
    /// `tiles x context_inputs`.
    pub context: &'a [Lane],
    /// `tiles x patch_inputs`.
    pub patch: &'a [Lane],
    /// Timestep of each bin, 1-based.
    pub timestep: &'a [u16],
}

impl Kernel {
    /// Prepares `model`, whose first `patch_inputs` inputs are the patch and the others the context and which has two
    /// outputs. `None` when the shapes do not fit.
    #[must_use]
    pub fn new(model: &Drfm, patch_inputs: usize) -> Option<Self> {
        let (d_in, n) = (model.d_in(), model.n_features());
        if model.d_out() != OUTPUTS || patch_inputs > d_in {
            return None;
        }
        let tiles = n.div_ceil(FEATURE_TILE);
        let context_inputs = d_in - patch_inputs;
        let turns = 1.0 / std::f64::consts::TAU;
        let mut weights = vec![0.0; tiles * (1 + d_in) * FEATURE_TILE];
        let mut fill = |row: usize, values: ndarray::ArrayView1<'_, f32>| {
            for (i, v) in values.iter().enumerate() {
                let (tile, feature) = (i / FEATURE_TILE, i % FEATURE_TILE);
                weights[(tile * (1 + d_in) + row) * FEATURE_TILE + feature] =
                    (f64::from(*v) * turns) as f32;
            }
        };
        fill(0, model.features().bias().view());
        for j in 0..d_in {
            let row = if j < patch_inputs {
                1 + context_inputs + j
            } else {
                1 + j - patch_inputs
            };
            fill(row, model.features().weights().row(j));
        }
        let timesteps = model.timesteps();
        let mut theta = vec![0.0; timesteps * tiles * OUTPUTS * FEATURE_TILE];
        for k in 1..=timesteps {
            let gated = model.gated_theta2(k);
            for ((i, o), value) in gated.indexed_iter() {
                let (tile, feature) = (i / FEATURE_TILE, i % FEATURE_TILE);
                theta[(((k - 1) * tiles + tile) * OUTPUTS + o) * FEATURE_TILE + feature] = *value;
            }
        }
        Some(Self {
            context_inputs,
            patch_inputs,
            tiles,
            timesteps,
            weights,
            theta,
            arch: Arch::new(),
        })
    }

    /// Context inputs per bin.
    #[must_use]
    pub const fn context_inputs(&self) -> usize {
        self.context_inputs
    }

    /// Patch inputs per bin.
    #[must_use]
    pub const fn patch_inputs(&self) -> usize {
        self.patch_inputs
    }

    /// Number of timesteps.
    #[must_use]
    pub const fn timesteps(&self) -> usize {
        self.timesteps
    }

    /// Writes the predicted noise, `bins x 2`. Timesteps out of range are clamped. Never allocates; safe on
    /// the audio thread.
    pub fn predict_into(
        &self,
        input: KernelInput<'_>,
        scratch: &mut KernelScratch,
        out: &mut [f32],
    ) {
        debug_assert!(input.timestep.len() <= BINS_PER_PASS);
        self.arch.dispatch(Predict {
            kernel: self,
            input,
            sums: &mut scratch.sums,
            out,
        });
    }
}

struct Predict<'a> {
    kernel: &'a Kernel,
    input: KernelInput<'a>,
    sums: &'a mut [f32],
    out: &'a mut [f32],
}

/// `sin(2 pi x)` with an absolute error below 3e-6 for |x| < 2^21.
#[inline(always)]
fn sine_of_turns<S: Simd>(simd: S, x: S::f32s) -> S::f32s {
    // Adding and taking away 1.5 * 2^23 rounds to a whole number.
    let magic = simd.splat_f32s(12_582_912.0);
    let r = simd.sub_f32s(x, simd.sub_f32s(simd.add_f32s(x, magic), magic));
    let r2 = simd.mul_f32s(r, r);
    // sin(2 pi r) = r (r^2 - 1/4) q(r^2) on [-1/2, 1/2]: exact zeros at 0 and +-1/2, q by Chebyshev fit.
    let mut q = simd.splat_f32s(SINE[4]);
    for c in [SINE[3], SINE[2], SINE[1], SINE[0]] {
        q = simd.mul_add_e_f32s(q, r2, simd.splat_f32s(c));
    }
    let edge = simd.mul_f32s(r, simd.sub_f32s(r2, simd.splat_f32s(0.25)));
    simd.mul_f32s(edge, q)
}

/// Coefficients of q in rising powers of r^2.
const SINE: [f32; 5] = [-25.132_73, 64.834_68, -67.043_9, 38.123_197, -12.233_302];

impl WithSimd for Predict<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let Self {
            kernel,
            input,
            sums,
            out,
        } = self;
        let bins = input.timestep.len();
        let (d_context, d_patch) = (kernel.context_inputs, kernel.patch_inputs);
        let rows = 1 + d_context + d_patch;
        let vectors = FEATURE_TILE / S::F32_LANES;
        let (weights, _) = S::as_simd_f32s(&kernel.weights);
        let (theta, _) = S::as_simd_f32s(&kernel.theta);
        let (sums, _) = S::as_mut_simd_f32s(sums);
        let used = bins * OUTPUTS;
        sums[..used].fill(simd.splat_f32s(0.0));
        for (tile, weights) in weights.chunks_exact(rows * vectors).enumerate() {
            let mut first = 0;
            while first < vectors {
                let (bias, weights) = weights.split_at(vectors);
                let (context_rows, patch_rows) = weights.split_at(d_context * vectors);
                let bias = [bias[first], bias[first + 1]];
                let mut bin = 0;
                let mut group = 0;
                while bin < bins {
                    let count = (bins - bin).min(BIN_TILE);
                    let context = &input.context[group * d_context..][..d_context];
                    let patch = &input.patch[group * d_patch..][..d_patch];
                    let rows = context_rows.chunks_exact(vectors).zip(context);
                    let rows = rows.chain(patch_rows.chunks_exact(vectors).zip(patch));
                    let mut phase = [bias; BIN_TILE];
                    for (row, x) in rows {
                        let row = &row[first..first + VECTOR_TILE];
                        let row = [row[0], row[1]];
                        for i in 0..BIN_TILE {
                            let x = simd.splat_f32s(x[i]);
                            for v in 0..VECTOR_TILE {
                                phase[i][v] = simd.mul_add_e_f32s(row[v], x, phase[i][v]);
                            }
                        }
                    }
                    for (i, phase) in phase.iter().enumerate().take(count) {
                        let k = usize::from(input.timestep[bin + i]).clamp(1, kernel.timesteps) - 1;
                        // No closure here: it would not be compiled for the instructions chosen at run time.
                        let features =
                            [sine_of_turns(simd, phase[0]), sine_of_turns(simd, phase[1])];
                        let theta = &theta[(k * kernel.tiles + tile) * OUTPUTS * vectors..]
                            [..OUTPUTS * vectors];
                        let sums = &mut sums[(bin + i) * OUTPUTS..][..OUTPUTS];
                        for o in 0..OUTPUTS {
                            let theta = &theta[o * vectors + first..][..VECTOR_TILE];
                            for v in 0..VECTOR_TILE {
                                sums[o] = simd.mul_add_e_f32s(features[v], theta[v], sums[o]);
                            }
                        }
                    }
                    bin += count;
                    group += 1;
                }
                first += VECTOR_TILE;
            }
        }
        for (o, s) in out.iter_mut().zip(&sums[..used]) {
            *o = simd.reduce_sum_f32s(*s);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::features::RandomFeatures;
    use crate::rng::StableRng;
    use ndarray::{Array1, Array2};

    fn random_model(d_in: usize, n: usize, k: usize) -> Drfm {
        let mut rng = StableRng::new(5, 0);
        let mut matrix =
            |r, c, s: f64| Array2::from_shape_fn((r, c), |_| (rng.normal() * s) as f32);
        let weights = matrix(d_in, n, 0.5);
        let bias = Array1::from_iter(matrix(1, n, 2.0));
        let features = RandomFeatures::from_parts(weights, bias).unwrap();
        Drfm::new(features, matrix(k, n, 1.0), matrix(n, 2, 0.3)).unwrap()
    }

    #[test]
    fn agrees_with_equation_20_written_out() {
        let (d_context, d_patch, n, timesteps) = (5, 4, 75, 3);
        let model = random_model(d_context + d_patch, n, timesteps);
        let kernel = Kernel::new(&model, d_patch).unwrap();
        let mut rng = StableRng::new(6, 0);
        for bins in [1usize, 4, 7, BINS_PER_PASS] {
            let tiles = bins.div_ceil(BIN_TILE);
            let mut lanes = |n: usize| -> Vec<Lane> {
                (0..n)
                    .map(|_| std::array::from_fn(|_| rng.normal() as f32))
                    .collect()
            };
            let context = lanes(tiles * d_context);
            let patch = lanes(tiles * d_patch);
            let timestep: Vec<u16> = (0..bins).map(|_| 1 + rng.below(timesteps) as u16).collect();
            let mut out = vec![0.0; bins * 2];
            kernel.predict_into(
                KernelInput {
                    context: &context,
                    patch: &patch,
                    timestep: &timestep,
                },
                &mut KernelScratch::default(),
                &mut out,
            );
            for bin in 0..bins {
                let (tile, lane) = (bin / BIN_TILE, bin % BIN_TILE);
                let x: Vec<f32> = patch[tile * d_patch..][..d_patch]
                    .iter()
                    .chain(&context[tile * d_context..][..d_context])
                    .map(|x| x[lane])
                    .collect();
                for o in 0..2 {
                    let mut want = 0.0;
                    for feature in 0..n {
                        let mut a = f64::from(model.features().bias()[feature]);
                        for (j, x) in x.iter().enumerate() {
                            a +=
                                f64::from(*x) * f64::from(model.features().weights()[[j, feature]]);
                        }
                        let gate =
                            f64::from(model.theta1()[[usize::from(timestep[bin]) - 1, feature]]);
                        want += a.sin() * gate.cos() * f64::from(model.theta2()[[feature, o]]);
                    }
                    let got = f64::from(out[bin * 2 + o]);
                    assert!((got - want).abs() < 2e-4, "{got} {want}");
                }
            }
        }
    }

    #[test]
    fn sine_is_close_to_the_real_one() {
        struct Sines<'a>(&'a mut [f32]);
        impl WithSimd for Sines<'_> {
            type Output = ();
            fn with_simd<S: Simd>(self, simd: S) {
                let (head, _) = S::as_mut_simd_f32s(self.0);
                for x in head {
                    *x = sine_of_turns(simd, *x);
                }
            }
        }
        let turns: Vec<f32> = (0..6400).map(|i| (i as f32 - 3200.0) / 997.0).collect();
        let mut got = turns.clone();
        Arch::new().dispatch(Sines(&mut got));
        for (x, y) in turns.iter().zip(&got) {
            let want = (f64::from(*x) * std::f64::consts::TAU).sin();
            assert!((f64::from(*y) - want).abs() < 3e-6, "{x}: {y} {want}");
        }
    }
}

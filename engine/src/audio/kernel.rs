//! The real-time kernel: Eq. 20 of the paper for a batch of bins, without allocating.
//!
//! The inputs of a bin come in two groups, a *context* shared by all channels and a *patch* per channel, so that
//! linked channels pay for the context once. The gates are folded into theta2 when the kernel is made: a timestep
//! costs nothing.

use pulp::{Arch, Simd, WithSimd};

use crate::model::drfm::Drfm;

/// Features are padded to a multiple of this: two of the widest vectors in use.
const FEATURE_MULTIPLE: usize = 32;
/// Bins that share one pass over the weights; keeps weights, inputs and sums in the first-level cache.
pub const BINS_PER_PASS: usize = 32;
/// Bins whose sums are held in registers at a time.
const BIN_TILE: usize = 4;
/// Vectors of features whose sums are held in registers at a time.
const VECTOR_TILE: usize = 2;
/// Most channels that one call may carry.
pub const MAX_CHANNELS: usize = 2;
/// Outputs of the model: real and imaginary part of the noise of one bin.
const OUTPUTS: usize = 2;

/// A DRFM made ready for the audio thread.
pub struct Kernel {
    context_inputs: usize,
    patch_inputs: usize,
    padded: usize,
    timesteps: usize,
    /// Bias, context rows, patch rows; `padded` numbers each; in turns (1 = 2 pi).
    rows: Vec<f32>,
    /// `[timestep][output][feature]`: theta2 with the gates folded in.
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
            sums: vec![0.0; BINS_PER_PASS * MAX_CHANNELS * OUTPUTS * 16],
        }
    }
}

/// The inputs of up to [`BINS_PER_PASS`] bins.
#[derive(Clone, Copy)]
pub struct KernelInput<'a> {
    /// Number of channels, 1 to [`MAX_CHANNELS`].
    pub channels: usize,
    /// `bins x context_inputs`.
    pub context: &'a [f32],
    /// `bins x channels x patch_inputs`.
    pub patch: &'a [f32],
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
        let padded = n.next_multiple_of(FEATURE_MULTIPLE);
        let context_inputs = d_in - patch_inputs;
        let turns = 1.0 / std::f64::consts::TAU;
        let mut rows = vec![0.0; (1 + d_in) * padded];
        let mut fill = |row: usize, values: ndarray::ArrayView1<'_, f32>| {
            for (r, v) in rows[row * padded..].iter_mut().zip(values) {
                *r = (f64::from(*v) * turns) as f32;
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
        let mut theta = vec![0.0; timesteps * OUTPUTS * padded];
        for k in 1..=timesteps {
            let gated = model.gated_theta2(k);
            for o in 0..OUTPUTS {
                let at = ((k - 1) * OUTPUTS + o) * padded;
                for (t, g) in theta[at..at + n].iter_mut().zip(gated.column(o)) {
                    *t = *g;
                }
            }
        }
        Some(Self {
            context_inputs,
            patch_inputs,
            padded,
            timesteps,
            rows,
            theta,
            arch: Arch::new(),
        })
    }

    /// Context inputs per bin.
    #[must_use]
    pub const fn context_inputs(&self) -> usize {
        self.context_inputs
    }

    /// Patch inputs per bin and channel.
    #[must_use]
    pub const fn patch_inputs(&self) -> usize {
        self.patch_inputs
    }

    /// Number of timesteps.
    #[must_use]
    pub const fn timesteps(&self) -> usize {
        self.timesteps
    }

    /// Writes the predicted noise, `bins x channels x 2`. Timesteps out of range are clamped. Never allocates; safe on
    /// the audio thread.
    pub fn predict_into(
        &self,
        input: KernelInput<'_>,
        scratch: &mut KernelScratch,
        out: &mut [f32],
    ) {
        debug_assert!(input.timestep.len() <= BINS_PER_PASS && input.channels <= MAX_CHANNELS);
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
        let channels = input.channels;
        let (d_context, d_patch, padded) =
            (kernel.context_inputs, kernel.patch_inputs, kernel.padded);
        let vectors = padded / S::F32_LANES;
        let (rows, _) = S::as_simd_f32s(&kernel.rows);
        let (theta, _) = S::as_simd_f32s(&kernel.theta);
        let (sums, _) = S::as_mut_simd_f32s(sums);
        let used = bins * channels * OUTPUTS;
        sums[..used].fill(simd.splat_f32s(0.0));
        let mut first = 0;
        while first < vectors {
            let mut tile_start = 0;
            while tile_start < bins {
                // A short last tile repeats its last bin: the sums of the copies are not kept.
                let count = (bins - tile_start).min(BIN_TILE);
                let at = |i: usize| tile_start + if i < count { i } else { count - 1 };
                let bias = [rows[first], rows[first + 1]];
                let mut shared = [bias; BIN_TILE];
                let contexts: [&[f32]; BIN_TILE] =
                    std::array::from_fn(|i| &input.context[at(i) * d_context..][..d_context]);
                for j in 0..d_context {
                    let row = &rows[(1 + j) * vectors + first..][..VECTOR_TILE];
                    for i in 0..BIN_TILE {
                        let x = simd.splat_f32s(contexts[i][j]);
                        for v in 0..VECTOR_TILE {
                            shared[i][v] = simd.mul_add_e_f32s(row[v], x, shared[i][v]);
                        }
                    }
                }
                for channel in 0..channels {
                    let mut phase = shared;
                    let patches: [&[f32]; BIN_TILE] = std::array::from_fn(|i| {
                        &input.patch[(at(i) * channels + channel) * d_patch..][..d_patch]
                    });
                    for j in 0..d_patch {
                        let row = &rows[(1 + d_context + j) * vectors + first..][..VECTOR_TILE];
                        for i in 0..BIN_TILE {
                            let x = simd.splat_f32s(patches[i][j]);
                            for v in 0..VECTOR_TILE {
                                phase[i][v] = simd.mul_add_e_f32s(row[v], x, phase[i][v]);
                            }
                        }
                    }
                    for (i, phase) in phase.iter().enumerate().take(count) {
                        let bin = tile_start + i;
                        let k = usize::from(input.timestep[bin]).clamp(1, kernel.timesteps) - 1;
                        // No closure here: it would not be compiled for the instructions chosen at run time.
                        let features =
                            [sine_of_turns(simd, phase[0]), sine_of_turns(simd, phase[1])];
                        for o in 0..OUTPUTS {
                            let theta =
                                &theta[(k * OUTPUTS + o) * vectors + first..][..VECTOR_TILE];
                            let sum = &mut sums[(bin * channels + channel) * OUTPUTS + o];
                            for v in 0..VECTOR_TILE {
                                *sum = simd.mul_add_e_f32s(features[v], theta[v], *sum);
                            }
                        }
                    }
                }
                tile_start += count;
            }
            first += VECTOR_TILE;
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
        for (bins, channels) in [(1, 1), (4, 1), (7, 2), (32, 2)] {
            let context: Vec<f32> = (0..bins * d_context).map(|_| rng.normal() as f32).collect();
            let patch: Vec<f32> = (0..bins * channels * d_patch)
                .map(|_| rng.normal() as f32)
                .collect();
            let timestep: Vec<u16> = (0..bins).map(|_| 1 + rng.below(timesteps) as u16).collect();
            let mut out = vec![0.0; bins * channels * 2];
            kernel.predict_into(
                KernelInput {
                    channels,
                    context: &context,
                    patch: &patch,
                    timestep: &timestep,
                },
                &mut KernelScratch::default(),
                &mut out,
            );
            for bin in 0..bins {
                for channel in 0..channels {
                    let x: Vec<f32> = patch[(bin * channels + channel) * d_patch..][..d_patch]
                        .iter()
                        .chain(&context[bin * d_context..][..d_context])
                        .copied()
                        .collect();
                    for o in 0..2 {
                        let mut want = 0.0;
                        for feature in 0..n {
                            let mut a = f64::from(model.features().bias()[feature]);
                            for (j, x) in x.iter().enumerate() {
                                a += f64::from(*x)
                                    * f64::from(model.features().weights()[[j, feature]]);
                            }
                            let gate = f64::from(
                                model.theta1()[[usize::from(timestep[bin]) - 1, feature]],
                            )
                            .cos();
                            want += a.sin() * gate * f64::from(model.theta2()[[feature, o]]);
                        }
                        let got = f64::from(out[(bin * channels + channel) * 2 + o]);
                        assert!((got - want).abs() < 2e-4, "{got} {want}");
                    }
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

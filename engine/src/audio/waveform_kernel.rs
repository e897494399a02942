//! The waveform model made ready for the audio thread: one window at a time, without allocating.

use pulp::{Arch, Simd, WithSimd};

use super::waveform::{OVERLAP, WaveformModel, WaveformRecipe};
use super::waveform_linear::LinearPart;
use crate::model::Drfm;
use crate::model::sine::sine;

/// A waveform model with everything worked out that does not depend on the sound; shared between streams.
pub struct WaveformKernel {
    recipe: WaveformRecipe,
    drfm: Drfm,
    linear: Option<LinearPart>,
    /// `cos(theta1)`, K x N.
    gates: Vec<f32>,
    /// `sqrt(1 - alpha_bar_k)` of every timestep.
    noise_scale: Vec<f32>,
    /// Share of a window's estimate in each of its samples; the shares of overlapping windows add up to 1.
    weights: Vec<f32>,
    arch: Arch,
}

/// Working memory of [`WaveformKernel::denoise_window`], which also carries the window; made by
/// [`WaveformKernel::scratch`].
pub struct WaveformScratch {
    window: Vec<f32>,
    x_k: Vec<f32>,
    /// What the sines see: `x_k`, coloured if there is a linear part.
    seen: Vec<f32>,
    features: Vec<f32>,
    noise: Vec<f32>,
}

impl WaveformScratch {
    /// The window, d samples.
    #[must_use]
    pub fn window(&self) -> &[f32] {
        &self.window
    }

    /// The window, d samples, to be filled.
    pub fn window_mut(&mut self) -> &mut [f32] {
        &mut self.window
    }
}

impl WaveformKernel {
    /// Prepares a model.
    #[must_use]
    pub fn new(model: &WaveformModel) -> Self {
        let recipe = model.recipe().clone();
        let drfm = model.drfm().clone();
        let d = recipe.window;
        let timesteps = 1..=recipe.schedule.timesteps();
        // A Hann window, which adds up to half the number of overlapping ones.
        let weights = (0..d)
            .map(|i| {
                let turn = std::f64::consts::TAU * (i as f64 + 0.5) / d as f64;
                ((1.0 - libm::cos(turn)) / OVERLAP as f64) as f32
            })
            .collect();
        Self {
            gates: timesteps.clone().flat_map(|k| drfm.gates(k)).collect(),
            noise_scale: timesteps
                .map(|k| (1.0 - recipe.schedule.alpha_bar(k)).sqrt() as f32)
                .collect(),
            linear: model.linear().cloned(),
            weights,
            recipe,
            drfm,
            arch: Arch::new(),
        }
    }

    /// How the model is used.
    #[must_use]
    pub const fn recipe(&self) -> &WaveformRecipe {
        &self.recipe
    }

    /// Working memory for one thread.
    #[must_use]
    pub fn scratch(&self) -> WaveformScratch {
        let d = self.recipe.window;
        WaveformScratch {
            window: vec![0.0; d],
            x_k: vec![0.0; d],
            seen: vec![0.0; d],
            features: vec![0.0; self.drfm.n_features()],
            noise: vec![0.0; d],
        }
    }

    /// Share of a window's estimate in each of its samples.
    pub(super) fn weights(&self) -> &[f32] {
        &self.weights
    }

    /// Replaces the noisy window in `scratch` by the estimate of the clean one: one `mean` step from the timestep whose
    /// signal-to-noise ratio is nearest to `snr_db`. `deviation` is that of the noise, above 0. Never allocates.
    ///
    /// Beyond the ends of the schedule the estimate goes on as that of a Wiener filter does: what is removed falls as
    /// the square of the noise's deviation, so that clean sound comes out clean, and what is left falls as the ratio.
    pub fn denoise_window(&self, scratch: &mut WaveformScratch, deviation: f32, snr_db: f64) {
        let schedule = &self.recipe.schedule;
        let k = schedule.timestep_for_snr_db(snr_db);
        let above = (snr_db - schedule.snr_db(1)).max(0.0);
        let below = (schedule.snr_db(schedule.timesteps()) - snr_db).max(0.0);
        // With y = x + s eps, x_k = sqrt(1 - alpha_bar_k) y / s has the noise of Eq. 4 exactly and its music as nearly as
        // the timestep fits; the mean step, scaled back, is y - s p. Above the schedule s is that of its first timestep.
        let s = deviation * libm::exp10(above / 20.0) as f32;
        let to_x_k = self.noise_scale[k - 1] / s;
        for (x, y) in scratch.x_k.iter_mut().zip(&scratch.window) {
            *x = to_x_k * y;
        }
        self.arch.dispatch(Predict {
            kernel: self,
            k,
            scratch,
        });
        let removed = s * libm::exp10(-above / 10.0) as f32;
        let kept = libm::exp10(-below / 10.0) as f32;
        for (y, p) in scratch.window.iter_mut().zip(&scratch.noise) {
            *y = kept * (*y - removed * p);
        }
    }
}

/// Both parts of the prediction, compiled for the instructions of the machine.
struct Predict<'a> {
    kernel: &'a WaveformKernel,
    k: usize,
    scratch: &'a mut WaveformScratch,
}

impl WithSimd for Predict<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, _: S) {
        let Self { kernel, k, scratch } = self;
        match &kernel.linear {
            Some(linear) => linear.colour_into(&scratch.x_k, &mut scratch.seen),
            None => scratch.seen.copy_from_slice(&scratch.x_k),
        }
        let features = kernel.drfm.features();
        let phi = scratch.features.as_mut_slice();
        for (f, b) in phi.iter_mut().zip(features.bias()) {
            *f = *b;
        }
        let (weights, theta2) = (
            features.weights().as_slice(),
            kernel.drfm.theta2().as_slice(),
        );
        let n = phi.len();
        for (x, row) in scratch
            .seen
            .iter()
            .zip(weights.unwrap_or_default().chunks_exact(n))
        {
            for (f, w) in phi.iter_mut().zip(row) {
                *f += x * w;
            }
        }
        for (f, gate) in phi.iter_mut().zip(&kernel.gates[(k - 1) * n..k * n]) {
            *f = gate * sine(*f);
        }
        let p = scratch.noise.as_mut_slice();
        p.fill(0.0);
        for (f, row) in phi
            .iter()
            .zip(theta2.unwrap_or_default().chunks_exact(p.len()))
        {
            for (p, t) in p.iter_mut().zip(row) {
                *p += f * t;
            }
        }
        if let Some(linear) = &kernel.linear {
            linear.add_to(&scratch.x_k, k, p);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::audio::waveform::tests::file;
    use crate::diffusion::{Sampler, denoise_into};
    use crate::rng::StableRng;

    #[test]
    fn a_window_is_one_mean_step() {
        let model = WaveformModel::from_file(file(1.0)).unwrap();
        let kernel = WaveformKernel::new(&model);
        let mut scratch = kernel.scratch();
        let schedule = &model.recipe().schedule;
        let mut rng = StableRng::new(4, 0);
        for k in 1..=8 {
            let y: Vec<f32> = (0..32).map(|_| rng.normal() as f32).collect();
            scratch.window_mut().copy_from_slice(&y);
            kernel.denoise_window(&mut scratch, 0.5, schedule.snr_db(k));
            let to_x_k = (1.0 - schedule.alpha_bar(k)).sqrt() as f32 / 0.5;
            let x_k: Vec<f32> = y.iter().map(|y| to_x_k * y).collect();
            let mut x0 = vec![0.0; 32];
            denoise_into(&model, schedule, Sampler::Mean, k, &x_k, &mut rng, &mut x0).unwrap();
            let back = schedule.alpha_bar(k).sqrt() as f32 / to_x_k;
            for (x0, got) in x0.iter().zip(scratch.window()) {
                assert!((back * x0 - got).abs() < 2e-5, "{k} {x0} {got}");
            }
        }
        let sum: f32 = (0..OVERLAP).map(|i| kernel.weights()[3 + 8 * i]).sum();
        assert!((sum - 1.0).abs() < 1e-6);
    }
}

//! Reverse diffusion: from `x_k` back to `x_0`.
//!
//! Algorithm 1, line 12, of the paper differs from its own Section 2.2 (and from Ho et al. 2020): it divides
//! `sqrt(beta_k)` instead of `beta_k` by `sqrt(1 - alpha_bar_k)`, adds noise of standard deviation `beta_k` instead of
//! `sqrt(beta_k)`, and starts its loop at K - 1. [`Sampler::Paper`] is that line to the letter;
//! [`Sampler::Ddpm`] is what Section 2.2 derives.

use serde::{Deserialize, Serialize};

use super::predictor::NoisePredictor;
use super::schedule::Schedule;
use crate::rng::StableRng;

/// How to walk back from `x_k` to `x_0`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Sampler {
    /// Algorithm 1, lines 10 to 13, as printed: steps k = K - 1 .. 1 of
    /// `x = (x - sqrt(beta_k) / sqrt(1 - alpha_bar_k) p) / sqrt(1 - beta_k) + beta_k eps`.
    Paper,
    /// Section 2.2 (Eq. 8 and the mean before it; Ho et al. 2020, Algorithm 2): steps k = K .. 1 of
    /// `x = (x - beta_k / sqrt(1 - alpha_bar_k) p) / sqrt(alpha_k) + sqrt(beta_k) eps`, without noise in the last step.
    Ddpm,
    /// Deterministic steps between a few timesteps (Song et al. 2021, "DDIM", with eta = 0):
    /// `x = sqrt(alpha_bar_j) x0 + sqrt(1 - alpha_bar_j) p` with the `x0` of [`Sampler::Mean`].
    Ddim {
        /// Number of steps, spread evenly over the timesteps; at least 1, and at most one per timestep.
        steps: usize,
    },
    /// One step to the estimated mean of the clean signal: `x0 = (x - sqrt(1 - alpha_bar_k) p) / sqrt(alpha_bar_k)`
    /// (Eq. 4 solved for `x_0`). The least squared error; the default for denoising.
    Mean,
}

/// The variance generation starts from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum StartVariance {
    /// 1, as in Algorithm 1, line 9.
    Unit,
    /// `1 - alpha_bar_K`: the variance the forward process gives its noise. A short schedule does not end at pure
    /// noise (the paper's K = 100 ends at `alpha_bar_K` = 0.364), and the model has never seen noise of variance 1.
    AsScheduled,
}

/// Why the reverse process cannot run.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SamplerError {
    /// Model and schedule have been made for different numbers of timesteps.
    #[error(
        "the model knows {model} timesteps and the schedule has {schedule}: use the schedule the model was trained with"
    )]
    Timesteps {
        /// Timesteps of the model.
        model: usize,
        /// Timesteps of the schedule.
        schedule: usize,
    },
    /// The slices are not whole rows of the model, or differ in length.
    #[error("{values} values are not whole rows of {dim}, or input and output differ in length")]
    Rows {
        /// Length found.
        values: usize,
        /// Values per row.
        dim: usize,
    },
    /// The first timestep is outside the schedule.
    #[error("timestep {timestep} is outside 1 to {timesteps}")]
    Start {
        /// Timestep asked for.
        timestep: usize,
        /// Timesteps of the schedule.
        timesteps: usize,
    },
    /// DDIM without steps.
    #[error("ddim needs at least one step")]
    NoSteps,
}

/// Generates rows from noise: draws `x_K` (Algorithm 1, line 9) and runs the whole reverse process.
///
/// `out` holds one or more rows of `dim` values.
///
/// # Errors
/// If the model does not fit schedule or rows, or DDIM has no steps.
pub fn generate_into(
    predictor: &dyn NoisePredictor,
    schedule: &Schedule,
    sampler: Sampler,
    rng: &mut StableRng,
    start: StartVariance,
    out: &mut [f32],
) -> Result<(), SamplerError> {
    let last = schedule.timesteps();
    let deviation = match start {
        StartVariance::Unit => 1.0,
        StartVariance::AsScheduled => (1.0 - schedule.alpha_bar(last)).sqrt(),
    };
    check(predictor, schedule, sampler, last, out.len())?;
    for x in out.iter_mut() {
        *x = (deviation * rng.normal()) as f32;
    }
    reverse(predictor, schedule, sampler, last, rng, out);
    Ok(())
}

/// Runs the reverse process from timestep `k_start` (1 to K) on `x_k`, scaled as in Eq. 4; writes the estimate of `x_0`.
///
/// `x_k` and `out` hold one or more rows of `dim` values. `rng` is used by [`Sampler::Paper`] and [`Sampler::Ddpm`] only.
///
/// # Errors
/// If the model does not fit schedule or rows, `k_start` is outside the schedule, or DDIM has no steps.
pub fn denoise_into(
    predictor: &dyn NoisePredictor,
    schedule: &Schedule,
    sampler: Sampler,
    k_start: usize,
    x_k: &[f32],
    rng: &mut StableRng,
    out: &mut [f32],
) -> Result<(), SamplerError> {
    check(predictor, schedule, sampler, k_start, x_k.len())?;
    if x_k.len() != out.len() {
        return Err(SamplerError::Rows {
            values: out.len(),
            dim: predictor.dim(),
        });
    }
    out.copy_from_slice(x_k);
    reverse(predictor, schedule, sampler, k_start, rng, out);
    Ok(())
}

fn check(
    predictor: &dyn NoisePredictor,
    schedule: &Schedule,
    sampler: Sampler,
    k_start: usize,
    values: usize,
) -> Result<(), SamplerError> {
    let timesteps = schedule.timesteps();
    if predictor.timesteps() != timesteps {
        return Err(SamplerError::Timesteps {
            model: predictor.timesteps(),
            schedule: timesteps,
        });
    }
    let dim = predictor.dim();
    if dim == 0 || !values.is_multiple_of(dim) {
        return Err(SamplerError::Rows { values, dim });
    }
    if !(1..=timesteps).contains(&k_start) {
        return Err(SamplerError::Start {
            timestep: k_start,
            timesteps,
        });
    }
    match sampler {
        Sampler::Ddim { steps: 0 } => Err(SamplerError::NoSteps),
        _ => Ok(()),
    }
}

fn reverse(
    predictor: &dyn NoisePredictor,
    schedule: &Schedule,
    sampler: Sampler,
    k_start: usize,
    rng: &mut StableRng,
    x: &mut [f32],
) {
    let mut p = vec![0.0; x.len()];
    let mut scratch = Vec::new();
    let mut step = |x: &mut [f32], k: usize, c: Coefficients, rng: &mut StableRng| {
        predictor.predict_into(x, k, &mut scratch, &mut p);
        for (x, p) in x.iter_mut().zip(&p) {
            let mean = c.x * f64::from(*x) + c.p * f64::from(*p);
            let noise = if c.noise > 0.0 {
                c.noise * rng.normal()
            } else {
                0.0
            };
            *x = (mean + noise) as f32;
        }
    };
    match sampler {
        Sampler::Paper => {
            // The printed loop starts at K - 1, so x_K is used as x_{K-1}; elsewhere the start is where x_k lies.
            let first = k_start.min(schedule.timesteps() - 1);
            for k in (1..=first).rev() {
                step(x, k, Coefficients::paper(schedule, k), rng);
            }
        }
        Sampler::Ddpm => {
            for k in (1..=k_start).rev() {
                step(x, k, Coefficients::ddpm(schedule, k), rng);
            }
        }
        Sampler::Ddim { steps } => {
            let steps = steps.min(k_start);
            for i in (1..=steps).rev() {
                // Timesteps k_start, ..., 0 in nearly equal strides; strictly descending because steps <= k_start.
                let (from, to) = (k_start * i / steps, k_start * (i - 1) / steps);
                step(x, from, Coefficients::ddim(schedule, from, to), rng);
            }
        }
        Sampler::Mean => step(x, k_start, Coefficients::ddim(schedule, k_start, 0), rng),
    }
}

/// One reverse step: `x <- c.x * x + c.p * p + c.noise * eps`.
#[derive(Clone, Copy, Debug)]
struct Coefficients {
    x: f64,
    p: f64,
    noise: f64,
}

impl Coefficients {
    fn paper(schedule: &Schedule, k: usize) -> Self {
        let beta = schedule.beta(k);
        let x = 1.0 / (1.0 - beta).sqrt();
        Self {
            x,
            p: -x * beta.sqrt() / (1.0 - schedule.alpha_bar(k)).sqrt(),
            noise: beta,
        }
    }

    fn ddpm(schedule: &Schedule, k: usize) -> Self {
        let beta = schedule.beta(k);
        let x = 1.0 / (1.0 - beta).sqrt();
        Self {
            x,
            p: -x * beta / (1.0 - schedule.alpha_bar(k)).sqrt(),
            noise: if k > 1 { beta.sqrt() } else { 0.0 },
        }
    }

    /// From timestep `from` to the cleaner `to`; with `to` = 0 this is the estimate of `x_0`.
    fn ddim(schedule: &Schedule, from: usize, to: usize) -> Self {
        let (from, to) = (schedule.alpha_bar(from), schedule.alpha_bar(to));
        let x = (to / from).sqrt();
        Self {
            x,
            p: (1.0 - to).sqrt() - x * (1.0 - from).sqrt(),
            noise: 0.0,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The exact noise predictor for x_0 ~ N(0, variance): E[eps | x_k] = sqrt(1 - ab) x_k / (ab variance + 1 - ab).
    struct Gaussian {
        schedule: Schedule,
        variance: f64,
        dim: usize,
    }

    impl Gaussian {
        fn gain(&self, k: usize) -> f64 {
            let ab = self.schedule.alpha_bar(k);
            (1.0 - ab).sqrt() / (ab * self.variance + 1.0 - ab)
        }
    }

    impl NoisePredictor for Gaussian {
        fn dim(&self) -> usize {
            self.dim
        }
        fn timesteps(&self) -> usize {
            self.schedule.timesteps()
        }
        fn predict_into(&self, x_k: &[f32], k: usize, _: &mut Vec<f32>, out: &mut [f32]) {
            for (o, x) in out.iter_mut().zip(x_k) {
                *o = (self.gain(k) * f64::from(*x)) as f32;
            }
        }
    }

    fn gaussian(schedule: Schedule, variance: f64) -> Gaussian {
        Gaussian {
            schedule,
            variance,
            dim: 5,
        }
    }

    fn variance(x: &[f32]) -> f64 {
        x.iter().map(|v| f64::from(*v).powi(2)).sum::<f64>() / x.len() as f64
    }

    fn generated(g: &Gaussian, sampler: Sampler, start: StartVariance) -> f64 {
        let mut out = vec![0.0; 20_000];
        let mut rng = StableRng::new(3, 0);
        generate_into(g, &g.schedule, sampler, &mut rng, start, &mut out).unwrap();
        variance(&out)
    }

    #[test]
    fn exact_predictions_generate_the_right_variance() {
        let long = Schedule::linear_beta(1000, 1e-4, 0.02).unwrap();
        for true_variance in [0.25, 1.0, 4.0] {
            let g = gaussian(long.clone(), true_variance);
            for sampler in [Sampler::Ddpm, Sampler::Ddim { steps: 1000 }] {
                let v = generated(&g, sampler, StartVariance::Unit);
                assert!((v / true_variance - 1.0).abs() < 0.06, "{sampler:?} {v}");
            }
        }
    }

    #[test]
    fn every_step_follows_its_formula() {
        let s = Schedule::linear_beta(10, 0.01, 0.2).unwrap();
        let g = gaussian(s.clone(), 2.0);
        let x_k = [0.3f32, -1.0, 2.0, 0.0, 0.7];
        for (sampler, top) in [(Sampler::Paper, 9), (Sampler::Ddpm, 10)] {
            let mut out = [0.0; 5];
            denoise_into(
                &g,
                &s,
                sampler,
                10,
                &x_k,
                &mut StableRng::new(1, 0),
                &mut out,
            )
            .unwrap();
            let mut rng = StableRng::new(1, 0);
            let mut x = x_k.map(f64::from);
            for k in (1..=top).rev() {
                let (beta, ab) = (s.beta(k), s.alpha_bar(k));
                for x in &mut x {
                    let p = g.gain(k) * *x;
                    *x = if sampler == Sampler::Paper {
                        1.0 / (1.0 - beta).sqrt() * (*x - beta.sqrt() / (1.0 - ab).sqrt() * p)
                            + beta * rng.normal()
                    } else {
                        let eps = if k == 1 { 0.0 } else { rng.normal() };
                        1.0 / s.alpha(k).sqrt() * (*x - beta / (1.0 - ab).sqrt() * p)
                            + beta.sqrt() * eps
                    };
                }
            }
            for (a, b) in out.iter().zip(x) {
                assert!((f64::from(*a) - b).abs() < 1e-5, "{sampler:?}");
            }
        }
    }

    #[test]
    fn mean_is_the_posterior_mean() {
        let s = Schedule::log_snr(8, 20.0, -20.0).unwrap();
        let g = gaussian(s.clone(), 3.0);
        let x_k = [0.3f32, -1.0, 2.0, 0.0, 0.7];
        for k in 1..=8 {
            let ab = s.alpha_bar(k);
            let mut out = [0.0; 5];
            let mut rng = StableRng::new(1, 0);
            denoise_into(&g, &s, Sampler::Mean, k, &x_k, &mut rng, &mut out).unwrap();
            let mut one_ddim = [0.0; 5];
            let ddim = Sampler::Ddim { steps: 1 };
            denoise_into(&g, &s, ddim, k, &x_k, &mut rng, &mut one_ddim).unwrap();
            assert_eq!(out, one_ddim);
            for (a, x) in out.iter().zip(x_k) {
                // Conditional mean of jointly Gaussian x_0 and x_k.
                let want = ab.sqrt() * 3.0 / (ab * 3.0 + 1.0 - ab) * f64::from(x);
                assert!((f64::from(*a) - want).abs() < 1e-4, "{a} {want}");
            }
        }
    }

    #[test]
    fn a_sample_has_twice_the_error_of_the_mean() {
        // Section 2 of the design: why denoising defaults to the mean.
        let s = Schedule::linear_beta(400, 1e-4, 0.02).unwrap();
        let g = gaussian(s.clone(), 1.0);
        let (k, n) = (200, 20_000);
        let mut rng = StableRng::new(6, 0);
        let x0: Vec<f32> = (0..n).map(|_| rng.normal() as f32).collect();
        let noise: Vec<f32> = (0..n).map(|_| rng.normal() as f32).collect();
        let mut x_k = vec![0.0; n];
        s.forward_into(&x0, k, &noise, &mut x_k);
        let mut error = |sampler| {
            let mut out = vec![0.0; n];
            denoise_into(&g, &s, sampler, k, &x_k, &mut rng, &mut out).unwrap();
            let e: Vec<f32> = out.iter().zip(&x0).map(|(a, b)| a - b).collect();
            variance(&e)
        };
        let ratio = error(Sampler::Ddpm) / error(Sampler::Mean);
        assert!((ratio - 2.0).abs() < 0.1, "{ratio}");
    }

    #[test]
    fn the_scheduled_start_suits_a_short_schedule() {
        // With x_0 = 0 the forward process ends at variance 1 - alpha_bar_K, and the way back must end near 0.
        let s = Schedule::linear_beta(100, 1e-4, 0.02).unwrap();
        let g = gaussian(s, 1e-6);
        let ddim = Sampler::Ddim { steps: 100 };
        let fitting = generated(&g, ddim, StartVariance::AsScheduled);
        let unit = generated(&g, ddim, StartVariance::Unit);
        assert!((unit / fitting - 1.0 / (1.0 - 0.364)).abs() < 0.01);
    }

    #[test]
    fn what_does_not_fit_is_refused() {
        let s = Schedule::linear_beta(10, 0.01, 0.2).unwrap();
        let g = gaussian(s.clone(), 1.0);
        let run = |s: &Schedule, sampler, k, x: &[f32], n| {
            let mut rng = StableRng::new(1, 0);
            denoise_into(&g, s, sampler, k, x, &mut rng, &mut vec![0.0; n])
        };
        assert!(run(&s, Sampler::Mean, 10, &[0.0; 10], 10).is_ok());
        assert!(run(&s, Sampler::Mean, 10, &[0.0; 9], 9).is_err());
        assert!(run(&s, Sampler::Mean, 10, &[0.0; 10], 5).is_err());
        assert!(run(&s, Sampler::Mean, 0, &[0.0; 10], 10).is_err());
        assert!(run(&s, Sampler::Mean, 11, &[0.0; 10], 10).is_err());
        assert!(run(&s, Sampler::Ddim { steps: 0 }, 10, &[0.0; 10], 10).is_err());
        assert!(run(&s, Sampler::Ddim { steps: 99 }, 3, &[0.0; 10], 10).is_ok());
        let other = Schedule::linear_beta(11, 0.01, 0.2).unwrap();
        assert!(run(&other, Sampler::Mean, 10, &[0.0; 10], 10).is_err());
    }
}

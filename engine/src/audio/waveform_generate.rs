//! Generation: windows of sound out of noise, by the whole reverse process (Algorithm 1).

use crate::diffusion::{
    NoisePredictor, Sampler, SamplerError, Schedule, StartVariance, generate_into,
};
use crate::rng::StableRng;
use crate::train::Control;

/// Generates `count` windows with any model that has as many outputs as inputs: a
/// [`WaveformModel`](super::waveform::WaveformModel), or a [`Drfm`](crate::model::Drfm) by
/// [`Drfm::predictor`](crate::model::Drfm::predictor). Same seed, same windows.
///
/// A waveform model's windows have an RMS near 1 where its music is steady, and are independent of each other: to be
/// played they need a gain, see [`join_windows`].
///
/// # Errors
/// If the model does not fit the schedule, or DDIM has no steps.
pub fn generate(
    model: &dyn NoisePredictor,
    schedule: &Schedule,
    count: usize,
    sampler: Sampler,
    start: StartVariance,
    seed: u64,
) -> Result<Vec<Vec<f32>>, SamplerError> {
    let mut go_on = |_| Control::Continue;
    generate_observed(model, schedule, count, sampler, start, seed, &mut go_on)
}

/// As [`generate`]; `observer` is told the number of windows before each and may stop, which leaves those there are.
///
/// # Errors
/// As [`generate`].
pub fn generate_observed(
    model: &dyn NoisePredictor,
    schedule: &Schedule,
    count: usize,
    sampler: Sampler,
    start: StartVariance,
    seed: u64,
    observer: &mut dyn FnMut(usize) -> Control,
) -> Result<Vec<Vec<f32>>, SamplerError> {
    let mut rng = StableRng::new(seed, 0);
    let mut windows = Vec::with_capacity(count);
    for done in 0..count {
        if observer(done) == Control::Stop {
            break;
        }
        let mut window = vec![0.0; model.dim()];
        generate_into(model, schedule, sampler, &mut rng, start, &mut window)?;
        windows.push(window);
    }
    Ok(windows)
}

/// Joins windows to one signal with a peak of `peak`: each begins `overlap` samples before the end of the one before it,
/// and there one is faded out while the other is faded in, with constant power because the windows have nothing to do
/// with each other. `overlap` is held to half a window; 0 puts them end to end.
///
/// Meant for listening: a row of independent windows has their spectrum, not the melody of an instrument.
#[must_use]
pub fn join_windows(windows: &[Vec<f32>], overlap: usize, peak: f32) -> Vec<f32> {
    let shortest = windows.iter().map(Vec::len).min().unwrap_or(0);
    let overlap = overlap.min(shortest / 2);
    let mut signal: Vec<f32> = Vec::new();
    for window in windows {
        let faded = if signal.is_empty() { 0 } else { overlap };
        let (fading, rest) = window.split_at(faded);
        let tail = signal.len() - faded;
        for (i, (old, new)) in signal[tail..].iter_mut().zip(fading).enumerate() {
            let turn = std::f32::consts::FRAC_PI_2 * (i as f32 + 0.5) / faded as f32;
            *old = libm::cosf(turn) * *old + libm::sinf(turn) * new;
        }
        signal.extend_from_slice(rest);
    }
    let loudest = signal.iter().fold(0.0f32, |m, s| m.max(s.abs()));
    // A model that diverges (Sampler::Paper may) must not become a file of NaN.
    // `max` passes over NaN, so the loudest does not tell.
    if loudest > 0.0 && signal.iter().all(|s| s.is_finite()) {
        for s in &mut signal {
            *s *= peak / loudest;
        }
    } else {
        signal.fill(0.0);
    }
    signal
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::audio::waveform::WaveformModel;
    use crate::audio::waveform::tests::file_of;

    #[test]
    fn the_linear_part_generates_its_autocorrelation() {
        let model = WaveformModel::from_file(file_of(0.0, 100)).unwrap();
        let schedule = &model.recipe().schedule;
        let sampler = Sampler::Ddim { steps: 100 };
        let windows = generate(&model, schedule, 2000, sampler, StartVariance::Unit, 3).unwrap();
        assert_eq!(
            windows[..3],
            generate(&model, schedule, 3, sampler, StartVariance::Unit, 3).unwrap()
        );
        let product = |lag: usize| {
            let sum: f32 = windows.iter().map(|w| w[10] * w[10 + lag]).sum();
            sum / windows.len() as f32
        };
        assert!((product(0) - 1.0).abs() < 0.2, "{}", product(0));
        assert!((product(4) / product(0) - 0.9f32.powi(4)).abs() < 0.1);
    }

    #[test]
    fn joints_are_smooth_and_the_peak_is_as_asked() {
        let windows = vec![vec![0.5; 16]; 3];
        let signal = join_windows(&windows, 4, 0.9);
        assert_eq!(signal.len(), 16 + 12 + 12);
        assert!(signal.iter().all(|s| (0.6..=0.9).contains(s)));
        assert_eq!(join_windows(&windows, 0, 0.9), vec![0.9; 48]);
        assert_eq!(join_windows(&windows, 99, 0.5).len(), 16 + 8 + 8);
        assert!(join_windows(&[], 4, 0.9).is_empty());
        assert_eq!(
            join_windows(&[vec![f32::NAN, 1.0, f32::INFINITY]], 0, 1.0),
            vec![0.0; 3]
        );
        assert_eq!(join_windows(&[vec![f32::NAN, 1.0]], 0, 1.0), vec![0.0; 2]);
    }
}

//! The reverse chain with any number of steps: the last step is repeated on its own estimate.
//!
//! A whole signal at a time with one noise spectrum, so that a chain of any length needs no stream of its own; with
//! as many steps as the mode has it does what the stream does in noise that does not surge (a test compares them).

use realfft::num_complex::Complex32;

use crate::audio::assumed_noise::AssumedNoise;
use crate::audio::chain::{Collector, Framed, StepModel, for_each_frame, predict_all};
use crate::audio::denoiser::Chain;
use crate::audio::long_frames::{LongFrames, fits};
use crate::audio::noise::NoiseSpectrum;
use crate::audio::rumble_limit::RumbleLimit;
use crate::audio::step::SpectralStep;
use crate::audio::stft::FrameTransform;

/// Denoises a mono signal with `steps` steps (at least 1) of `chain`: 1 is the first estimate alone; from 3 on the
/// second step sees its own estimate instead of the first one. A chain without a second step stays at 1.
#[must_use]
pub fn denoise_with_steps(
    chain: &Chain,
    steps: usize,
    rate_hz: u32,
    noisy: &[f32],
    noise: &NoiseSpectrum,
) -> Vec<f32> {
    let run = |model: &StepModel, first: Option<&[f32]>, long: Option<&[f32]>| {
        run_step(model, rate_hz, (noisy, first, long), noise)
    };
    let Some(refine) = chain.refine.as_ref().filter(|_| steps > 1) else {
        return run(&chain.first, None, None);
    };
    let long = chain.long.as_deref();
    let Some(long) = long.filter(|l| !fits(&chain.first.config, &l.config)) else {
        let models = (&*chain.first, long, &**refine);
        return on_same_frames(models, steps, rate_hz, noisy, noise);
    };
    let long = run(long, None, None);
    let mut estimate = run(&chain.first, None, None);
    for _ in 1..steps {
        estimate = run(refine, Some(&estimate), Some(&long));
    }
    estimate
}

/// Noise amplitude in the bins of a step's frames.
fn amplitude(step: &SpectralStep, rate_hz: u32, noise: &NoiseSpectrum) -> Vec<f32> {
    let shape = step.shape();
    let mut amplitude = vec![0.0; shape.bins()];
    AssumedNoise::new(shape, rate_hz, step.config().lowest_hz)
        .amplitude_into(noise, &mut amplitude);
    amplitude
}

fn rumble_limit(step: &SpectralStep, rate_hz: u32) -> RumbleLimit {
    RumbleLimit::new(step.shape(), rate_hz, step.config().lowest_hz)
}

fn add(out: &mut Collector<'_>, m: usize, estimate: &[Complex32], amplitude: &[f32]) {
    let loud: Vec<Complex32> = estimate.iter().zip(amplitude).map(|(x, a)| x * a).collect();
    out.add(m, &loud);
}

/// One step over a whole signal; `signals` are the noisy one, an estimate of it, and one from a longer window.
fn run_step(
    model: &StepModel,
    rate_hz: u32,
    signals: (&[f32], Option<&[f32]>, Option<&[f32]>),
    noise: &NoiseSpectrum,
) -> Vec<f32> {
    let mut step = SpectralStep::new(&model.config, rate_hz);
    let amplitude = amplitude(&step, rate_hz, noise);
    let transform = FrameTransform::new(step.shape());
    let whitening: Vec<f32> = amplitude.iter().map(|a| 1.0 / a).collect();
    let framed = |x| Framed::new(&transform, x).whitened(&whitening);
    let noisy = framed(signals.0).limited(rumble_limit(&step, rate_hz));
    let (first, long) = (signals.1.map(framed), signals.2.map(framed));
    let mut out = noisy.collector();
    for_each_frame(
        &mut step,
        &noisy,
        first.as_ref(),
        long.as_ref(),
        |step, m| {
            predict_all(step, model.kernel());
            add(&mut out, m, step.output(), &amplitude);
        },
    );
    out.finish()
}

/// Steps that share frames: each sees the spectra of the one before, and those of long frames beside them if there are any.
fn on_same_frames(
    (first, long, refine): (&StepModel, Option<&StepModel>, &StepModel),
    steps: usize,
    rate_hz: u32,
    noisy: &[f32],
    noise: &NoiseSpectrum,
) -> Vec<f32> {
    let mut step = SpectralStep::new(&first.config, rate_hz);
    let mut later: Vec<SpectralStep> = (1..steps)
        .map(|_| SpectralStep::new(&refine.config, rate_hz))
        .collect();
    let amplitude = amplitude(&step, rate_hz, noise);
    let transform = FrameTransform::new(step.shape());
    let whitening: Vec<f32> = amplitude.iter().map(|a| 1.0 / a).collect();
    let noisy = Framed::new(&transform, noisy)
        .whitened(&whitening)
        .limited(rumble_limit(&step, rate_hz));
    let mut beside = long.and_then(|long| {
        let mut frames = LongFrames::new(long, &first.config, rate_hz, 1)?.steady(true);
        frames.set_noise(0, noise);
        Some((frames, long))
    });
    let window = beside.as_ref().map_or(0, |(frames, _)| frames.window());
    let mut samples = vec![0.0; window];
    let mut out = noisy.collector();
    for_each_frame(&mut step, &noisy, None, None, |step, m| {
        predict_all(step, first.kernel());
        if let Some((frames, long)) = &mut beside {
            frames.estimate_of(long.kernel(), noisy.newest_into(m, &mut samples));
            for (x, w) in frames.estimates_mut()[0].iter_mut().zip(&whitening) {
                *x *= *w;
            }
        }
        let mut estimate = step.output().to_vec();
        for second in &mut later {
            second.next_frame();
            second.noisy_mut().copy_from_slice(step.noisy_at_output());
            second.first_mut().copy_from_slice(&estimate);
            if let Some((frames, _)) = &beside {
                frames.hand_on(0, step.output(), second.long_mut());
            }
            second.update();
            second.select();
            predict_all(second, refine.kernel());
            estimate.copy_from_slice(second.output());
        }
        add(&mut out, m, &estimate, &amplitude);
    });
    out.finish()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::audio::embedded;
    use crate::audio::file_denoise::{SignalNoise, denoise_signal};
    use crate::audio::method::Method;
    use crate::audio::model::{DenoiserModel, Mode};
    use crate::metrics::audio::snr_db;
    use crate::rng::StableRng;

    #[test]
    fn two_steps_are_what_the_stream_does_and_a_third_changes_something() {
        let mut rng = StableRng::new(2, 0);
        // Hiss, and rumble below 40 Hz.
        let (mut low, mut lower) = (0.0f32, 0.0f32);
        let mut noise = || {
            low += 0.004 * (rng.normal() as f32 - low);
            lower += 0.004 * (low - lower);
            lower + 0.02 * rng.normal() as f32
        };
        let known: Vec<f32> = (0..48_000).map(|_| noise()).collect();
        let noisy: Vec<f32> = (0..30_000)
            .map(|i| {
                // A note, and a thump of 20 Hz that is limited.
                let t = i as f32 / 48_000.0;
                let thump = 0.2 * (-((t - 0.3) / 0.1).powi(2)).exp() * (126.0 * t).sin();
                0.2 * (i as f32 * 0.05).sin() + thump + noise()
            })
            .collect();
        let noise = NoiseSpectrum::learn(48_000, &[&known]).unwrap();
        let model = DenoiserModel::from_bytes(embedded::bytes("guitar").unwrap()).unwrap();
        for mode in [Mode::Best, Mode::Live] {
            let chain = model.chain(mode).unwrap();
            let method = Method::Spectral(chain.clone());
            let fixed = SignalNoise::Fixed(vec![noise.clone()]);
            let stream = denoise_signal(&method, 48_000, &noisy, fixed).unwrap();
            let steps = |n| denoise_with_steps(chain, n, 48_000, &noisy, &noise);
            let two = steps(2);
            // Not the same bits: the stream hears nothing before the first sample, and rounds otherwise.
            assert!(snr_db(&stream, &two) > 40.0, "{}", snr_db(&stream, &two));
            for other in [steps(1), steps(3)] {
                assert!(snr_db(&two, &other) < 60.0, "{}", snr_db(&two, &other));
                assert!(snr_db(&two, &other) > 10.0, "{}", snr_db(&two, &other));
            }
        }
    }
}

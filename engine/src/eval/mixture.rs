//! Mixtures of clean music and noise, and the separate recording of the noise that methods may learn from.

use super::crickets::crickets;
use super::dimmer::dimmer;
use super::hum::hum;
use super::traffic::traffic;
use super::whine::whine;
use super::whistle::whistle;
use super::{
    CleanClip, EvalError, KNOWN_NOISE_SECONDS, LEARNED_SECONDS, LEARNED_SHARE, NoiseKind,
    NoiseSound,
};
use crate::audio::resample::resample;
use crate::rng::StableRng;

/// Keeps the draws of mixtures and of separate noise recordings apart.
const SEPARATE: u64 = 1 << 63;

/// A mixture, and what methods are told of its noise.
pub struct Mixture {
    /// The noisy signal.
    pub noisy: Vec<f32>,
    /// The separate recording of the noise, at the level it has in the mixture.
    pub known: Vec<f32>,
}

/// Mean power per sample.
pub fn power(x: &[f32]) -> f64 {
    x.iter().map(|v| f64::from(*v).powi(2)).sum::<f64>() / x.len().max(1) as f64
}

/// Mixes a clip with noise; an infinite level gives the clip itself and silence for its noise.
///
/// # Errors
/// Silent clips and noises, and rates that cannot be brought together.
pub fn mix(
    clip: &CleanClip,
    noise: &NoiseKind,
    level_db: f64,
    seed: u64,
    number: u64,
) -> Result<Mixture, EvalError> {
    let n = clip.samples.len();
    let music = power(&clip.samples);
    if music <= 0.0 {
        return Err(EvalError::SilentClean(clip.group.clone()));
    }
    let known_length = (KNOWN_NOISE_SECONDS * f64::from(clip.rate_hz)) as usize;
    let mut rng = StableRng::new(seed, number);
    // One noise, learned from before the music begins.
    let learned_before = |mut known: Vec<f32>| {
        let added = known.split_off(known_length);
        (added, known)
    };
    let length = known_length + n;
    let (added, known): (Vec<f32>, Vec<f32>) = match &noise.sound {
        NoiseSound::White => {
            let mut other = StableRng::new(seed, number ^ SEPARATE);
            let added = (0..n).map(|_| rng.normal() as f32).collect();
            let known = (0..known_length).map(|_| other.normal() as f32).collect();
            (added, known)
        }
        NoiseSound::Hum { mains_hz } => {
            learned_before(hum(clip.rate_hz, *mains_hz, length, &mut rng))
        }
        NoiseSound::Dimmer => learned_before(dimmer(clip.rate_hz, length, &mut rng)),
        NoiseSound::Whine => learned_before(whine(clip.rate_hz, length, &mut rng)),
        NoiseSound::Whistle => learned_before(whistle(clip.rate_hz, length, &mut rng)),
        NoiseSound::Crickets => learned_before(crickets(clip.rate_hz, length, &mut rng)),
        NoiseSound::Traffic => learned_before(traffic(clip.rate_hz, length, &mut rng)),
        NoiseSound::Recording { rate_hz, samples } => {
            let samples = resample(samples, *rate_hz, clip.rate_hz)?;
            let learned = (LEARNED_SECONDS * f64::from(clip.rate_hz))
                .min(LEARNED_SHARE * samples.len() as f64);
            let (known, rest) = samples.split_at(learned as usize);
            let short = (known.len() as f64) < 0.2 * f64::from(clip.rate_hz);
            if short || power(rest) <= 0.0 || power(known) <= 0.0 {
                return Err(EvalError::UnusableNoise(noise.name.clone()));
            }
            let start = rng.below(rest.len());
            let added = rest.iter().cycle().skip(start).take(n).copied().collect();
            (added, known.to_vec())
        }
    };
    let noise_power = power(&added);
    if noise_power <= 0.0 {
        return Err(EvalError::UnusableNoise(noise.name.clone()));
    }
    let gain = libm::sqrt(music / noise_power * libm::exp10(-level_db / 10.0)) as f32;
    Ok(Mixture {
        noisy: clip
            .samples
            .iter()
            .zip(&added)
            .map(|(c, a)| c + gain * a)
            .collect(),
        known: known.into_iter().map(|k: f32| gain * k).collect(),
    })
}

//! The buzz of a lamp dimmer in a pickup, made up: a click that rings at every half wave of the mains, over hiss.

use crate::rng::StableRng;

/// Mains frequency in Hz, by how much it drifts up and down, and how often.
const MAINS_HZ: f64 = 50.0;
const DRIFT_HZ: f64 = 0.03;
const DRIFTS_HZ: f64 = 0.04;
/// A click rings at a frequency between these, in Hz, ...
const RINGING_HZ: (f64, f64) = (1_000.0, 3_000.0);
/// ... for so long, in seconds, after an edge that is over sooner.
const RINGING_SECONDS: f64 = 6e-4;
const EDGE_SECONDS: f64 = 2e-4;
const EDGE: f64 = 0.6;
/// The hiss is softer than the mean of the clicks by this, in dB.
const HISS_BELOW_DB: f64 = 25.0;

/// `n` samples at `rate_hz`; the mains frequency, the ringing and the hiss are drawn from `rng`. Peak level is of the order of 1.
#[must_use]
pub fn dimmer(rate_hz: u32, n: usize, rng: &mut StableRng) -> Vec<f32> {
    let rate = f64::from(rate_hz);
    let mains_hz = MAINS_HZ + rng.uniform_in(-DRIFT_HZ, DRIFT_HZ);
    let ringing_hz = rng.uniform_in(RINGING_HZ.0, RINGING_HZ.1);
    let phase = rng.uniform_in(0.0, std::f64::consts::TAU);
    let mut turns = rng.uniform_in(0.0, 1.0);
    let clicks: Vec<f64> = (0..n)
        .map(|i| {
            let along = std::f64::consts::TAU * DRIFTS_HZ * i as f64 / rate;
            let hz = 2.0 * (mains_hz + DRIFT_HZ * libm::sin(along + phase));
            turns = (turns + hz / rate) % 1.0;
            let since = turns / hz;
            let ring = libm::sin(std::f64::consts::TAU * ringing_hz * since + phase);
            libm::exp(-since / RINGING_SECONDS) * ring + EDGE * libm::exp(-since / EDGE_SECONDS)
        })
        .collect();
    let mean = clicks.iter().sum::<f64>() / n.max(1) as f64;
    let power = clicks.iter().map(|x| (x - mean) * (x - mean)).sum::<f64>() / n.max(1) as f64;
    let hiss = libm::sqrt(power) * libm::exp10(-HISS_BELOW_DB / 20.0);
    clicks
        .iter()
        .map(|x| (x - mean + hiss * rng.normal()) as f32)
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::audio::noise::NoiseSpectrum;

    #[test]
    fn a_dimmer_is_lines_at_multiples_of_twice_the_mains_over_hiss() {
        let x = dimmer(48_000, 96_000, &mut StableRng::new(1, 0));
        assert_eq!(x, dimmer(48_000, 96_000, &mut StableRng::new(1, 0)));
        let noise = NoiseSpectrum::learn(48_000, &[&x]).unwrap();
        for hz in [100.0, 1_000.0, 2_000.0] {
            let (on, beside) = (noise.at_hz(hz), noise.at_hz(hz + 50.0));
            assert!(on > 30.0 * beside && beside > 1e-6, "{hz}: {on} {beside}");
        }
    }
}

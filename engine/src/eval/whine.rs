//! The whine of a computer in an audio cable, made up: harmonics of the 1 kHz at which USB is busy, over hiss.

use crate::rng::StableRng;

/// The fundamental in Hz, as exact as clocks of computers are.
const FUNDAMENTAL_HZ: f64 = 1_000.0;
const CLOCK: f64 = 1e-4;
/// Highest harmonic in Hz.
const HIGHEST_HZ: f64 = 20_000.0;
/// Harmonics fall by this much an octave, in dB; each lies at random within the other of that.
const FALL_DB: f64 = 2.0;
const SPREAD_DB: f64 = 4.0;
/// The hiss is softer than the fundamental by this, in dB.
const HISS_BELOW_DB: f64 = 20.0;

/// `n` samples at `rate_hz`; levels and phases of the harmonics, the clock and the hiss are drawn from `rng`. Peak level is of
/// the order of 1.
#[must_use]
pub fn whine(rate_hz: u32, n: usize, rng: &mut StableRng) -> Vec<f32> {
    let highest = HIGHEST_HZ.min(0.45 * f64::from(rate_hz));
    let hz = FUNDAMENTAL_HZ * (1.0 + rng.uniform_in(-CLOCK, CLOCK));
    let harmonics: Vec<(f64, f64, f64)> = (1..=(highest / hz) as usize)
        .map(|h| {
            let level_db = -FALL_DB * libm::log2(h as f64) + rng.uniform_in(-SPREAD_DB, SPREAD_DB);
            let phase = rng.uniform_in(0.0, std::f64::consts::TAU);
            (h as f64, libm::exp10(level_db / 20.0), phase)
        })
        .collect();
    let hiss = libm::exp10(-HISS_BELOW_DB / 20.0);
    (0..n)
        .map(|i| {
            let turn = std::f64::consts::TAU * hz * i as f64 / f64::from(rate_hz);
            let line = |(h, level, phase): &(f64, f64, f64)| level * libm::sin(h * turn + phase);
            (harmonics.iter().map(line).sum::<f64>() + hiss * rng.normal()) as f32
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::audio::noise::NoiseSpectrum;

    #[test]
    fn whine_is_lines_at_multiples_of_a_kilohertz_over_hiss() {
        let x = whine(48_000, 96_000, &mut StableRng::new(1, 0));
        assert_eq!(x, whine(48_000, 96_000, &mut StableRng::new(1, 0)));
        let noise = NoiseSpectrum::learn(48_000, &[&x]).unwrap();
        for hz in [1_000.0, 4_000.0, 19_000.0] {
            let (on, beside) = (noise.at_hz(hz), noise.at_hz(hz + 500.0));
            assert!(on > 1e3 * beside && beside > 1e-4, "{hz}: {on} {beside}");
        }
    }
}

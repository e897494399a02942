//! Mains hum, made up: harmonics of a slowly drifting 50 or 60 Hz.

use crate::rng::StableRng;

/// Highest harmonic in Hz.
const HIGHEST_HZ: f64 = 4_000.0;
/// The mains frequency swings by this share, as grids do ...
const DRIFT: f64 = 0.001;
/// ... once in this time, in seconds.
const DRIFT_SECONDS: (f64, f64) = (15.0, 40.0);
/// Harmonics fall by this much an octave, in dB; odd ones are this much stronger than even ones.
const FALL_DB: f64 = 6.0;
const ODD_DB: f64 = 6.0;
/// Each harmonic's level lies at random within this much of that, in dB.
const SPREAD_DB: f64 = 6.0;

/// `n` samples of hum at `rate_hz` with harmonics of `mains_hz`; levels and phases of the harmonics and the drift are
/// drawn from `rng`. Peak level is of the order of 1.
#[must_use]
pub fn hum(rate_hz: u32, mains_hz: f64, n: usize, rng: &mut StableRng) -> Vec<f32> {
    let highest = HIGHEST_HZ.min(0.45 * f64::from(rate_hz));
    let count = (highest / mains_hz) as usize;
    let harmonics: Vec<(f64, f64, f64)> = (1..=count)
        .map(|h| {
            let even = if h % 2 == 0 { ODD_DB } else { 0.0 };
            let level_db =
                -FALL_DB * libm::log2(h as f64) - even + rng.uniform_in(-SPREAD_DB, SPREAD_DB);
            let phase = rng.uniform_in(0.0, std::f64::consts::TAU);
            (h as f64, libm::exp10(level_db / 20.0), phase)
        })
        .collect();
    let swing = std::f64::consts::TAU / rng.uniform_in(DRIFT_SECONDS.0, DRIFT_SECONDS.1);
    let start = rng.uniform_in(0.0, std::f64::consts::TAU);
    let mut turn = 0.0;
    (0..n)
        .map(|i| {
            let t = i as f64 / f64::from(rate_hz);
            let hz = mains_hz * (1.0 + DRIFT * libm::sin(swing * t + start));
            turn += std::f64::consts::TAU * hz / f64::from(rate_hz);
            harmonics
                .iter()
                .map(|(h, level, phase)| level * libm::sin(h * turn + phase))
                .sum::<f64>() as f32
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hum_is_lines_at_multiples_of_the_mains() {
        let x = hum(8_000, 60.0, 16_000, &mut StableRng::new(1, 0));
        assert_eq!(x, hum(8_000, 60.0, 16_000, &mut StableRng::new(1, 0)));
        let power = |hz: f64| {
            let (mut re, mut im) = (0.0, 0.0);
            for (i, v) in x.iter().enumerate() {
                let t = std::f64::consts::TAU * hz * i as f64 / 8_000.0;
                let w = 0.5 - 0.5 * (std::f64::consts::TAU * i as f64 / 16_000.0).cos();
                re += w * f64::from(*v) * t.cos();
                im += w * f64::from(*v) * t.sin();
            }
            re * re + im * im
        };
        assert!(power(60.0) > 1e3 * power(90.0));
        assert!(power(180.0) > 1e3 * power(150.0));
    }
}

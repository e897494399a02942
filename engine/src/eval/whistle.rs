//! The whistle of a motor or of a power supply that is not quite steady, made up: a tone and its octave over hiss.

use crate::rng::StableRng;

/// The tone lies between these, in Hz.
const LOWEST_HZ: f64 = 1_500.0;
const HIGHEST_HZ: f64 = 4_000.0;
/// It drifts by up to this share of its frequency a second, ...
const DRIFT_PER_SECOND: f64 = 1e-3;
/// ... and goes up and down by this share, once in so many seconds.
const WOBBLE: f64 = 2e-3;
const WOBBLE_SECONDS: f64 = 3.0;
/// The octave and the hiss are softer than the tone by this, in dB.
const OCTAVE_BELOW_DB: f64 = 8.0;
const HISS_BELOW_DB: f64 = 10.0;

/// `n` samples at `rate_hz`; pitch, drift, phases and the hiss are drawn from `rng`. Peak level is of the order of 1.
#[must_use]
pub fn whistle(rate_hz: u32, n: usize, rng: &mut StableRng) -> Vec<f32> {
    let pitch_hz = rng.uniform_in(LOWEST_HZ, HIGHEST_HZ);
    let drift = rng.uniform_in(-DRIFT_PER_SECOND, DRIFT_PER_SECOND);
    let wobble_phase = rng.uniform_in(0.0, std::f64::consts::TAU);
    let octave = libm::exp10(-OCTAVE_BELOW_DB / 20.0);
    let hiss = libm::exp10(-HISS_BELOW_DB / 20.0);
    let mut turn = rng.uniform_in(0.0, std::f64::consts::TAU);
    (0..n)
        .map(|i| {
            let seconds = i as f64 / f64::from(rate_hz);
            let wobbled = std::f64::consts::TAU * seconds / WOBBLE_SECONDS + wobble_phase;
            let hz = pitch_hz * (1.0 + drift * seconds + WOBBLE * libm::sin(wobbled));
            turn = (turn + std::f64::consts::TAU * hz / f64::from(rate_hz)) % std::f64::consts::TAU;
            (libm::sin(turn) + octave * libm::sin(2.0 * turn) + hiss * rng.normal()) as f32
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::audio::noise::NoiseSpectrum;

    #[test]
    fn whistle_is_a_tone_that_moves() {
        let x = whistle(48_000, 8 * 48_000, &mut StableRng::new(1, 0));
        assert_eq!(x, whistle(48_000, 8 * 48_000, &mut StableRng::new(1, 0)));
        let top_hz = |x: &[f32]| {
            let noise = NoiseSpectrum::learn(48_000, &[x]).unwrap();
            let power = noise.power();
            let top = (0..power.len()).max_by(|a, b| power[*a].total_cmp(&power[*b]));
            top.unwrap() as f64 * 48_000.0 / 8192.0
        };
        let places: Vec<f64> = x.chunks(24_000).map(top_hz).collect();
        let range = |hz: &[f64]| {
            let (low, high) = hz
                .iter()
                .fold((f64::MAX, 0.0f64), |(l, h), x| (l.min(*x), h.max(*x)));
            assert!(low > 0.97 * LOWEST_HZ && high < 1.03 * HIGHEST_HZ, "{hz:?}");
            high - low
        };
        assert!((4.0..80.0).contains(&range(&places)), "{places:?}");
    }
}

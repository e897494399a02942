//! Traffic far away, or a ventilation, made up: a steady rumble and nothing above it, so that everywhere else the noise is softer than
//! what the recording itself brings along.

use crate::rng::StableRng;

/// The rumble is loudest below this, in Hz, and falls by 24 dB an octave beyond.
const CORNER_HZ: f64 = 120.0;

/// `n` samples at `rate_hz`: white noise of standard deviation 1, drawn from `rng`, through four equal low-pass filters of first order.
#[must_use]
pub fn traffic(rate_hz: u32, n: usize, rng: &mut StableRng) -> Vec<f32> {
    let step = 1.0 - libm::exp(-std::f64::consts::TAU * CORNER_HZ / f64::from(rate_hz));
    let mut stages = [0.0f64; 4];
    // So long that the stages have forgotten that they began with silence.
    let before = rate_hz as usize / 10;
    let rumble = (0..before + n).map(|_| {
        let mut x = rng.normal();
        for stage in &mut stages {
            *stage += step * (x - *stage);
            x = *stage;
        }
        x as f32
    });
    rumble.skip(before).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::audio::noise::NoiseSpectrum;

    #[test]
    fn traffic_is_low_and_steady() {
        let x = traffic(48_000, 4 * 48_000, &mut StableRng::new(1, 0));
        assert_eq!(x, traffic(48_000, 4 * 48_000, &mut StableRng::new(1, 0)));
        let spectrum = NoiseSpectrum::learn(48_000, &[&x]).unwrap();
        let db = |hz: f64| {
            let power = spectrum.power()[(hz * 8192.0 / 48_000.0) as usize];
            10.0 * power.log10()
        };
        assert!(db(60.0) - db(500.0) > 30.0, "{} {}", db(60.0), db(500.0));
        assert!(db(60.0) - db(2000.0) > 60.0, "{} {}", db(60.0), db(2000.0));
        assert!(spectrum.unsteadiness().db()[0] < 1.5);
    }
}

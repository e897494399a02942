//! Crickets outside the window, made up: chirps in a narrow band with silence between them, over hiss.

use crate::rng::StableRng;

/// The song lies between these, in Hz, ...
const LOWEST_HZ: f64 = 4_000.0;
const HIGHEST_HZ: f64 = 5_500.0;
/// ... and each chirp is off by up to this share of its pitch, ...
const DETUNED: f64 = 0.015;
/// ... and glides down by this share.
const GLIDE: f64 = 0.01;
/// Shortest and longest chirp and pause, in seconds.
const CHIRP_SECONDS: [f64; 2] = [0.15, 0.35];
const PAUSE_SECONDS: [f64; 2] = [0.15, 0.5];
/// A chirp is a row of so many strokes of the wing a second.
const STROKES_HZ: f64 = 30.0;
/// A chirp is reached and left within this, in seconds.
const EDGE_SECONDS: f64 = 0.02;
/// The hiss is softer than a chirp by this, in dB.
const HISS_BELOW_DB: f64 = 45.0;

/// `n` samples at `rate_hz`; pitch, times and the hiss are drawn from `rng`. Peak level is of the order of 1.
#[must_use]
pub fn crickets(rate_hz: u32, n: usize, rng: &mut StableRng) -> Vec<f32> {
    let rate = f64::from(rate_hz);
    let pitch_hz = rng.uniform_in(LOWEST_HZ, HIGHEST_HZ);
    let hiss = libm::exp10(-HISS_BELOW_DB / 20.0);
    let mut out: Vec<f32> = (0..n).map(|_| (hiss * rng.normal()) as f32).collect();
    let mut start = rate * rng.uniform_in(0.0, PAUSE_SECONDS[1]);
    while (start as usize) < n {
        let length = rate * rng.uniform_in(CHIRP_SECONDS[0], CHIRP_SECONDS[1]);
        let hz = pitch_hz * (1.0 + rng.uniform_in(-DETUNED, DETUNED));
        let mut turn = 0.0;
        for (i, o) in out[start as usize..]
            .iter_mut()
            .enumerate()
            .take(length as usize)
        {
            let i = i as f64;
            turn += hz * (1.0 - GLIDE * i / length) / rate;
            let edge = (i.min(length - i) / (EDGE_SECONDS * rate)).min(1.0);
            let stroke = libm::sin(std::f64::consts::PI * STROKES_HZ * i / rate).abs();
            *o += (edge * stroke * libm::sin(std::f64::consts::TAU * turn)) as f32;
        }
        start += length + rate * rng.uniform_in(PAUSE_SECONDS[0], PAUSE_SECONDS[1]);
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::audio::noise::NoiseSpectrum;

    #[test]
    fn crickets_come_and_go_in_a_narrow_band() {
        let x = crickets(48_000, 8 * 48_000, &mut StableRng::new(1, 0));
        assert_eq!(x, crickets(48_000, 8 * 48_000, &mut StableRng::new(1, 0)));
        let power = |x: &[f32]| x.iter().map(|v| v * v).sum::<f32>() / x.len() as f32;
        let loud = x.chunks(2400).filter(|c| power(c) > 0.01).count();
        assert!((40..120).contains(&loud), "{loud} of 160");
        let spectrum = NoiseSpectrum::learn(48_000, &[&x]).unwrap();
        let hz = |f: usize| f as f64 * 48_000.0 / 8192.0;
        let within = |(f, p): (usize, &f32)| {
            let song = hz(f) > 0.95 * LOWEST_HZ && hz(f) < 1.05 * HIGHEST_HZ;
            song.then_some(*p)
        };
        let all: f32 = spectrum.power().iter().sum();
        let song: f32 = spectrum.power().iter().enumerate().filter_map(within).sum();
        assert!(song > 0.98 * all, "{song} of {all}");
        let unsteady = spectrum.unsteadiness().db();
        assert!(unsteady.iter().any(|u| *u > 4.0), "{unsteady:?}");
    }
}

//! Surges of the noise: a fan swells, a gust comes, rain falls harder for some tenths of a second.

use realfft::num_complex::Complex32;

use super::band_factors::BetweenBands;
use super::noise::NoiseSpectrum;
use super::noise_level::{decibels, quantile};
use super::stft::FrameShape;

// Three guitar and two flute recordings of `train`, first 4 s, noise learned from 2 s of it, 0, 10 and 20 dB, SNR of `best` against
// none of this: rain guitar +1.09 +0.67 +0.14, flute +1.72 +0.05 -0.03 dB; fan +0.08 +0.02 +0.05, +0.19 +0.09 -0.01; street 0.00 +0.02
// +0.05, +0.21 +0.18 -0.02; vinyl +0.17 +0.10 +0.05, +0.37 +0.05 -0.03; wind +0.07 +0.02 0.00, +0.70 +0.04 +0.01; printer at most 0.10;
// buzz guitar -0.12 -0.04 0.00; white guitar -0.07 -0.02 0.00, flute 0.00 -0.01 -0.03. What is left where only noise was, rain at 0
// dB: -17.8 -> -32.3 dB (guitar), -23.8 -> -34.6 dB (flute). `live`: rain +0.64 +0.31 +0.04, +1.04 +0.06 -0.02, white as `best`.
// Nobody tells: rain +0.79 +0.56 +0.13, +1.07 +0.07 0.00, white 0.00. Clean (noise 60 dB down) 0.00 and -0.10 dB.
// Without regard to the music: rain +0.97 +0.27 -0.26, but fan +0.07 -0.48 -0.91 and white -0.25 -0.80 -0.98 (guitar); if drowned noise is
// 10 dB below the music instead (-43 dB a bin in the short window) rain +0.86 +0.38 +0.01 and +0.59 +0.01 -0.03; 3 dB lower for each
// octave above 1 kHz rain +1.07 +0.67 +0.22 and +1.75 +0.49 -0.06, but fan guitar -0.19 and white -0.09 at 10 dB. Rises ignored up to
// 0.7 or 1.6 dB, smoothed over 20 or 80 ms, bands of 2 kHz: within 0.2 dB. No band more than 1 dB above the median of all: rain +0.56
// and +0.88 at 0 dB. Music remembered for 1 s: rain guitar at 10 and 20 dB +0.45 -0.01. `live` with bands of 1 kHz from 500 Hz on, drowned
// 6 dB further down: white -0.65 at 0 dB. A quantile over all bands in the tracker, whose windows are 170 ms long: 0.02 dB, vinyl -0.19.

// A distorted guitar (a sampler's power chords, no recording of `train`) in white noise at 0 and 10 dB, `best`: 10.3 and 18.4 dB without
// following, 8.65 17.48 with it, 9.27 18.25 where uneven bands are left alone; overdriven, `live`: 10.3 18.1, 9.58 17.28, 9.90 17.58. Rain
// at 0 dB loses 0.02 dB (guitar) and 0.07 dB (flute) by that; with 1.4 dB and a fade of 0.8 dB instead 10.04 18.43, but rain loses 0.43 and
// 0.93 dB.

// How unsteady 2 s of noise are above 850 Hz, in dB: white noise 0.00 to 0.09 (half a second of it up to 0.14), eight stretches of each recorded
// noise 0.30 to 4.2, street noise once 0.12 (a second of them 0.25 to 2.3, of street noise from 0.15 on; half a second 0.07 to 4.6). That a
// noise which was steady does not surge: guitar recordings of `test` through a tanh with a drive of 32 dB in white noise at 0 and 10 dB,
// `best` 13.76 19.78 -> 14.24 20.71, with 16 dB 17.68 24.57 -> 17.85 24.64; a whine that was learned 32.66 40.07 46.87 -> 33.32 40.38
// 46.99; street noise -0.05 and -0.07 dB; all others as before, to 0.01 dB.

/// Bands begin here, in Hz, or at so many bins: below, partials leave no room between them.
const FIRST_HZ: f32 = 500.0;
const FIRST_BIN: f32 = 43.0;
/// Width of a band in Hz, in bins and as a share of its frequency, whichever is largest.
const WIDTH_HZ: f32 = 1000.0;
const WIDTH_BINS: f32 = 43.0;
const WIDTH_SHARE: f32 = 0.15;
/// Every so many bins are looked at.
const STRIDE: usize = 2;
/// Time constant in seconds over which powers are averaged.
const SMOOTH_SECONDS: f32 = 0.04;
/// The quantile over a band's bins that stands for the noise between the partials, and how far it is below the mean of noise, in dB.
const LOW_QUANTILE: f32 = 0.4;
const LOW_BELOW_MEAN_DB: f32 = 0.9;
/// If this one is further above the mean than in noise, in dB, there is music in the band, ...
const HIGH_QUANTILE: f32 = 0.7;
const HIGH_ABOVE_MEAN_DB: f32 = 1.0;
/// ... which takes so many dB off the rise for each that it is.
const PENALTY: f32 = 1.5;
/// Powers averaged over this time constant, in seconds, are even over the bins of a band if it holds noise; where the same quantiles lie
/// further apart than this, in dB, ...
const TEXTURE_SECONDS: f32 = 0.25;
const EVEN_DB: f32 = 2.2;
/// ... dense music stands still there: so much further, and no rise is believed.
const EVEN_FADE_DB: f32 = 1.0;
/// A rise up to this, in dB, is chance. What is beyond counts with this slope, until all of the rise does.
const IGNORED_DB: f32 = 1.2;
const SLOPE: f32 = 2.0;
/// Most that is believed, in dB.
const MOST_DB: f32 = 8.0;
/// Noise that is so far below the music, in dB between the means of their powers over all bins, is left as it is known to be: what
/// rises there is breath, or the noise of a pick ...
const DROWNED_DB: f32 = -15.0;
/// ... and so much above that it is fully believed to surge.
const FADE_DB: f32 = 8.0;
/// A bin counts as music when its power is this much above that of the noise there, ...
const MUSIC: f32 = 8.0;
/// ... for this time constant, in seconds.
const MUSIC_SECONDS: f32 = 0.3;
/// A noise that was no less steady than this when it was learned or found, in dB (see [`super::unsteadiness`]), does not surge, ...
const STEADY_DB: f32 = 0.15;
/// ... one that was less steady than this may.
const UNSTEADY_DB: f32 = 0.35;
/// Larger powers count as this, so that a broken sample is soon forgotten.
const MOST_POWER: f32 = 1e12;

/// Follows the noise of frames that are being whitened where it is louder for a moment than it is known to be.
///
/// Music fills some bins of a band, noise all of them: when a low quantile of the bins of a broad band rises and a high one no more
/// than it, the noise there has become louder, unless there is so much music that this could be a part of it. It only ever
/// raises what the noise is taken to be. Meant for noisy frames on their way into a step, one after the other.
pub struct SurgeFollower {
    /// First bin of each band, and one past the last; empty if the bins are too few.
    edges: Vec<usize>,
    keep: f32,
    /// Powers relative to the noise, averaged over time.
    smoothed: Vec<f32>,
    keep_texture: f32,
    texture: Vec<f32>,
    keep_music: f32,
    music: f32,
    begun: bool,
    /// How far the noise is believed to surge at all, 0 to 1.
    believed: f32,
    /// Factor for the amplitude of the noise in each band.
    factor: Vec<f32>,
    sorting: Vec<f32>,
}

impl SurgeFollower {
    /// For frames of a shape. Allocates; not for the audio thread.
    #[must_use]
    pub fn new(shape: FrameShape, rate_hz: u32) -> Self {
        Self::of_bins(shape.bins(), shape, rate_hz)
    }

    /// The same, for the lowest `bins` bins of the frames alone.
    #[must_use]
    pub fn of_bins(bins: usize, shape: FrameShape, rate_hz: u32) -> Self {
        let bin_hz = rate_hz as f32 / shape.window as f32;
        let hop_seconds = shape.hop as f32 / rate_hz as f32;
        let last = bins.saturating_sub(1) as f32;
        let mut edges = Vec::new();
        let mut at = FIRST_BIN.max(FIRST_HZ / bin_hz);
        while at < last {
            edges.push(at as usize);
            at += WIDTH_BINS.max(WIDTH_HZ / bin_hz).max(WIDTH_SHARE * at);
        }
        // What is left over belongs to the band before it.
        edges.pop();
        if !edges.is_empty() {
            edges.push(last as usize);
        }
        let widest = edges.windows(2).map(|e| e[1] - e[0]).max().unwrap_or(0);
        Self {
            keep: libm::expf(-hop_seconds / SMOOTH_SECONDS),
            smoothed: vec![0.0; bins],
            keep_texture: libm::expf(-hop_seconds / TEXTURE_SECONDS),
            texture: vec![0.0; bins],
            keep_music: libm::expf(-hop_seconds / MUSIC_SECONDS),
            music: 0.0,
            begun: false,
            believed: 1.0,
            factor: vec![1.0; edges.len().saturating_sub(1)],
            sorting: Vec::with_capacity(widest.div_ceil(STRIDE)),
            edges,
        }
    }

    /// Tells what noise is in the frames from now on: one that was steady when it was learned or found, or of which that is not known, is
    /// not taken to surge. Until then any noise may. Never allocates.
    pub fn expect(&mut self, noise: &NoiseSpectrum) {
        let unsteady_db = noise.unsteadiness().upper_db();
        self.believed = ((unsteady_db - STEADY_DB) / (UNSTEADY_DB - STEADY_DB)).clamp(0.0, 1.0);
        if self.believed <= 0.0 {
            self.clear();
        }
    }

    /// The same as another follower was told. Never allocates.
    pub const fn expect_as(&mut self, other: &Self) {
        self.believed = other.believed;
    }

    /// Takes in the next frame, not whitened yet, and raises `amplitude`, that of the noise in each bin, where the noise surges,
    /// and lowers `whitening`, its inverse. Never allocates.
    pub fn apply(&mut self, spectrum: &[Complex32], amplitude: &mut [f32], whitening: &mut [f32]) {
        if self.factor.is_empty() || self.believed <= 0.0 {
            return;
        }
        self.take_frame(spectrum, whitening);
        let mut calm = true;
        for band in 0..self.factor.len() {
            let rise_db = self.rise_db(band, amplitude);
            calm &= rise_db <= 0.0;
            self.factor[band] = libm::exp10f(0.05 * rise_db);
        }
        if !calm {
            self.raise(amplitude, whitening);
        }
    }

    /// Averages the powers, and finds out how much music there is.
    fn take_frame(&mut self, spectrum: &[Complex32], whitening: &[f32]) {
        let begun = if self.begun { 1.0 } else { 0.0 };
        let (keep, keep_texture) = (begun * self.keep, begun * self.keep_texture);
        self.begun = true;
        let mut music = 0.0;
        let smoothed = self.smoothed.iter_mut().zip(&mut self.texture);
        for (((s, t), y), w) in smoothed.zip(spectrum).zip(whitening) {
            let power = y.norm_sqr();
            let above_noise = power * w * w;
            let bounded = above_noise.min(MOST_POWER);
            *s = keep * *s + (1.0 - keep) * bounded;
            *t = keep_texture * *t + (1.0 - keep_texture) * bounded;
            music += if above_noise > MUSIC { power } else { 0.0 };
        }
        self.music = music.max(self.keep_music * self.music).min(f32::MAX);
    }

    /// How much louder than it is known to be the noise of a band is taken to be, in dB.
    fn rise_db(&mut self, band: usize, amplitude: &[f32]) -> f32 {
        let bins = self.edges[band]..self.edges[band + 1];
        sort_band(&self.smoothed, bins.clone(), &mut self.sorting);
        let low = decibels(quantile(&mut self.sorting, LOW_QUANTILE)) + LOW_BELOW_MEAN_DB;
        if low <= IGNORED_DB {
            return 0.0;
        }
        let high = decibels(quantile(&mut self.sorting, HIGH_QUANTILE)) - HIGH_ABOVE_MEAN_DB;
        sort_band(&self.texture, bins.clone(), &mut self.sorting);
        let texture = decibels(quantile(&mut self.sorting, HIGH_QUANTILE))
            - decibels(quantile(&mut self.sorting, LOW_QUANTILE));
        let even = (1.0 - (texture - EVEN_DB) / EVEN_FADE_DB).clamp(0.0, 1.0);
        let noise: f32 = amplitude[bins.clone()].iter().map(|a| a * a).sum();
        let count = bins.len() as f32;
        let rise = low - PENALTY * (high - low).max(0.0);
        let noise = noise / count * self.smoothed.len() as f32;
        let above_music = decibels(noise / self.music.max(f32::MIN_POSITIVE));
        let share = ((above_music - DROWNED_DB) / FADE_DB).clamp(0.0, 1.0);
        self.believed * even * share * (SLOPE * (rise - IGNORED_DB)).min(rise).clamp(0.0, MOST_DB)
    }

    /// Applies the factors of the bands, from the centre of one to that of the next.
    fn raise(&self, amplitude: &mut [f32], whitening: &mut [f32]) {
        let mut between = BetweenBands::new(&self.edges);
        let bins = amplitude.iter_mut().zip(whitening).enumerate();
        for (f, (a, w)) in bins.skip(self.edges[0]) {
            let factor = between.at(f, &self.factor);
            *a *= factor;
            *w /= factor;
        }
    }

    /// Forgets what was heard. Never allocates.
    pub fn clear(&mut self) {
        self.begun = false;
        self.music = 0.0;
    }
}

/// Powers of a band, each with its neighbours'.
fn sort_band(powers: &[f32], bins: std::ops::Range<usize>, into: &mut Vec<f32>) {
    into.clear();
    into.extend(
        bins.step_by(STRIDE)
            .map(|f| powers[f - 1..f + 2].iter().sum::<f32>() / 3.0),
    );
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::audio::unsteadiness::{BANDS, Unsteadiness};
    use crate::rng::StableRng;

    const SHORT: FrameShape = FrameShape {
        window: 4096,
        synthesis: 4096,
        hop: 512,
    };
    const LIVE: FrameShape = FrameShape {
        window: 1024,
        synthesis: 384,
        hop: 128,
    };

    /// Frames of white noise of power 1 a bin, `gain_db(seconds)` louder, with music of so much power in single bins; how much
    /// louder the noise at 6 kHz is taken to be, one value a frame.
    fn followed_db(
        shape: FrameShape,
        gain_db: impl Fn(f32) -> f32,
        music: impl Fn(f32, usize) -> f32,
    ) -> Vec<(f32, f32)> {
        followed_by(SurgeFollower::new(shape, 48_000), shape, gain_db, music)
    }

    fn followed_by(
        mut follower: SurgeFollower,
        shape: FrameShape,
        gain_db: impl Fn(f32) -> f32,
        music: impl Fn(f32, usize) -> f32,
    ) -> Vec<(f32, f32)> {
        let mut rng = StableRng::new(4, 0);
        let at = 6000 * shape.window / 48_000;
        let frames = 48_000 / shape.hop;
        (0..frames)
            .map(|m| {
                let t = m as f32 / frames as f32;
                let gain = libm::exp10f(0.05 * gain_db(t)) * 0.5f32.sqrt();
                let spectrum: Vec<Complex32> = (0..shape.bins())
                    .map(|f| {
                        let noise = Complex32::new(rng.normal() as f32, rng.normal() as f32);
                        noise * gain + music(t, f).sqrt()
                    })
                    .collect();
                let mut amplitude = vec![1.0; shape.bins()];
                let mut whitening = amplitude.clone();
                follower.apply(&spectrum, &mut amplitude, &mut whitening);
                for (a, w) in amplitude.iter().zip(&whitening) {
                    assert!((a * w - 1.0).abs() < 1e-5);
                }
                assert_eq!(amplitude[20], 1.0);
                (t, 20.0 * amplitude[at].log10())
            })
            .collect()
    }

    /// Mean of the values from one moment to another.
    fn mean(values: &[(f32, f32)], from: f32, to: f32) -> f32 {
        let chosen: Vec<f32> = values
            .iter()
            .filter(|(t, _)| (from..to).contains(t))
            .map(|(_, v)| *v)
            .collect();
        chosen.iter().sum::<f32>() / chosen.len() as f32
    }

    fn none(_: f32, _: usize) -> f32 {
        0.0
    }

    fn burst(t: f32) -> f32 {
        if (0.3..0.7).contains(&t) { 6.0 } else { 0.0 }
    }

    #[test]
    fn steady_noise_is_left_as_it_is_known_to_be() {
        for shape in [SHORT, LIVE] {
            let db = followed_db(shape, |_| 0.0, none);
            let moved = db.iter().filter(|(_, v)| *v > 0.0).count();
            println!("{moved} of {}", db.len());
            assert!(20 * moved < db.len());
            // One that has become softer as well.
            assert_eq!(mean(&followed_db(shape, |_| -6.0, none), 0.0, 1.0), 0.0);
        }
    }

    #[test]
    fn a_burst_is_followed_and_forgotten() {
        for shape in [SHORT, LIVE] {
            let db = followed_db(shape, burst, none);
            println!("{} {}", mean(&db, 0.4, 0.7), mean(&db, 0.85, 1.0));
            assert!((mean(&db, 0.4, 0.7) - 6.0).abs() < 1.0);
            assert!(mean(&db, 0.85, 1.0) < 0.3);
        }
    }

    #[test]
    fn a_noise_that_was_steady_is_not_taken_to_surge() {
        let surge_db = |unsteady_db: f32| {
            let mut follower = SurgeFollower::new(SHORT, 48_000);
            let noise = NoiseSpectrum::white(48_000, 1.0);
            let noise = noise.with(Unsteadiness::bounded([unsteady_db; BANDS]));
            follower.expect(&noise);
            let mut like = SurgeFollower::new(SHORT, 48_000);
            like.expect_as(&follower);
            let both =
                [follower, like].map(|f| mean(&followed_by(f, SHORT, burst, none), 0.4, 0.7));
            assert_eq!(both[0], both[1]);
            both[0]
        };
        let (steady, between, unsteady) = (surge_db(0.1), surge_db(0.25), surge_db(0.4));
        println!("{steady} {between} {unsteady}");
        assert_eq!(steady, 0.0);
        assert!((2.0..4.0).contains(&between) && unsteady > 5.0);
    }

    #[test]
    fn what_could_be_a_part_of_the_music_is_no_surge() {
        let under = |music_db: f32| {
            let power = libm::exp10f(0.1 * music_db) * SHORT.bins() as f32;
            let tone = |_: f32, f: usize| if f == 40 { power } else { 0.0 };
            mean(&followed_db(SHORT, burst, tone), 0.4, 0.7)
        };
        let (soft, between, loud) = (under(0.0), under(10.0), under(20.0));
        println!("{soft} {between} {loud}");
        assert!(soft > 5.0);
        assert!((1.0..soft - 1.0).contains(&between));
        assert_eq!(loud, 0.0);
    }

    #[test]
    fn partials_are_no_surge() {
        // Four of twelve bins, 10 dB above the noise: not enough music to drown it.
        let partials = |t: f32, f: usize| {
            if burst(t) > 0.0 && (f % 12) < 4 {
                10.0
            } else {
                0.0
            }
        };
        let db = followed_db(SHORT, |_| 0.0, partials);
        assert!(mean(&db, 0.0, 1.0) < 0.05, "{}", mean(&db, 0.0, 1.0));
    }

    #[test]
    fn dense_music_that_stands_still_is_no_surge() {
        // Hardly less even over the bins than noise, but for ever the same: a distorted chord.
        let mut rng = StableRng::new(9, 0);
        let uneven: Vec<f32> = (0..4097)
            .map(|_| 4.0 * (rng.normal() as f32).abs().powi(3))
            .collect();
        let chord = |t: f32, f: usize| {
            if (0.3..0.9).contains(&t) {
                uneven[f]
            } else {
                0.0
            }
        };
        let db = followed_db(SHORT, |_| 0.0, chord);
        let raised = mean(&db, 0.5, 0.9);
        println!("{raised}");
        assert!(raised < 0.5, "{raised}");
    }

    #[test]
    fn frames_with_too_few_bins_are_left_alone() {
        for rate_hz in [1000, 2000, 8000, 192_000] {
            for window in [16, 64, 170, 1024, 8192] {
                let shape = FrameShape {
                    window,
                    synthesis: window,
                    hop: window / 8,
                };
                let mut follower = SurgeFollower::new(shape, rate_hz);
                let spectrum = vec![Complex32::new(f32::MAX, f32::NAN); shape.bins()];
                let mut amplitude = vec![1.0; shape.bins()];
                let mut whitening = amplitude.clone();
                follower.apply(&spectrum, &mut amplitude, &mut whitening);
                assert!(amplitude.iter().chain(&whitening).all(|x| x.is_finite()));
            }
        }
    }
}

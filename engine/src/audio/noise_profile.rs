//! Noise spectra that outlive a stream: taken apart to be saved, brought to another sample rate, copied in place.

use super::noise::{FLOOR, KEPT, NoiseSpectrum};
use super::unsteadiness::Unsteadiness;

/// Sample rates that a kept spectrum may belong to, in Hz.
const RATES_HZ: std::ops::RangeInclusive<u32> = 1_000..=1_000_000;

impl NoiseSpectrum {
    /// Puts a spectrum together from what [`Self::rate_hz`] and [`Self::power`] gave; `None` if that is not a spectrum.
    #[must_use]
    pub fn from_power(rate_hz: u32, mut power: Vec<f32>) -> Option<Self> {
        let sane = RATES_HZ.contains(&rate_hz)
            && power.len() == KEPT.at_rate(rate_hz).bins()
            && power.iter().all(|p| p.is_finite() && *p >= 0.0);
        for p in &mut power {
            *p = p.max(FLOOR);
        }
        sane.then_some(Self {
            rate_hz,
            power,
            unsteadiness: Unsteadiness::NONE,
        })
    }

    /// The same spectrum of a noise whose level changes as `unsteadiness` says.
    #[must_use]
    pub fn with(self, unsteadiness: Unsteadiness) -> Self {
        Self {
            unsteadiness,
            ..self
        }
    }

    /// The same noise as a converter at `rate_hz` would hear it: the same power in each hertz. Above the old upper
    /// limit it goes on as it was there.
    #[must_use]
    pub fn at_rate(&self, rate_hz: u32) -> Self {
        if rate_hz == self.rate_hz {
            return self.clone();
        }
        let bins = KEPT.at_rate(rate_hz).bins();
        let last = self.power.len().saturating_sub(1);
        let scale = rate_hz as f32 / self.rate_hz as f32;
        let old_bins_per_bin = scale * last as f32 / bins.saturating_sub(1).max(1) as f32;
        let at = |i: usize| self.power.get(i.min(last)).copied().unwrap_or(FLOOR);
        let power = (0..bins)
            .map(|f| {
                let x = f as f32 * old_bins_per_bin;
                let low = x as usize;
                let between = at(low) + (x - low as f32) * (at(low + 1) - at(low));
                (between * scale).max(FLOOR)
            })
            .collect();
        Self {
            rate_hz,
            power,
            unsteadiness: self.unsteadiness,
        }
    }

    /// Becomes a copy of `other`, which must be of the same rate. Never allocates, unlike [`Clone::clone_from`].
    pub fn copy_from(&mut self, other: &Self) {
        debug_assert_eq!(self.rate_hz, other.rate_hz);
        for (p, o) in self.power.iter_mut().zip(&other.power) {
            *p = *o;
        }
        self.unsteadiness = other.unsteadiness;
    }

    /// Becomes the spectrum of no noise at all. Never allocates.
    pub fn clear(&mut self) {
        self.power.fill(FLOOR);
        self.unsteadiness = Unsteadiness::NONE;
    }

    /// The noise power at a frequency, in the units of [`Self::power`].
    #[must_use]
    pub fn at_hz(&self, hz: f32) -> f32 {
        let last = self.power.len().saturating_sub(1);
        let x = (2.0 * hz.max(0.0) / self.rate_hz as f32 * last as f32).min(last as f32);
        let low = x as usize;
        let at = |i: usize| self.power.get(i.min(last)).copied().unwrap_or(FLOOR);
        at(low) + (x - low as f32) * (at(low + 1) - at(low))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rng::StableRng;

    #[test]
    fn taken_apart_and_put_together() {
        let spectrum = NoiseSpectrum::white(44_100, 1e-4);
        let again = NoiseSpectrum::from_power(44_100, spectrum.power().to_vec());
        assert_eq!(again.as_ref(), Some(&spectrum));
        assert!(NoiseSpectrum::from_power(44_100, vec![1.0; 3]).is_none());
        assert!(NoiseSpectrum::from_power(0, vec![]).is_none());
        assert_eq!(spectrum.unsteadiness(), &Unsteadiness::NONE);
        let mut broken = spectrum.power().to_vec();
        broken[7] = f32::NAN;
        assert!(NoiseSpectrum::from_power(44_100, broken).is_none());
    }

    #[test]
    fn another_rate_keeps_the_power_per_hertz() {
        // The same coloured noise in the air, heard at two rates.
        let mut spectrum = NoiseSpectrum::white(48_000, 0.0);
        let hz = |f: usize| f as f32 * 24_000.0 / 4096.0;
        for (f, p) in spectrum.power.iter_mut().enumerate() {
            *p = 1e-4 / (1.0 + hz(f) / 1000.0);
        }
        let high = spectrum.at_rate(96_000);
        assert_eq!(high.rate_hz(), 96_000);
        for at in [100.0, 1000.0, 5000.0, 20_000.0] {
            let ratio = high.at_hz(at) / spectrum.at_hz(at);
            assert!((ratio - 2.0).abs() < 0.02, "{at} Hz: {ratio}");
        }
        let back = high.at_rate(48_000);
        for at in [100.0, 1000.0, 20_000.0] {
            assert!((back.at_hz(at) / spectrum.at_hz(at) - 1.0).abs() < 0.02);
        }
    }

    #[test]
    fn copies_in_place() {
        let mut rng = StableRng::new(1, 0);
        let x: Vec<f32> = (0..20_000).map(|_| 0.1 * rng.normal() as f32).collect();
        let learned = NoiseSpectrum::learn(48_000, &[&x]).unwrap();
        let mut place = NoiseSpectrum::white(48_000, 0.5);
        place.copy_from(&learned);
        assert_eq!(place, learned);
        place.clear();
        assert_eq!(place, NoiseSpectrum::white(48_000, 0.0));
    }
}

//! A noise spectrum that the audio thread shows to others without ever waiting for them.

use std::sync::atomic::{AtomicU32, AtomicUsize, Ordering, fence};

use crate::audio::noise::NoiseSpectrum;
use crate::audio::unsteadiness::{BANDS, Unsteadiness};

/// Channels shown at most.
const CHANNELS: usize = 2;
/// Bins of a spectrum at 384 kHz, and some more.
const MOST_BINS: usize = 33_000;

/// The newest noise spectrum of each channel. One thread writes, any may read; a reader that comes in between tries
/// again (a sequence lock).
pub struct NoiseBoard {
    /// Odd while being written.
    sequence: AtomicUsize,
    rate_hz: AtomicU32,
    bins: AtomicUsize,
    channels: AtomicUsize,
    power: Box<[AtomicU32]>,
    unsteadiness: [[AtomicU32; BANDS]; CHANNELS],
}

impl Default for NoiseBoard {
    fn default() -> Self {
        Self {
            sequence: AtomicUsize::new(0),
            rate_hz: AtomicU32::new(0),
            bins: AtomicUsize::new(0),
            channels: AtomicUsize::new(0),
            power: (0..CHANNELS * MOST_BINS)
                .map(|_| AtomicU32::new(0))
                .collect(),
            unsteadiness: Default::default(),
        }
    }
}

impl NoiseBoard {
    /// Shows spectra, all of one rate. Never allocates, locks or waits.
    pub fn write<'a>(&self, spectra: impl Iterator<Item = &'a NoiseSpectrum>) {
        let start = self.sequence.load(Ordering::Relaxed);
        self.sequence
            .store(start.wrapping_add(1), Ordering::Relaxed);
        fence(Ordering::Release);
        let mut channels = 0;
        let places = self.power.chunks(MOST_BINS).zip(&self.unsteadiness);
        for (spectrum, (place, unsteadiness)) in spectra.zip(places) {
            self.rate_hz.store(spectrum.rate_hz(), Ordering::Relaxed);
            let bins = spectrum.power().len().min(MOST_BINS);
            self.bins.store(bins, Ordering::Relaxed);
            for (slot, p) in place.iter().zip(spectrum.power()) {
                slot.store(p.to_bits(), Ordering::Relaxed);
            }
            for (slot, u) in unsteadiness.iter().zip(spectrum.unsteadiness().db()) {
                slot.store(u.to_bits(), Ordering::Relaxed);
            }
            channels += 1;
        }
        self.channels.store(channels, Ordering::Relaxed);
        self.sequence
            .store(start.wrapping_add(2), Ordering::Release);
    }

    /// Grows with every [`Self::write`].
    #[must_use]
    pub fn version(&self) -> usize {
        self.sequence.load(Ordering::Relaxed)
    }

    /// What is shown; `None` if nothing is, or if it is being written all the time. Not for the audio thread.
    #[must_use]
    pub fn read(&self) -> Option<Vec<NoiseSpectrum>> {
        (0..1000)
            .find_map(|_| {
                let before = self.sequence.load(Ordering::Acquire);
                if before % 2 == 1 {
                    std::thread::yield_now();
                    return None;
                }
                let rate_hz = self.rate_hz.load(Ordering::Relaxed);
                let bins = self.bins.load(Ordering::Relaxed);
                let channels = self.channels.load(Ordering::Relaxed);
                let numbers = |slots: &[AtomicU32], count: usize| -> Vec<f32> {
                    let bits = slots.iter().take(count);
                    bits.map(|b| f32::from_bits(b.load(Ordering::Relaxed)))
                        .collect()
                };
                let spectra: Vec<(Vec<f32>, Vec<f32>)> = self
                    .power
                    .chunks(MOST_BINS)
                    .zip(&self.unsteadiness)
                    .take(channels)
                    .map(|(power, unsteadiness)| {
                        (numbers(power, bins), numbers(unsteadiness, BANDS))
                    })
                    .collect();
                fence(Ordering::Acquire);
                (self.sequence.load(Ordering::Relaxed) == before).then_some((rate_hz, spectra))
            })
            .and_then(|(rate_hz, spectra)| {
                let spectra: Option<Vec<_>> = spectra
                    .into_iter()
                    .map(|(power, unsteadiness)| {
                        let unsteadiness = Unsteadiness::from_db(&unsteadiness)?;
                        Some(NoiseSpectrum::from_power(rate_hz, power)?.with(unsteadiness))
                    })
                    .collect();
                spectra.filter(|s| !s.is_empty())
            })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Arc;
    use std::sync::atomic::AtomicBool;

    #[test]
    fn readers_never_see_half_a_spectrum() {
        let board = Arc::new(NoiseBoard::default());
        assert!(board.read().is_none());
        let stop = Arc::new(AtomicBool::new(false));
        let writer = std::thread::spawn({
            let (board, stop) = (Arc::clone(&board), Arc::clone(&stop));
            let spectra = [1e-2f32, 1e-4].map(|v| {
                let unsteadiness = Unsteadiness::from_db(&[100.0 * v; BANDS]).unwrap();
                NoiseSpectrum::white(48_000, v).with(unsteadiness)
            });
            move || {
                while !stop.load(Ordering::Relaxed) {
                    for spectrum in &spectra {
                        board.write([spectrum, spectrum].into_iter());
                        std::thread::sleep(std::time::Duration::from_micros(50));
                    }
                }
            }
        });
        while board.version() < 2 {
            std::thread::yield_now();
        }
        let mut seen = 0;
        for _ in 0..300 {
            let Some(spectra) = board.read() else {
                continue;
            };
            seen += 1;
            assert_eq!(spectra.len(), 2);
            let first = spectra[0].power()[0];
            for spectrum in &spectra {
                assert!(spectrum.power().iter().all(|p| *p == first));
                assert_eq!(spectrum.unsteadiness().db(), &[100.0 * first; BANDS]);
            }
        }
        stop.store(true, Ordering::Relaxed);
        writer.join().unwrap();
        assert!(seen > 0);
    }
}

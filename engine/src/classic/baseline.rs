//! The classical denoisers by name.

use super::decision_directed::{DecisionDirected, GainRule};
use super::persistent::{neighbourhood_snr, persistent_gain};
use super::stft::Stft;
use super::{ClassicError, DEFAULT_SMOOTH_BINS, NoisePsd, noise_psd_of};

/// The sample rate in Hz for which window lengths are quoted.
pub const REFERENCE_RATE_HZ: u32 = 48_000;

/// A classical denoiser with its settings; windows and hops are samples at the rate of the signal it is given.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Baseline {
    /// Wiener gain on the decision-directed a priori SNR (Ephraim and Malah 1984), floor -25 dB.
    DdWiener {
        /// Window in samples.
        window: usize,
        /// Hop in samples.
        hop: usize,
        /// Weight of the previous frame, 0..1; 0.98 is usual.
        alpha: f32,
    },
    /// Log-spectral amplitude estimator (Ephraim and Malah 1985) on the same a priori SNR.
    LogMmse {
        /// Window in samples.
        window: usize,
        /// Hop in samples.
        hop: usize,
        /// Weight of the previous frame, 0..1; 0.98 is usual.
        alpha: f32,
    },
    /// Persistent empirical Wiener shrinkage (Siedenburg and Doerfler 2013):
    /// gain max(0, 1 - threshold / SNR), the SNR averaged over a neighbourhood.
    Pew {
        /// Window in samples.
        window: usize,
        /// Hop in samples.
        hop: usize,
        /// Neighbourhood in frames, centred, odd.
        time: usize,
        /// Neighbourhood in bins, centred, odd.
        freq: usize,
        /// Neighbourhood SNR (power ratio, noise alone = 1) up to which a bin is silenced.
        threshold: f32,
    },
    /// |X|^2 / (|X|^2 + noise power) with the true clean X: what a gain could reach at best.
    OracleWiener {
        /// Window in samples.
        window: usize,
        /// Hop in samples.
        hop: usize,
    },
}

impl Baseline {
    /// The same filter for a signal at `rate_hz`, when its window was quoted for [`REFERENCE_RATE_HZ`]: window and
    /// hop keep their durations (to the nearest sample of the hop) and their ratio.
    #[must_use]
    pub fn at_rate(mut self, rate_hz: u32) -> Self {
        let (window, hop) = match &mut self {
            Self::DdWiener { window, hop, .. }
            | Self::LogMmse { window, hop, .. }
            | Self::Pew { window, hop, .. }
            | Self::OracleWiener { window, hop } => (window, hop),
        };
        let scale = f64::from(rate_hz) / f64::from(REFERENCE_RATE_HZ);
        let ratio = *window as f64 / (*hop).max(1) as f64;
        *hop = ((*hop as f64 * scale).round() as usize).max(1);
        *window = ((*hop as f64 * ratio).round() as usize).max(4);
        self
    }

    /// Name with settings, such as `DD-Wiener 4096/512 a0.98`.
    #[must_use]
    pub fn name(&self) -> String {
        match *self {
            Self::DdWiener { window, hop, alpha } => format!("DD-Wiener {window}/{hop} a{alpha}"),
            Self::LogMmse { window, hop, alpha } => format!("log-MMSE {window}/{hop} a{alpha}"),
            Self::Pew {
                window,
                hop,
                time,
                freq,
                threshold,
            } => format!("PEW {window}/{hop} {time}x{freq} t{threshold}"),
            Self::OracleWiener { window, hop } => format!("oracle Wiener {window}/{hop}"),
        }
    }

    /// Window and hop in samples.
    #[must_use]
    pub fn window_and_hop(&self) -> (usize, usize) {
        match *self {
            Self::DdWiener { window, hop, .. }
            | Self::LogMmse { window, hop, .. }
            | Self::Pew { window, hop, .. }
            | Self::OracleWiener { window, hop } => (window, hop),
        }
    }

    /// Denoises `noisy` (mono) with the spectrum of a recording of the noise alone; the result has its length and
    /// is aligned with it. Only the oracle reads `clean`. Samples that are not finite count as 0.
    ///
    /// # Errors
    /// See [`ClassicError`]: bad window, too short a noise recording, no clean signal for the oracle.
    pub fn denoise(
        &self,
        noisy: &[f32],
        noise: &[f32],
        clean: Option<&[f32]>,
    ) -> Result<Vec<f32>, ClassicError> {
        let (window, hop) = self.window_and_hop();
        let psd = noise_psd_of(noise, window, hop, DEFAULT_SMOOTH_BINS)?;
        self.denoise_with_psd(noisy, &psd, clean)
    }

    /// As [`Baseline::denoise`], with a noise spectrum that is known already (same window).
    ///
    /// # Errors
    /// See [`ClassicError`]: bad window, spectrum of another window, no clean signal for the oracle.
    pub fn denoise_with_psd(
        &self,
        noisy: &[f32],
        psd: &NoisePsd,
        clean: Option<&[f32]>,
    ) -> Result<Vec<f32>, ClassicError> {
        let (window, hop) = self.window_and_hop();
        let stft = Stft::new(window, hop)?;
        if psd.window != window || psd.power.len() != stft.bins() {
            return Err(ClassicError::PsdMismatch {
                psd: psd.window,
                window,
            });
        }
        match *self {
            Self::DdWiener { alpha, .. } => {
                let mut filter = DecisionDirected::new(GainRule::Wiener, alpha, &psd.power);
                stft.filter(noisy, |_, bins| filter.filter_frame(bins))
            }
            Self::LogMmse { alpha, .. } => {
                let mut filter = DecisionDirected::new(GainRule::LogMmse, alpha, &psd.power);
                stft.filter(noisy, |_, bins| filter.filter_frame(bins))
            }
            Self::Pew {
                time,
                freq,
                threshold,
                ..
            } => {
                let snr = neighbourhood_snr(&stft.powers(noisy)?, &psd.power, time, freq);
                let mut rows = snr.chunks_exact(stft.bins());
                stft.filter(noisy, |_, bins| {
                    for (bin, snr) in bins.iter_mut().zip(rows.next().unwrap_or_default()) {
                        *bin *= persistent_gain(*snr, threshold);
                    }
                })
            }
            Self::OracleWiener { .. } => {
                let clean = clean.ok_or(ClassicError::MissingClean)?;
                if clean.len() != noisy.len() {
                    return Err(ClassicError::LengthMismatch {
                        clean: clean.len(),
                        noisy: noisy.len(),
                    });
                }
                let powers = stft.powers(clean)?;
                let mut rows = powers.chunks_exact(stft.bins());
                stft.filter(noisy, |_, bins| {
                    let row = rows.next().unwrap_or_default();
                    for ((bin, clean), noise) in bins.iter_mut().zip(row).zip(&psd.power) {
                        let total = clean + noise;
                        *bin *= if total > 0.0 { clean / total } else { 1.0 };
                    }
                })
            }
        }
    }
}

/// The baselines that every evaluation prints, for a signal at `rate_hz`.
///
/// The settings of the persistent shrinkage were chosen on `guitar/train` and `flute/train`, never on test files.
#[must_use]
pub fn standard_set(rate_hz: u32) -> Vec<Baseline> {
    let dd = |window, hop, alpha| Baseline::DdWiener { window, hop, alpha };
    let log_mmse = |window, hop| Baseline::LogMmse {
        window,
        hop,
        alpha: 0.98,
    };
    [
        dd(512, 128, 0.98),
        dd(512, 128, 0.96),
        dd(2048, 512, 0.98),
        dd(4096, 512, 0.98),
        log_mmse(2048, 512),
        log_mmse(4096, 512),
        Baseline::Pew {
            window: 4096,
            hop: 1024,
            time: 7,
            freq: 1,
            threshold: 2.5,
        },
        Baseline::OracleWiener {
            window: 4096,
            hop: 512,
        },
    ]
    .into_iter()
    .map(|b| b.at_rate(rate_hz))
    .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::metrics::audio::snr_db;
    use crate::rng::StableRng;

    fn sine_in_noise() -> (Vec<f32>, Vec<f32>, Vec<f32>) {
        let mut rng = StableRng::new(5, 0);
        let clean: Vec<f32> = (0..96_000)
            .map(|i| 0.3 * (i as f32 * 0.0576).sin())
            .collect();
        let noise: Vec<f32> = (0..96_000).map(|_| 0.1 * rng.normal() as f32).collect();
        let noisy = clean
            .iter()
            .map(|c| c + 0.1 * rng.normal() as f32)
            .collect();
        (clean, noise, noisy)
    }

    #[test]
    fn every_baseline_lifts_a_sine_out_of_noise() {
        let (clean, noise, noisy) = sine_in_noise();
        let before = snr_db(&clean, &noisy);
        for baseline in standard_set(48_000) {
            let out = baseline.denoise(&noisy, &noise, Some(&clean)).unwrap();
            assert_eq!(out.len(), noisy.len());
            let gain = snr_db(&clean, &out) - before;
            assert!(gain > 8.0, "{}: {gain}", baseline.name());
        }
    }

    #[test]
    fn silence_noise_changes_nothing() {
        let (clean, _, noisy) = sine_in_noise();
        for baseline in standard_set(48_000) {
            let out = baseline
                .denoise(&noisy, &vec![0.0; 8192], Some(&clean))
                .unwrap();
            // The oracle's gain is 1 there too, except where the clean signal is exactly 0.
            if !matches!(baseline, Baseline::OracleWiener { .. }) {
                assert!(snr_db(&noisy, &out) > 80.0, "{}", baseline.name());
            }
        }
    }

    #[test]
    fn silence_stays_silence() {
        for baseline in standard_set(48_000) {
            let out = baseline
                .denoise(&[0.0; 9000], &[0.0; 9000], Some(&[0.0; 9000]))
                .unwrap();
            assert!(out.iter().all(|x| *x == 0.0), "{}", baseline.name());
        }
    }

    #[test]
    fn windows_keep_their_duration() {
        let b = Baseline::OracleWiener {
            window: 4096,
            hop: 512,
        };
        assert_eq!(b.at_rate(48_000).window_and_hop(), (4096, 512));
        assert_eq!(b.at_rate(96_000).window_and_hop(), (8192, 1024));
        assert_eq!(b.at_rate(44_100).window_and_hop(), (3760, 470));
        let (window, hop) = b.at_rate(1_000).window_and_hop();
        assert!(Stft::new(window, hop).is_ok());
    }

    #[test]
    fn mistakes_get_a_sentence() {
        let oracle = Baseline::OracleWiener {
            window: 512,
            hop: 128,
        };
        let x = [0.0f32; 1000];
        assert_eq!(
            oracle.denoise(&x, &x, None),
            Err(ClassicError::MissingClean)
        );
        assert!(matches!(
            oracle.denoise(&x, &x, Some(&x[1..])),
            Err(ClassicError::LengthMismatch { .. })
        ));
        assert!(matches!(
            oracle.denoise_with_psd(&x, &NoisePsd::white(256, 1.0), Some(&x)),
            Err(ClassicError::PsdMismatch { .. })
        ));
        assert!(matches!(
            oracle.denoise(&x, &x[..100], Some(&x)),
            Err(ClassicError::NoiseTooShort { .. })
        ));
    }
}

//! The measures of an estimate, and their means.

use serde::Serialize;

use crate::metrics::audio::{log_spectral_distance_db, segmental_snr_db, si_sdr_db, snr_db};
use crate::metrics::musical_noise::NoiseOnly;

/// The measures of an estimate against the clean signal.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
pub struct Measures {
    /// Signal-to-noise ratio.
    pub snr_db: f64,
    /// Scale-invariant signal-to-distortion ratio.
    pub si_sdr_db: f64,
    /// Segmental SNR.
    pub segmental_snr_db: f64,
    /// Log-spectral distance; small is good.
    pub log_spectral_distance_db: f64,
    /// What is left where only noise was; none for mixtures without enough such places.
    pub left: Option<Left>,
}

/// What is left in the noise-only cells, see [`crate::metrics::musical_noise`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
pub struct Left {
    /// Log kurtosis ratio; large means chirping.
    pub log_kurtosis_ratio: f64,
    /// Mean power left, relative to the noise, in dB.
    pub noise_left_db: f64,
    /// The level that one cell in a thousand exceeds, relative to the noise, in dB.
    pub islands_db: f64,
}

impl Measures {
    /// Measures `estimate`; `noise_only` belongs to the mixture.
    #[must_use]
    pub fn of(
        clean: &[f32],
        noise_only: Option<&NoiseOnly>,
        rate_hz: u32,
        estimate: &[f32],
    ) -> Self {
        let left = noise_only.and_then(|n| n.measure(estimate));
        Self {
            snr_db: snr_db(clean, estimate),
            si_sdr_db: si_sdr_db(clean, estimate),
            segmental_snr_db: segmental_snr_db(clean, estimate, rate_hz),
            log_spectral_distance_db: log_spectral_distance_db(clean, estimate, rate_hz),
            left: left.map(|l| Left {
                log_kurtosis_ratio: l.log_kurtosis_ratio,
                noise_left_db: l.left_db,
                islands_db: l.islands_db,
            }),
        }
    }

    /// The mean of each measure; of what is left, over those that have it. Nothing gives zeros.
    #[must_use]
    pub fn mean<'a>(all: impl IntoIterator<Item = &'a Self>) -> Self {
        let (mut sum, mut count) = (Self::default(), 0.0);
        let (mut left, mut lefts) = (Left::default(), 0.0);
        for m in all {
            sum.snr_db += m.snr_db;
            sum.si_sdr_db += m.si_sdr_db;
            sum.segmental_snr_db += m.segmental_snr_db;
            sum.log_spectral_distance_db += m.log_spectral_distance_db;
            count += 1.0;
            if let Some(l) = m.left {
                left.log_kurtosis_ratio += l.log_kurtosis_ratio;
                left.noise_left_db += l.noise_left_db;
                left.islands_db += l.islands_db;
                lefts += 1.0;
            }
        }
        let count = f64::max(count, 1.0);
        Self {
            snr_db: sum.snr_db / count,
            si_sdr_db: sum.si_sdr_db / count,
            segmental_snr_db: sum.segmental_snr_db / count,
            log_spectral_distance_db: sum.log_spectral_distance_db / count,
            left: (lefts > 0.0).then(|| Left {
                log_kurtosis_ratio: left.log_kurtosis_ratio / lefts,
                noise_left_db: left.noise_left_db / lefts,
                islands_db: left.islands_db / lefts,
            }),
        }
    }
}

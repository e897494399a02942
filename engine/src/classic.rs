//! Classical denoisers: what every claim about a model is measured against.
//!
//! All of them work offline on one mono signal, whole in, whole out: the output has the length of the input and is
//! aligned with it. They share one noise description, [`NoisePsd`], and one square-root-Hann transform.
//!
//! | item | reference |
//! |---|---|
//! | [`Baseline::DdWiener`] | Ephraim and Malah 1984, decision-directed a priori SNR, Wiener gain |
//! | [`Baseline::LogMmse`] | Ephraim and Malah 1985, log-spectral amplitude |
//! | [`Baseline::Pew`] | Siedenburg and Doerfler 2013, persistent empirical Wiener |
//! | [`Baseline::OracleWiener`] | the Wiener gain of somebody who knows the clean signal: an upper mark, no denoiser |

mod baseline;
mod decision_directed;
mod error;
mod exponential_integral;
mod noise_psd;
mod persistent;
mod stft;

pub use baseline::{Baseline, REFERENCE_RATE_HZ, standard_set};
pub use error::ClassicError;
pub use exponential_integral::exponential_integral_e1;
pub use noise_psd::{DEFAULT_SMOOTH_BINS, NoisePsd, noise_psd_of};

//! A denoiser of either domain, ready to be streamed.

use std::sync::Arc;

use super::denoiser::{Chain, NoiseSource, StreamDenoiser};
use super::hum::HumCanceller;
use super::mix::Output;
use super::noise::NoiseSpectrum;
use super::waveform::WaveformError;
use super::waveform_kernel::WaveformKernel;
use super::waveform_stream::WaveformStream;

/// What makes streams; cheap to clone.
#[derive(Clone)]
pub enum Method {
    /// A chain of steps on spectra.
    Spectral(Chain),
    /// One step on windows of samples, at the model's own sample rate only.
    Waveform(Arc<WaveformKernel>),
}

impl Method {
    /// Where the range of the instrument begins, in Hz; 0 if nothing is known of it.
    #[must_use]
    pub fn lowest_hz(&self) -> f32 {
        match self {
            Self::Spectral(chain) => chain.first.config.lowest_hz,
            Self::Waveform(_) => 0.0,
        }
    }

    /// What takes steady tones out in its streams: mains hum, and those in `learned`, spectra of noise alone (one a channel, or
    /// one for all, or none), as they are at the beginning of a recording, one slice a channel. None for windows of samples, which
    /// are too short for that.
    #[must_use]
    pub fn hum_of<C: AsRef<[f32]>>(
        &self,
        rate_hz: u32,
        beginning: &[C],
        learned: &[NoiseSpectrum],
    ) -> Vec<HumCanceller> {
        if matches!(self, Self::Waveform(_)) {
            return Vec::new();
        }
        let primed = |(channel, samples): (usize, &C)| {
            let mut hum = HumCanceller::of_channel(rate_hz, channel);
            if let Some(noise) = learned.get(channel).or(learned.first()) {
                hum.expect(noise);
            }
            hum.prime(samples.as_ref());
            hum
        };
        beginning.iter().enumerate().map(primed).collect()
    }

    /// A stream that takes the noise for known: one spectrum for all channels, or one a channel; `linked`: pairs of channels are
    /// heard as one picture (on windows of samples none are). Allocates; not for the audio thread.
    ///
    /// # Errors
    /// [`WaveformError::Rate`] if a waveform model has another sample rate.
    pub fn stream(
        &self,
        rate_hz: u32,
        channels: usize,
        linked: bool,
        noise: &[NoiseSpectrum],
    ) -> Result<MethodStream, WaveformError> {
        let noise = NoiseSource::Known(noise.to_vec());
        Ok(match self {
            Self::Spectral(chain) => {
                let stream = StreamDenoiser::with_linking(linked, chain, rate_hz, channels, noise);
                MethodStream::Spectral(Box::new(stream))
            }
            Self::Waveform(kernel) => MethodStream::Waveform(Box::new(WaveformStream::new(
                Arc::clone(kernel),
                rate_hz,
                channels,
                noise,
            )?)),
        })
    }
}

/// A stream of either domain.
pub enum MethodStream {
    /// On spectra.
    Spectral(Box<StreamDenoiser>),
    /// On windows of samples.
    Waveform(Box<WaveformStream>),
}

impl MethodStream {
    /// Samples that the output lags the input.
    #[must_use]
    pub fn latency_samples(&self) -> usize {
        match self {
            Self::Spectral(s) => s.latency_samples(),
            Self::Waveform(s) => s.latency_samples(),
        }
    }

    /// How deep the noise is taken down and what is heard, at once; for the start of a stream.
    pub fn start_with(&mut self, amount_db: f32, output: Output) {
        match self {
            Self::Spectral(s) => {
                s.set_amount_db(amount_db);
                s.set_output(output);
                s.settle();
            }
            Self::Waveform(s) => {
                s.set_amount_db(amount_db);
                s.set_output(output);
                s.settle();
            }
        }
    }

    /// Sets the noise from now on, per channel or one for all. Allocates; not for the audio thread.
    pub fn set_noise(&mut self, noise: &[NoiseSpectrum]) {
        match self {
            Self::Spectral(s) => s.prime_noise(noise),
            Self::Waveform(s) => s.set_noise(&NoiseSource::Known(noise.to_vec())),
        }
    }

    /// Takes hum out with these from the first sample on, see [`StreamDenoiser::start_with_hum`].
    pub fn start_with_hum(&mut self, hum: &[HumCanceller]) {
        if let Self::Spectral(s) = self {
            s.start_with_hum(hum);
        }
    }

    /// Denoises a block of any length in place, one slice a channel.
    pub fn process(&mut self, block: &mut [&mut [f32]]) {
        match self {
            Self::Spectral(s) => s.process(block),
            Self::Waveform(s) => s.process(block),
        }
    }
}

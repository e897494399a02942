//! What noise a step assumes in each bin of its frames: what is known of it, and with what caution.

use super::noise::NoiseSpectrum;
use super::noise_response::FrameResponse;
use super::range::doubt;
use super::stft::FrameShape;

/// Turns a noise spectrum into the noise amplitudes that frames are whitened with.
pub struct AssumedNoise {
    response: FrameResponse,
    bin_hz: f32,
    /// Factor for the noise power in the bins that are doubted, from bin 0 on.
    doubt: Vec<f32>,
}

impl AssumedNoise {
    /// For frames of an instrument that sounds from `lowest_hz` on, 0 for any. Allocates; not for the audio thread.
    #[must_use]
    pub fn new(shape: FrameShape, rate_hz: u32, lowest_hz: f32) -> Self {
        let bin_hz = rate_hz as f32 / shape.window as f32;
        let mut doubt: Vec<f32> = (0..shape.bins())
            .map(|f| doubt(f as f32 * bin_hz, bin_hz, lowest_hz))
            .collect();
        let doubted = doubt.iter().rposition(|d| *d != 1.0);
        doubt.truncate(doubted.map_or(0, |last| last + 1));
        doubt.shrink_to_fit();
        Self {
            response: FrameResponse::new(shape, rate_hz),
            bin_hz,
            doubt,
        }
    }

    /// The amplitude of the noise in each bin: the square root of its power there, raised below the range of the instrument
    /// and where the noise is not steady. Never allocates.
    pub fn amplitude_into(&self, noise: &NoiseSpectrum, out: &mut [f32]) {
        self.response.apply_into(noise, out);
        noise.unsteadiness().raise(self.bin_hz, out);
        for (a, doubt) in out.iter_mut().zip(&self.doubt) {
            *a *= doubt;
        }
        for a in out {
            *a = a.sqrt();
        }
    }
}

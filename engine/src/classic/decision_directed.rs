//! Gains that follow the decision-directed a priori SNR (Ephraim and Malah 1984).

use realfft::num_complex::Complex32;

use super::exponential_integral::exponential_integral_e1;

/// Least a priori SNR: -25 dB. It sets how much residual noise is left and keeps that residue even.
const XI_MIN: f32 = 3.162_277_7e-3;
/// Greatest posterior SNR told apart: 100 dB. A noise power of nothing ends here, at a gain of 1.
const GAMMA_MAX: f32 = 1e10;

/// The gain as a function of a priori SNR xi and posterior SNR gamma.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum GainRule {
    /// xi / (1 + xi).
    Wiener,
    /// xi / (1 + xi) * exp(E1(v) / 2), v = xi / (1 + xi) * gamma (Ephraim and Malah 1985).
    LogMmse,
}

impl GainRule {
    fn gain(self, xi: f32, gamma: f32) -> f32 {
        let wiener = xi / (1.0 + xi);
        match self {
            Self::Wiener => wiener,
            Self::LogMmse => {
                // Below this v the bin is so close to zero that its gain, however large, cannot be heard.
                let v = f64::from(wiener * gamma).max(1e-8);
                wiener * (0.5 * exponential_integral_e1(v)).exp() as f32
            }
        }
    }
}

/// The recursion over frames: xi = alpha * previous clean SNR + (1 - alpha) * max(gamma - 1, 0).
pub(super) struct DecisionDirected<'a> {
    rule: GainRule,
    alpha: f32,
    noise_power: &'a [f32],
    /// |previous estimate|^2 / noise power, per bin.
    previous: Vec<f32>,
}

impl<'a> DecisionDirected<'a> {
    /// Starts before the first frame, in silence. `alpha` in 0..1 is the weight of the previous frame.
    pub(super) fn new(rule: GainRule, alpha: f32, noise_power: &'a [f32]) -> Self {
        Self {
            rule,
            alpha,
            noise_power,
            previous: vec![0.0; noise_power.len()],
        }
    }

    /// Filters the next frame in place.
    pub(super) fn filter_frame(&mut self, bins: &mut [Complex32]) {
        for ((bin, noise), previous) in bins
            .iter_mut()
            .zip(self.noise_power)
            .zip(&mut self.previous)
        {
            let gamma = posterior_snr(bin.norm_sqr(), *noise);
            let xi = self.alpha * *previous + (1.0 - self.alpha) * (gamma - 1.0).max(0.0);
            let gain = self.rule.gain(xi.max(XI_MIN), gamma);
            *previous = gain * gain * gamma;
            *bin *= gain;
        }
    }
}

fn posterior_snr(power: f32, noise_power: f32) -> f32 {
    if noise_power * GAMMA_MAX > power {
        power / noise_power
    } else {
        GAMMA_MAX
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_noise_means_no_change() {
        for rule in [GainRule::Wiener, GainRule::LogMmse] {
            let noise = [0.0f32; 3];
            let mut filter = DecisionDirected::new(rule, 0.98, &noise);
            let mut bins = [
                Complex32::new(0.5, -0.25),
                Complex32::new(0.0, 0.0),
                Complex32::new(1e-12, 0.0),
            ];
            let before = bins;
            filter.filter_frame(&mut bins);
            for (a, b) in bins.iter().zip(&before) {
                assert!((a - b).norm() <= 1e-6 * b.norm());
            }
        }
    }

    #[test]
    fn log_mmse_tends_to_wiener_at_high_snr() {
        let (wiener, log) = (GainRule::Wiener, GainRule::LogMmse);
        assert!((log.gain(100.0, 100.0) / wiener.gain(100.0, 100.0) - 1.0).abs() < 1e-6);
        // Ephraim and Malah 1985, figure 1: the gain falls as the posterior SNR rises at a fixed a priori SNR.
        assert!(log.gain(0.1, 0.1) > log.gain(0.1, 1.0));
        assert!(log.gain(0.1, 1.0) > log.gain(0.1, 10.0));
        assert!(log.gain(0.1, 0.0).is_finite());
    }

    #[test]
    fn the_recursion_is_the_published_one() {
        let noise = [2.0f32];
        let mut filter = DecisionDirected::new(GainRule::Wiener, 0.9, &noise);
        let mut previous = 0.0f64;
        for amplitude in [3.0f32, 1.0, 0.1, 5.0] {
            let mut bins = [Complex32::new(amplitude, 0.0)];
            filter.filter_frame(&mut bins);
            let gamma = f64::from(amplitude).powi(2) / 2.0;
            let xi = (0.9 * previous / 2.0 + 0.1 * (gamma - 1.0).max(0.0)).max(10f64.powf(-2.5));
            let estimate = f64::from(amplitude) * xi / (1.0 + xi);
            assert!((f64::from(bins[0].re) / estimate - 1.0).abs() < 1e-5);
            previous = estimate * estimate;
        }
    }
}

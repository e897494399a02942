//! Steering a resampler between two clocks: how far the output lags the input, measured at every callback, is kept where
//! it should be by changing the ratio of the resampler by parts in a million.
//!
//! The measured delay is noisy, because callbacks come early and late. It goes through two low passes and then into a
//! proportional and integral controller (a phase-locked loop of second order, critically damped). In the beginning the
//! loop is wide, to find the difference of the clocks; then it narrows, so that noise does not become vibrato.

/// Loop bandwidth in rad/s in the beginning and in the end. With callbacks that come up to 1 ms late, 0.1 at the end left
/// -51 dB of distortion on a sine of 1 kHz (test of the bridge).
const BANDWIDTH: (f64, f64) = (0.8, 0.02);
/// Time constant of each of the two low passes in seconds, in the beginning and in the end.
const SMOOTHING_SECONDS: (f64, f64) = (0.1, 2.5);
/// How fast beginning becomes end, in seconds.
const SETTLING_SECONDS: f64 = 20.0;
/// Largest correction, as part of the ratio: what no pair of sound cards needs.
const MOST: f64 = 0.01;

/// See the module.
#[derive(Clone, Debug, Default)]
pub struct Steering {
    /// Seconds since the start.
    age: f64,
    once: f64,
    smoothed: f64,
    integral: f64,
    correction: f64,
}

impl Steering {
    /// Takes in that the delay is `error` seconds longer than wanted, `elapsed` seconds after the last time. Returns how
    /// much faster than nominal the input must be consumed, as a part of 1.
    pub fn step(&mut self, error: f64, elapsed: f64) -> f64 {
        let elapsed = elapsed.clamp(0.0, 0.5);
        let settled = 1.0 - (-self.age / SETTLING_SECONDS).exp();
        let at = |(from, to): (f64, f64)| from * (to / from).powf(settled);
        let (bandwidth, smoothing) = (at(BANDWIDTH), at(SMOOTHING_SECONDS));
        self.age += elapsed;
        let share = 1.0 - (-elapsed / smoothing).exp();
        self.once += (error - self.once) * share;
        self.smoothed += (self.once - self.smoothed) * share;
        self.integral =
            (self.integral + bandwidth * bandwidth * self.smoothed * elapsed).clamp(-MOST, MOST);
        self.correction = (2.0 * bandwidth * self.smoothed + self.integral).clamp(-MOST, MOST);
        self.correction
    }

    /// The last result of [`Self::step`].
    #[must_use]
    pub const fn correction(&self) -> f64 {
        self.correction
    }

    /// The sound is taken up again after a gap: the difference of the clocks is still known.
    pub const fn resume(&mut self) {
        self.once = 0.0;
        self.smoothed = 0.0;
        self.correction = self.integral;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use drfm_engine::rng::StableRng;

    #[test]
    fn the_difference_of_the_clocks_is_found_and_kept() {
        for drift in [1e-3, -1e-3, 3e-5, 0.0] {
            let mut steering = Steering::default();
            let mut rng = StableRng::new(3, 0);
            let (mut delay, step) = (0.0f64, 256.0 / 48_000.0);
            let (mut furthest, mut late_spread) = (0.0f64, 0.0f64);
            for i in 0..100_000 {
                // A millisecond of jitter.
                let seen = delay + 1e-3 * (rng.uniform() - 0.5);
                let correction = steering.step(seen, step);
                delay += (drift - correction) * step;
                furthest = furthest.max(delay.abs());
                if i > 50_000 {
                    late_spread = late_spread.max((correction - drift).abs());
                }
            }
            assert!(furthest < 2e-3, "{drift}: {furthest}");
            assert!(delay.abs() < 1e-4, "{drift}: {delay}");
            assert!(late_spread < 2e-5, "{drift}: {late_spread}");
        }
    }
}

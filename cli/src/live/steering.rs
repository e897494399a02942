//! Steering a resampler between two clocks: how far the output lags the input, measured at every callback, is kept where
//! it should be by changing the ratio of the resampler by parts in a million.
//!
//! The measured lag is noisy, because callbacks come early and late. A Kalman filter with two states estimates the true lag
//! and the difference of the clocks from it, knowing what the steering itself does: its gains fall with time as those of a
//! straight line fitted to everything heard so far, so the difference is found within a second or two, and after minutes
//! it hardly moves any more. What is left between the lag and the wanted one is pulled in gently.

/// Standard deviations before anything is known: of the lag in seconds, and of the difference of the clocks.
const UNKNOWN: (f64, f64) = (0.01, 1e-3);
/// Noise of the measured lag: its variance in s^2 times the seconds between two measurements. More than callbacks every
/// 10 ms that come up to 2 ms late at both ends make (7e-9): larger blocks are measured less often than they seem to be.
/// With 5e-9 the pitch was off by 0.31 % at the start (0.2 % is the limit), now by 0.18 %.
const NOISE: f64 = 2e-8;
/// How fast clocks wander: variance of the difference gained in a second. With [`NOISE`] it sets how narrow the filter
/// becomes: (WANDER / NOISE)^(1/4) = 0.007 rad/s.
const WANDER: f64 = 5e-17;
/// Share of what is too much or too little lag that is made up for in a second, where it is small.
const PULL_PER_SECOND: f64 = 0.01;
/// Beyond so many seconds it is pulled harder.
const SMALL_SECONDS: f64 = 1e-3;
/// Most that is pulled, as a part of the ratio: a hundredth of a semitone.
const MOST_PULL: f64 = 5e-4;
/// The correction follows the estimates with a time constant that grows with what is known: this share of the time since
/// the start or the last jump, and at most so many seconds.
const SMOOTHING: (f64, f64) = (0.15, 12.0);
/// Largest difference of clocks, as part of the ratio: what no pair of sound cards has.
const MOST: f64 = 0.01;
/// Over so many seconds the errors of the prediction are averaged.
const WATCHED_SECONDS: f64 = 1.0;
/// A single measurement counts as at most so many usual errors, or so many seconds if that is more.
const CREDIBLE: (f64, f64) = (4.0, 1e-3);
/// The lag has jumped, or the clocks have changed, if the mean error is beyond so many seconds and this share of the usual
/// error.
const JUMP: (f64, f64) = (1e-3, 0.5);

/// See the module.
#[derive(Clone, Debug)]
pub struct Steering {
    /// Estimated lag in seconds; `None` at the start and after a gap.
    lag: Option<f64>,
    /// Estimated difference of the clocks.
    drift: f64,
    /// Covariance of the two: of the lag, of both, of the difference.
    covariance: [f64; 3],
    /// What the ratio has been corrected by since the last measurement.
    correction: f64,
    /// Seconds since the start or the last jump.
    age: f64,
    /// Averages of the error of the prediction and of its size.
    mean_error: f64,
    usual_error: f64,
}

impl Default for Steering {
    fn default() -> Self {
        Self {
            lag: None,
            drift: 0.0,
            covariance: [UNKNOWN.0 * UNKNOWN.0, 0.0, UNKNOWN.1 * UNKNOWN.1],
            correction: 0.0,
            age: 0.0,
            mean_error: 0.0,
            usual_error: 0.0,
        }
    }
}

impl Steering {
    /// Takes in that the lag is `lag` seconds where `wanted` are wanted, `elapsed` seconds after the last time. Returns how
    /// much faster than nominal the input must be consumed, as a part of 1.
    pub fn step(&mut self, lag: f64, wanted: f64, elapsed: f64) -> f64 {
        let elapsed = elapsed.clamp(1e-4, 0.5);
        let before = self.lag.unwrap_or(lag);
        self.predict(elapsed);
        let expected = before + (self.drift - self.correction) * elapsed;
        let error = self.believed(lag - expected, elapsed);
        let [p0, p1, p2] = self.covariance;
        let scale = 1.0 / (p0 + NOISE / elapsed);
        let (gain_lag, gain_drift) = (p0 * scale, p1 * scale);
        let estimated = expected + gain_lag * error;
        self.lag = Some(estimated);
        self.drift = (self.drift + gain_drift * error).clamp(-MOST, MOST);
        self.covariance = [
            p0 * (1.0 - gain_lag),
            p1 * (1.0 - gain_lag),
            p2 - gain_drift * p1,
        ];
        let surplus = estimated - wanted;
        let harder = 1.0 + (surplus / SMALL_SECONDS).powi(2);
        let pull = (PULL_PER_SECOND * harder * surplus).clamp(-MOST_PULL, MOST_PULL);
        self.age += elapsed;
        let smoothing = (SMOOTHING.0 * self.age).min(SMOOTHING.1);
        let share = 1.0 - (-elapsed / smoothing).exp();
        self.correction += share * (self.drift + pull - self.correction);
        self.correction
    }

    /// What is known becomes older.
    fn predict(&mut self, elapsed: f64) {
        let [p0, p1, p2] = self.covariance;
        self.covariance = [
            p0 + elapsed * (2.0 * p1 + elapsed * p2),
            p1 + elapsed * p2,
            p2 + WANDER * elapsed,
        ];
    }

    /// The part of the error of a prediction that is believed. If the errors lean to one side, less is known than was
    /// thought.
    fn believed(&mut self, error: f64, elapsed: f64) -> f64 {
        let credible = (CREDIBLE.0 * self.usual_error).max(CREDIBLE.1);
        let share = (elapsed / WATCHED_SECONDS).min(1.0);
        self.mean_error += share * (error - self.mean_error);
        self.usual_error += share * (error.abs() - self.usual_error);
        let mean = self.mean_error;
        if mean.abs() > JUMP.0 && mean.abs() > JUMP.1 * self.usual_error {
            self.covariance[0] += mean * mean;
            self.covariance[2] += (mean / (2.0 * WATCHED_SECONDS)).powi(2);
            self.mean_error = 0.0;
            self.age = 0.0;
            return error;
        }
        error.clamp(-credible, credible)
    }

    /// The last result of [`Self::step`].
    #[must_use]
    pub const fn correction(&self) -> f64 {
        self.correction
    }

    /// The sound is taken up again after a gap: the difference of the clocks is still known, the lag is not.
    pub const fn resume(&mut self) {
        self.lag = None;
        self.covariance[0] = UNKNOWN.0 * UNKNOWN.0;
        self.covariance[1] = 0.0;
        self.mean_error = 0.0;
        self.correction = self.drift;
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
            let (mut lag, wanted, step) = (0.02f64, 0.02, 256.0 / 48_000.0);
            let (mut furthest, mut late_spread) = (0.0f64, 0.0f64);
            for i in 0..100_000 {
                // A millisecond of jitter.
                let seen = lag + 1e-3 * (rng.uniform() - 0.5);
                let correction = steering.step(seen, wanted, step);
                lag += (drift - correction) * step;
                furthest = furthest.max((lag - wanted).abs());
                if i > 50_000 {
                    late_spread = late_spread.max((correction - drift).abs());
                }
            }
            println!("{drift}: {furthest:e} {:e} {late_spread:e}", lag - wanted);
            assert!(furthest < 2e-3, "{drift}: {furthest}");
            assert!((lag - wanted).abs() < 1e-4, "{drift}: {lag}");
            assert!(late_spread < 2e-6, "{drift}: {late_spread}");
        }
    }

    #[test]
    fn lost_blocks_late_callbacks_and_another_clock_are_got_over() {
        let mut steering = Steering::default();
        let mut rng = StableRng::new(4, 0);
        let (mut lag, wanted, step) = (0.02f64, 0.02, 256.0 / 48_000.0);
        let mut drift = 2e-4;
        let seconds = |s: f64| (s / step) as usize;
        for i in 0..seconds(400.0) {
            if i == seconds(100.0) {
                lag -= 0.008;
            }
            if i == seconds(250.0) {
                drift = -5e-4;
            }
            let mut seen = lag + 1e-3 * rng.uniform();
            if i % 400 == 200 {
                // The machine was busy.
                seen += 0.03;
            }
            let correction = steering.step(seen, wanted, step);
            lag += (drift - correction) * step;
            let settled = [99.0, 249.0, 399.0].map(seconds).contains(&i);
            if settled {
                let off = lag - wanted;
                println!("{i}: {off:e}, {:e}", correction - drift);
                assert!(off.abs() < 1e-3, "{i}: {off}");
                assert!((correction - drift).abs() < 2e-5, "{i}");
            }
            let furthest = if i < seconds(100.0) { 3e-3 } else { 9e-3 };
            assert!((lag - wanted).abs() < furthest, "{i}: {lag}");
            assert!((correction - drift).abs() < 1.5e-3, "{i}: {correction}");
        }
    }
}

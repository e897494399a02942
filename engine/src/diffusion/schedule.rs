//! Variance schedules and the forward process (Eq. 1 to 4).

use serde::{Deserialize, Serialize};

/// The largest number of timesteps: training batches store a timestep in 16 bits.
pub const MAX_TIMESTEPS: usize = u16::MAX as usize;

/// Why a schedule cannot be built.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum ScheduleError {
    /// The number of timesteps is outside `1..=MAX_TIMESTEPS`.
    #[error("a schedule of {0} timesteps is not possible: choose 1 to {MAX_TIMESTEPS}")]
    Timesteps(usize),
    /// The variances are not `0 < first <= last < 1`.
    #[error("variances {first} to {last} are not possible: choose 0 < first <= last < 1")]
    Beta {
        /// Variance of the first timestep.
        first: f64,
        /// Variance of the last timestep.
        last: f64,
    },
    /// The levels are not finite, not descending, or beyond +-150 dB.
    #[error(
        "signal-to-noise ratios from {top} dB down to {bottom} dB are not possible: choose two levels between -150 and 150 dB, the higher one first"
    )]
    Snr {
        /// Level of timestep 1, in dB.
        top: f64,
        /// Level of timestep K, in dB.
        bottom: f64,
    },
    /// So many timesteps that neighbours share one `alpha_bar`.
    #[error(
        "{0} timesteps lie too close together to be told apart: choose fewer, or a wider range"
    )]
    TooFine(usize),
}

/// The few numbers a schedule is made from; what is written to files.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum ScheduleRecipe {
    /// See [`Schedule::linear_beta`].
    LinearBeta {
        /// Number of timesteps K.
        timesteps: usize,
        /// `beta_1`.
        beta_first: f64,
        /// `beta_K`.
        beta_last: f64,
    },
    /// See [`Schedule::log_snr`].
    LogSnr {
        /// Number of timesteps K.
        timesteps: usize,
        /// Signal-to-noise ratio of timestep 1, in dB.
        top_snr_db: f64,
        /// Signal-to-noise ratio of timestep K, in dB.
        bottom_snr_db: f64,
    },
}

/// A variance schedule `beta_1 .. beta_K` with everything derived from it.
///
/// Timesteps count from 1 (cleanest) to K (noisiest); `alpha_bar(0)` is 1, the clean signal. A timestep beyond K is
/// read as K, so that no lookup can fail on an audio thread.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "ScheduleRecipe", into = "ScheduleRecipe")]
pub struct Schedule {
    recipe: ScheduleRecipe,
    /// `beta[k]` for k in `0..=K`; `beta[0]` is 0.
    beta: Vec<f64>,
    /// `alpha_bar[k]` for k in `0..=K`; strictly descending from 1.
    alpha_bar: Vec<f64>,
    /// `10 log10(alpha_bar / (1 - alpha_bar))` of timestep `k + 1`; strictly descending.
    snr_db: Vec<f64>,
}

impl TryFrom<ScheduleRecipe> for Schedule {
    type Error = ScheduleError;

    fn try_from(recipe: ScheduleRecipe) -> Result<Self, ScheduleError> {
        match recipe {
            ScheduleRecipe::LinearBeta {
                timesteps,
                beta_first,
                beta_last,
            } => Self::linear_beta(timesteps, beta_first, beta_last),
            ScheduleRecipe::LogSnr {
                timesteps,
                top_snr_db,
                bottom_snr_db,
            } => Self::log_snr(timesteps, top_snr_db, bottom_snr_db),
        }
    }
}

impl From<Schedule> for ScheduleRecipe {
    fn from(schedule: Schedule) -> Self {
        schedule.recipe
    }
}

/// `count` numbers from `first` to `last` in equal steps.
fn equally_spaced(count: usize, first: f64, last: f64) -> impl Iterator<Item = f64> {
    let gaps = count.saturating_sub(1).max(1) as f64;
    (0..count).map(move |i| first + (last - first) * (i as f64 / gaps))
}

impl Schedule {
    /// The paper's schedule (Section 4.1): K variances equally spaced from `beta_first` to `beta_last`
    /// (there 1e-4 to 0.02).
    ///
    /// # Errors
    /// Unless `1 <= timesteps <= MAX_TIMESTEPS` and `0 < beta_first <= beta_last < 1`.
    pub fn linear_beta(
        timesteps: usize,
        beta_first: f64,
        beta_last: f64,
    ) -> Result<Self, ScheduleError> {
        check_timesteps(timesteps)?;
        if !(beta_first > 0.0 && beta_first <= beta_last && beta_last < 1.0) {
            return Err(ScheduleError::Beta {
                first: beta_first,
                last: beta_last,
            });
        }
        let mut beta = vec![0.0];
        let mut alpha_bar = vec![1.0];
        let mut snr_db = Vec::with_capacity(timesteps);
        let mut product = 1.0;
        for b in equally_spaced(timesteps, beta_first, beta_last) {
            product *= 1.0 - b;
            beta.push(b);
            alpha_bar.push(product);
            snr_db.push(10.0 * libm::log10(product / (1.0 - product)));
        }
        let recipe = ScheduleRecipe::LinearBeta {
            timesteps,
            beta_first,
            beta_last,
        };
        Self::checked(recipe, beta, alpha_bar, snr_db)
    }

    /// K timesteps uniform in log signal-to-noise ratio: timestep 1 at `top_snr_db`, timestep K at `bottom_snr_db`,
    /// `alpha_bar = snr / (1 + snr)`.
    ///
    /// # Errors
    /// Unless `1 <= timesteps <= MAX_TIMESTEPS` and `150 >= top_snr_db > bottom_snr_db >= -150`
    /// (with a single timestep only `top_snr_db` counts, and the two may be equal).
    pub fn log_snr(
        timesteps: usize,
        top_snr_db: f64,
        bottom_snr_db: f64,
    ) -> Result<Self, ScheduleError> {
        check_timesteps(timesteps)?;
        let ordered = top_snr_db > bottom_snr_db || (timesteps == 1 && top_snr_db == bottom_snr_db);
        if !(ordered && top_snr_db <= 150.0 && bottom_snr_db >= -150.0) {
            return Err(ScheduleError::Snr {
                top: top_snr_db,
                bottom: bottom_snr_db,
            });
        }
        let snr_db: Vec<f64> = equally_spaced(timesteps, top_snr_db, bottom_snr_db).collect();
        let mut beta = vec![0.0];
        let mut alpha_bar = vec![1.0];
        let mut previous = 1.0;
        for db in &snr_db {
            let snr = libm::pow(10.0, db / 10.0);
            let now = snr / (1.0 + snr);
            beta.push(1.0 - now / previous);
            alpha_bar.push(now);
            previous = now;
        }
        let recipe = ScheduleRecipe::LogSnr {
            timesteps,
            top_snr_db,
            bottom_snr_db,
        };
        Self::checked(recipe, beta, alpha_bar, snr_db)
    }

    fn checked(
        recipe: ScheduleRecipe,
        beta: Vec<f64>,
        alpha_bar: Vec<f64>,
        snr_db: Vec<f64>,
    ) -> Result<Self, ScheduleError> {
        let separate = alpha_bar.windows(2).all(|w| w[0] > w[1] && w[1] > 0.0)
            && snr_db.iter().all(|db| db.is_finite());
        if !separate {
            return Err(ScheduleError::TooFine(snr_db.len()));
        }
        Ok(Self {
            recipe,
            beta,
            alpha_bar,
            snr_db,
        })
    }

    /// The numbers the schedule was made from.
    #[must_use]
    pub fn recipe(&self) -> &ScheduleRecipe {
        &self.recipe
    }

    /// Number of timesteps K.
    #[must_use]
    pub fn timesteps(&self) -> usize {
        self.snr_db.len()
    }

    /// `beta_k`, the variance that step k adds (Eq. 1); `beta(0)` is 0.
    #[must_use]
    pub fn beta(&self, k: usize) -> f64 {
        self.beta[k.min(self.timesteps())]
    }

    /// `alpha_k = 1 - beta_k`.
    #[must_use]
    pub fn alpha(&self, k: usize) -> f64 {
        1.0 - self.beta(k)
    }

    /// `alpha_bar_k`, the product of `alpha_1 .. alpha_k` (Eq. 3); `alpha_bar(0)` is 1.
    #[must_use]
    pub fn alpha_bar(&self, k: usize) -> f64 {
        self.alpha_bar[k.min(self.timesteps())]
    }

    /// `alpha_bar_k / (1 - alpha_bar_k)` in dB; infinite for k = 0.
    #[must_use]
    pub fn snr_db(&self, k: usize) -> f64 {
        match k.min(self.timesteps()) {
            0 => f64::INFINITY,
            k => self.snr_db[k - 1],
        }
    }

    /// The timestep (1 to K) whose signal-to-noise ratio is nearest to `db`; the noisiest one for NaN.
    #[must_use]
    pub fn timestep_for_snr_db(&self, db: f64) -> usize {
        if db.is_nan() {
            return self.timesteps();
        }
        // Levels descend: `after` is the first timestep (from 0) at or below `db`.
        let after = self.snr_db.partition_point(|&level| level > db);
        if after == 0 {
            return 1;
        }
        if after == self.timesteps() {
            return after;
        }
        let above = self.snr_db[after - 1] - db;
        let below = db - self.snr_db[after];
        if above <= below { after } else { after + 1 }
    }

    /// Forward process in one step (Eq. 4): `out = sqrt(alpha_bar_k) x0 + sqrt(1 - alpha_bar_k) noise`.
    ///
    /// The three slices have one length; surplus values are left alone.
    pub fn forward_into(&self, x0: &[f32], k: usize, noise: &[f32], out: &mut [f32]) {
        let alpha_bar = self.alpha_bar(k);
        combine(alpha_bar.sqrt(), x0, (1.0 - alpha_bar).sqrt(), noise, out);
    }

    /// One forward step (Eq. 1), from timestep k - 1 to k: `out = sqrt(1 - beta_k) x + sqrt(beta_k) noise`.
    ///
    /// The three slices have one length; surplus values are left alone.
    pub fn step_into(&self, x: &[f32], k: usize, noise: &[f32], out: &mut [f32]) {
        let beta = self.beta(k);
        combine((1.0 - beta).sqrt(), x, beta.sqrt(), noise, out);
    }
}

fn check_timesteps(timesteps: usize) -> Result<(), ScheduleError> {
    if (1..=MAX_TIMESTEPS).contains(&timesteps) {
        Ok(())
    } else {
        Err(ScheduleError::Timesteps(timesteps))
    }
}

fn combine(a: f64, x: &[f32], b: f64, y: &[f32], out: &mut [f32]) {
    debug_assert!(x.len() == y.len() && x.len() == out.len());
    let (a, b) = (a as f32, b as f32);
    for ((o, x), y) in out.iter_mut().zip(x).zip(y) {
        *o = a * x + b * y;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rng::StableRng;

    #[test]
    fn linear_beta_is_the_papers() {
        let s = Schedule::linear_beta(100, 1e-4, 0.02).unwrap();
        assert_eq!(s.timesteps(), 100);
        assert!((s.beta(1) - 1e-4).abs() < 1e-18 && (s.beta(100) - 0.02).abs() < 1e-15);
        let mut product = 1.0;
        for k in 1..=100 {
            let beta = 1e-4 + (0.02 - 1e-4) * (k as f64 - 1.0) / 99.0;
            product *= 1.0 - beta;
            assert!((s.beta(k) - beta).abs() < 1e-15);
            assert!((s.alpha(k) - (1.0 - beta)).abs() < 1e-15);
            assert!((s.alpha_bar(k) - product).abs() < 1e-14);
        }
        assert!((s.alpha_bar(100) - 0.364).abs() < 1e-3);
        assert_eq!(s.alpha_bar(0), 1.0);
        assert_eq!(Schedule::linear_beta(1, 0.1, 0.2).unwrap().beta(1), 0.1);
    }

    #[test]
    fn log_snr_is_uniform_in_db() {
        let s = Schedule::log_snr(14, 45.0, -20.0).unwrap();
        let mut product = 1.0;
        for k in 1..=14 {
            let db = 45.0 - 5.0 * (k as f64 - 1.0);
            assert!((s.snr_db(k) - db).abs() < 1e-12);
            let a = s.alpha_bar(k);
            assert!((10.0 * (a / (1.0 - a)).log10() - db).abs() < 1e-9);
            product *= s.alpha(k);
            assert!((product - a).abs() < 1e-12);
        }
    }

    #[test]
    fn nearest_timestep_agrees_with_a_search() {
        for s in [
            Schedule::log_snr(11, 45.0, -20.0).unwrap(),
            Schedule::linear_beta(50, 1e-4, 0.02).unwrap(),
            Schedule::log_snr(1, 3.0, 3.0).unwrap(),
        ] {
            let mut db = -80.0;
            while db < 80.0 {
                let k = s.timestep_for_snr_db(db);
                let best = (1..=s.timesteps())
                    .map(|k| (s.snr_db(k) - db).abs())
                    .fold(f64::INFINITY, f64::min);
                assert!((s.snr_db(k) - db).abs() <= best + 1e-12);
                db += 0.37;
            }
            assert_eq!(s.timestep_for_snr_db(f64::INFINITY), 1);
            assert_eq!(s.timestep_for_snr_db(f64::NEG_INFINITY), s.timesteps());
            assert_eq!(s.timestep_for_snr_db(f64::NAN), s.timesteps());
            assert_eq!(s.alpha_bar(usize::MAX), s.alpha_bar(s.timesteps()));
        }
    }

    #[test]
    fn many_single_steps_have_the_variance_of_one_forward_step() {
        // Eq. 3: with x0 = 0 the variance after k steps is 1 - alpha_bar_k.
        let s = Schedule::linear_beta(20, 0.01, 0.2).unwrap();
        let mut rng = StableRng::new(5, 0);
        let n = 40_000;
        let mut x = vec![1.0f32; n];
        let mut next = vec![0.0f32; n];
        for k in 1..=20 {
            let noise: Vec<f32> = (0..n).map(|_| rng.normal() as f32).collect();
            s.step_into(&x, k, &noise, &mut next);
            std::mem::swap(&mut x, &mut next);
        }
        let mean = x.iter().map(|v| f64::from(*v)).sum::<f64>() / n as f64;
        let var = x
            .iter()
            .map(|v| (f64::from(*v) - mean).powi(2))
            .sum::<f64>()
            / n as f64;
        assert!((mean - s.alpha_bar(20).sqrt()).abs() < 0.02);
        assert!((var / (1.0 - s.alpha_bar(20)) - 1.0).abs() < 0.03);
        let mut once = [0.0f32];
        s.forward_into(&[2.0], 20, &[-1.0], &mut once);
        let want = 2.0 * s.alpha_bar(20).sqrt() - (1.0 - s.alpha_bar(20)).sqrt();
        assert!((f64::from(once[0]) - want).abs() < 1e-6);
    }

    #[test]
    fn impossible_schedules_are_refused() {
        assert!(Schedule::linear_beta(0, 1e-4, 0.02).is_err());
        assert!(Schedule::linear_beta(70_000, 1e-4, 0.02).is_err());
        assert!(Schedule::linear_beta(10, 0.0, 0.02).is_err());
        assert!(Schedule::linear_beta(10, 0.1, 0.02).is_err());
        assert!(Schedule::linear_beta(10, 0.1, 1.0).is_err());
        assert!(Schedule::linear_beta(10, f64::NAN, 0.5).is_err());
        assert!(Schedule::linear_beta(60_000, 0.9, 0.9).is_err());
        assert!(Schedule::linear_beta(3, 1e-300, 1e-300).is_err());
        assert!(Schedule::log_snr(10, -20.0, 45.0).is_err());
        assert!(Schedule::log_snr(10, f64::INFINITY, 0.0).is_err());
        assert!(Schedule::log_snr(10, 0.0, 0.0).is_err());
        assert!(Schedule::log_snr(10, f64::NAN, 0.0).is_err());
    }

    #[test]
    fn files_hold_the_recipe_and_are_checked() {
        let s = Schedule::log_snr(11, 45.0, -20.0).unwrap();
        let text = serde_json::to_string(&s).unwrap();
        assert_eq!(serde_json::from_str::<Schedule>(&text).unwrap(), s);
        assert!(text.len() < 100);
        let bad = text.replace("45.0", "-45.0");
        assert!(serde_json::from_str::<Schedule>(&bad).is_err());
    }
}

//! What is heard of a denoiser: estimate and delayed input, in weights that change without clicks.

use serde::{Deserialize, Serialize};

/// What is heard.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Output {
    /// The music without the noise.
    #[default]
    Denoised,
    /// What is taken away.
    Removed,
    /// The input, delayed like the output.
    Bypass,
}

/// Attenuation of the noise from which on nothing of it is left in.
pub const FULL_AMOUNT_DB: f32 = 100.0;
/// Time constant of gain changes in seconds: no click, no audible glide.
const SMOOTHING_SECONDS: f32 = 0.005;

/// The weights of estimate and input in the output.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Weights {
    /// Of the estimate.
    pub estimate: f32,
    /// Of the input, delayed like the estimate.
    pub input: f32,
}

impl Weights {
    /// The output sample.
    #[inline(always)]
    #[must_use]
    pub fn apply(self, estimate: f32, input: f32) -> f32 {
        self.estimate * estimate + self.input * input
    }
}

/// The weights as set, and on the way there. Any thread that owns the stream; never allocates.
#[derive(Clone, Debug)]
pub struct OutputMix {
    amount_db: f32,
    output: Output,
    now: Weights,
    share: f32,
}

impl OutputMix {
    /// The whole noise is taken away.
    #[must_use]
    pub fn new(rate_hz: u32) -> Self {
        Self {
            amount_db: FULL_AMOUNT_DB,
            output: Output::Denoised,
            now: Weights {
                estimate: 1.0,
                input: 0.0,
            },
            share: 1.0 - libm::expf(-1.0 / (SMOOTHING_SECONDS * rate_hz as f32)),
        }
    }

    /// How deep the noise is taken down, 0 (not at all) to [`FULL_AMOUNT_DB`] and above (wholly).
    pub fn set_amount_db(&mut self, amount_db: f32) {
        self.amount_db = if amount_db.is_finite() {
            amount_db.max(0.0)
        } else {
            FULL_AMOUNT_DB
        };
    }

    /// What is heard.
    pub const fn set_output(&mut self, output: Output) {
        self.output = output;
    }

    /// The weights as set.
    #[must_use]
    pub fn target(&self) -> Weights {
        let left_in = if self.amount_db >= FULL_AMOUNT_DB {
            0.0
        } else {
            libm::exp10f(-self.amount_db / 20.0)
        };
        match self.output {
            Output::Denoised => Weights {
                estimate: 1.0 - left_in,
                input: left_in,
            },
            Output::Removed => Weights {
                estimate: left_in - 1.0,
                input: 1.0 - left_in,
            },
            Output::Bypass => Weights {
                estimate: 0.0,
                input: 1.0,
            },
        }
    }

    /// The weights now.
    #[must_use]
    pub const fn now(&self) -> Weights {
        self.now
    }

    /// Where the weights have come to, by [`Self::step`] from [`Self::now`].
    pub const fn set_now(&mut self, weights: Weights) {
        self.now = weights;
    }

    /// Starts at the weights as set instead of gliding to them; for the start of a stream.
    pub fn settle(&mut self) {
        self.now = self.target();
    }

    /// One sample's step from `weights` towards `target`, which is reached exactly in the end.
    #[inline(always)]
    #[must_use]
    pub fn step(&self, weights: Weights, target: Weights) -> Weights {
        let step = |x: f32, t: f32| {
            if (t - x).abs() < 1e-5 {
                t
            } else {
                x + self.share * (t - x)
            }
        };
        Weights {
            estimate: step(weights.estimate, target.estimate),
            input: step(weights.input, target.input),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn weights_glide_and_arrive() {
        let mut mix = OutputMix::new(48_000);
        mix.set_amount_db(20.0);
        mix.set_output(Output::Removed);
        let target = mix.target();
        assert!((target.estimate + 0.9).abs() < 1e-6 && (target.input - 0.9).abs() < 1e-6);
        let mut weights = mix.now();
        let mut steps = 0;
        while weights != target {
            let next = mix.step(weights, target);
            assert!((next.estimate - weights.estimate).abs() < 0.01);
            weights = next;
            steps += 1;
            assert!(steps < 48_000);
        }
        assert!(steps > 480);
        mix.set_amount_db(f32::NAN);
        mix.set_output(Output::Denoised);
        mix.settle();
        assert_eq!(mix.now().apply(0.5, 3.0), 0.5);
    }
}

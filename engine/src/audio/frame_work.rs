//! How a frame's work is cut into parts, so that it can be spread over a hop, and what the parts cost.
//!
//! Costs are rough, in nanoseconds, measured on one server core with AVX-512; only the proportions matter, and only for how
//! evenly work is spread.

use super::chain::StepModel;
use super::kernel::{BINS_PER_PASS, Kernel};
use super::step::SpectralStep;

/// Cost of a bin that is analysed.
pub const ANALYSE: f32 = 4.0;
/// Cost of a bin of a pair that is turned.
pub const TURN: f32 = 1.3;
/// Cost of a bin of a spectrum that is made samples again.
pub const SYNTHESISE: f32 = 3.5;

/// What the steps of all channels have to do next with their newest frame.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum StepPhase {
    /// Take it into the running averages.
    Update {
        /// Number of the step.
        channel: usize,
        /// Of [`SpectralStep::update_parts`].
        part: usize,
    },
    /// Choose the bins to work on.
    Select {
        /// Number of the step.
        channel: usize,
        /// Of [`SpectralStep::select_parts`].
        part: usize,
    },
    /// Take the noise away.
    Predict {
        /// Number of the step.
        channel: usize,
        /// First active bin of the pass.
        start: usize,
    },
}

impl StepPhase {
    /// The first one.
    pub const BEGIN: Self = Self::Update {
        channel: 0,
        part: 0,
    };

    /// Does it and returns the next; `None` after the last. Never allocates.
    #[must_use]
    pub fn advance(self, steps: &mut [SpectralStep], kernel: &Kernel) -> Option<Self> {
        let channels = steps.len();
        match self {
            Self::Update { channel, part } => {
                let step = &mut steps[channel];
                step.update_part(part);
                let part = part + 1;
                Some(if part < step.update_parts() {
                    Self::Update { channel, part }
                } else {
                    Self::Select { channel, part: 0 }
                })
            }
            Self::Select { channel, part } => {
                let step = &mut steps[channel];
                step.select_part(part);
                let (part, next) = (part + 1, channel + 1);
                Some(if part < step.select_parts() {
                    Self::Select { channel, part }
                } else if next < channels {
                    // All choose before any predicts: what is left to do is known sooner.
                    Self::Update {
                        channel: next,
                        part: 0,
                    }
                } else {
                    Self::Predict {
                        channel: 0,
                        start: 0,
                    }
                })
            }
            Self::Predict { channel, start } => {
                let step = &mut steps[channel];
                step.predict(kernel, start);
                let (start, next) = (start + BINS_PER_PASS, channel + 1);
                if start < step.active_count() {
                    Some(Self::Predict { channel, start })
                } else if next < channels {
                    Some(Self::Predict {
                        channel: next,
                        start: 0,
                    })
                } else {
                    None
                }
            }
        }
    }
}

/// Passes of the kernel over the bins that are to be worked on, as far as they are known: a step's are those of the last frame
/// until it has chosen its bins.
#[must_use]
pub fn passes(steps: &[SpectralStep]) -> usize {
    let each = steps.iter().map(SpectralStep::active_count);
    each.map(|n| n.div_ceil(BINS_PER_PASS).max(1)).sum()
}

/// Costs of one call for each part of a step, and how many parts there are.
#[derive(Default)]
pub struct StepCost {
    update: f32,
    updates: f32,
    select: f32,
    selects: f32,
    pass: f32,
}

impl StepCost {
    /// For one step a channel.
    #[must_use]
    pub fn new(steps: &[SpectralStep], model: &StepModel) -> Self {
        let Some(step) = steps.first() else {
            return Self::default();
        };
        let bins = step.bins() as f32;
        let config = step.config();
        let contexts = config.context_inputs() as f32;
        let patch = config.patch_inputs() as f32;
        let gather = 4.1 * contexts + 3.7 * patch;
        let kernel = 0.0075 * model.model.n_features() as f32 * (contexts + patch + 14.0);
        let channels = steps.len() as f32;
        Self {
            update: bins * 0.75,
            updates: channels * step.update_parts() as f32,
            select: bins * 2.8,
            selects: channels * step.select_parts() as f32,
            pass: BINS_PER_PASS as f32 * (gather + kernel),
        }
    }

    /// One phase.
    #[must_use]
    pub const fn of(&self, phase: StepPhase) -> f32 {
        match phase {
            StepPhase::Update { .. } => self.update,
            StepPhase::Select { .. } => self.select,
            StepPhase::Predict { .. } => self.pass,
        }
    }

    /// A frame in which the kernel makes `passes` passes.
    #[must_use]
    pub fn total(&self, passes: usize) -> f32 {
        self.updates * self.update + self.selects * self.select + passes as f32 * self.pass
    }
}

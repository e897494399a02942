//! What the parts of a frame's work cost, roughly, in nanoseconds.
//!
//! Measured on one server core with AVX-512; only the proportions matter, and only for how evenly work is spread.

use super::chain::StepModel;
use super::kernel::BINS_PER_PASS;
use super::step::SpectralStep;

/// A bin to be analysed, turned as one of a pair, and put together again, in nanoseconds.
pub const ANALYSE: f32 = 4.0;
pub const TURN: f32 = 1.3;
pub const SYNTHESISE: f32 = 3.5;

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
    /// One part of an update, and how many there are for all channels.
    pub update: f32,
    updates: f32,
    /// One part of a selection.
    pub select: f32,
    selects: f32,
    /// One pass of the kernel.
    pub pass: f32,
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

    /// A frame in which the kernel makes `passes` passes.
    #[must_use]
    pub fn total(&self, passes: usize) -> f32 {
        self.updates * self.update + self.selects * self.select + passes as f32 * self.pass
    }
}

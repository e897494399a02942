//! Whole runs of Adam: options, checkpoints, going on where a run was stopped.

use serde::{Deserialize, Serialize};

use super::adam::{AdamParams, AdamState, Minibatches};
use super::error::TrainError;
use super::params::{Control, Observer, TrainEvent};
use crate::model::{FeatureDraw, ModelKind, RandomFeatures, nn_features_matching};

/// What a user may choose about Adam; the rest is as in [`AdamParams::default`].
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AdamOptions {
    /// Steps in all, at least 1.
    pub steps: u64,
    /// Rows of a minibatch, 1 to 65536.
    pub batch: usize,
    /// Step size, above 0.
    pub learning_rate: f32,
    /// Steps between two reports, at least 1; files without it had the default.
    #[serde(default = "default_report", skip_serializing_if = "is_default_report")]
    pub report_every: u64,
    /// Steps between two checkpoints, at least 1; rounded up to whole reports.
    pub checkpoint_every: u64,
}

fn default_report() -> u64 {
    AdamParams::default().report_every
}

fn is_default_report(every: &u64) -> bool {
    *every == default_report()
}

impl Default for AdamOptions {
    fn default() -> Self {
        let params = AdamParams::default();
        Self {
            steps: params.steps,
            batch: params.batch,
            learning_rate: params.learning_rate,
            report_every: params.report_every,
            checkpoint_every: 5_000,
        }
    }
}

impl AdamOptions {
    fn params(&self, kind: ModelKind, seed: u64) -> AdamParams {
        AdamParams {
            kind,
            steps: self.steps,
            batch: self.batch,
            learning_rate: self.learning_rate,
            report_every: self.report_every,
            seed,
            ..AdamParams::default()
        }
    }
}

/// Where runs are kept, so that a stopped one can go on: the caller's files. [`AdamState::write_to`] and
/// [`AdamState::read_from`] are the format.
pub trait Checkpoints {
    /// The saved run of a step; `None` if there is none.
    ///
    /// # Errors
    /// If there is one and it cannot be read.
    fn load(&mut self, step: &str) -> Result<Option<AdamState>, TrainError>;

    /// Keeps the run of a step: every [`AdamOptions::checkpoint_every`] steps, when it is stopped and when it is done.
    ///
    /// # Errors
    /// If it cannot be written.
    fn save(&mut self, step: &str, state: &AdamState) -> Result<(), TrainError>;
}

/// Keeps nothing.
#[derive(Clone, Copy, Debug)]
pub struct NoCheckpoints;

impl Checkpoints for NoCheckpoints {
    fn load(&mut self, _: &str) -> Result<Option<AdamState>, TrainError> {
        Ok(None)
    }

    fn save(&mut self, _: &str, _: &AdamState) -> Result<(), TrainError> {
        Ok(())
    }
}

/// A run: how its features are drawn, how it is trained, on what.
pub struct AdamRun<'a> {
    /// Name, for checkpoints.
    pub name: &'a str,
    /// How the features are drawn; its seed is that of the run.
    pub draw: &'a FeatureDraw,
    /// What is trained.
    pub kind: ModelKind,
    /// What it is trained on.
    pub rows: &'a dyn Minibatches,
}

impl AdamRun<'_> {
    /// Trains, or goes on from a checkpoint with the same bits.
    ///
    /// # Errors
    /// As [`AdamState::train`], [`TrainError::Stopped`] if the observer stops it, [`TrainError::OtherRun`] for a checkpoint
    /// of another run, and what the checkpoints say.
    pub fn train(
        &self,
        options: &AdamOptions,
        checkpoints: &mut dyn Checkpoints,
        observer: Observer<'_>,
    ) -> Result<AdamState, TrainError> {
        let params = options.params(self.kind, self.draw.seed);
        params.check()?;
        let (_, d_out, timesteps) = self.rows.shape();
        let mut state = match checkpoints.load(self.name)? {
            Some(state) => self.continued(state, &params)?,
            None => {
                let features = RandomFeatures::draw(self.draw)?;
                AdamState::new(features, timesteps, d_out, params)?
            }
        };
        while state.step() < options.steps {
            let pause = state.step() + options.checkpoint_every.max(1);
            let mut stopped = false;
            state.train(self.rows, &mut |event| {
                stopped = observer(event) == Control::Stop;
                // A pause is a stop of the run, not of the training: it goes on below with the same bits.
                let pauses = matches!(event, TrainEvent::Step { step, .. } if *step >= pause);
                if stopped || pauses {
                    Control::Stop
                } else {
                    Control::Continue
                }
            })?;
            checkpoints.save(self.name, &state)?;
            if stopped {
                return Err(TrainError::Stopped);
            }
        }
        Ok(state)
    }

    /// A checkpoint that belongs to this run, with the number of steps that is wanted now.
    fn continued(
        &self,
        mut state: AdamState,
        params: &AdamParams,
    ) -> Result<AdamState, TrainError> {
        state.set_steps(params.steps);
        let model = state.model();
        let (_, d_out, timesteps) = self.rows.shape();
        let found = (
            model.d_in(),
            model.d_out(),
            model.timesteps(),
            model.n_features(),
        );
        let wanted = (self.draw.d_in, d_out, timesteps, self.draw.n_features);
        if state.params() != params || found != wanted {
            return Err(TrainError::OtherRun(self.name.to_owned()));
        }
        Ok(state)
    }
}

/// The draw of a model of `kind` with as many trainable parameters as a DRFM of `draw` has.
#[must_use]
pub fn draw_for_kind(
    draw: &FeatureDraw,
    kind: ModelKind,
    d_out: usize,
    timesteps: usize,
) -> FeatureDraw {
    let mut draw = draw.clone();
    if kind == ModelKind::Nn {
        draw.n_features = nn_features_matching(draw.d_in, d_out, timesteps, draw.n_features);
    }
    draw
}

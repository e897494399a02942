//! Spectral training by Adam: the paper's own method (Algorithm 1), and the only one for the NN baseline.
//!
//! It trains the same steps of the same recipe as [`super::trainer`], one after another, so the resulting model file is
//! used in the same way. Unlike there, the training rows of a step are held in memory, and nothing can be merged.

use std::collections::BTreeMap;

use super::chain::StepModel;
use super::model::SpectralRecipe;
use super::range::RangeStats;
use super::recipe::{self, PlannedStep};
use super::trainer::{
    Progress, ProgressObserver, SpectralTraining, TRAINING_RATE_HZ, TrainerError, sampling,
};
use super::training_set::{Clip, EarlierSteps, SpectralTrainingSet};
use crate::model::file::{Domain, ModelFile, ModelPart};
use crate::model::{FeatureDraw, ModelKind};
use crate::train::adam_run;
pub(super) use crate::train::adam_run::draw_for_kind;
pub use crate::train::adam_run::{AdamOptions, Checkpoints, NoCheckpoints};
use crate::train::{AdamState, Batch, Fold, TrainError, TrainingSet as _, read_fold};

/// The run of one step: how its features are drawn, how it is trained, on what.
pub(super) struct AdamRun<'a> {
    /// Name of the step, for progress and checkpoints.
    pub(super) name: &'a str,
    /// Its number from 1, and the number of steps.
    pub(super) position: (usize, usize),
    pub(super) draw: &'a FeatureDraw,
    pub(super) kind: ModelKind,
    pub(super) rows: &'a Batch,
}

impl AdamRun<'_> {
    /// Trains, or goes on from a checkpoint with the same bits.
    pub(super) fn train(
        &self,
        options: &AdamOptions,
        checkpoints: &mut dyn Checkpoints,
        observer: ProgressObserver<'_>,
    ) -> Result<AdamState, TrainerError> {
        let run = adam_run::AdamRun {
            name: self.name,
            draw: self.draw,
            kind: self.kind,
            rows: self.rows,
        };
        let trained = run.train(options, checkpoints, &mut |event| {
            observer(&Progress {
                step: self.name,
                position: self.position,
                event,
            })
        });
        trained.map_err(|e| match e {
            TrainError::OtherRun(_) => TrainerError::Mismatch(e.to_string()),
            other => other.into(),
        })
    }
}

/// A digest of recordings and their order, by which a checkpoint is known to be of the same.
#[must_use]
pub fn digest_of(clips: &[Clip]) -> u64 {
    clips.iter().fold(0xcbf2_9ce4_8422_2325, |digest, clip| {
        (digest ^ clip.identity()).wrapping_mul(0x9e37_79b9_7f4a_7c15)
    })
}

/// Trains all steps of both stages by Adam: DRFM, RF, or NN with as many trainable parameters as DRFM would have.
/// Takes the same clips as [`super::trainer::train`] and gives a model of the same recipe.
///
/// # Errors
/// [`TrainerError::Train`] if a parameter is out of range, a step has no training rows, the run diverges or the
/// observer stops it; [`TrainerError::Mismatch`] if a checkpoint is of another run.
pub fn train_adam(
    training: &SpectralTraining,
    options: &AdamOptions,
    clips: &[Clip],
    checkpoints: &mut dyn Checkpoints,
    observer: ProgressObserver<'_>,
) -> Result<ModelFile, TrainerError> {
    let plan = recipe::plan(training)?;
    let sampling = sampling(training);
    let mut trained: BTreeMap<String, StepModel> = BTreeMap::new();
    let mut parts = BTreeMap::new();
    for (i, step) in plan.steps.iter().enumerate() {
        let earlier = earlier_steps(step, &trained)?;
        let set = SpectralTrainingSet::new(&step.config, earlier, clips, &sampling);
        let rows = read_fold(&set, Fold::Train)?;
        let draw = draw_for_kind(&step.draw, training.kind, set.d_out(), set.timesteps());
        let run = AdamRun {
            name: &step.name,
            position: (i + 1, plan.steps.len()),
            draw: &draw,
            kind: training.kind,
            rows: &rows,
        };
        let model = run
            .train(options, &mut *checkpoints, &mut *observer)?
            .model()
            .clone();
        let ready = StepModel::new(step.config.clone(), model.clone()).ok_or_else(|| {
            TrainerError::Model(format!("the model of step {} does not fit it", step.name))
        })?;
        trained.insert(step.name.clone(), ready);
        parts.insert(step.name.clone(), ModelPart { draw, model });
    }
    let lowest_hz = training
        .lowest_hz
        .unwrap_or_else(|| RangeStats::of(TRAINING_RATE_HZ, clips).lowest_hz());
    let recipe = SpectralRecipe {
        steps: plan
            .steps
            .into_iter()
            .map(|s| {
                let mut config = s.config;
                config.lowest_hz = lowest_hz;
                (s.name, config)
            })
            .collect(),
        modes: plan.modes,
    };
    Ok(ModelFile {
        domain: Domain::Spectral,
        kind: training.kind,
        recipe: serde_json::to_value(recipe).map_err(|e| TrainerError::Model(e.to_string()))?,
        training: serde_json::json!({
            "options": training,
            "adam": options,
            "recordings": clips.len(),
        }),
        parts,
    })
}

/// The trained steps that `step` refines.
fn earlier_steps<'a>(
    step: &PlannedStep,
    trained: &'a BTreeMap<String, StepModel>,
) -> Result<Option<EarlierSteps<'a>>, TrainerError> {
    let find = |name: &String| {
        trained.get(name).ok_or_else(|| {
            TrainerError::Model(format!("step {} comes before step {name}", step.name))
        })
    };
    let Some((first, long)) = &step.after else {
        return Ok(None);
    };
    Ok(Some(EarlierSteps {
        first: find(first)?,
        long: long.as_ref().map(find).transpose()?,
    }))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::audio::model::{DenoiserModel, Mode};
    use crate::model::RandomFeatures;
    use crate::model::trainable_parameters;
    use crate::train::Control;

    fn clips() -> Vec<Clip> {
        (0..3)
            .map(|i| {
                let hz = 220.0 * (1.0 + i as f32);
                Clip::new(
                    (0..48_000)
                        .map(|t| 0.3 * (t as f32 * hz * 1.309e-4).sin())
                        .collect(),
                )
            })
            .collect()
    }

    fn training(kind: ModelKind) -> SpectralTraining {
        SpectralTraining {
            kind,
            features: Some(48),
            timesteps: Some(4),
            modes: vec![Mode::Live],
            ..SpectralTraining::default()
        }
    }

    fn options(steps: u64) -> AdamOptions {
        AdamOptions {
            steps,
            batch: 16,
            checkpoint_every: 100,
            ..AdamOptions::default()
        }
    }

    fn go_on(_: &Progress<'_>) -> Control {
        Control::Continue
    }

    #[derive(Default)]
    struct InMemory(BTreeMap<String, Vec<u8>>);

    impl Checkpoints for InMemory {
        fn load(&mut self, step: &str) -> Result<Option<AdamState>, TrainError> {
            self.0
                .get(step)
                .map(|b| AdamState::read_from(b.as_slice()))
                .transpose()
        }
        fn save(&mut self, step: &str, state: &AdamState) -> Result<(), TrainError> {
            let mut bytes = Vec::new();
            state.write_to(&mut bytes)?;
            self.0.insert(step.to_owned(), bytes);
            Ok(())
        }
    }

    #[test]
    fn nn_has_the_size_of_drfm_and_denoises() {
        let training = training(ModelKind::Nn);
        let file = train_adam(
            &training,
            &options(20),
            &clips(),
            &mut NoCheckpoints,
            &mut go_on,
        )
        .unwrap();
        for part in file.parts.values() {
            let (d_in, n) = (part.model.d_in(), part.model.n_features());
            let mine = trainable_parameters(ModelKind::Nn, d_in, 2, 4, n);
            let drfm = trainable_parameters(ModelKind::Drfm, d_in, 2, 4, 48);
            assert!(mine.abs_diff(drfm) <= (d_in + 7) / 2 + 1, "{mine} {drfm}");
            assert_ne!(
                part.model.features(),
                &RandomFeatures::draw(&part.draw).unwrap()
            );
        }
        let bytes = file.to_bytes().unwrap();
        assert_eq!(ModelFile::from_bytes(&bytes).unwrap().parts, file.parts);
        let model = DenoiserModel::from_file(file).unwrap();
        assert!(model.chain(Mode::Live).unwrap().refine.is_some());
    }

    #[test]
    fn a_stopped_run_goes_on_with_the_same_bits() {
        let training = training(ModelKind::Drfm);
        let whole = train_adam(
            &training,
            &options(400),
            &clips(),
            &mut NoCheckpoints,
            &mut go_on,
        )
        .unwrap();
        let mut kept = InMemory::default();
        let mut events = 0;
        let stopped = train_adam(&training, &options(400), &clips(), &mut kept, &mut |_| {
            events += 1;
            // In the middle of the second step.
            if events == 6 {
                Control::Stop
            } else {
                Control::Continue
            }
        });
        assert!(matches!(
            stopped,
            Err(TrainerError::Train(TrainError::Stopped))
        ));
        let other = AdamOptions {
            batch: 17,
            ..options(400)
        };
        let refused = train_adam(&training, &other, &clips(), &mut kept, &mut go_on);
        assert!(matches!(refused, Err(TrainerError::Mismatch(_))));
        let continued =
            train_adam(&training, &options(400), &clips(), &mut kept, &mut go_on).unwrap();
        assert_eq!(continued, whole);
    }
}

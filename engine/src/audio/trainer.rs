//! Training of a whole spectral denoiser: which steps there are, in which order, and how their statistics are gathered,
//! added up and solved.
//!
//! Training has two stages, because second steps learn from the estimates of first steps. Within a stage everything is
//! a sum over the recordings, so parts of a folder, or several machines, can gather apart and be merged.

use std::collections::BTreeMap;
use std::io::{Read, Write};

use serde::{Deserialize, Serialize};

use super::augment::Augmentation;
use super::chain::{ChainConfig, StepModel};
use super::model::{Mode, SpectralRecipe};
use super::range::RangeStats;
use super::recipe::{self, PlannedStep};
use super::training_set::{Clip, EarlierSteps, Sampling, SpectralTrainingSet};
use crate::model::ModelKind;
use crate::model::file::{Domain, ModelFile, ModelPart};
use crate::train::closed_form::{ClosedFormParams, TrainReport, solve};
use crate::train::{Control, Fold, Stats, TrainError, TrainEvent};

/// The sample rate in Hz that recordings are brought to for training.
pub const TRAINING_RATE_HZ: u32 = 48_000;

/// What a user may choose about spectral training.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct SpectralTraining {
    /// DRFM, or RF as the paper's baseline.
    pub kind: ModelKind,
    /// Features of every step instead of the recipe's own numbers.
    pub features: Option<usize>,
    /// Timesteps of every step instead of the recipe's own numbers.
    pub timesteps: Option<usize>,
    /// Seed of features, excerpts and noise.
    pub seed: u64,
    /// Modes to train for.
    pub modes: Vec<Mode>,
    /// Excerpts for each five seconds of a recording.
    pub excerpts: usize,
    /// Most excerpts of one recording.
    pub most_excerpts: usize,
    /// Mixtures.
    pub augmentation: Augmentation,
    /// Where the range of the instrument begins, in Hz, instead of what the recordings say; 0 for a model of any instrument.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lowest_hz: Option<f32>,
}

impl Default for SpectralTraining {
    fn default() -> Self {
        Self {
            kind: ModelKind::Drfm,
            features: None,
            timesteps: None,
            seed: 1,
            modes: Mode::ALL.to_vec(),
            excerpts: 1,
            most_excerpts: 9,
            augmentation: Augmentation::default(),
            lowest_hz: None,
        }
    }
}

/// Why a spectral model cannot be trained.
#[derive(Debug, thiserror::Error)]
pub enum TrainerError {
    /// Too little sound.
    #[error(
        "the recordings hold {0:.1} s of sound, at least {1} s are needed: add more recordings"
    )]
    TooShort(f64, f64),
    /// Nothing but silence, or all samples equal.
    #[error("the recordings are silent: nothing can be learned from them")]
    Silent,
    /// The trainer stopped.
    #[error(transparent)]
    Train(#[from] TrainError),
    /// Statistics do not belong together.
    #[error(
        "the statistics do not belong together ({0}): gather them with the same options and program version"
    )]
    Mismatch(String),
    /// A recipe or model is not usable.
    #[error("{0}")]
    Model(String),
    /// Reading or writing failed.
    #[error("statistics: {0}")]
    Io(#[from] std::io::Error),
}

/// Least sound to train on, in seconds.
pub const LEAST_SECONDS: f64 = 2.0;

/// Progress: which step, and what the trainer says.
#[derive(Clone, Debug)]
pub struct Progress<'a> {
    /// Name of the step.
    pub step: &'a str,
    /// Its number from 1, and the number of steps in the stage.
    pub position: (usize, usize),
    /// The trainer's event.
    pub event: &'a TrainEvent,
}

/// Sees progress and may stop the training.
pub type ProgressObserver<'a> = &'a mut dyn FnMut(&Progress<'_>) -> Control;

/// The stages of training.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Stage {
    /// Steps that see the noisy sound alone.
    First,
    /// Steps that refine an earlier estimate.
    Second,
}

/// Sums over recordings from which the steps of one stage are solved.
pub struct StageStats {
    /// Which stage.
    pub stage: Stage,
    /// The options it was gathered with.
    pub training: SpectralTraining,
    /// Seconds of sound that went in.
    pub seconds: f64,
    /// Recordings that went in.
    pub recordings: u64,
    range: RangeStats,
    steps: BTreeMap<String, Stats>,
}

pub(super) fn sampling(training: &SpectralTraining) -> Sampling {
    Sampling {
        rate_hz: TRAINING_RATE_HZ,
        excerpt_seconds: recipe::EXCERPT_SECONDS,
        seconds_per_round: recipe::SECONDS_PER_ROUND,
        excerpts_per_round: training.excerpts.max(1),
        most_excerpts: training.most_excerpts.max(1),
        examples_per_timestep: recipe::EXAMPLES_PER_TIMESTEP,
        augmentation: training.augmentation.clone(),
        seed: training.seed,
    }
}

/// Checks that something can be learned from the clips; leaves out the silent ones.
///
/// # Errors
/// [`TrainerError::TooShort`] or [`TrainerError::Silent`].
pub fn usable_clips(clips: Vec<Clip>) -> Result<Vec<Clip>, TrainerError> {
    let seconds = |clips: &[Clip]| {
        clips.iter().map(|c| c.samples().len()).sum::<usize>() as f64 / f64::from(TRAINING_RATE_HZ)
    };
    let all = seconds(&clips);
    if all < LEAST_SECONDS {
        return Err(TrainerError::TooShort(all, LEAST_SECONDS));
    }
    let sounding: Vec<Clip> = clips
        .into_iter()
        .filter(|c| {
            let n = c.samples().len().max(1) as f64;
            let mean = c.samples().iter().map(|x| f64::from(*x)).sum::<f64>() / n;
            let variance = c
                .samples()
                .iter()
                .map(|x| (f64::from(*x) - mean).powi(2))
                .sum::<f64>()
                / n;
            variance > 1e-10
        })
        .collect();
    let left = seconds(&sounding);
    if left == 0.0 {
        return Err(TrainerError::Silent);
    }
    if left < LEAST_SECONDS {
        return Err(TrainerError::TooShort(left, LEAST_SECONDS));
    }
    Ok(sounding)
}

/// Gathers the statistics of one stage; the second needs the model of the first.
///
/// # Errors
/// If the observer stops it or `base` lacks a step.
pub fn gather_stage(
    stage: Stage,
    training: &SpectralTraining,
    base: Option<&ModelFile>,
    clips: &[Clip],
    observer: ProgressObserver<'_>,
) -> Result<StageStats, TrainerError> {
    let plan = recipe::plan(training)?;
    let planned: Vec<&PlannedStep> = plan.steps.iter().filter(|s| s.stage == stage).collect();
    let sampling = sampling(training);
    let mut steps = BTreeMap::new();
    for (i, step) in planned.iter().enumerate() {
        let find = |name: &str| -> Result<StepModel, TrainerError> {
            let config = plan
                .steps
                .iter()
                .find(|s| s.name == name)
                .map(|s| s.config.clone());
            let part = base.and_then(|b| b.parts.get(name));
            config
                .zip(part)
                .and_then(|(c, p)| StepModel::new(c, p.model.clone()))
                .ok_or_else(|| {
                    TrainerError::Model(format!(
                        "the model of the first stage lacks step {name}: train that stage first"
                    ))
                })
        };
        let first = step
            .after
            .as_ref()
            .map(|(first, _)| find(first))
            .transpose()?;
        let long = match &step.after {
            Some((_, Some(long))) => Some(find(long)?),
            _ => None,
        };
        let earlier = first.as_ref().map(|first| EarlierSteps {
            first,
            long: long.as_ref(),
        });
        let set = SpectralTrainingSet::new(&step.config, earlier, clips, &sampling);
        let stats = Stats::gather(step.draw.clone(), &set, &mut |event| {
            observer(&Progress {
                step: &step.name,
                position: (i + 1, planned.len()),
                event,
            })
        })?;
        steps.insert(step.name.clone(), stats);
    }
    Ok(StageStats {
        stage,
        range: RangeStats::of(TRAINING_RATE_HZ, clips),
        training: training.clone(),
        seconds: clips.iter().map(|c| c.samples().len()).sum::<usize>() as f64
            / f64::from(TRAINING_RATE_HZ),
        recordings: clips.len() as u64,
        steps,
    })
}

/// Solves the steps of a stage. The result contains the steps of `base` too and is a whole model: modes whose second
/// step is still missing work with their first alone.
///
/// # Errors
/// If the observer stops it or the statistics do not fit the recipe.
pub fn solve_stage(
    stats: &StageStats,
    base: Option<&ModelFile>,
    observer: ProgressObserver<'_>,
) -> Result<ModelFile, TrainerError> {
    let plan = recipe::plan(&stats.training)?;
    let mut parts = base.map_or_else(BTreeMap::new, |b| b.parts.clone());
    let mut reports: BTreeMap<String, TrainReport> = BTreeMap::new();
    let count = stats.steps.len();
    for (i, (name, sums)) in stats.steps.iter().enumerate() {
        let has = |fold| sums.rows(fold) > 0;
        let ridge_grid = if has(Fold::Train) && has(Fold::Validation) {
            recipe::RIDGES.to_vec()
        } else {
            vec![recipe::RIDGE_WITHOUT_VALIDATION]
        };
        let params = ClosedFormParams {
            kind: stats.training.kind,
            rounds: recipe::ROUNDS,
            ridge_grid,
            ..ClosedFormParams::default()
        };
        let (model, report) = solve(sums, &params, &mut |event| {
            observer(&Progress {
                step: name,
                position: (i + 1, count),
                event,
            })
        })?;
        reports.insert(name.clone(), report);
        parts.insert(
            name.clone(),
            ModelPart {
                draw: sums.draw().clone(),
                model,
            },
        );
    }
    let lowest_hz = stats
        .training
        .lowest_hz
        .unwrap_or_else(|| stats.range.lowest_hz());
    let steps = plan
        .steps
        .iter()
        .filter(|s| parts.contains_key(&s.name))
        .map(|s| {
            let mut config = s.config.clone();
            config.lowest_hz = lowest_hz;
            (s.name.clone(), config)
        })
        .collect();
    let modes = plan
        .modes
        .iter()
        .filter(|(_, chain)| parts.contains_key(&chain.first))
        .map(|(mode, chain)| {
            let there = |name: &Option<String>| name.clone().filter(|n| parts.contains_key(n));
            let refine = there(&chain.refine);
            (
                *mode,
                ChainConfig {
                    first: chain.first.clone(),
                    long: if refine.is_some() {
                        there(&chain.long)
                    } else {
                        None
                    },
                    refine,
                },
            )
        })
        .collect();
    let recipe = SpectralRecipe { steps, modes };
    let json = |e: serde_json::Error| TrainerError::Model(e.to_string());
    let mut history = base
        .and_then(|b| b.training.as_object().cloned())
        .unwrap_or_default();
    let stage = match stats.stage {
        Stage::First => "first_stage",
        Stage::Second => "second_stage",
    };
    history.insert(
        stage.to_owned(),
        serde_json::json!({
            "options": stats.training,
            "seconds": stats.seconds,
            "recordings": stats.recordings,
            "steps": reports,
        }),
    );
    Ok(ModelFile {
        domain: Domain::Spectral,
        kind: stats.training.kind,
        recipe: serde_json::to_value(recipe).map_err(json)?,
        training: serde_json::Value::Object(history),
        parts,
    })
}

/// Trains both stages.
///
/// # Errors
/// As [`usable_clips`], [`gather_stage`] and [`solve_stage`].
pub fn train(
    training: &SpectralTraining,
    clips: &[Clip],
    observer: ProgressObserver<'_>,
) -> Result<ModelFile, TrainerError> {
    let first = gather_stage(Stage::First, training, None, clips, &mut *observer)?;
    let model = solve_stage(&first, None, &mut *observer)?;
    drop(first);
    let second = gather_stage(Stage::Second, training, Some(&model), clips, &mut *observer)?;
    if second.steps.is_empty() {
        return Ok(model);
    }
    solve_stage(&second, Some(&model), observer)
}

const MAGIC: &[u8; 8] = b"DRFMSTG2";
/// Longest header and longest name, in bytes, and most steps of a statistics file.
const MAX_HEADER: u64 = 1 << 20;
const MAX_STEPS: usize = 64;

#[derive(Serialize, Deserialize)]
struct StageHeader {
    stage: Stage,
    training: SpectralTraining,
    seconds: f64,
    recordings: u64,
    range: RangeStats,
    steps: Vec<String>,
}

impl StageStats {
    /// Adds the sums of other recordings.
    ///
    /// # Errors
    /// [`TrainerError::Mismatch`] if they were gathered with other options.
    pub fn merge(&mut self, other: &Self) -> Result<(), TrainerError> {
        if self.stage != other.stage {
            return Err(TrainerError::Mismatch(
                "one is of the first, one of the second stage".to_owned(),
            ));
        }
        if self.training != other.training || !self.steps.keys().eq(other.steps.keys()) {
            return Err(TrainerError::Mismatch("their options differ".to_owned()));
        }
        for (mine, theirs) in self.steps.values_mut().zip(other.steps.values()) {
            mine.merge(theirs)?;
        }
        self.range.merge(&other.range);
        self.seconds += other.seconds;
        self.recordings += other.recordings;
        Ok(())
    }

    /// Writes the statistics.
    ///
    /// # Errors
    /// If writing fails.
    pub fn write_to(&self, mut out: impl Write) -> Result<(), TrainerError> {
        let header = StageHeader {
            stage: self.stage,
            training: self.training.clone(),
            seconds: self.seconds,
            recordings: self.recordings,
            range: self.range.clone(),
            steps: self.steps.keys().cloned().collect(),
        };
        let header = serde_json::to_vec(&header).map_err(|e| TrainerError::Model(e.to_string()))?;
        out.write_all(MAGIC)?;
        out.write_all(&(header.len() as u64).to_le_bytes())?;
        out.write_all(&header)?;
        for stats in self.steps.values() {
            stats.write_to(&mut out)?;
        }
        Ok(())
    }

    /// Reads statistics; nothing in them is believed unchecked.
    ///
    /// # Errors
    /// If they are damaged or of another kind.
    pub fn read_from(mut input: impl Read) -> Result<Self, TrainerError> {
        let damaged = |what: &str| TrainerError::Mismatch(what.to_owned());
        let mut start = [0u8; 16];
        input
            .read_exact(&mut start)
            .map_err(|_| damaged("the file is cut short"))?;
        let (magic, length) = start.split_at(8);
        if magic != MAGIC {
            return Err(damaged("this is not a file of DRFM statistics"));
        }
        let length = length
            .iter()
            .rev()
            .fold(0u64, |n, b| (n << 8) | u64::from(*b));
        if length > MAX_HEADER {
            return Err(damaged("the header is too long"));
        }
        let mut header = vec![0u8; usize::try_from(length).unwrap_or(0)];
        input
            .read_exact(&mut header)
            .map_err(|_| damaged("the file is cut short"))?;
        let header: StageHeader = serde_json::from_slice(&header)
            .map_err(|e| TrainerError::Mismatch(format!("header: {e}")))?;
        if header.steps.len() > MAX_STEPS {
            return Err(damaged("there are too many steps"));
        }
        let mut steps = BTreeMap::new();
        for name in header.steps {
            steps.insert(name, Stats::read_next(&mut input)?);
        }
        if input.read(&mut [0])? != 0 {
            return Err(damaged("something follows its end: the file is damaged"));
        }
        Ok(Self {
            stage: header.stage,
            training: header.training,
            seconds: header.seconds,
            recordings: header.recordings,
            range: header.range,
            steps,
        })
    }
}

//! Which training the options of `drfm train` ask for.

use drfm_engine::audio::model::Mode;
use drfm_engine::audio::trainer::SpectralTraining;
use drfm_engine::audio::trainer_adam::AdamOptions;
use drfm_engine::audio::waveform::{OVERLAP, WINDOWS};
use drfm_engine::audio::waveform_training::{WaveformTrainer, WaveformTraining};
use drfm_engine::model::ModelKind;
use serde_json::{Value, json};

use super::{Arguments, DomainChoice, KindChoice, TrainerChoice};
use crate::failure::Failure;

/// Steps of Adam without `--steps`.
const ADAM_STEPS: u64 = 2_000;
/// Steps of Adam between two checkpoints.
const CHECKPOINT_EVERY: u64 = 500;
/// Samples in a window without `--window`.
const WINDOW: usize = 64;
/// Timesteps of a waveform model without `--timesteps`.
const WAVEFORM_TIMESTEPS: usize = 16;

/// A training that makes sense.
pub enum Choice {
    /// Spectral, closed form: the one whose stages can be merged.
    Stages(SpectralTraining),
    /// Spectral, by Adam.
    SpectralAdam(SpectralTraining, AdamOptions),
    /// Waveform, either trainer.
    Waveform(WaveformTraining),
}

impl Choice {
    /// What the options ask for.
    ///
    /// # Errors
    /// [`Failure::Usage`] for options that do not go together.
    pub fn of(arguments: &Arguments) -> Result<Self, Failure> {
        let usage = |text: &str| Err(Failure::Usage(text.to_owned()));
        let trainer = match (arguments.trainer, arguments.kind) {
            (Some(TrainerChoice::ClosedForm), KindChoice::Nn) => {
                return usage(
                    "--kind nn trains its sines too, which has no closed form: leave out --trainer or give --trainer adam",
                );
            }
            (Some(trainer), _) => trainer,
            (None, KindChoice::Nn) => TrainerChoice::Adam,
            (None, KindChoice::Drfm | KindChoice::Rf) => TrainerChoice::ClosedForm,
        };
        let staged = arguments.stats_out.is_some() || arguments.base.is_some();
        if arguments.domain == DomainChoice::Waveform {
            if staged {
                return usage(
                    "only spectral training has stages that can be merged: leave out --stats-out and --base, or train with --domain spectral",
                );
            }
            if !arguments.modes.is_empty()
                || arguments.excerpts.is_some()
                || arguments.lowest_hz.is_some()
            {
                return usage(
                    "--modes, --excerpts and --lowest-hz are for spectral training: leave them out, or train with --domain spectral",
                );
            }
        } else if arguments.window.is_some() {
            return usage("--window is for --domain waveform: leave it out, or give that too");
        }
        if trainer == TrainerChoice::Adam {
            if staged {
                return usage(
                    "only closed-form training gathers sums that can be merged: leave out --stats-out and --base, or train with --trainer closed-form",
                );
            }
        } else if arguments.steps.is_some() || arguments.checkpoint.is_some() {
            return usage(
                "--steps and --checkpoint are for --trainer adam: leave them out, or give that too",
            );
        }
        let adam = AdamOptions {
            steps: arguments.steps.unwrap_or(ADAM_STEPS),
            checkpoint_every: CHECKPOINT_EVERY,
            ..AdamOptions::default()
        };
        Ok(match (arguments.domain, trainer) {
            (DomainChoice::Spectral, TrainerChoice::ClosedForm) => {
                Self::Stages(spectral(arguments))
            }
            (DomainChoice::Spectral, TrainerChoice::Adam) => {
                Self::SpectralAdam(spectral(arguments), adam)
            }
            (DomainChoice::Waveform, TrainerChoice::ClosedForm) => {
                Self::Waveform(waveform(arguments, WaveformTrainer::ClosedForm)?)
            }
            (DomainChoice::Waveform, TrainerChoice::Adam) => {
                Self::Waveform(waveform(arguments, WaveformTrainer::Adam(adam))?)
            }
        })
    }

    /// What a run must have in common with its checkpoint: everything but the number of steps.
    pub fn about(&self, recordings: u64) -> Value {
        let (mut options, mut adam) = match self {
            Self::Stages(options) => (json!(options), Value::Null),
            Self::SpectralAdam(options, adam) => (json!(options), json!(adam)),
            Self::Waveform(options) => (json!(options), Value::Null),
        };
        for place in [Some(&mut adam), options.pointer_mut("/trainer/adam")] {
            if let Some(adam) = place.and_then(Value::as_object_mut) {
                adam.remove("steps");
            }
        }
        json!({
            "recordings": format!("{recordings:016x}"),
            "options": options,
            "adam": adam,
        })
    }

    /// Steps of Adam; `None` for the closed form.
    pub fn adam_steps(&self) -> Option<u64> {
        match self {
            Self::SpectralAdam(_, adam)
            | Self::Waveform(WaveformTraining {
                trainer: WaveformTrainer::Adam(adam),
                ..
            }) => Some(adam.steps),
            Self::Stages(_) | Self::Waveform(_) => None,
        }
    }
}

fn kind(arguments: &Arguments) -> ModelKind {
    match arguments.kind {
        KindChoice::Drfm => ModelKind::Drfm,
        KindChoice::Rf => ModelKind::Rf,
        KindChoice::Nn => ModelKind::Nn,
    }
}

fn spectral(arguments: &Arguments) -> SpectralTraining {
    let mut modes = arguments.modes.clone();
    modes.sort_unstable();
    modes.dedup();
    if modes.is_empty() {
        modes = Mode::ALL.to_vec();
    }
    SpectralTraining {
        kind: kind(arguments),
        features: arguments.features.map(|n| n as usize),
        timesteps: arguments.timesteps.map(|k| k as usize),
        seed: arguments.seed,
        modes,
        excerpts: arguments.excerpts.unwrap_or(1) as usize,
        lowest_hz: arguments.lowest_hz,
        ..SpectralTraining::default()
    }
}

fn waveform(arguments: &Arguments, trainer: WaveformTrainer) -> Result<WaveformTraining, Failure> {
    let window = arguments.window.unwrap_or(WINDOW);
    let timesteps = arguments
        .timesteps
        .map_or(WAVEFORM_TIMESTEPS, |k| k as usize);
    let usual = WaveformTraining::denoising(window, timesteps)?;
    Ok(WaveformTraining {
        kind: kind(arguments),
        features: arguments.features.map_or(usual.features, |n| n as usize),
        seed: arguments.seed,
        trainer,
        ..usual
    })
}

/// Reads the length of a window, for clap.
///
/// # Errors
/// The lengths there are.
pub fn parse_window(text: &str) -> Result<usize, String> {
    text.parse::<usize>()
        .ok()
        .filter(|d| WINDOWS.contains(d) && d.is_multiple_of(OVERLAP))
        .ok_or_else(|| {
            format!(
                "give a number of samples from {} to {} that is a multiple of {OVERLAP}",
                WINDOWS.start(),
                WINDOWS.end()
            )
        })
}

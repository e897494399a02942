//! `drfm generate`: new sound out of noise.

use std::path::PathBuf;

use clap::ValueEnum;
use drfm_engine::model::file::Domain;

use super::training::check_target;
use crate::failure::Failure;
use crate::models;

/// Lets a model make up new sound, by the reverse diffusion from pure noise.
///
/// This works with models of the waveform domain, as in the paper. Models of the spectral domain, the built-in ones among
/// them, only denoise.
#[derive(clap::Args, Debug)]
#[command(after_help = "Example:
  drfm generate --model waveform.drfm -n 8 --sampler ddim -o new.wav")]
pub struct Arguments {
    /// A model of the waveform domain.
    #[arg(long, value_name = "MODEL")]
    model: String,
    /// How many windows to generate.
    #[arg(short = 'n', long, default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=100_000))]
    count: u32,
    /// ddpm, ddim (few steps) or paper (Algorithm 1 to the letter).
    #[arg(long, value_enum, default_value_t = SamplerChoice::Ddpm)]
    sampler: SamplerChoice,
    /// Seed of the noise.
    #[arg(long, value_name = "S", default_value_t = 1)]
    seed: u64,
    /// File to write.
    #[arg(short, long, value_name = "OUT")]
    output: PathBuf,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum SamplerChoice {
    Ddpm,
    Ddim,
    Paper,
}

/// Generates.
///
/// # Errors
/// When the model only denoises; in this version also for the others.
pub fn run(arguments: &Arguments) -> Result<(), Failure> {
    check_target(&arguments.output)?;
    let file = models::load_file(&arguments.model)?;
    if file.domain == Domain::Spectral {
        return Err(Failure::Failed(format!(
            "model {} works on spectra and can only denoise: train one with --domain waveform to generate sound",
            arguments.model
        )));
    }
    if let Some((name, part)) = file
        .parts
        .iter()
        .find(|(_, p)| p.model.d_in() != p.model.d_out())
    {
        return Err(Failure::Failed(format!(
            "part {name} of model {} has {} inputs and {} outputs: only models with as many outputs as inputs can generate",
            arguments.model,
            part.model.d_in(),
            part.model.d_out()
        )));
    }
    Err(Failure::Failed(format!(
        "generating {} windows with {:?} and seed {} is not built yet in this version",
        arguments.count, arguments.sampler, arguments.seed
    )))
}

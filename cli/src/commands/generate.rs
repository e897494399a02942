//! `drfm generate`: new sound out of noise.

use std::path::PathBuf;

use clap::ValueEnum;
use drfm_engine::audio::waveform::{OVERLAP, WaveformModel};
use drfm_engine::audio::waveform_generate::{generate_observed, join_windows};
use drfm_engine::audio::writer::{AudioWriter, WavFormat};
use drfm_engine::diffusion::{Sampler, StartVariance};
use drfm_engine::model::file::Domain;
use indicatif::ProgressBar;

use super::training::check_target;
use crate::failure::Failure;
use crate::{interrupt, models, report};

/// Peak of what is written: -6 dB full scale.
const PEAK: f32 = 0.5;
/// Steps of DDIM without `--steps`.
const DDIM_STEPS: u32 = 16;

/// Lets a model make up new sound, by the reverse diffusion from pure noise.
///
/// This works with models of the waveform domain, as in the paper. Models of the spectral domain, the built-in ones among
/// them, only denoise.
///
/// The windows are independent of each other: joined, they have the sound of the instrument and no melody. A window of 64
/// samples lasts 1.3 ms, so that a second of sound takes about 1000 of them. Each fades into the next over a quarter of
/// its length. The file is mono with 16 bits at the rate of the model, and its loudest sample lies at -6 dB. Same model,
/// options and seed: same file, to the bit.
#[derive(clap::Args, Debug)]
#[command(after_help = "Examples:
  drfm train my-flute/ --domain waveform -o waveform.drfm
      a model that can generate
  drfm generate --model waveform.drfm -n 1000 -o new.wav
      a second of sound
  drfm generate --model waveform.drfm -n 1000 --sampler ddim --steps 8 --seed 2 -o new.wav
      faster, and another one")]
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
    /// Steps of ddim, at most one per timestep of the model [default: 16]. The others always take all timesteps.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=1_000))]
    steps: Option<u32>,
    /// Seed of the noise.
    #[arg(long, value_name = "S", default_value_t = 1)]
    seed: u64,
    /// WAV file to write.
    #[arg(short, long, value_name = "OUT.wav")]
    output: PathBuf,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum SamplerChoice {
    Ddpm,
    Ddim,
    Paper,
}

/// Generates.
///
/// # Errors
/// When the model only denoises, or the file cannot be written.
pub fn run(arguments: &Arguments) -> Result<(), Failure> {
    let (sampler, start) = choose_sampler(arguments)?;
    let extension = arguments.output.extension().unwrap_or_default();
    if !extension.eq_ignore_ascii_case("wav") && !extension.eq_ignore_ascii_case("wave") {
        return Err(Failure::Usage(format!(
            "the output {} must end in .wav, the format that is written",
            arguments.output.display()
        )));
    }
    check_target(&arguments.output)?;
    let file = models::load_file(&arguments.model)?;
    if file.domain == Domain::Spectral {
        return Err(Failure::Failed(format!(
            "model {} works on spectra and can only denoise: train one with --domain waveform to generate sound",
            arguments.model
        )));
    }
    let told =
        |e: &dyn std::fmt::Display| Failure::Failed(format!("model {}: {e}", arguments.model));
    let model = WaveformModel::from_file(file).map_err(|e| told(&e))?;
    let recipe = model.recipe();
    let mut writer = AudioWriter::create(&arguments.output, recipe.rate_hz, 1, WavFormat::Int16)
        .map_err(Failure::of)?;
    let count = arguments.count as usize;
    let bar = ProgressBar::new(u64::from(arguments.count));
    let windows = generate_observed(
        &model,
        &recipe.schedule,
        count,
        sampler,
        start,
        arguments.seed,
        &mut |done| {
            bar.set_position(done as u64);
            interrupt::control()
        },
    )
    .map_err(|e| told(&e))?;
    bar.finish_and_clear();
    interrupt::check()?;
    let signal = join_windows(&windows, recipe.window / OVERLAP, PEAK);
    if signal.iter().all(|x| *x == 0.0) {
        return Err(Failure::Failed(format!(
            "model {} leaves the finite numbers with this sampler: use --sampler ddpm or ddim, or train longer",
            arguments.model
        )));
    }
    writer.write(&signal).map_err(Failure::of)?;
    writer.finish().map_err(Failure::of)?;
    report::print(&format!(
        "{count} windows of {} samples, {:.3} s of sound at {} Hz\nwritten to {}\n",
        recipe.window,
        signal.len() as f64 / f64::from(recipe.rate_hz),
        recipe.rate_hz,
        arguments.output.display()
    ))
}

/// The sampler and what it starts from: the paper's from variance 1, as printed; the others from where the schedule ends.
fn choose_sampler(arguments: &Arguments) -> Result<(Sampler, StartVariance), Failure> {
    if arguments.steps.is_some() && arguments.sampler != SamplerChoice::Ddim {
        return Err(Failure::Usage(
            "--steps is for --sampler ddim: the other samplers take every timestep of the model"
                .to_owned(),
        ));
    }
    Ok(match arguments.sampler {
        SamplerChoice::Ddpm => (Sampler::Ddpm, StartVariance::AsScheduled),
        SamplerChoice::Ddim => {
            let steps = arguments.steps.unwrap_or(DDIM_STEPS) as usize;
            (Sampler::Ddim { steps }, StartVariance::AsScheduled)
        }
        SamplerChoice::Paper => (Sampler::Paper, StartVariance::Unit),
    })
}

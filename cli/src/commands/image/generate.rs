//! `drfm image generate`: new images out of noise.

use std::path::PathBuf;

use super::data::{SamplerChoice, SamplerOptions, load_model, start_of};
use crate::failure::Failure;
use crate::picture::{check_target, grid, save};
use crate::report;

/// Lets a model make up new images, by the reverse diffusion from pure noise (Algorithm 1).
///
/// Writes one PNG with all of them, five in a row. Same model, options and seed: same file, to the bit.
#[derive(clap::Args, Debug)]
pub struct Arguments {
    /// A model of drfm image train.
    #[arg(long, value_name = "MODEL")]
    model: String,
    /// How many images.
    #[arg(short = 'n', long, default_value_t = 15, value_parser = clap::value_parser!(u32).range(1..=10_000))]
    count: u32,
    #[command(flatten)]
    sampler: SamplerOptions,
    /// Seed of the noise.
    #[arg(long, value_name = "S", default_value_t = 1)]
    seed: u64,
    /// PNG file to write.
    #[arg(short, long, value_name = "OUT.png")]
    output: PathBuf,
}

/// Generates.
///
/// # Errors
/// When the model is none of images or the file cannot be written.
pub fn run(arguments: &Arguments) -> Result<(), Failure> {
    let sampler = arguments.sampler.choose(SamplerChoice::Ddpm)?;
    check_target(&arguments.output)?;
    let model = load_model(&arguments.model)?;
    let images = model.generate(
        arguments.count as usize,
        sampler,
        start_of(sampler),
        arguments.seed,
    )?;
    save(&grid::sheet(&images, grid::COLUMNS), &arguments.output)?;
    report::print(&format!(
        "{}\nwritten to {}\n",
        super::data::describe(&images),
        arguments.output.display()
    ))
}

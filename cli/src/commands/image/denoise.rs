//! `drfm image denoise`: noise out of images.

use std::path::PathBuf;

use drfm_engine::image::model::{noise_deviation, with_noise};
use drfm_engine::image::source::Query;
use drfm_engine::metrics::image::mean_psnr_db;

use super::data::{self, SamplerChoice, SamplerOptions, load_model, size_of};
use crate::failure::Failure;
use crate::picture::{check_target, grid, save};
use crate::report;

/// Takes noise out of images with a model of their kind.
///
/// The images are PNG, JPEG, idx files or folders; they are fitted to the size of the model. --noise-percent says how much
/// noise is in them: in the paper an image with 20 % noise is 0.8 times the clean one and 0.2 times noise of deviation 1,
/// which is, brought back to the old brightness, noise of deviation 0.25. With --add-noise the images are clean and get that
/// noise first. Writes one PNG: the denoised images, five in a row; with --compare under each row of noisy ones.
#[derive(clap::Args, Debug)]
pub struct Arguments {
    /// PNG or JPEG files, idx files, or folders.
    #[arg(required = true, value_name = "IMAGES")]
    images: Vec<PathBuf>,
    /// A model of drfm image train.
    #[arg(long, value_name = "MODEL")]
    model: String,
    /// Share of the noise in percent.
    #[arg(long, value_name = "PERCENT", default_value = "20", value_parser = data::parse_percent)]
    noise_percent: f64,
    /// Add that noise first and print how much of it is taken away.
    #[arg(long)]
    add_noise: bool,
    /// Show the noisy images too.
    #[arg(long)]
    compare: bool,
    /// How many images to take at most.
    #[arg(long, value_name = "N", default_value_t = 100, value_parser = clap::value_parser!(u32).range(1..=10_000))]
    count: u32,
    #[command(flatten)]
    sampler: SamplerOptions,
    /// Seed of added noise and of samplers that use some.
    #[arg(long, value_name = "S", default_value_t = 1)]
    seed: u64,
    /// PNG file to write.
    #[arg(short, long, value_name = "OUT.png")]
    output: PathBuf,
}

/// Denoises.
///
/// # Errors
/// When images or model cannot be read, or the file cannot be written.
pub fn run(arguments: &Arguments) -> Result<(), Failure> {
    let sampler = arguments.sampler.choose(SamplerChoice::Mean)?;
    check_target(&arguments.output)?;
    let model = load_model(&arguments.model)?;
    let query = Query {
        paths: arguments.images.clone(),
        size: Some(size_of(&model)),
        ..Query::default()
    };
    let images = query.read(None)?.part(0..arguments.count as usize);
    let share = arguments.noise_percent / 100.0;
    let noisy = if arguments.add_noise {
        with_noise(&images, share, arguments.seed)
    } else {
        images.clone()
    };
    let clean = model.denoise(&noisy, noise_deviation(share), sampler, arguments.seed)?;
    let picture = if arguments.compare {
        grid::pairs(&noisy.clipped(), &clean, grid::COLUMNS)
    } else {
        grid::sheet(&clean, grid::COLUMNS)
    };
    save(&picture, &arguments.output)?;
    let gain = if arguments.add_noise {
        format!(
            "PSNR {:.2} dB noisy, {:.2} dB denoised\n",
            mean_psnr_db(&images, &noisy.clipped()),
            mean_psnr_db(&images, &clean)
        )
    } else {
        String::new()
    };
    report::print(&format!(
        "{}\n{gain}written to {}\n",
        data::describe(&clean),
        arguments.output.display()
    ))
}

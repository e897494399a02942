//! `drfm image eval`: how good a model is on images it has not seen.

use drfm_engine::image::evaluation::{Evaluation, Options, evaluate};
use serde_json::json;

use super::data::{self, Data, SamplerChoice, SamplerOptions, load_model, size_of, start_of};
use crate::failure::Failure;
use crate::report::{self, Table};

/// Measures a model on images it has not seen.
///
/// Denoising: PSNR and SSIM, against a Gaussian filter and a PCA-Wiener filter, both chosen on the images the model was
/// trained on. Generation: the Frechet distance of as many samples to the images (of pixels, not of a network's features:
/// comparable here, not with published numbers), and how near samples are to their nearest training image,
/// beside how near the unseen images are: samples much nearer than those are copies.
#[derive(clap::Args, Debug)]
pub struct Arguments {
    #[command(flatten)]
    data: Data,
    /// A model of drfm image train.
    #[arg(long, value_name = "MODEL")]
    model: String,
    /// How many images to denoise.
    #[arg(long, value_name = "N", default_value_t = 15, value_parser = clap::value_parser!(u32).range(1..=10_000))]
    count: u32,
    /// How many images to generate, and to compare with as many of the data; 0 leaves generation out.
    #[arg(long, value_name = "N", default_value_t = 50, value_parser = clap::value_parser!(u32).range(0..=10_000))]
    samples: u32,
    /// Share of the noise in percent.
    #[arg(long, value_name = "PERCENT", default_value = "20", value_parser = data::parse_percent)]
    noise_percent: f64,
    #[command(flatten)]
    sampler: SamplerOptions,
    /// Seed of the noise.
    #[arg(long, value_name = "S", default_value_t = 1)]
    seed: u64,
    /// Print one JSON object instead of text.
    #[arg(long)]
    json: bool,
}

/// Measures.
///
/// # Errors
/// When the model or the images cannot be read.
pub fn run(arguments: &Arguments) -> Result<(), Failure> {
    let sampler = arguments.sampler.choose(SamplerChoice::Mean)?;
    let generator = arguments.sampler.choose(SamplerChoice::Ddpm)?;
    let model = load_model(&arguments.model)?;
    let images = arguments
        .data
        .query(Some(size_of(&model)))?
        .read(Some(arguments.count.max(arguments.samples) as usize))?;
    let options = Options {
        count: arguments.count as usize,
        samples: arguments.samples as usize,
        noise_share: arguments.noise_percent / 100.0,
        sampler,
        generator,
        start: start_of(generator),
        seed: arguments.seed,
    };
    let found = evaluate(&model, &images, &options)?;
    if arguments.json {
        let mut value = json!(found);
        value["model"] = json!(arguments.model);
        return report::print_json(&value);
    }
    report::print(&as_text(&found))
}

fn as_text(found: &Evaluation) -> String {
    let mut table = Table::new(["", "PSNR dB", "SSIM"]);
    let mut row = |name: &str, psnr: Option<f64>, ssim: Option<f64>| {
        let cell =
            |v: Option<f64>, digits| v.map_or("-".to_owned(), |v: f64| format!("{v:.digits$}"));
        table.row([name.to_owned(), cell(psnr, 2), cell(ssim, 3)]);
    };
    row("noisy", Some(found.psnr_noisy_db), Some(found.ssim_noisy));
    row(
        "Gaussian filter",
        found.psnr_gaussian_db,
        found.ssim_gaussian,
    );
    row(
        "PCA-Wiener filter",
        found.psnr_pca_wiener_db,
        found.ssim_pca_wiener,
    );
    if found.psnr_pca_wiener_copies_db.is_some() {
        row(
            "PCA-Wiener, with copies",
            found.psnr_pca_wiener_copies_db,
            None,
        );
    }
    row("model", Some(found.psnr_db), Some(found.ssim));
    let mut text = format!("Denoising, {} images\n{table}", found.images);
    if let Some(g) = &found.generation {
        text.push_str(&format!("\nGeneration, {} samples\n", g.samples));
        let number = |v: Option<f64>| v.map_or("not known".to_owned(), |v| format!("{v:.4}"));
        text.push_str(&format!(
            "Frechet distance to the images: {}; of the training images: {}\n",
            number(g.frechet),
            number(g.frechet_training)
        ));
        text.push_str(&format!(
            "distance to the nearest training image: {} (least {}); of the images: {}; among the training images: {}\n",
            number(g.nearest.map(|n| n.mean_distance)),
            number(g.nearest.map(|n| n.least_distance)),
            number(g.nearest_of_images.map(|n| n.mean_distance)),
            number(g.nearest_in_training.map(|n| n.mean_distance)),
        ));
    }
    text
}

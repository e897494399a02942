//! `drfm paper`: the experiments of the paper, one figure or all.

use std::path::PathBuf;

use clap::ValueEnum;
use drfm_engine::paper::{audio, images};

use self::lab::Lab;
use crate::failure::Failure;

mod adam_step;
mod best;
mod explain;
mod figures;
mod lab;
mod samples;
mod scale;
mod sound;
mod table;

/// Repeats the experiments of the paper (arXiv 2310.04417, Section 4) and tells whether its claims hold.
///
/// Figures 2 to 5 need Fashion-MNIST (fashion-mnist/*-ubyte.gz under --data), 6 and 7 a guitar and a flute recording
/// (guitar/train and flute/train). Each figure is a PNG in the paper's layout beside a table, as text and as JSON. At the
/// paper's full sizes by default, by the closed form (DRFM and RF) and by Adam for NN, which has no closed form; --adam
/// trains all three by Adam too, and --as-published does so for the paper's 30000 epochs, going on
/// from where it was stopped. "shoes" means sandals, sneakers and ankle boots.
///
/// table: mean and spread over seeds of everything. best: the best denoiser that these images and this family of models allow,
/// against classical filters. samples: models, timesteps and numbers of features by the samples they generate. scale: time and memory.
/// adam-step: what an epoch of Adam costs. explain: pictures of gates,
/// features and of the error bound of Eq. 30 against the error measured.
#[derive(clap::Args, Debug)]
#[command(after_help = "Examples:
  drfm paper 2 --data ../shared/data -o figures/
  drfm paper all --data ../shared/data -o figures/ --features 8000
      all in a few minutes, at a tenth of the size
  drfm paper table --data ../shared/data -o figures/ --features 8000 --seeds 5")]
pub struct Arguments {
    /// Which figure, or what else.
    #[arg(value_enum, value_name = "FIGURE")]
    what: What,
    /// Folder of the data.
    #[arg(long, value_name = "FOLDER", default_value = "../shared/data")]
    data: PathBuf,
    /// Folder to write to; made if it is not there.
    #[arg(short, long, value_name = "FOLDER", default_value = "figures")]
    output: PathBuf,
    /// Random features of the image models.
    #[arg(long, value_name = "N", default_value_t = images::FEATURES as u32, value_parser = clap::value_parser!(u32).range(1..=300_000))]
    features: u32,
    /// Random features of the audio models.
    #[arg(long, value_name = "N", default_value_t = audio::FEATURES as u32, value_parser = clap::value_parser!(u32).range(1..=16_384))]
    audio_features: u32,
    /// Audio models are trained on each clip and on its negative.
    #[arg(long)]
    both_polarities: bool,
    /// Training rows of the closed form.
    #[arg(long, value_name = "N", default_value_t = 10_000, value_parser = clap::value_parser!(u32).range(2..=16_384))]
    rows: u32,
    /// Epochs of Adam; the default takes NN about as long as DRFM's closed form.
    #[arg(long, value_name = "E", default_value_t = 200, value_parser = clap::value_parser!(u64).range(1..=100_000_000))]
    epochs: u64,
    /// Train DRFM and RF by Adam too.
    #[arg(long)]
    adam: bool,
    /// Adam for 30000 epochs, kept in the output folder: the same command goes on after Ctrl-C.
    #[arg(long, conflicts_with = "epochs")]
    as_published: bool,
    /// Seeds of the table, from --seed on.
    #[arg(long, value_name = "N", default_value_t = 5, value_parser = clap::value_parser!(u64).range(1..=1000))]
    seeds: u64,
    /// Class of all but the figures.
    #[arg(long, value_name = "NAME|INDEX", default_value = "dress")]
    class: String,
    /// Seed of everything random.
    #[arg(long, value_name = "S", default_value_t = 1)]
    seed: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum What {
    #[value(name = "2")]
    Two,
    #[value(name = "3")]
    Three,
    #[value(name = "4")]
    Four,
    #[value(name = "5")]
    Five,
    #[value(name = "6")]
    Six,
    #[value(name = "7")]
    Seven,
    All,
    Table,
    Best,
    Samples,
    Scale,
    AdamStep,
    Explain,
}

/// Repeats.
///
/// # Errors
/// When data is missing or the output cannot be written.
pub fn run(arguments: &Arguments) -> Result<(), Failure> {
    let is_new = !arguments.output.exists();
    let done = make(arguments);
    if done.is_err() && is_new {
        // Only if nothing is in it.
        let _ = std::fs::remove_dir(&arguments.output);
    }
    done
}

fn make(arguments: &Arguments) -> Result<(), Failure> {
    std::fs::create_dir_all(&arguments.output).map_err(|e| {
        Failure::Failed(format!(
            "the folder {} cannot be made: {e}",
            arguments.output.display()
        ))
    })?;
    let mut lab = Lab::new(arguments);
    match arguments.what {
        What::Two => figures::two(&mut lab),
        What::Three => figures::three(&mut lab),
        What::Four => figures::four(&mut lab),
        What::Five => figures::five(&mut lab),
        What::Six => sound::six(&mut lab),
        What::Seven => sound::seven(&mut lab),
        What::Table => table::run(&mut lab, &arguments.class, arguments.seeds),
        What::Best => best::run(&mut lab, &arguments.class),
        What::Samples => samples::run(&mut lab, &arguments.class),
        What::Scale => scale::run(&mut lab),
        What::AdamStep => adam_step::run(&lab),
        What::Explain => explain::run(&mut lab, &arguments.class),
        What::All => {
            figures::two(&mut lab)?;
            figures::three(&mut lab)?;
            figures::four(&mut lab)?;
            figures::five(&mut lab)?;
            sound::six(&mut lab)?;
            sound::seven(&mut lab)
        }
    }
}

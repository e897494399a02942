//! `drfm image`: the paper's image experiments as a tool.

use crate::failure::Failure;

mod data;
mod denoise;
mod eval;
mod generate;
pub mod merge;
mod train;

pub use train::cpu_seconds;

/// Trains, uses and judges models of small grey images, as in the paper (Fashion-MNIST).
///
/// Images come from idx files (plain or .gz, with labels) or from folders of PNG and JPEG.
#[derive(clap::Args, Debug)]
#[command(after_help = "Examples:
  drfm image train fashion/train-images-idx3-ubyte.gz --class dress -o dress.drfm
      the first 100 dresses; the labels are found beside the images
  drfm image generate --model dress.drfm -n 15 -o new.png
  drfm image denoise noisy.png --model dress.drfm -o clean.png
  drfm image eval --model dress.drfm fashion/t10k-images-idx3-ubyte.gz --class dress --count 15")]
pub struct Arguments {
    #[command(subcommand)]
    command: Command,
}

// No doc comments here: the first lines of each verb's own arguments are shown.
#[derive(clap::Subcommand, Debug)]
enum Command {
    Train(Box<train::Arguments>),
    Generate(generate::Arguments),
    Denoise(denoise::Arguments),
    Eval(eval::Arguments),
}

/// Does what was asked for.
///
/// # Errors
/// Those of each verb.
pub fn run(arguments: &Arguments) -> Result<(), Failure> {
    match &arguments.command {
        Command::Train(a) => train::run(a),
        Command::Generate(a) => generate::run(a),
        Command::Denoise(a) => denoise::run(a),
        Command::Eval(a) => eval::run(a),
    }
}

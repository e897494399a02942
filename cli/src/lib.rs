//! The `drfm` command line: it translates between people and the engine and computes nothing itself.

pub mod commands;
pub mod failure;
pub mod interrupt;
#[cfg(feature = "live")]
pub mod live;
pub mod models;
pub mod picture;
pub mod report;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

/// Cleans recordings of guitar, flute and other instruments.
///
/// Hiss, hum, fans and noisy preamps go, the music stays. Everything runs on this computer, without a graphics card
/// and without a download: models for guitar, flute and a general one are built in.
#[derive(Parser, Debug)]
#[command(name = "drfm", version, after_help = EXAMPLES, propagate_version = true)]
pub struct Arguments {
    /// What to do.
    #[command(subcommand)]
    command: Command,
}

const EXAMPLES: &str = "Examples:
  drfm denoise take1.wav
      writes take1.denoised.wav next to it
  drfm denoise take1.wav --model guitar --noise-from 0:0.8 -o clean.wav
      the first 0.8 seconds are noise alone: learn it from there
  drfm train my-recordings/ -o mine.drfm
      a model for your own instrument, from clean recordings of it

More on each: drfm denoise --help";

// No doc comments here: the first lines of each verb's own arguments are shown.
#[derive(Subcommand, Debug)]
enum Command {
    Denoise(commands::denoise::Arguments),
    Train(commands::train::Arguments),
    #[command(hide = true)]
    TrainNoise(commands::train_noise::Arguments),
    Merge(commands::merge::Arguments),
    Paper(commands::paper::Arguments),
    Eval(commands::eval::Arguments),
    Inspect(commands::inspect::Arguments),
    Generate(commands::generate::Arguments),
    Image(commands::image::Arguments),
    Completions(commands::completions::Arguments),
}

/// Runs the command with the arguments of the process.
#[must_use]
pub fn run() -> ExitCode {
    let arguments = Arguments::parse();
    interrupt::listen();
    let done = match &arguments.command {
        Command::Denoise(a) => commands::denoise::run(a),
        Command::Train(a) => commands::train::run(a),
        Command::TrainNoise(a) => commands::train_noise::run(a),
        Command::Merge(a) => commands::merge::run(a),
        Command::Paper(a) => commands::paper::run(a),
        Command::Eval(a) => commands::eval::run(a),
        Command::Inspect(a) => commands::inspect::run(a),
        Command::Generate(a) => commands::generate::run(a),
        Command::Image(a) => commands::image::run(a),
        Command::Completions(a) => commands::completions::run(a),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => failure.tell(),
    }
}

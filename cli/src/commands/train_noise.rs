//! `drfm train-noise`: the model by which trackers tell noise from music.

use std::path::PathBuf;
use std::time::Instant;

use drfm_engine::audio::find::find_audio_files;
use drfm_engine::audio::noise_floor::training::{FloorTraining, train};
use drfm_engine::audio::trainer::usable_clips;
use indicatif::ProgressBar;

use super::train::read_clips;
use super::training::{check_no_input, check_target};
use crate::failure::Failure;
use crate::{interrupt, report};

/// Teaches noise trackers to tell noise from music, from clean recordings and made-up noises.
///
/// One such model is built into the program and serves all instruments; this command rebuilds it. It is of use to developers only.
#[derive(clap::Args, Debug)]
#[command(after_help = "Example:
  drfm train-noise guitar/train flute/train -o engine/models/noise_floor.json")]
pub struct Arguments {
    /// Clean recordings, and folders of them.
    #[arg(required = true, value_name = "PATH")]
    paths: Vec<PathBuf>,
    /// File to write.
    #[arg(short, long, value_name = "FILE.json")]
    output: PathBuf,
    /// Mixtures to learn from.
    #[arg(long, default_value_t = 600, value_parser = clap::value_parser!(u32).range(1..100_000))]
    mixtures: u32,
    /// Random features.
    #[arg(long, default_value_t = 128, value_parser = clap::value_parser!(u32).range(1..4096))]
    features: u32,
    /// Seed of noises and features.
    #[arg(long, default_value_t = 1)]
    seed: u64,
}

/// Trains.
///
/// # Errors
/// When recordings cannot be read or the file cannot be written.
pub fn run(arguments: &Arguments) -> Result<(), Failure> {
    let started = Instant::now();
    check_target(&arguments.output)?;
    let files = find_audio_files(&arguments.paths, false).map_err(Failure::of)?;
    check_no_input(&arguments.output, &files)?;
    let clips = usable_clips(read_clips(&arguments.paths, &files)?)?;
    let training = FloorTraining {
        mixtures: arguments.mixtures as usize,
        features: arguments.features as usize,
        seed: arguments.seed,
    };
    let bar = ProgressBar::new(training.mixtures as u64);
    let weights = train(&training, &clips, &|done, _| {
        bar.set_position(done as u64);
        interrupt::control()
    });
    bar.finish_and_clear();
    let weights = weights?;
    let text = serde_json::to_string(&weights).map_err(Failure::of)?;
    report::replace_file(&arguments.output, |mut file| {
        std::io::Write::write_all(&mut file, format!("{text}\n").as_bytes())
    })?;
    let told = &weights.training;
    let mut text = format!(
        "{} recordings, {} of sound, {} rows, in {:.1} s\n",
        told.recordings,
        report::duration(told.seconds),
        told.rows.0 + told.rows.1,
        started.elapsed().as_secs_f64()
    );
    if let (Some(ours), Some(quantile)) = (told.error_db, told.quantile_error_db) {
        text.push_str(&format!(
            "error on recordings it had not heard: {ours:.2} dB (quantile of minima alone: {quantile:.2} dB)\n"
        ));
    }
    if let Some((error, deviation)) = told.unsteadiness_error_db {
        text.push_str(&format!(
            "error of how unsteady the noise is: {error:.2} dB (standard deviation: {deviation:.2} dB)\n"
        ));
    }
    text.push_str(&format!("written to {}\n", arguments.output.display()));
    report::print(&text)
}

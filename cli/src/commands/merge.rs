//! `drfm merge`: statistics gathered apart become one model.

use std::fs::File;
use std::io::BufReader;
use std::path::{Path, PathBuf};

use drfm_engine::audio::file_denoise::same_file;
use drfm_engine::audio::trainer::{Stage, StageStats, solve_stage};
use serde_json::json;

use super::image;
use super::train::write_stats;
use super::training::{Bar, check_target, steps_table};
use crate::failure::Failure;
use crate::{interrupt, models, report};

/// Adds up statistics of `drfm train --stats-out` into one model.
///
/// The model is the same as if it had been trained on all recordings at once. Without --base the statistics are those
/// of stage one and the result is a whole model, a little short of the best; with --base they are those of stage two,
/// gathered with that same model, and the result is final.
#[derive(clap::Args, Debug)]
#[command(after_help = "Examples:
  drfm merge a1.stats b1.stats -o one.drfm
  drfm merge --base one.drfm a2.stats b2.stats -o both.drfm
The whole way is shown in: drfm train --help")]
pub struct Arguments {
    /// Files of statistics.
    #[arg(required = true, value_name = "STATS")]
    stats: Vec<PathBuf>,
    /// Model file to write.
    #[arg(
        short,
        long,
        value_name = "MODEL.drfm",
        required_unless_present = "stats_out"
    )]
    output: Option<PathBuf>,
    /// The model of stage one that statistics of stage two were gathered with.
    #[arg(long, value_name = "MODEL")]
    base: Option<String>,
    /// Write the sum as statistics, to be merged further.
    #[arg(long, value_name = "FILE")]
    stats_out: Option<PathBuf>,
    /// Print one JSON object instead of text.
    #[arg(long)]
    json: bool,
}

/// Merges.
///
/// # Errors
/// When statistics cannot be read or do not belong together.
pub fn run(arguments: &Arguments) -> Result<(), Failure> {
    for path in arguments.output.iter().chain(&arguments.stats_out) {
        check_target(path)?;
    }
    for (i, path) in arguments.stats.iter().enumerate() {
        if let Some(other) = arguments
            .stats
            .iter()
            .take(i)
            .find(|other| same_file(other, path))
        {
            return Err(Failure::Usage(format!(
                "{} and {} are the same statistics: give each once",
                other.display(),
                path.display()
            )));
        }
    }
    if image::merge::are_of_images(&arguments.stats) {
        if arguments.base.is_some() {
            return Err(Failure::Usage(
                "statistics of images have one stage only: leave out --base".to_owned(),
            ));
        }
        return image::merge::run(&image::merge::Wish {
            stats: &arguments.stats,
            output: arguments.output.as_deref(),
            stats_out: arguments.stats_out.as_deref(),
            json: arguments.json,
        });
    }
    let base = arguments
        .base
        .as_deref()
        .map(models::load_file)
        .transpose()?;
    let mut sum: Option<StageStats> = None;
    for path in &arguments.stats {
        interrupt::check()?;
        let stats = read(path)?;
        match &mut sum {
            None => sum = Some(stats),
            Some(sum) => sum
                .merge(&stats)
                .map_err(|e| Failure::Failed(format!("{}: {e}", path.display())))?,
        }
    }
    let sum =
        sum.ok_or_else(|| Failure::Usage("give at least one file of statistics".to_owned()))?;
    match (sum.stage, &base) {
        (Stage::Second, None) if arguments.output.is_some() => {
            return Err(Failure::Usage(
                "these are statistics of stage two: give the model they were gathered with as --base".to_owned(),
            ));
        }
        (Stage::First, Some(_)) => {
            return Err(Failure::Usage(
                "these are statistics of stage one: leave out --base, or gather stage two with train --base".to_owned(),
            ));
        }
        _ => {}
    }
    if let Some(path) = &arguments.stats_out {
        write_stats(path, &sum)?;
    }
    let Some(output) = &arguments.output else {
        return Ok(());
    };
    let mut bar = Bar::new(arguments.json);
    let model = solve_stage(&sum, base.as_ref(), &mut |p| bar.tell(p))?;
    drop(bar);
    interrupt::check()?;
    model.save(output).map_err(Failure::of)?;
    if arguments.json {
        return report::print_json(&json!({
            "model": output,
            "recordings": sum.recordings,
            "seconds_of_sound": sum.seconds,
            "training": model.training,
        }));
    }
    report::print(&format!(
        "{}{} recordings, {} of sound\nwritten to {}\n",
        steps_table(&model.training),
        sum.recordings,
        report::duration(sum.seconds),
        output.display()
    ))
}

fn read(path: &Path) -> Result<StageStats, Failure> {
    let told = |e: &dyn std::fmt::Display| Failure::Failed(format!("{}: {e}", path.display()));
    if path.is_dir() {
        return Err(told(
            &"this is a folder: give the files of statistics in it",
        ));
    }
    let file = File::open(path).map_err(|e| match e.kind() {
        std::io::ErrorKind::NotFound => told(&"there is no such file: check the name"),
        _ => told(&e),
    })?;
    StageStats::read_from(BufReader::new(file)).map_err(|e| told(&e))
}

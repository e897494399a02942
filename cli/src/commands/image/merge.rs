//! `drfm merge` for statistics of images.

use std::fs::File;
use std::io::{BufReader, Read as _};
use std::path::{Path, PathBuf};

use drfm_engine::audio::trainer::Progress;
use drfm_engine::image::statistics::ImageStats;
use drfm_engine::image::training::to_file;
use serde_json::json;

use super::train::write_stats;
use crate::commands::training::Bar;
use crate::failure::Failure;
use crate::{interrupt, report};

/// First bytes of statistics of one training step, as those of images are; those of audio begin otherwise.
const MAGIC: &[u8; 8] = b"DRFMSUMS";

/// What is wanted.
pub struct Wish<'a> {
    /// Files of statistics.
    pub stats: &'a [PathBuf],
    /// Model to write.
    pub output: Option<&'a Path>,
    /// Sum to write.
    pub stats_out: Option<&'a Path>,
    /// JSON instead of text.
    pub json: bool,
}

/// Whether the first file that can be read holds statistics of images.
#[must_use]
pub fn are_of_images(paths: &[PathBuf]) -> bool {
    paths.iter().any(|path| {
        let mut start = [0; 8];
        File::open(path).is_ok_and(|mut f| f.read_exact(&mut start).is_ok() && &start == MAGIC)
    })
}

/// Merges.
///
/// # Errors
/// When statistics cannot be read or do not belong together.
pub fn run(wish: &Wish<'_>) -> Result<(), Failure> {
    let mut sum: Option<ImageStats> = None;
    for path in wish.stats {
        interrupt::check()?;
        let told = |e: &dyn std::fmt::Display| Failure::Failed(format!("{}: {e}", path.display()));
        let file = File::open(path).map_err(|e| told(&e))?;
        let stats = ImageStats::read_from(BufReader::new(file)).map_err(|e| told(&e))?;
        match &mut sum {
            None => sum = Some(stats),
            Some(sum) => sum.merge(&stats).map_err(|e| told(&e))?,
        }
    }
    let sum =
        sum.ok_or_else(|| Failure::Usage("give at least one file of statistics".to_owned()))?;
    if let Some(path) = wish.stats_out {
        write_stats(path, &sum)?;
    }
    let Some(output) = wish.output else {
        return Ok(());
    };
    let mut bar = Bar::new(wish.json);
    let model = sum.solve(&mut |event| {
        bar.tell(&Progress {
            step: "image",
            position: (1, 1),
            event,
        })
    })?;
    drop(bar);
    interrupt::check()?;
    to_file(&model)?.save(output).map_err(Failure::of)?;
    if wish.json {
        return report::print_json(&json!({
            "model": output,
            "images": sum.images(),
            "report": model.training().get("report"),
        }));
    }
    report::print(&format!(
        "{} images\nwritten to {}\n",
        sum.images(),
        output.display()
    ))
}

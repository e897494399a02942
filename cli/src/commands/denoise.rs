//! `drfm denoise`: recordings in, clean recordings out.

use std::path::PathBuf;
use std::time::Instant;

use clap::ValueEnum;
use drfm_engine::audio::denoiser::FULL_AMOUNT_DB;
use drfm_engine::audio::file_denoise::{FileDenoiseError, FileReport, denoise_file, same_file};
use drfm_engine::audio::method::Method;
use drfm_engine::audio::model::{DenoiserModel, Mode};
use drfm_engine::audio::writer::WavFormat;
use indicatif::{MultiProgress, ProgressBar, ProgressStyle};
use rayon::prelude::*;

use self::lines::{Line, Lines, name_of};
use self::plan::{Task, plan};
use crate::failure::Failure;
use crate::models::Loaded;
use crate::{interrupt, models, picture, report};

mod lines;
mod plan;

/// Takes the noise out of recordings.
///
/// The result is as long as the input and lines up with it to the sample, so it can replace the input in a project.
/// Reads WAV, FLAC, AIFF, OGG Vorbis and MP3; writes WAV.
///
/// Where the noise is known from matters most. If there is a moment where nobody plays, mark it with --noise-from: a
/// second is plenty. Otherwise the noise is found by itself (--noise adaptive), which works for steady noise such as
/// hiss and fans.
#[derive(clap::Args, Debug)]
#[command(after_help = "Examples:
  drfm denoise take1.wav
      writes take1.denoised.wav next to it
  drfm denoise take1.wav -o clean.wav --model guitar --noise-from 0:0.8
      the first 0.8 seconds are noise alone: learn the noise there
  drfm denoise take1.wav --noise-from 1:02.5:1:03.5
      the noise is heard alone from 1 min 2.5 s to 1 min 3.5 s
  drfm denoise takes/ --recursive --out-dir clean/ --noise-file empty-room.wav
      a whole folder, the noise learned from a recording of the empty room
  drfm denoise take1.wav --amount-db 12
      take the noise down by 12 dB and leave some of the room in
  drfm denoise take1.wav --residual -o removed.wav
      hear what is taken away: there should be no music in it
  drfm denoise take1.wav --picture take1.png
      see before, after and what was removed")]
pub struct Arguments {
    /// Recordings, or folders of recordings.
    #[arg(required = true, value_name = "IN")]
    inputs: Vec<PathBuf>,
    /// File to write (for one input).
    #[arg(short, long, value_name = "OUT.wav", conflicts_with = "out_dir")]
    output: Option<PathBuf>,
    /// Folder to write into, under the names of the inputs. It is created if its parent exists.
    #[arg(long, value_name = "DIR")]
    out_dir: Option<PathBuf>,
    /// guitar, flute, general, or the path of a model file.
    #[arg(long, default_value = "general", value_name = "MODEL")]
    model: String,
    /// best, balanced, live or instant: the live ones are for playing; for files, best sounds best. Without this
    /// option, best or the next best that the model has.
    #[arg(long, value_parser = models::parse_mode)]
    mode: Option<Mode>,
    /// Learn the noise from this stretch of the recording: seconds or m:ss.
    #[arg(long, value_name = "START:END", value_parser = parse_stretch, conflicts_with_all = ["noise_file", "noise"])]
    noise_from: Option<Stretch>,
    /// Learn the noise from another recording of nothing but the noise.
    #[arg(long, value_name = "FILE", conflicts_with = "noise")]
    noise_file: Option<PathBuf>,
    /// Take a learned noise to be as loud as it was learned, instead of following its level when it changes.
    #[arg(long, conflicts_with = "noise")]
    noise_fixed: bool,
    /// Find the noise by itself (this is the default).
    #[arg(long, value_enum)]
    noise: Option<NoiseChoice>,
    /// How far to take the noise down, in dB: 0 changes nothing, 100 takes all of it.
    #[arg(long, value_name = "DB", default_value_t = FULL_AMOUNT_DB, value_parser = parse_amount, allow_negative_numbers = true)]
    amount_db: f32,
    /// Clean each channel by itself instead of two as one picture: for two instruments, left and right.
    #[arg(long)]
    unlinked: bool,
    /// Write what is taken away instead of what is left.
    #[arg(long)]
    residual: bool,
    /// Steps of the reverse diffusion: 2 is the quality the mode was made for, 1 is faster and slightly worse.
    #[arg(long, value_name = "N", default_value_t = 2, value_parser = clap::value_parser!(u8).range(1..=2))]
    steps: u8,
    /// Bits per sample of the output: 16, 24 or 32f (floating point). Without this option, those of the input.
    #[arg(long, value_enum)]
    bits: Option<Bits>,
    /// Draw spectrograms before, after and of what was removed (for one input).
    #[arg(long, value_name = "OUT.png")]
    picture: Option<PathBuf>,
    /// Look into subfolders too.
    #[arg(long)]
    recursive: bool,
    /// Leave out inputs whose output is there already.
    #[arg(long)]
    skip_existing: bool,
    /// Files to work on at a time; 0: one per processor core. The result does not depend on it.
    #[arg(long, value_name = "N", default_value_t = 0)]
    threads: usize,
    /// Print one JSON object per file instead of a table.
    #[arg(long)]
    json: bool,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum NoiseChoice {
    /// Track the noise while the music plays.
    Adaptive,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Bits {
    #[value(name = "16")]
    Int16,
    #[value(name = "24")]
    Int24,
    #[value(name = "32f")]
    Float32,
}

impl Bits {
    const fn format(self) -> WavFormat {
        match self {
            Self::Int16 => WavFormat::Int16,
            Self::Int24 => WavFormat::Int24,
            Self::Float32 => WavFormat::Float32,
        }
    }
}

/// A stretch in seconds.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Stretch {
    start: f64,
    end: f64,
}

/// Reads `START:END`, each in seconds or as m:ss: two, three or four numbers. With three, the first of m:ss is the one
/// that makes the stretch run forwards.
fn parse_stretch(text: &str) -> Result<Stretch, String> {
    let wrong = || "give START:END in seconds, as 0.5:2, or in minutes, as 1:02.5:1:04".to_owned();
    let numbers: Vec<f64> = text
        .split(':')
        .map(|t| {
            t.trim()
                .parse::<f64>()
                .ok()
                .filter(|x| x.is_finite() && *x >= 0.0)
        })
        .collect::<Option<_>>()
        .ok_or_else(wrong)?;
    let stretch = |start: f64, end: f64| Stretch { start, end };
    let found = match numbers[..] {
        [start, end] => stretch(start, end),
        [start, minutes, seconds] => stretch(start, 60.0 * minutes + seconds),
        [m, s, minutes, seconds] => stretch(60.0 * m + s, 60.0 * minutes + seconds),
        _ => return Err(wrong()),
    };
    if found.start >= found.end {
        return Err(format!(
            "the stretch ends ({} s) before it starts ({} s)",
            found.end, found.start
        ));
    }
    Ok(found)
}

fn parse_amount(text: &str) -> Result<f32, String> {
    text.parse::<f32>()
        .ok()
        .filter(|x| (0.0..=1000.0).contains(x))
        .ok_or_else(|| {
            "give a number of decibels from 0 (change nothing) to 100 (all of the noise)".to_owned()
        })
}

/// Denoises.
///
/// # Errors
/// When an option makes no sense, or a file cannot be read or written; the other files are done nevertheless.
pub fn run(arguments: &Arguments) -> Result<(), Failure> {
    let tasks = plan(arguments)?;
    if arguments.picture.is_some() && tasks.len() != 1 {
        return Err(Failure::Usage(format!(
            "--picture draws one recording, but {} were given",
            tasks.len()
        )));
    }
    if let Some(picture) = &arguments.picture {
        picture::check_target(picture)?;
        if tasks
            .iter()
            .any(|t| same_file(&t.job.input, picture) || t.job.output == *picture)
        {
            return Err(Failure::Usage(
                "--picture names the recording itself: choose another file".to_owned(),
            ));
        }
    }
    let (mode, method) = match models::load_denoiser(&arguments.model)? {
        Loaded::Spectral(model) => choose_chain(arguments, &model)?,
        Loaded::Waveform(kernel) => {
            if let Some(mode) = arguments.mode.filter(|m| *m != Mode::Instant) {
                return Err(Failure::Usage(format!(
                    "model {} works on windows of samples and has no mode {}: leave --mode out",
                    arguments.model,
                    mode.name()
                )));
            }
            (Mode::Instant, Method::Waveform(kernel))
        }
    };
    let pool = rayon::ThreadPoolBuilder::new()
        .num_threads(arguments.threads)
        .build()
        .map_err(|e| Failure::Failed(format!("cannot start {} threads: {e}", arguments.threads)))?;
    let bars = MultiProgress::new();
    let lines = Lines::new(arguments.json, bars.clone());
    let failed = pool.install(|| {
        tasks
            .par_iter()
            .enumerate()
            .map(|(i, task)| {
                let started = Instant::now();
                let result = if task.skip {
                    Ok(None)
                } else {
                    denoise(&method, task, &bars).map(Some)
                };
                let wall = started.elapsed().as_secs_f64();
                let stopped = matches!(result, Err(FileDenoiseError::Stopped));
                let bad = result.is_err();
                lines.add(i, Line::new(arguments, mode, task, result, wall));
                (bad, stopped)
            })
            .reduce(|| (false, false), |a, b| (a.0 | b.0, a.1 | b.1))
    });
    if failed.1 {
        return Err(Failure::Interrupted);
    }
    if failed.0 {
        return Err(Failure::Told);
    }
    if let (Some(path), Some(task)) = (&arguments.picture, tasks.first()) {
        picture::draw(&task.job.input, &task.job.output, arguments.residual, path)?;
    }
    interrupt::check()
}

fn choose_chain(arguments: &Arguments, model: &DenoiserModel) -> Result<(Mode, Method), Failure> {
    let wanted = arguments.mode.unwrap_or(Mode::Best);
    let mode = match (arguments.mode, model.modes().min()) {
        (None, Some(best)) if best != wanted => {
            report::warn(&format!(
                "model {} has no mode {}: using {}",
                arguments.model,
                wanted.name(),
                best.name()
            ));
            best
        }
        _ => wanted,
    };
    let mut chain = model.chain(mode).map_err(Failure::of)?.clone();
    if arguments.steps == 1 {
        chain.long = None;
        chain.refine = None;
    } else if chain.refine.is_none() && mode != Mode::Instant {
        report::warn(&format!(
            "model {} has only the first step of mode {}: train its second stage for the full quality",
            arguments.model,
            mode.name()
        ));
    }
    Ok((mode, Method::Spectral(chain)))
}

fn denoise(
    method: &Method,
    task: &Task,
    bars: &MultiProgress,
) -> Result<FileReport, FileDenoiseError> {
    let bar = bars.add(ProgressBar::no_length());
    let style = ProgressStyle::with_template("{msg} [{bar:30}] {percent} % {eta}");
    bar.set_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()));
    bar.set_message(name_of(&task.job.input));
    let result = denoise_file(method, &task.job, &mut |progress| {
        if let Some(total) = progress.total {
            bar.set_length(total);
        }
        bar.set_position(progress.done);
        interrupt::control()
    });
    bar.finish_and_clear();
    bars.remove(&bar);
    result
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stretches_are_read_in_seconds_and_minutes() {
        let read = |t| parse_stretch(t).map(|s| (s.start, s.end));
        assert_eq!(read("0:0.5"), Ok((0.0, 0.5)));
        assert_eq!(read("1.5:1:02"), Ok((1.5, 62.0)));
        assert_eq!(read("1:02.5:1:04"), Ok((62.5, 64.0)));
        for wrong in [
            "",
            "1",
            "a:b",
            "2:1",
            "1:1",
            "-1:2",
            "1:2:3:4:5",
            "nan:1",
            "0:inf",
        ] {
            assert!(read(wrong).is_err(), "{wrong}");
        }
    }
}

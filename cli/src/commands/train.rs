//! `drfm train`: clean recordings in, a model out.

use std::fs::File;
use std::io::{BufWriter, Write as _};
use std::path::{Path, PathBuf};
use std::time::Instant;

use clap::ValueEnum;
use drfm_engine::audio::clip_file::{read_clip, seconds_of};
use drfm_engine::audio::find::find_audio_files;
use drfm_engine::audio::model::Mode;
use drfm_engine::audio::trainer::{
    SpectralTraining, Stage, StageStats, TrainerError, gather_stage, solve_stage, train,
    usable_clips,
};
use drfm_engine::audio::trainer_adam::{digest_of, train_adam};
use drfm_engine::audio::training_record::options_of;
use drfm_engine::audio::training_set::Clip;
use drfm_engine::audio::waveform_training;
use drfm_engine::model::file::ModelFile;
use rayon::prelude::*;
use serde_json::json;

use self::checkpoint::FileCheckpoints;
use self::choice::{Choice, parse_window};
use super::training::{
    Bar, Loss, check_no_input, check_target, losses_table, peak_memory_bytes, steps_table,
};
use crate::failure::Failure;
use crate::{interrupt, models, report};

pub(super) mod checkpoint;
mod choice;

/// Makes a model from clean recordings.
///
/// Give a folder of recordings of one instrument, as clean as you have them: a few minutes are enough to beat the
/// built-in models on that instrument, more is better. Noise is mixed in during training; nothing has to be labelled.
/// Same recordings, options and seed: same model, to the bit.
///
/// Training on several machines or folders: training only adds up sums, so they can be gathered apart and put together
/// by `drfm merge`, with the same result as training on everything at once. There are two stages, because the second
/// step of the denoiser learns from the output of the first. The example below shows the four commands.
///
/// With --domain waveform the model sees windows of samples instead, as in the paper: it can generate (drfm generate)
/// and denoises with a latency of one window, but not as well as the spectral ones. With --trainer adam it is trained by gradient descent, as in the paper: slower, and
/// the only way for --kind nn, which then has as many trained numbers as drfm would have.
#[derive(clap::Args, Debug)]
#[command(after_help = "Examples:
  drfm train my-guitar/ --recursive -o my-guitar.drfm
      then: drfm denoise take.wav --model my-guitar.drfm
  drfm train my-guitar/ -o live.drfm --modes live,instant --features 128
      a small model for playing live only
  drfm train my-guitar/ -o waveform.drfm --domain waveform --window 64
      then: drfm generate --model waveform.drfm -n 1000 -o new.wav
  drfm train my-guitar/ -o nn.drfm --kind nn --steps 20000 --checkpoint nn.run
      the paper's baseline; stopped by Ctrl-C, the same command goes on
Two machines (or folders) A and B:
  A and B:  drfm train my-part/ --stats-out a1.stats            stage one
  then:     drfm merge a1.stats b1.stats -o one.drfm            usable already
  A and B:  drfm train my-part/ --base one.drfm --stats-out a2.stats
  then:     drfm merge --base one.drfm a2.stats b2.stats -o both.drfm")]
pub struct Arguments {
    /// Clean recordings, or folders of them (WAV, FLAC, AIFF, OGG Vorbis, MP3; any rate and channel count).
    #[arg(required = true, value_name = "PATH")]
    paths: Vec<PathBuf>,
    /// Model file to write.
    #[arg(
        short,
        long,
        value_name = "MODEL.drfm",
        required_unless_present = "stats_out"
    )]
    output: Option<PathBuf>,
    /// What the model sees: windows of the spectrum (best quality) or of samples (as in the paper).
    #[arg(long, value_enum, default_value_t = DomainChoice::Spectral)]
    domain: DomainChoice,
    /// drfm, or one of the paper's baselines: rf (no gates) or nn (everything trained).
    #[arg(long, value_enum, default_value_t = KindChoice::Drfm)]
    kind: KindChoice,
    /// closed-form (seconds to minutes, no settings) or adam (as in the paper). Without this option, closed-form, and
    /// adam for --kind nn.
    #[arg(long, value_enum)]
    trainer: Option<TrainerChoice>,
    /// Steps of adam for every step of the denoiser [default: 2000].
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..=100_000_000))]
    steps: Option<u64>,
    /// Keep the run of adam in FILE and, for each step of the denoiser, FILE.step; goes on from there if they are there
    /// already. Kept every 500 steps and on Ctrl-C. More --steps train a finished run further.
    #[arg(long, value_name = "FILE")]
    checkpoint: Option<PathBuf>,
    /// Samples in a window of the waveform domain: 8 to 1024, a multiple of 4 [default: 64].
    #[arg(long, value_name = "SAMPLES", value_parser = parse_window)]
    window: Option<usize>,
    /// Random features of every step, instead of the recipe's own numbers.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=65_536))]
    features: Option<u32>,
    /// Timesteps of every step, instead of the recipe's own numbers.
    #[arg(long, value_name = "K", value_parser = clap::value_parser!(u32).range(2..=1_000))]
    timesteps: Option<u32>,
    /// Seed of everything random.
    #[arg(long, value_name = "S", default_value_t = 1)]
    seed: u64,
    /// Modes to train for.
    #[arg(long, value_delimiter = ',', value_parser = models::parse_mode, value_name = "MODE,...")]
    modes: Vec<Mode>,
    /// Excerpts drawn for each five seconds of a recording [default: 1].
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=1_000))]
    excerpts: Option<u32>,
    /// Where the instrument's range begins, in Hz: what is below is taken for rumble. 0 for a model of any instrument
    /// [default: where the recordings begin to sound].
    #[arg(long, value_name = "HZ", value_parser = parse_lowest_hz)]
    lowest_hz: Option<f32>,
    /// Gather the sums of one stage into FILE, for `drfm merge`: of stage one, or with --base of stage two. With -o
    /// also write the model that they alone make.
    #[arg(long, value_name = "FILE")]
    stats_out: Option<PathBuf>,
    /// Train the second stage only, after this model of the first; the other options are taken from it.
    #[arg(long, value_name = "MODEL", conflicts_with_all = ["features", "timesteps", "seed", "modes", "excerpts", "kind", "lowest_hz"])]
    base: Option<String>,
    /// Look into subfolders too.
    #[arg(long)]
    recursive: bool,
    /// Print one JSON object instead of text.
    #[arg(long)]
    json: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum DomainChoice {
    Spectral,
    Waveform,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum KindChoice {
    Drfm,
    Rf,
    Nn,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum TrainerChoice {
    ClosedForm,
    Adam,
}

/// Trains.
///
/// # Errors
/// When recordings cannot be read or nothing can be learned from them.
pub fn run(arguments: &Arguments) -> Result<(), Failure> {
    let started = Instant::now();
    let mut choice = Choice::of(arguments)?;
    let targets = arguments.output.iter().chain(&arguments.stats_out);
    for path in targets.chain(&arguments.checkpoint) {
        check_target(path)?;
    }
    if arguments.checkpoint.is_some() && arguments.checkpoint == arguments.output {
        return Err(Failure::Usage(
            "--checkpoint and -o name the same file: give two".to_owned(),
        ));
    }
    let base = arguments
        .base
        .as_deref()
        .map(models::load_file)
        .transpose()?;
    if let (Choice::Stages(options), Some(base)) = (&mut choice, &base) {
        *options = options_of(base)?;
    }
    let files = find_audio_files(&arguments.paths, arguments.recursive).map_err(Failure::of)?;
    // A checkpoint needs no such check: whatever is there and is no checkpoint is never written over.
    for path in arguments.output.iter().chain(&arguments.stats_out) {
        check_no_input(path, &files)?;
    }
    let clips = read_clips(&arguments.paths, &files)?;
    let count = clips.len();
    let clips = usable_clips(clips)?;
    if clips.len() < count {
        report::warn(&format!(
            "{} silent recordings are left out",
            count - clips.len()
        ));
    }
    let mut bar = Bar::new(arguments.json);
    let (stats, model) = match &choice {
        Choice::Stages(options) => {
            train_stages(arguments, options, base.as_ref(), &clips, &mut bar)?
        }
        other => (None, Some(train_whole(arguments, other, &clips, &mut bar)?)),
    };
    let losses = bar.finish();
    interrupt::check()?;
    if let (Some(path), Some(stats)) = (&arguments.stats_out, &stats) {
        write_stats(path, stats)?;
    }
    if let (Some(path), Some(model)) = (&arguments.output, &model) {
        model.save(path).map_err(Failure::of)?;
    }
    tell(
        arguments,
        &clips,
        model.as_ref(),
        &losses,
        started.elapsed().as_secs_f64(),
    )
}

fn parse_lowest_hz(text: &str) -> Result<f32, String> {
    match text.parse() {
        Ok(hz) if (0.0..=2_000.0).contains(&hz) => Ok(hz),
        _ => Err("give a frequency from 0 to 2000 Hz, such as 80".to_owned()),
    }
}

fn train_stages(
    arguments: &Arguments,
    options: &SpectralTraining,
    base: Option<&ModelFile>,
    clips: &[Clip],
    bar: &mut Bar,
) -> Result<(Option<StageStats>, Option<ModelFile>), Failure> {
    if base.is_none() && arguments.stats_out.is_none() {
        let model = train(options, clips, &mut |p| bar.tell(p))?;
        return Ok((None, Some(model)));
    }
    let stage = if base.is_some() {
        Stage::Second
    } else {
        Stage::First
    };
    let stats = gather_stage(stage, options, base, clips, &mut |p| bar.tell(p))?;
    let model = match &arguments.output {
        Some(_) => Some(solve_stage(&stats, base, &mut |p| bar.tell(p))?),
        None => None,
    };
    Ok((Some(stats), model))
}

/// Trainings that give a whole model at once.
fn train_whole(
    arguments: &Arguments,
    choice: &Choice,
    clips: &[Clip],
    bar: &mut Bar,
) -> Result<ModelFile, Failure> {
    let mut checkpoints = FileCheckpoints::open(
        arguments.checkpoint.as_deref(),
        &choice.about(digest_of(clips)),
        choice.adam_steps().unwrap_or_default(),
    )?;
    let trained = match choice {
        Choice::Stages(options) => train(options, clips, &mut |p| bar.tell(p)),
        Choice::SpectralAdam(options, adam) => {
            train_adam(options, adam, clips, &mut checkpoints, &mut |p| bar.tell(p))
        }
        Choice::Waveform(options) => {
            waveform_training::train(options, clips, &mut checkpoints, &mut |p| bar.tell(p))
        }
    };
    trained.map_err(|e| match e {
        // Only checkpoints can be of another run here.
        TrainerError::Mismatch(what) => Failure::Failed(format!(
            "{what}: give the options it was begun with, or another --checkpoint"
        )),
        other => {
            let failure = Failure::from(other);
            if matches!(failure, Failure::Interrupted) {
                checkpoints.tell_stopped();
            }
            failure
        }
    })
}

/// The recordings, in the order of their paths. What cannot be read is an error if it was `named`, else left out.
///
/// # Errors
/// For a named file that cannot be read, and when the user stops it.
pub fn read_clips(named: &[PathBuf], files: &[PathBuf]) -> Result<Vec<Clip>, Failure> {
    let read: Vec<_> = files
        .par_iter()
        .map(|path| {
            interrupt::check()?;
            Ok((path, read_clip(path)))
        })
        .collect::<Result<_, Failure>>()?;
    let mut clips = Vec::new();
    for (path, result) in read {
        match result {
            Ok(clip) => {
                if clip.incomplete {
                    report::warn(&format!(
                        "{} is cut short or damaged: using what can be read",
                        path.display()
                    ));
                }
                clips.push(clip.clip);
            }
            Err(e) if named.contains(path) => return Err(Failure::of(e)),
            Err(e) => report::warn(&format!("left out: {e}")),
        }
    }
    Ok(clips)
}

/// Writes statistics, whole or not at all.
///
/// # Errors
/// When the disk or folder does not allow it.
pub fn write_stats(path: &Path, stats: &StageStats) -> Result<(), Failure> {
    report::replace_file(path, |file: &File| {
        let mut out = BufWriter::new(file);
        stats.write_to(&mut out).map_err(std::io::Error::other)?;
        out.flush()
    })
}

fn tell(
    arguments: &Arguments,
    clips: &[Clip],
    model: Option<&ModelFile>,
    losses: &[Loss],
    wall: f64,
) -> Result<(), Failure> {
    let sound = seconds_of(clips);
    if arguments.json {
        return report::print_json(&json!({
            "model": arguments.output,
            "statistics": arguments.stats_out,
            "recordings": clips.len(),
            "seconds_of_sound": sound,
            "wall_seconds": wall,
            "peak_memory_bytes": peak_memory_bytes(),
            "training": model.map(|m| &m.training),
            "losses": losses.iter().map(Loss::as_json).collect::<Vec<_>>(),
        }));
    }
    let mut text = String::new();
    if let Some(model) = model {
        text.push_str(&steps_table(&model.training).to_string());
    }
    text.push_str(&losses_table(losses).to_string());
    let memory = peak_memory_bytes().map_or(String::new(), |b| {
        format!(", {} MB of memory at most", b / 1_000_000)
    });
    text.push_str(&format!(
        "{} recordings, {} of sound, in {wall:.1} s{memory}\n",
        clips.len(),
        report::duration(sound)
    ));
    for path in arguments.output.iter().chain(&arguments.stats_out) {
        text.push_str(&format!("written to {}\n", path.display()));
    }
    report::print(&text)
}

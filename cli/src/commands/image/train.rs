//! `drfm image train`: images in, a model out.

use std::fs::File;
use std::io::{BufWriter, Write as _};
use std::path::PathBuf;
use std::time::Instant;

use clap::ValueEnum;
use drfm_engine::audio::trainer::Progress;
use drfm_engine::diffusion::Schedule;
use drfm_engine::image::augment::Augmentation;
use drfm_engine::image::statistics::{ImageStats, NORMALISATION, Shard};
use drfm_engine::image::training::{self, ImageTrainer, ImageTraining, Tiles, fresh_loss};
use drfm_engine::model::{ModelKind, trainable_parameters};
use drfm_engine::rng::StableRng;
use drfm_engine::train::adam_run::AdamOptions;
use serde_json::json;

use super::data::{self, Data};
use crate::commands::train::checkpoint::FileCheckpoints;
use crate::commands::training::{Bar, check_target, peak_memory_bytes};
use crate::failure::Failure;
use crate::{interrupt, report};

/// Makes a model of images.
///
/// The paper's setting is the default: 100 images, timesteps with variances between 0.0001 and 0.02. The closed form
/// takes seconds to minutes; --trainer adam is the paper's own, an epoch being one step on all images with fresh noise.
///
/// For more images than fit into memory, or several machines, --stats-out reads the images once and keeps only sums,
/// which drfm merge puts together.
#[derive(clap::Args, Debug)]
#[command(after_help = "Examples:
  drfm image train train-images-idx3-ubyte.gz --class dress -o dress.drfm
  drfm image train train-images-idx3-ubyte.gz --class shoes --features 80000 -o shoes.drfm
      the paper's size
  drfm image train train-images-idx3-ubyte.gz --class dress --trainer exact --features 40000 --tile 4 --margin 4 --scale 0.2 --mirror --shift 1 -o best.drfm
      the best denoiser of 100 images that was found
  drfm image train my-pictures/ --size 32 -o mine.drfm
  drfm image train train-images-idx3-ubyte.gz --class dress --trainer adam --epochs 30000 --checkpoint run -o adam.drfm
      as published; stopped by Ctrl-C, the same command goes on
Many images in parts, here with GNU parallel (a Slurm array does the same with $SLURM_ARRAY_TASK_ID):
  parallel drfm image train DATA --count all --features 512 --timesteps 20 --shard {}/4 --stats-out {}.stats ::: 1 2 3 4
  drfm merge 1.stats 2.stats 3.stats 4.stats -o all.drfm")]
pub struct Arguments {
    #[command(flatten)]
    data: Data,
    /// Model file to write.
    #[arg(
        short,
        long,
        value_name = "MODEL.drfm",
        required_unless_present = "stats_out"
    )]
    output: Option<PathBuf>,
    /// How many images to take, the first of the data; or all.
    #[arg(long, value_name = "N|all", default_value = "100", value_parser = parse_count)]
    count: Count,
    /// Side of square images that pictures are fitted into, in pixels [default: 28; idx files keep their own size].
    #[arg(long, value_name = "PIXELS", value_parser = clap::value_parser!(u32).range(4..=256))]
    size: Option<u32>,
    /// drfm, or one of the paper's baselines: rf (no gates) or nn (everything trained, as many trained numbers).
    #[arg(long, value_enum, default_value_t = KindChoice::Drfm)]
    kind: KindChoice,
    /// Random features; the paper has 80000.
    #[arg(long, value_name = "N", default_value_t = 8000, value_parser = clap::value_parser!(u32).range(1..=300_000))]
    features: u32,
    /// Timesteps.
    #[arg(long, value_name = "K", default_value_t = 100, value_parser = clap::value_parser!(u32).range(1..=65_535))]
    timesteps: u32,
    /// Variance of the first timestep.
    #[arg(long, value_name = "BETA", default_value_t = 1e-4)]
    beta_first: f64,
    /// Variance of the last timestep; above the first.
    #[arg(long, value_name = "BETA", default_value_t = 0.02)]
    beta_last: f64,
    /// closed-form (ridge regression on rows of drawn noise), exact (the same with the noise integrated, for at most 10240
    /// features together), or adam (as in the paper). Without this option, closed-form, and adam for --kind nn.
    #[arg(long, value_enum)]
    trainer: Option<TrainerChoice>,
    /// Training rows of the closed form, pairs of image and timestep of exact: more are better and slower.
    #[arg(long, value_name = "N", default_value_t = 10_000, value_parser = clap::value_parser!(u32).range(2..=1_000_000))]
    rows: u32,
    /// Epochs of adam: steps on all images with fresh noise [default: 1000].
    #[arg(long, value_name = "E", value_parser = clap::value_parser!(u64).range(1..=100_000_000))]
    epochs: Option<u64>,
    /// Step size of adam [default: 0.001].
    #[arg(long, value_name = "RATE")]
    learning_rate: Option<f32>,
    /// Keep the run of adam in FILE and FILE.image; goes on from there if they are there already.
    #[arg(long, value_name = "FILE")]
    checkpoint: Option<PathBuf>,
    /// Size of the weights: how far, in radians, the angle of a feature goes for an image of deviation 1.
    #[arg(long, value_name = "RADIANS", default_value_t = training::SCALE)]
    scale: f32,
    /// How fast gates turn along the timesteps (closed form).
    #[arg(long, value_name = "RADIANS", default_value_t = training::GATE_SPREAD)]
    gate_spread: f64,
    /// Noise deviation beyond which gates fall as its inverse (closed form).
    #[arg(long, value_name = "DEVIATION", default_value_t = training::GATE_FALL)]
    gate_fall: f64,
    /// Draw features in blocks at right angles to each other.
    #[arg(long)]
    orthogonal: bool,
    /// Train on mirrored copies of the images too.
    #[arg(long)]
    mirror: bool,
    /// Train on copies shifted by up to this many pixels too.
    #[arg(long, value_name = "PIXELS", default_value_t = 0, value_parser = clap::value_parser!(u32).range(0..=8))]
    shift: u32,
    /// Deal the features out to square tiles of this side in pixels; those of a tile see it and a margin and speak about it
    /// alone (--trainer exact).
    #[arg(long, value_name = "PIXELS", value_parser = clap::value_parser!(u32).range(1..=256))]
    tile: Option<u32>,
    /// Margin of the tiles.
    #[arg(long, value_name = "PIXELS", default_value_t = 6, value_parser = clap::value_parser!(u32).range(0..=256))]
    margin: u32,
    /// Seed of everything random.
    #[arg(long, value_name = "S", default_value_t = 1)]
    seed: u64,
    /// Read the images once, from disk, and write sums for drfm merge instead of a model.
    #[arg(long, value_name = "FILE", conflicts_with = "output")]
    stats_out: Option<PathBuf>,
    /// With --stats-out: take part I of N of the images, such as 2/4.
    #[arg(long, value_name = "I/N", value_parser = parse_shard)]
    shard: Option<ShardChoice>,
    /// With --stats-out: noisy rows of each image.
    #[arg(long, value_name = "N", default_value_t = 100, value_parser = clap::value_parser!(u32).range(1..=100_000))]
    draws: u32,
    /// Print one JSON object instead of text.
    #[arg(long)]
    json: bool,
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
    Exact,
    Adam,
}

#[derive(Clone, Copy, Debug)]
struct Count(Option<usize>);

fn parse_count(text: &str) -> Result<Count, String> {
    if text == "all" {
        return Ok(Count(None));
    }
    text.parse::<usize>()
        .ok()
        .filter(|n| *n > 0)
        .map(|n| Count(Some(n)))
        .ok_or_else(|| "give a number of images of at least 1, or all".to_owned())
}

#[derive(Clone, Copy, Debug)]
struct ShardChoice(Shard);

fn parse_shard(text: &str) -> Result<ShardChoice, String> {
    let parts = text.split_once('/').and_then(|(i, n)| {
        let (i, n) = (i.parse::<usize>().ok()?, n.parse::<usize>().ok()?);
        (1..=n).contains(&i).then_some((i, n))
    });
    let (i, count) = parts.ok_or_else(|| "give a part such as 2/4, from 1/4 to 4/4".to_owned())?;
    let index = i - 1;
    Ok(ShardChoice(Shard { index, count }))
}

/// Epochs without --epochs.
const EPOCHS: u64 = 1000;
/// Rows of a minibatch at most, however many images there are.
const MOST_BATCH: usize = 1024;
/// Fresh rows of each image that the loss is judged on.
const LOSS_DRAWS: usize = 20;

/// Trains.
///
/// # Errors
/// When images cannot be read or options do not go together.
pub fn run(arguments: &Arguments) -> Result<(), Failure> {
    let started = Instant::now();
    for path in [
        &arguments.output,
        &arguments.stats_out,
        &arguments.checkpoint,
    ]
    .into_iter()
    .flatten()
    {
        check_target(path)?;
    }
    let mut training = options(arguments)?;
    let size = arguments.size.map(|s| (s as usize, s as usize));
    let query = arguments.data.query(size)?;
    let mut bar = Bar::new(arguments.json);
    let mut tell = |event: &_| {
        bar.tell(&Progress {
            step: "image",
            position: (1, 1),
            event,
        })
    };
    if let Some(path) = &arguments.stats_out {
        let shard = arguments
            .shard
            .map_or(Shard { index: 0, count: 1 }, |s| s.0);
        let stats = ImageStats::gather(
            &training,
            NORMALISATION,
            &mut query.open()?,
            shard,
            arguments.count.0,
            arguments.draws as usize,
            &mut tell,
        )?;
        drop(bar);
        interrupt::check()?;
        write_stats(path, &stats)?;
        return tell_stats(arguments, &stats, started.elapsed().as_secs_f64());
    }
    let images = query.read(arguments.count.0)?;
    if let ImageTrainer::Adam(adam) = &mut training.trainer {
        adam.batch = images.len().min(MOST_BATCH);
    }
    let about = json!({
        "images": digest(images.pixels()),
        "options": without_steps(&training),
    });
    let steps = match &training.trainer {
        ImageTrainer::Adam(adam) => adam.steps,
        ImageTrainer::ClosedForm { .. } | ImageTrainer::Exact { .. } => 0,
    };
    let mut checkpoints = FileCheckpoints::open(arguments.checkpoint.as_deref(), &about, steps)?;
    let trained = training::train(&training, &images, &mut checkpoints, &mut tell);
    let model = trained.map_err(|e| {
        let failure = Failure::from(e);
        if matches!(failure, Failure::Interrupted) {
            checkpoints.tell_stopped();
        }
        failure
    })?;
    let last = bar.finish();
    interrupt::check()?;
    let train_seconds = started.elapsed().as_secs_f64();
    let loss = fresh_loss(&model, &images, LOSS_DRAWS, arguments.seed)?;
    if let Some(path) = &arguments.output {
        training::to_file(&model)?.save(path).map_err(Failure::of)?;
    }
    let (d, n, k) = (
        model.drfm().d_in(),
        model.drfm().n_features(),
        model.drfm().timesteps(),
    );
    let numbers = trainable_parameters(model.kind(), d, d, k, n);
    let memory = peak_memory_bytes();
    if arguments.json {
        return report::print_json(&json!({
            "model": arguments.output,
            "images": images.len(),
            "features": n,
            "timesteps": k,
            "trainable_parameters": numbers,
            "training_loss": loss,
            "report": model.training().get("report"),
            "adam": last.iter().map(|l| l.as_json()).collect::<Vec<_>>(),
            "wall_seconds": train_seconds,
            "cpu_seconds": cpu_seconds(),
            "peak_memory_bytes": memory,
        }));
    }
    report::print(&format!(
        "{}\n{n} features, {k} timesteps, {numbers} trained numbers\ntraining loss {loss:.4} (mean squared error on fresh noise)\n{train_seconds:.1} s{}\n{}",
        data::describe(&images),
        memory.map_or(String::new(), |b| format!(
            ", {} MB of memory at most",
            b / 1_000_000
        )),
        arguments
            .output
            .as_ref()
            .map_or(String::new(), |p| format!("written to {}\n", p.display())),
    ))
}

fn options(arguments: &Arguments) -> Result<ImageTraining, Failure> {
    let usage = |text: &str| Err(Failure::Usage(text.to_owned()));
    let kind = match arguments.kind {
        KindChoice::Drfm => ModelKind::Drfm,
        KindChoice::Rf => ModelKind::Rf,
        KindChoice::Nn => ModelKind::Nn,
    };
    let trainer = match (arguments.trainer, kind) {
        (Some(TrainerChoice::ClosedForm | TrainerChoice::Exact), ModelKind::Nn) => {
            return usage(
                "--kind nn trains its sines too, which has no closed form: leave out --trainer or give --trainer adam",
            );
        }
        (None, ModelKind::Nn) | (Some(TrainerChoice::Adam), _) => TrainerChoice::Adam,
        (Some(choice), _) => choice,
        (None, _) => TrainerChoice::ClosedForm,
    };
    let adam = trainer == TrainerChoice::Adam;
    if adam && arguments.stats_out.is_some() {
        return usage(
            "only closed-form training gathers sums that can be merged: leave out --stats-out, or train with --trainer closed-form",
        );
    }
    if arguments.shard.is_some() && arguments.stats_out.is_none() {
        return usage("--shard is for --stats-out: give that too, or leave it out");
    }
    if !adam
        && (arguments.epochs.is_some()
            || arguments.checkpoint.is_some()
            || arguments.learning_rate.is_some())
    {
        return usage(
            "--epochs, --learning-rate and --checkpoint are for --trainer adam: leave them out, or give that too",
        );
    }
    let timesteps = arguments.timesteps as usize;
    let mut training = ImageTraining::paper(arguments.features as usize, timesteps)?;
    training.schedule = Schedule::linear_beta(timesteps, arguments.beta_first, arguments.beta_last)
        .map_err(|e| Failure::Usage(e.to_string()))?;
    training.kind = kind;
    training.scale = arguments.scale;
    training.gate_spread = arguments.gate_spread;
    training.gate_fall = arguments.gate_fall;
    training.orthogonal = arguments.orthogonal;
    training.augmentation = Augmentation {
        mirror: arguments.mirror,
        shift: arguments.shift as usize,
    };
    training.seed = arguments.seed;
    training.tiles = arguments.tile.map(|side| Tiles {
        side: side as usize,
        margin: arguments.margin as usize,
    });
    training.trainer = if trainer == TrainerChoice::Exact {
        ImageTrainer::Exact {
            pairs: arguments.rows as usize,
        }
    } else if adam {
        ImageTrainer::Adam(AdamOptions {
            steps: arguments.epochs.unwrap_or(EPOCHS),
            learning_rate: arguments
                .learning_rate
                .unwrap_or(AdamOptions::default().learning_rate),
            report_every: 10,
            checkpoint_every: 200,
            ..AdamOptions::default()
        })
    } else {
        ImageTrainer::ClosedForm {
            rows: arguments.rows as usize,
        }
    };
    Ok(training)
}

/// The options without the number of steps, which may change between runs of one checkpoint.
fn without_steps(training: &ImageTraining) -> serde_json::Value {
    let mut value = json!(training);
    if let Some(adam) = value
        .pointer_mut("/trainer/adam")
        .and_then(|v| v.as_object_mut())
    {
        adam.remove("steps");
    }
    value
}

/// Tells images of one checkpoint from others.
fn digest(pixels: &[f32]) -> String {
    let digest = pixels.iter().fold(0u64, |seed, p| {
        StableRng::new(seed ^ u64::from(p.to_bits()), 0).bits()
    });
    format!("{digest:016x}")
}

/// Writes statistics, whole or not at all.
///
/// # Errors
/// When the disk or folder does not allow it.
pub fn write_stats(path: &std::path::Path, stats: &ImageStats) -> Result<(), Failure> {
    report::replace_file(path, |file: &File| {
        let mut out = BufWriter::new(file);
        stats.write_to(&mut out).map_err(std::io::Error::other)?;
        out.flush()
    })
}

fn tell_stats(arguments: &Arguments, stats: &ImageStats, seconds: f64) -> Result<(), Failure> {
    let memory = peak_memory_bytes();
    if arguments.json {
        return report::print_json(&json!({
            "statistics": arguments.stats_out,
            "images": stats.images(),
            "wall_seconds": seconds,
            "cpu_seconds": cpu_seconds(),
            "peak_memory_bytes": memory,
        }));
    }
    report::print(&format!(
        "{} images in {seconds:.1} s{}\nwritten to {}\n",
        stats.images(),
        memory.map_or(String::new(), |b| format!(
            ", {} MB of memory at most",
            b / 1_000_000
        )),
        arguments
            .stats_out
            .as_ref()
            .map_or(String::new(), |p| p.display().to_string()),
    ))
}

/// Processor time of this process in seconds, all threads together, where the system tells (Linux).
#[must_use]
pub fn cpu_seconds() -> Option<f64> {
    let stat = std::fs::read_to_string("/proc/self/stat").ok()?;
    // Fields 14 and 15, counted from after the name in brackets, in ticks of 10 ms.
    let mut fields = stat.rsplit_once(')')?.1.split_whitespace().skip(11);
    let user: f64 = fields.next()?.parse().ok()?;
    let system: f64 = fields.next()?.parse().ok()?;
    Some((user + system) / 100.0)
}

//! `drfm eval`: models against classical denoisers, on the same mixtures.

use std::path::PathBuf;
use std::time::Instant;

use clap::ValueEnum;
use drfm_engine::audio::model::Mode;
use drfm_engine::eval::harm::{self, SOFT_DB};
use drfm_engine::eval::stereo::{self, Scene};
use drfm_engine::eval::{EvalError, EvalOptions, Field, Listener, Peer, Surroundings, evaluate};
use indicatif::{ProgressBar, ProgressStyle};
use serde_json::json;

use self::page::{Keeper, Page};
use self::peer::PeerCommand;
use crate::failure::Failure;
use crate::{interrupt, models, report};

mod inputs;
mod page;
mod peer;
mod text;

/// Measures models against classical denoisers.
///
/// Clean recordings are mixed with noise at known levels, and every method gets the same mixtures. Reported are the mean
/// over the files of each folder, and how far each model is ahead of the best classical denoiser of each cell. The oracle
/// knows the clean recording: no filter that only turns frequencies down can do much better.
#[derive(clap::Args, Debug)]
#[command(after_help = "Examples:
  drfm eval --clean guitar/test flute/test --model general --mode best --mode live
  drfm eval --clean my-takes/ --noise room-tone.wav --snr 5,15 --model guitar --model mine.drfm
  drfm eval --clean my-takes/ --knows-noise no
      nobody is told what the noise sounds like
  drfm eval --clean my-takes/ --peer \"ffmpeg=ffmpeg -v error -y -i {in} -af afftdn {out}\"
      ffmpeg's denoiser on the same mixtures
  drfm eval --clean my-takes/ --noise white hum50 --model guitar --mode best --report report/
      a page to look at and listen to: report/index.html
  drfm eval --clean guitar/test --model guitar --model flute --mode best --harm
      clean input, soft noise, and the wrong model
  drfm eval --clean guitar/test --model guitar --mode best --stereo
      two channels as a pair, and each by itself")]
pub struct Arguments {
    /// Clean recordings, or folders of them.
    #[arg(long, required = true, num_args = 1.., value_name = "PATH")]
    clean: Vec<PathBuf>,
    /// white, hum50 or hum60 (made-up mains hum), dimmer (made-up buzz of a lamp dimmer), whine (made-up whine of a computer), whistle (made-up whistle of a motor, not quite steady), crickets (made-up crickets, which sing and pause), traffic (made-up rumble of traffic far away), a recording of noise, or a folder of such recordings. The first 2 seconds of a recording are what methods
    /// learn the noise from, the rest is mixed in.
    #[arg(long, default_value = "white", num_args = 1.., value_name = "NOISE")]
    noise: Vec<String>,
    /// Signal-to-noise ratios of the mixtures in dB.
    #[arg(long, default_value = "0,10,20", value_delimiter = ',', allow_negative_numbers = true, value_parser = parse_level)]
    snr: Vec<f64>,
    /// guitar, flute, general, or the path of a model file; may be given several times.
    #[arg(long, value_name = "MODEL")]
    model: Vec<String>,
    /// Modes to measure; may be given several times. Without this option, all that a model has.
    #[arg(long, value_parser = models::parse_mode)]
    mode: Vec<Mode>,
    /// How many diffusion steps the models take, 1 to 9; may be given several times. Past 2 the last step is repeated on its
    /// own estimate. Whole files are then worked on with one noise spectrum, whose level is not followed. Without this
    /// option, the steps of the mode.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u8).range(1..=9))]
    steps: Vec<u8>,
    /// How deep the models take the noise down in dB, as in drfm denoise; may be given several times. Without this option,
    /// wholly.
    #[arg(long, value_name = "DB", value_parser = parse_amount)]
    amount_db: Vec<f32>,
    /// Another denoiser to measure on the same mixtures, as a command of the shell in which {in} stands for the noisy WAV
    /// file (mono, 32-bit float), {noise} for the recording of the noise and {out} for the WAV file that it writes. Its
    /// delay is found and taken back. May be given several times.
    #[arg(long, value_name = "NAME=COMMAND", value_parser = peer::parse)]
    peer: Vec<PeerCommand>,
    /// Whether methods are given a separate recording of the noise, or have to find it in the mixture.
    #[arg(long, value_enum, default_value_t = YesNo::Yes)]
    knows_noise: YesNo,
    /// Leave out the classical denoisers.
    #[arg(long)]
    no_classical: bool,
    /// Measure the harm that is done: recordings without added noise, soft noise (30 and 40 dB), and what the second and
    /// later models cost against the first, which should be the right one.
    #[arg(long, conflicts_with_all = ["report", "peer"])]
    harm: bool,
    /// Put the recordings into scenes of two channels, each with noise of its own, and compare both channels denoised as a
    /// pair with each by itself.
    #[arg(long, conflicts_with_all = ["report", "peer", "harm", "steps"])]
    stereo: bool,
    /// Cut a gap of a second after every two seconds of each mixture, with nothing in it but the dither of 16 bits, as between
    /// the regions of a track.
    #[arg(long, conflicts_with_all = ["harm", "stereo"])]
    gaps: bool,
    /// Write a web page into this new folder: tables, curves, spectrograms and sounds of one excerpt of each instrument and
    /// noise.
    #[arg(long, value_name = "DIR")]
    report: Option<PathBuf>,
    /// Use only this many seconds of each file. Without this option, all of it.
    #[arg(long, value_name = "S", value_parser = parse_seconds)]
    seconds: Option<f64>,
    /// Seed of the noise.
    #[arg(long, value_name = "S", default_value_t = 1)]
    seed: u64,
    /// Look into subfolders too.
    #[arg(long)]
    recursive: bool,
    /// Mixtures to work on at a time; 0: one per processor core. Results do not depend on it (times do).
    #[arg(long, value_name = "N", default_value_t = 0)]
    threads: usize,
    /// Print one JSON object instead of tables.
    #[arg(long)]
    json: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum YesNo {
    Yes,
    No,
}

fn parse_level(text: &str) -> Result<f64, String> {
    text.trim()
        .parse::<f64>()
        .ok()
        .filter(|x| (-60.0..=100.0).contains(x))
        .ok_or_else(|| "give levels in dB from -60 to 100, as 0,10,20".to_owned())
}

fn parse_amount(text: &str) -> Result<f32, String> {
    text.parse::<f32>()
        .ok()
        .filter(|x| (0.0..=100.0).contains(x))
        .ok_or_else(|| "give a number of dB from 0 (nothing is taken away) to 100 (all)".to_owned())
}

fn parse_seconds(text: &str) -> Result<f64, String> {
    text.parse::<f64>()
        .ok()
        .filter(|x| (0.5..=1e6).contains(x))
        .ok_or_else(|| "give a number of seconds, at least 0.5".to_owned())
}

/// Evaluates.
///
/// # Errors
/// When recordings, noises or models cannot be used, or the report cannot be written.
pub fn run(arguments: &Arguments) -> Result<(), Failure> {
    let field = Field {
        contenders: inputs::contenders(arguments)?,
        peers: peers(arguments)?,
    };
    let page = arguments.report.as_deref().map(Page::begin).transpose()?;
    let clean = inputs::read_clean(arguments)?;
    let noises = inputs::read_noises(arguments)?;
    let mut levels_db: Vec<f64> = Vec::new();
    for level in &arguments.snr {
        if !levels_db.contains(level) {
            levels_db.push(*level);
        }
    }
    let options = EvalOptions {
        levels_db,
        seed: arguments.seed,
        knows_noise: arguments.knows_noise == YesNo::Yes,
        classical: !arguments.no_classical && !arguments.harm,
        gaps: arguments.gaps,
    };
    let keeper = page
        .as_ref()
        .map(|page| Keeper::new(page, &clean, &noises, &options));
    let mut mixtures = clean.len() * noises.len() * options.levels_db.len();
    if arguments.harm {
        let soft = SOFT_DB.iter().filter(|l| !options.levels_db.contains(l));
        mixtures += clean.len() * (1 + noises.len() * soft.count());
    }
    if arguments.stereo {
        mixtures *= Scene::ALL.len();
    }
    let bar = ProgressBar::new(mixtures as u64);
    let style = ProgressStyle::with_template("mixtures [{bar:30}] {pos}/{len} {eta}");
    bar.set_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()));
    let started = Instant::now();
    let surroundings = Surroundings {
        clock: &|| started.elapsed().as_secs_f64(),
        go_on: &|done| {
            if done {
                bar.inc(1);
            }
            interrupt::control()
        },
        listener: keeper.as_ref().map(|k| k as &dyn Listener),
    };
    let pool = rayon::ThreadPoolBuilder::new()
        .num_threads(arguments.threads)
        .build()
        .map_err(|e| Failure::Failed(format!("cannot start {} threads: {e}", arguments.threads)))?;
    let failed = |e| match e {
        EvalError::Stopped => Failure::Interrupted,
        other => Failure::of(other),
    };
    if arguments.harm {
        let result =
            pool.install(|| harm::measure(&clean, &noises, &field, &options, &surroundings));
        bar.finish_and_clear();
        let result = result.map_err(failed)?;
        if arguments.json {
            return report::print_json(&json!({
                "seed": options.seed,
                "knows_noise": options.knows_noise,
                "files": clean.len(),
                "result": result,
            }));
        }
        return report::print(&text::harm(&result, options.knows_noise));
    }
    if arguments.stereo {
        let result =
            pool.install(|| stereo::measure(&clean, &noises, &field, &options, &surroundings));
        bar.finish_and_clear();
        let result = result.map_err(failed)?;
        let models: Vec<&str> = field.contenders.iter().map(|c| c.name.as_str()).collect();
        if arguments.json {
            return report::print_json(&json!({
                "seed": options.seed,
                "knows_noise": options.knows_noise,
                "files": clean.len(),
                "models": models,
                "result": result,
            }));
        }
        return report::print(&text::stereo(&result, &models, options.knows_noise));
    }
    let result = pool.install(|| evaluate(&clean, &noises, &field, &options, &surroundings));
    bar.finish_and_clear();
    let result = result.map_err(failed)?;
    let kept = keeper.map(Keeper::into_kept);
    if let (Some(page), Some(kept)) = (page, kept) {
        page.finish(&result, &kept, &options, clean.len())?;
    }
    if arguments.json {
        return report::print_json(&json!({
            "seed": options.seed,
            "knows_noise": options.knows_noise,
            "files": clean.len(),
            "gaps": options.gaps,
            "wall_seconds": started.elapsed().as_secs_f64(),
            "result": result,
        }));
    }
    report::print(&text::evaluation(&result, &options, clean.len()))
}

fn peers(arguments: &Arguments) -> Result<Vec<Peer>, Failure> {
    for (i, peer) in arguments.peer.iter().enumerate() {
        if arguments
            .peer
            .iter()
            .take(i)
            .any(|p| p.name() == peer.name())
        {
            return Err(Failure::Usage(format!(
                "two peers are called {}: give each its own name",
                peer.name()
            )));
        }
        if peer.wants_noise() && arguments.knows_noise == YesNo::No {
            return Err(Failure::Usage(format!(
                "peer {} wants a recording of the noise, but --knows-noise no keeps it from everyone",
                peer.name()
            )));
        }
    }
    Ok(arguments
        .peer
        .iter()
        .map(|p| p.clone().into_peer())
        .collect())
}

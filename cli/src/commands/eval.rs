//! `drfm eval`: models against classical denoisers, on the same mixtures.

use std::path::{Path, PathBuf};
use std::time::Instant;

use clap::ValueEnum;
use drfm_engine::audio::clip_file::read_mono;
use drfm_engine::audio::find::find_audio_files;
use drfm_engine::audio::method::Method;
use drfm_engine::audio::model::Mode;
use drfm_engine::eval::{
    CleanClip, Contender, EvalError, EvalOptions, Evaluation, Field, Measures, NoiseKind, Peer,
    Surroundings, evaluate,
};
use indicatif::{ProgressBar, ProgressStyle};
use rayon::prelude::*;
use serde_json::json;

use self::peer::PeerCommand;
use crate::failure::Failure;
use crate::models::Loaded;
use crate::report::Table;
use crate::{interrupt, models, report};

mod peer;

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
      ffmpeg's denoiser on the same mixtures")]
pub struct Arguments {
    /// Clean recordings, or folders of them.
    #[arg(long, required = true, num_args = 1.., value_name = "PATH")]
    clean: Vec<PathBuf>,
    /// white, a recording of noise, or a folder of such recordings. The first 2 seconds of a recording are what methods
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
    /// Another denoiser to measure on the same mixtures, as a command of the shell in which {in} stands for the noisy WAV
    /// file (mono, 32-bit float), {noise} for the recording of the noise and {out} for the WAV file that it writes. Its
    /// delay is found and taken back. May be given several times.
    #[arg(long, value_name = "NAME=COMMAND", value_parser = peer::parse)]
    peer: Vec<PeerCommand>,
    /// Whether methods are given a separate recording of the noise, or have to find it in the mixture.
    #[arg(long, value_enum, default_value_t = YesNo::Yes)]
    knows_noise: YesNo,
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

fn parse_seconds(text: &str) -> Result<f64, String> {
    text.parse::<f64>()
        .ok()
        .filter(|x| (0.5..=1e6).contains(x))
        .ok_or_else(|| "give a number of seconds, at least 0.5".to_owned())
}

/// Evaluates.
///
/// # Errors
/// When recordings, noises or models cannot be used.
pub fn run(arguments: &Arguments) -> Result<(), Failure> {
    let field = Field {
        contenders: contenders(arguments)?,
        peers: peers(arguments)?,
    };
    let clean = read_clean(arguments)?;
    let noises = read_noises(arguments)?;
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
    };
    let bar = ProgressBar::new((clean.len() * noises.len() * options.levels_db.len()) as u64);
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
    };
    let pool = rayon::ThreadPoolBuilder::new()
        .num_threads(arguments.threads)
        .build()
        .map_err(|e| Failure::Failed(format!("cannot start {} threads: {e}", arguments.threads)))?;
    let result = pool.install(|| evaluate(&clean, &noises, &field, &options, &surroundings));
    bar.finish_and_clear();
    let result = result.map_err(|e| match e {
        EvalError::Stopped => Failure::Interrupted,
        other => Failure::of(other),
    })?;
    if arguments.json {
        return report::print_json(&json!({
            "seed": options.seed,
            "knows_noise": options.knows_noise,
            "files": clean.len(),
            "wall_seconds": started.elapsed().as_secs_f64(),
            "result": result,
        }));
    }
    report::print(&as_text(&result, options.knows_noise, clean.len()))
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

fn contenders(arguments: &Arguments) -> Result<Vec<Contender>, Failure> {
    let names: Vec<String> = if arguments.model.is_empty() {
        vec!["general".to_owned()]
    } else {
        arguments.model.clone()
    };
    let mut all: Vec<Contender> = Vec::new();
    for name in &names {
        let in_modes: Vec<(&str, Mode, Method)> = match models::load_denoiser(name)? {
            Loaded::Waveform(kernel) => {
                vec![("waveform", Mode::Instant, Method::Waveform(kernel))]
            }
            Loaded::Spectral(model) => {
                let modes: Vec<Mode> = if arguments.mode.is_empty() {
                    model.modes().collect()
                } else {
                    arguments.mode.clone()
                };
                modes
                    .into_iter()
                    .map(|mode| {
                        let chain = model
                            .chain(mode)
                            .map_err(|e| Failure::Failed(format!("model {name}: {e}")))?;
                        Ok((mode.name(), mode, Method::Spectral(chain.clone())))
                    })
                    .collect::<Result<_, Failure>>()?
            }
        };
        let short = Path::new(name)
            .file_stem()
            .unwrap_or_default()
            .to_string_lossy()
            .into_owned();
        for (how, mode, denoiser) in in_modes {
            let mut label = format!("{short} {how}");
            if all.iter().any(|c| c.name == label) {
                label = format!("{name} {how}");
            }
            if all.iter().any(|c| c.name == label) {
                return Err(Failure::Usage(format!(
                    "{label} is given twice: give each model and mode once"
                )));
            }
            all.push(Contender {
                name: label,
                mode,
                denoiser,
            });
        }
    }
    Ok(all)
}

/// The last two names of a file's folders: the instrument, or the folder.
fn group_of(path: &Path) -> String {
    let full = std::fs::canonicalize(path).unwrap_or_else(|_| path.to_path_buf());
    let names: Vec<String> = full
        .parent()
        .into_iter()
        .flat_map(Path::components)
        .filter_map(|c| match c {
            std::path::Component::Normal(name) => Some(name.to_string_lossy().into_owned()),
            _ => None,
        })
        .collect();
    names
        .get(names.len().saturating_sub(2)..)
        .unwrap_or_default()
        .join("/")
}

fn read_clean(arguments: &Arguments) -> Result<Vec<CleanClip>, Failure> {
    let files = find_audio_files(&arguments.clean, arguments.recursive).map_err(Failure::of)?;
    files
        .par_iter()
        .map(|path| {
            interrupt::check()?;
            let mut clip = read_mono(path).map_err(Failure::of)?;
            if clip.incomplete {
                report::warn(&format!(
                    "{} is cut short or damaged: using what can be read",
                    path.display()
                ));
            }
            if let Some(seconds) = arguments.seconds {
                clip.samples
                    .truncate((seconds * f64::from(clip.rate_hz)) as usize);
            }
            if clip.samples.iter().all(|x| *x == 0.0) {
                return Err(Failure::Failed(format!(
                    "{} is silent: leave it out",
                    path.display()
                )));
            }
            Ok(CleanClip {
                group: group_of(path),
                rate_hz: clip.rate_hz,
                samples: clip.samples,
            })
        })
        .collect()
}

fn read_noises(arguments: &Arguments) -> Result<Vec<NoiseKind>, Failure> {
    let mut noises: Vec<NoiseKind> = Vec::new();
    for given in &arguments.noise {
        if given == "white" {
            noises.push(NoiseKind {
                name: given.clone(),
                recording: None,
            });
            continue;
        }
        let files = find_audio_files(&[PathBuf::from(given)], arguments.recursive)
            .map_err(|e| Failure::Failed(format!("noise: {e} (or give the word white)")))?;
        for path in files {
            let clip = read_mono(&path).map_err(Failure::of)?;
            noises.push(NoiseKind {
                name: path
                    .file_stem()
                    .unwrap_or_default()
                    .to_string_lossy()
                    .into_owned(),
                recording: Some((clip.rate_hz, clip.samples)),
            });
        }
    }
    Ok(noises)
}

/// A measure: its name, and how to take it.
type Column = (&'static str, fn(&Measures) -> f64);

const MEASURES: [Column; 4] = [
    ("SNR in dB", |m| m.snr_db),
    ("SI-SDR in dB", |m| m.si_sdr_db),
    ("Segmental SNR in dB", |m| m.segmental_snr_db),
    ("Log-spectral distance in dB (small is good)", |m| {
        m.log_spectral_distance_db
    }),
];

fn as_text(result: &Evaluation, knows_noise: bool, files: usize) -> String {
    let mut text = format!(
        "{files} clean files, {} of sound; methods {}\n",
        report::duration(result.seconds_of_sound),
        if knows_noise {
            "know a separate recording of the noise"
        } else {
            "have to find the noise themselves"
        }
    );
    let mut noises: Vec<&str> = Vec::new();
    for cell in &result.cells {
        if !noises.contains(&cell.noise.as_str()) {
            noises.push(&cell.noise);
        }
    }
    for (title, take) in MEASURES {
        for noise in &noises {
            let cells: Vec<_> = result.cells.iter().filter(|c| c.noise == **noise).collect();
            let heading = cells.iter().map(|c| format!("{} {}", c.group, c.level_db));
            let mut table = Table::new(std::iter::once("method".to_owned()).chain(heading));
            for (number, method) in result.methods.iter().enumerate() {
                let values = cells
                    .iter()
                    .map(|c| c.means.get(number).map_or(f64::NAN, take));
                table.row(
                    std::iter::once(method.name.clone()).chain(values.map(|v| format!("{v:.2}"))),
                );
            }
            text.push_str(&format!("\n{title}, noise: {noise}\n{table}"));
        }
    }
    let mut table = Table::new(["model", "ahead of", "mean", "worst", "worst cell"]);
    for m in &result.margins {
        table.row([
            m.method.clone(),
            m.over.clone(),
            format!("{:+.2} dB", m.mean_db),
            format!("{:+.2} dB", m.worst_db),
            m.worst_cell.clone(),
        ]);
    }
    text.push_str(&format!("\nHow far ahead in SNR\n{table}"));
    let mut table = Table::new(["method", "real-time factor"]);
    for m in &result.methods {
        table.row([m.name.clone(), format!("{:.4}", m.real_time_factor)]);
    }
    text.push_str(&format!("\nSeconds of work per second of sound\n{table}"));
    text
}

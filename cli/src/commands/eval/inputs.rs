//! What an evaluation starts from: models, clean recordings, noises.

use std::path::{Path, PathBuf};

use drfm_engine::audio::clip_file::read_mono;
use drfm_engine::audio::denoiser::FULL_AMOUNT_DB;
use drfm_engine::audio::find::find_audio_files;
use drfm_engine::audio::method::Method;
use drfm_engine::audio::model::Mode;
use drfm_engine::eval::{CleanClip, Contender, NoiseKind, NoiseSound};
use rayon::prelude::*;

use super::Arguments;
use crate::failure::Failure;
use crate::models::Loaded;
use crate::{interrupt, models, report};

/// The models in the modes, steps and amounts asked for.
///
/// # Errors
/// Unknown or damaged models, and those given twice.
pub fn contenders(arguments: &Arguments) -> Result<Vec<Contender>, Failure> {
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
        let steps: Vec<Option<usize>> = match arguments.steps.as_slice() {
            [] => vec![None],
            steps => steps.iter().map(|s| Some(usize::from(*s))).collect(),
        };
        let amounts: Vec<Option<f32>> = match arguments.amount_db.as_slice() {
            [] => vec![None],
            amounts => amounts.iter().copied().map(Some).collect(),
        };
        for (how, mode, denoiser) in in_modes {
            for (steps, amount) in steps
                .iter()
                .flat_map(|s| amounts.iter().map(move |a| (s, a)))
            {
                let with = [
                    steps.map(|s| format!(", {s} step{}", if s == 1 { "" } else { "s" })),
                    amount.map(|a| format!(", {a} dB")),
                ]
                .map(Option::unwrap_or_default)
                .concat();
                let mut label = format!("{short} {how}{with}");
                if all.iter().any(|c| c.name == label) {
                    label = format!("{name} {how}{with}");
                }
                if all.iter().any(|c| c.name == label) {
                    return Err(Failure::Usage(format!(
                        "{label} is given twice: give each model, mode, number of steps and amount once"
                    )));
                }
                all.push(Contender {
                    name: label,
                    mode,
                    denoiser: denoiser.clone(),
                    steps: *steps,
                    amount_db: amount.unwrap_or(FULL_AMOUNT_DB),
                });
            }
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

/// The clean recordings.
///
/// # Errors
/// Unreadable and silent files.
pub fn read_clean(arguments: &Arguments) -> Result<Vec<CleanClip>, Failure> {
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

/// The noises.
///
/// # Errors
/// Unreadable files.
pub fn read_noises(arguments: &Arguments) -> Result<Vec<NoiseKind>, Failure> {
    let mut noises: Vec<NoiseKind> = Vec::new();
    for given in &arguments.noise {
        let made_up = match given.as_str() {
            "white" => Some(NoiseSound::White),
            "hum50" => Some(NoiseSound::Hum { mains_hz: 50.0 }),
            "hum60" => Some(NoiseSound::Hum { mains_hz: 60.0 }),
            "dimmer" => Some(NoiseSound::Dimmer),
            "whine" => Some(NoiseSound::Whine),
            "whistle" => Some(NoiseSound::Whistle),
            "crickets" => Some(NoiseSound::Crickets),
            "traffic" => Some(NoiseSound::Traffic),
            _ => None,
        };
        if let Some(sound) = made_up {
            noises.push(NoiseKind {
                name: given.clone(),
                sound,
            });
            continue;
        }
        let files =
            find_audio_files(&[PathBuf::from(given)], arguments.recursive).map_err(|e| {
                Failure::Failed(format!(
                    "noise: {e} (or give the word white, hum50, hum60, dimmer, whine, whistle, crickets or traffic)"
                ))
            })?;
        for path in files {
            let clip = read_mono(&path).map_err(Failure::of)?;
            noises.push(NoiseKind {
                name: path
                    .file_stem()
                    .unwrap_or_default()
                    .to_string_lossy()
                    .into_owned(),
                sound: NoiseSound::Recording {
                    rate_hz: clip.rate_hz,
                    samples: clip.samples,
                },
            });
        }
    }
    Ok(noises)
}

//! Evaluation: models and classical denoisers on the same mixtures of clean music and noise.
//!
//! Every clean file is mixed with every noise at every level; every method gets the same mixture and, if it is to know
//! the noise, the same separate recording of it. Nothing here reads a file or a clock: callers bring both.

use std::collections::BTreeMap;

use rayon::prelude::*;
use serde::Serialize;

use crate::audio::file_denoise::{SignalNoise, denoise_signal};
use crate::audio::method::Method as Denoiser;
use crate::audio::model::Mode;
use crate::audio::noise::NoiseSpectrum;
use crate::audio::noise_response::FrameResponse;
use crate::audio::resample::{ResampleError, resample};
use crate::audio::stft::FrameShape;
use crate::audio::tracking::Tracking;
use crate::audio::waveform::WaveformError;
use crate::classic::{Baseline, ClassicError, NoisePsd, REFERENCE_RATE_HZ, standard_set};
use crate::metrics::align::{delay_samples, shifted};
use crate::metrics::audio::{log_spectral_distance_db, segmental_snr_db, si_sdr_db, snr_db};
use crate::rng::StableRng;
use crate::train::Control;

/// Length of the separate noise recording, in seconds.
pub const KNOWN_NOISE_SECONDS: f64 = 4.0;
/// Most of a recorded noise that it is learned from, in seconds ...
pub const LEARNED_SECONDS: f64 = 2.0;
/// ... and as a share of the recording; the rest is mixed in.
pub const LEARNED_SHARE: f64 = 0.4;
/// Name of the noisy input among the methods.
pub const NOISY: &str = "noisy input";
/// Keeps the draws of mixtures and of separate noise recordings apart.
const SEPARATE: u64 = 1 << 63;

/// A clean recording.
#[derive(Clone, Debug)]
pub struct CleanClip {
    /// The cell of the tables that it counts for: an instrument or folder.
    pub group: String,
    /// Sample rate in Hz.
    pub rate_hz: u32,
    /// Mono samples.
    pub samples: Vec<f32>,
}

/// A noise to be mixed in.
#[derive(Clone, Debug)]
pub struct NoiseKind {
    /// Its name in tables.
    pub name: String,
    /// A recording of it (rate in Hz, mono samples); `None` for white noise.
    pub recording: Option<(u32, Vec<f32>)>,
}

/// A model in a mode.
pub struct Contender {
    /// Its name in tables.
    pub name: String,
    /// The mode, which decides what it is compared with; [`Mode::Instant`] for waveform models.
    pub mode: Mode,
    /// What denoises.
    pub denoiser: Denoiser,
}

/// What another denoiser is given.
pub struct PeerInput<'a> {
    /// Sample rate in Hz of both signals.
    pub rate_hz: u32,
    /// The mixture, mono.
    pub noisy: &'a [f32],
    /// A separate recording of the noise, if methods are to know it.
    pub known_noise: Option<&'a [f32]>,
}

/// Another denoiser: gives its estimate at the same rate, with any delay, or says why it cannot.
pub type RunPeer = dyn Fn(&PeerInput<'_>) -> Result<Vec<f32>, String> + Sync + Send;

/// A denoiser of others, run by the caller.
pub struct Peer {
    /// Its name in tables.
    pub name: String,
    /// Runs it.
    pub run: Box<RunPeer>,
}

/// Everything that is compared with the classical denoisers.
#[derive(Default)]
pub struct Field {
    /// Our models.
    pub contenders: Vec<Contender>,
    /// Other denoisers.
    pub peers: Vec<Peer>,
}

/// Longest delay of a peer that is found and taken back, in seconds.
pub const LONGEST_PEER_DELAY_SECONDS: f64 = 0.5;

/// What to evaluate.
#[derive(Clone, Debug)]
pub struct EvalOptions {
    /// Input SNRs in dB.
    pub levels_db: Vec<f64>,
    /// Seed of the noise.
    pub seed: u64,
    /// Whether methods get a separate recording of the noise, or have to find it blindly.
    pub knows_noise: bool,
}

/// The measures of an estimate against the clean signal.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
pub struct Measures {
    /// Signal-to-noise ratio.
    pub snr_db: f64,
    /// Scale-invariant signal-to-distortion ratio.
    pub si_sdr_db: f64,
    /// Segmental SNR.
    pub segmental_snr_db: f64,
    /// Log-spectral distance; small is good.
    pub log_spectral_distance_db: f64,
}

/// Where a mean was taken.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Cell {
    /// Instrument or folder.
    pub group: String,
    /// Noise.
    pub noise: String,
    /// Input SNR in dB.
    pub level_db: f64,
    /// Files in the mean.
    pub files: usize,
    /// Mean measures of each method, in the order of [`Evaluation::methods`].
    pub means: Vec<Measures>,
}

/// What kind of method.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum MethodKind {
    /// The input as it is.
    Noisy,
    /// A classical denoiser.
    Classical,
    /// A classical denoiser with the window of the live modes.
    ClassicalLive,
    /// A denoiser of others.
    Peer,
    /// A model.
    Model,
    /// Knows the clean signal.
    Oracle,
}

/// A method that was measured.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Method {
    /// Its name.
    pub name: String,
    /// What kind it is.
    pub kind: MethodKind,
    /// Seconds of work per second of sound.
    pub real_time_factor: f64,
}

/// How far a model is ahead, in dB of SNR.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Margin {
    /// The model.
    pub method: String,
    /// What it is compared with.
    pub over: String,
    /// Mean over the cells.
    pub mean_db: f64,
    /// Least of all cells.
    pub worst_db: f64,
    /// The cell of the least.
    pub worst_cell: String,
}

/// All results.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Evaluation {
    /// What was measured.
    pub methods: Vec<Method>,
    /// Results by group, noise and level.
    pub cells: Vec<Cell>,
    /// How far each model is ahead of the best classical denoiser of each cell.
    pub margins: Vec<Margin>,
    /// Seconds of clean sound.
    pub seconds_of_sound: f64,
}

/// Why an evaluation is not possible.
#[derive(Debug, thiserror::Error)]
pub enum EvalError {
    /// A classical denoiser cannot work on it.
    #[error("{0}")]
    Classic(#[from] ClassicError),
    /// Rates that cannot be brought together.
    #[error(transparent)]
    Resample(#[from] ResampleError),
    /// A waveform model cannot work at the rate of a recording.
    #[error(transparent)]
    Waveform(#[from] WaveformError),
    /// A clean recording is silent.
    #[error("a clean recording of {0} is silent: leave it out")]
    SilentClean(String),
    /// A noise recording is silent or too short.
    #[error("the noise {0} is silent or shorter than 0.5 s: give a longer recording of it")]
    UnusableNoise(String),
    /// Another denoiser failed.
    #[error("peer {name}: {reason}")]
    Peer {
        /// Its name.
        name: String,
        /// What it says.
        reason: String,
    },
    /// The observer stopped it.
    #[error("stopped")]
    Stopped,
}

/// What evaluation needs of the outside: a clock in seconds, and whether to go on (asked often, told how many of all
/// mixtures are done).
pub struct Surroundings<'a> {
    /// Seconds since any fixed moment.
    pub clock: &'a (dyn Fn() -> f64 + Sync),
    /// Whether to go on; called with `true` when a mixture is done.
    pub go_on: &'a (dyn Fn(bool) -> Control + Sync),
}

/// A mixture, and what methods are told of its noise.
struct Mixture {
    noisy: Vec<f32>,
    known: Vec<f32>,
}

/// Evaluates everything; the results do not depend on the number of threads (the times do).
///
/// # Errors
/// See [`EvalError`].
pub fn evaluate(
    clean: &[CleanClip],
    noises: &[NoiseKind],
    field: &Field,
    options: &EvalOptions,
    surroundings: &Surroundings<'_>,
) -> Result<Evaluation, EvalError> {
    let mut jobs = Vec::new();
    for noise in noises {
        for level in &options.levels_db {
            jobs.extend(
                clean
                    .iter()
                    .enumerate()
                    .map(|(i, clip)| (i, clip, noise, *level)),
            );
        }
    }
    let results: Vec<Vec<(Measures, f64)>> = jobs
        .par_iter()
        .map(|(i, clip, noise, level)| {
            let mixture = mix(clip, noise, *level, options.seed, *i as u64)?;
            let scores = run_methods(clip, &mixture, field, options, surroundings)?;
            (surroundings.go_on)(true);
            Ok(scores)
        })
        .collect::<Result<_, EvalError>>()?;
    let mut methods = vec![(NOISY.to_owned(), MethodKind::Noisy)];
    methods.extend(
        standard_set(REFERENCE_RATE_HZ)
            .iter()
            .map(|b| (b.name(), kind_of(b))),
    );
    let peers = field
        .peers
        .iter()
        .map(|p| (p.name.clone(), MethodKind::Peer));
    methods.extend(peers);
    let models = field.contenders.iter();
    methods.extend(models.map(|c| (c.name.clone(), MethodKind::Model)));

    let seconds = |clip: &CleanClip| clip.samples.len() as f64 / f64::from(clip.rate_hz);
    let worked: f64 = jobs.iter().map(|(_, clip, ..)| seconds(clip)).sum();
    let methods: Vec<Method> = methods
        .into_iter()
        .enumerate()
        .map(|(m, (name, kind))| Method {
            name,
            kind,
            real_time_factor: results
                .iter()
                .filter_map(|r| r.get(m))
                .map(|(_, t)| t)
                .sum::<f64>()
                / worked,
        })
        .collect();
    // Cells in the order of groups, then noises, then levels as given.
    let mut cells: BTreeMap<(&str, usize, usize), (usize, Vec<Measures>)> = BTreeMap::new();
    for ((_, clip, noise, level), scores) in jobs.iter().zip(&results) {
        let noise_number = noises
            .iter()
            .position(|n| std::ptr::eq(n, *noise))
            .unwrap_or(0);
        let level_number = options
            .levels_db
            .iter()
            .position(|l| l == level)
            .unwrap_or(0);
        let (count, sums) = cells
            .entry((clip.group.as_str(), noise_number, level_number))
            .or_insert_with(|| (0, vec![Measures::default(); scores.len()]));
        *count += 1;
        for (sum, (score, _)) in sums.iter_mut().zip(scores) {
            add(sum, score);
        }
    }
    let cells: Vec<Cell> = cells
        .into_iter()
        .map(|((group, noise, level), (files, mut means))| {
            for mean in &mut means {
                divide(mean, files as f64);
            }
            Cell {
                group: group.to_owned(),
                noise: noises
                    .get(noise)
                    .map(|n| n.name.clone())
                    .unwrap_or_default(),
                level_db: options.levels_db.get(level).copied().unwrap_or_default(),
                files,
                means,
            }
        })
        .collect();
    let margins = margins(&methods, &cells, &field.contenders);
    Ok(Evaluation {
        methods,
        cells,
        margins,
        seconds_of_sound: clean.iter().map(seconds).sum(),
    })
}

fn add(sum: &mut Measures, more: &Measures) {
    sum.snr_db += more.snr_db;
    sum.si_sdr_db += more.si_sdr_db;
    sum.segmental_snr_db += more.segmental_snr_db;
    sum.log_spectral_distance_db += more.log_spectral_distance_db;
}

fn divide(sum: &mut Measures, by: f64) {
    sum.snr_db /= by;
    sum.si_sdr_db /= by;
    sum.segmental_snr_db /= by;
    sum.log_spectral_distance_db /= by;
}

fn kind_of(baseline: &Baseline) -> MethodKind {
    match baseline {
        Baseline::OracleWiener { .. } => MethodKind::Oracle,
        Baseline::DdWiener { window: 512, .. } => MethodKind::ClassicalLive,
        _ => MethodKind::Classical,
    }
}

fn power(x: &[f32]) -> f64 {
    x.iter().map(|v| f64::from(*v).powi(2)).sum::<f64>() / x.len().max(1) as f64
}

fn mix(
    clip: &CleanClip,
    noise: &NoiseKind,
    level_db: f64,
    seed: u64,
    number: u64,
) -> Result<Mixture, EvalError> {
    let n = clip.samples.len();
    let music = power(&clip.samples);
    if music <= 0.0 {
        return Err(EvalError::SilentClean(clip.group.clone()));
    }
    let known_length = (KNOWN_NOISE_SECONDS * f64::from(clip.rate_hz)) as usize;
    let mut rng = StableRng::new(seed, number);
    let (added, known) = match &noise.recording {
        None => {
            let mut other = StableRng::new(seed, number ^ SEPARATE);
            let added: Vec<f32> = (0..n).map(|_| rng.normal() as f32).collect();
            (
                added,
                (0..known_length).map(|_| other.normal() as f32).collect(),
            )
        }
        Some((rate_hz, samples)) => {
            let samples = resample(samples, *rate_hz, clip.rate_hz)?;
            let learned = (LEARNED_SECONDS * f64::from(clip.rate_hz))
                .min(LEARNED_SHARE * samples.len() as f64);
            let (known, rest) = samples.split_at(learned as usize);
            let short = (known.len() as f64) < 0.2 * f64::from(clip.rate_hz);
            if short || power(rest) <= 0.0 || power(known) <= 0.0 {
                return Err(EvalError::UnusableNoise(noise.name.clone()));
            }
            let start = rng.below(rest.len());
            let added = rest.iter().cycle().skip(start).take(n).copied().collect();
            (added, known.to_vec())
        }
    };
    let noise_power = power(&added);
    if noise_power <= 0.0 {
        return Err(EvalError::UnusableNoise(noise.name.clone()));
    }
    let gain = libm::sqrt(music / noise_power * libm::exp10(-level_db / 10.0)) as f32;
    Ok(Mixture {
        noisy: clip
            .samples
            .iter()
            .zip(&added)
            .map(|(c, a)| c + gain * a)
            .collect(),
        known: known.into_iter().map(|k: f32| gain * k).collect(),
    })
}

/// What each method makes of a mixture, and how long it takes.
fn run_methods(
    clip: &CleanClip,
    mixture: &Mixture,
    field: &Field,
    options: &EvalOptions,
    surroundings: &Surroundings<'_>,
) -> Result<Vec<(Measures, f64)>, EvalError> {
    let rate_hz = clip.rate_hz;
    let measure = |estimate: &[f32]| Measures {
        snr_db: snr_db(&clip.samples, estimate),
        si_sdr_db: si_sdr_db(&clip.samples, estimate),
        segmental_snr_db: segmental_snr_db(&clip.samples, estimate, rate_hz),
        log_spectral_distance_db: log_spectral_distance_db(&clip.samples, estimate, rate_hz),
    };
    let check = || match (surroundings.go_on)(false) {
        Control::Continue => Ok(()),
        Control::Stop => Err(EvalError::Stopped),
    };
    let timed = |work: &mut dyn FnMut() -> Result<Vec<f32>, EvalError>| {
        check()?;
        let start = (surroundings.clock)();
        let estimate = work()?;
        let seconds = (surroundings.clock)() - start;
        Ok::<_, EvalError>((measure(&estimate), seconds))
    };
    let tracking = (!options.knows_noise).then(|| Tracking::of_signal(rate_hz, &mixture.noisy));
    let tracked = tracking.as_ref().and_then(Tracking::first_estimate);
    let learned = NoiseSpectrum::learn(rate_hz, &[&mixture.known]);
    let mut scores = vec![(measure(&mixture.noisy), 0.0)];
    for baseline in standard_set(rate_hz) {
        let oracle = matches!(baseline, Baseline::OracleWiener { .. });
        scores.push(timed(&mut || {
            let estimate = match tracked {
                Some(spectrum) if !oracle => baseline.denoise_with_psd(
                    &mixture.noisy,
                    &psd(spectrum, &baseline),
                    Some(&clip.samples),
                ),
                _ => baseline.denoise(&mixture.noisy, &mixture.known, Some(&clip.samples)),
            };
            Ok(estimate?)
        })?);
    }
    let most = (LONGEST_PEER_DELAY_SECONDS * f64::from(rate_hz)) as usize;
    for peer in &field.peers {
        let input = PeerInput {
            rate_hz,
            noisy: &mixture.noisy,
            known_noise: options.knows_noise.then_some(&mixture.known),
        };
        scores.push(timed(&mut || {
            let estimate = (peer.run)(&input).map_err(|reason| EvalError::Peer {
                name: peer.name.clone(),
                reason,
            })?;
            let delay = delay_samples(&mixture.noisy, &estimate, most);
            Ok(shifted(&estimate, delay, clip.samples.len()))
        })?);
    }
    for contender in &field.contenders {
        let known = || match &learned {
            Some(spectrum) if options.knows_noise => SignalNoise::Followed(spectrum.clone()),
            _ => SignalNoise::Adaptive,
        };
        scores.push(timed(&mut || {
            Ok(denoise_signal(
                &contender.denoiser,
                rate_hz,
                &mixture.noisy,
                known(),
            )?)
        })?);
    }
    Ok(scores)
}

/// A tracked spectrum in the bins of a classical denoiser.
fn psd(spectrum: &NoiseSpectrum, baseline: &Baseline) -> NoisePsd {
    let (window, hop) = baseline.window_and_hop();
    let mut power = vec![0.0; window / 2 + 1];
    let shape = FrameShape {
        window,
        synthesis: window,
        hop,
    };
    FrameResponse::new(shape, spectrum.rate_hz()).apply_into(spectrum, &mut power);
    NoisePsd { window, power }
}

fn margins(methods: &[Method], cells: &[Cell], contenders: &[Contender]) -> Vec<Margin> {
    let mut all = Vec::new();
    for contender in contenders {
        let live = matches!(contender.mode, Mode::Live | Mode::Instant);
        let mut over = vec![(
            "best classical",
            vec![MethodKind::Classical, MethodKind::ClassicalLive],
        )];
        if live {
            over.push(("DD-Wiener 512/128", vec![MethodKind::ClassicalLive]));
        }
        if methods.iter().any(|m| m.kind == MethodKind::Peer) {
            over.push(("best peer", vec![MethodKind::Peer]));
        }
        for (name, kinds) in over {
            let of_cell = |cell: &Cell| {
                let pairs = || methods.iter().zip(&cell.means);
                let ours = pairs().find(|(m, _)| m.name == contender.name)?.1.snr_db;
                let best = pairs()
                    .filter(|(m, _)| kinds.contains(&m.kind))
                    .map(|(_, s)| s.snr_db)
                    .max_by(f64::total_cmp)?;
                Some((
                    ours - best,
                    format!("{} {} {} dB", cell.group, cell.noise, cell.level_db),
                ))
            };
            let margins: Vec<(f64, String)> = cells.iter().filter_map(of_cell).collect();
            let mean_db = margins.iter().map(|(m, _)| m).sum::<f64>() / margins.len().max(1) as f64;
            if let Some((worst_db, worst_cell)) =
                margins.into_iter().min_by(|a, b| a.0.total_cmp(&b.0))
            {
                all.push(Margin {
                    method: contender.name.clone(),
                    over: name.to_owned(),
                    mean_db,
                    worst_db,
                    worst_cell,
                });
            }
        }
    }
    all
}

#[cfg(test)]
mod tests {
    use super::*;

    fn clip() -> CleanClip {
        CleanClip {
            group: "sine".into(),
            rate_hz: 48_000,
            samples: (0..96_000).map(|i| 0.3 * (i as f32 * 0.05).sin()).collect(),
        }
    }

    fn run(noise: NoiseKind, knows_noise: bool) -> Evaluation {
        let options = EvalOptions {
            levels_db: vec![10.0, 0.0],
            seed: 3,
            knows_noise,
        };
        let surroundings = Surroundings {
            clock: &|| 0.0,
            go_on: &|_| Control::Continue,
        };
        evaluate(
            &[clip()],
            &[noise],
            &Field::default(),
            &options,
            &surroundings,
        )
        .unwrap()
    }

    #[test]
    fn mixtures_have_the_level_asked_for_and_classical_denoisers_help() {
        let mut rng = StableRng::new(5, 5);
        let recording: Vec<f32> = (0..120_000).map(|_| 0.01 * rng.normal() as f32).collect();
        for noise in [None, Some((44_100, recording))] {
            for knows in [true, false] {
                let noise = NoiseKind {
                    name: "noise".into(),
                    recording: noise.clone(),
                };
                let result = run(noise, knows);
                assert_eq!(result.cells.len(), 2);
                for (cell, level) in result.cells.iter().zip([10.0, 0.0]) {
                    assert_eq!(cell.level_db, level);
                    assert!((cell.means[0].snr_db - level).abs() < 1e-3);
                    for (method, means) in result.methods.iter().zip(&cell.means).skip(1) {
                        assert!(
                            means.snr_db > level + 5.0,
                            "{} {knows}: {}",
                            method.name,
                            means.snr_db
                        );
                    }
                }
            }
        }
    }

    #[test]
    fn peers_are_aligned_and_their_failures_told() {
        let surroundings = Surroundings {
            clock: &|| 0.0,
            go_on: &|_| Control::Continue,
        };
        let options = EvalOptions {
            levels_db: vec![10.0],
            seed: 1,
            knows_noise: true,
        };
        let white = [NoiseKind {
            name: "white".into(),
            recording: None,
        }];
        let field = |run: Box<RunPeer>| Field {
            peers: vec![Peer {
                name: "other".into(),
                run,
            }],
            ..Field::default()
        };
        let late = field(Box::new(|input| {
            assert!(input.known_noise.is_some());
            Ok([vec![0.0; 700], input.noisy.to_vec()].concat())
        }));
        let result = evaluate(&[clip()], &white, &late, &options, &surroundings).unwrap();
        let at = |name: &str| result.methods.iter().position(|m| m.name == name).unwrap();
        let means = &result.cells[0].means;
        assert_eq!(means[at("other")], means[at(NOISY)]);
        let broken = field(Box::new(|_| Err("no such program".into())));
        let told = evaluate(&[clip()], &white, &broken, &options, &surroundings);
        assert!(
            told.unwrap_err()
                .to_string()
                .contains("peer other: no such program")
        );
    }

    #[test]
    fn silence_and_stopping_are_told() {
        let surroundings = Surroundings {
            clock: &|| 0.0,
            go_on: &|_| Control::Stop,
        };
        let options = EvalOptions {
            levels_db: vec![0.0],
            seed: 1,
            knows_noise: true,
        };
        let white = [NoiseKind {
            name: "white".into(),
            recording: None,
        }];
        let stopped = evaluate(
            &[clip()],
            &white,
            &Field::default(),
            &options,
            &surroundings,
        );
        assert!(matches!(stopped, Err(EvalError::Stopped)));
        let silent = CleanClip {
            samples: vec![0.0; 10_000],
            ..clip()
        };
        let silent = evaluate(
            &[silent],
            &white,
            &Field::default(),
            &options,
            &surroundings,
        );
        assert!(matches!(silent, Err(EvalError::SilentClean(_))));
    }
}

//! Evaluation: models and classical denoisers on the same mixtures of clean music and noise.
//!
//! Every clean file is mixed with every noise at every level; every method gets the same mixture and, if it is to know
//! the noise, the same separate recording of it. Nothing here reads a file or a clock: callers bring both.

use std::collections::BTreeMap;

use rayon::prelude::*;
use serde::Serialize;

use crate::audio::file_denoise::{SignalNoise, denoise_signal};
use crate::audio::method::Method as Denoiser;
use crate::audio::mix::OutputMix;
use crate::audio::model::Mode;
use crate::audio::noise::NoiseSpectrum;
use crate::audio::noise_response::FrameResponse;
use crate::audio::resample::ResampleError;
use crate::audio::stft::FrameShape;
use crate::audio::tracking::Tracking;
use crate::audio::waveform::WaveformError;
use crate::classic::{Baseline, ClassicError, NoisePsd, REFERENCE_RATE_HZ, standard_set};
use crate::metrics::align::{delay_samples, shifted};
use crate::metrics::musical_noise::NoiseOnly;
use crate::rng::StableRng;
use crate::train::Control;

mod crickets;
mod dimmer;
pub mod gaps;
pub mod harm;
mod hum;
mod margin;
mod measures;
mod mixture;
mod steps;
pub mod stereo;
#[cfg(test)]
mod tests;
mod traffic;
mod whine;
mod whistle;

use self::margin::margins;
pub use self::margin::{Margin, Measured};
pub use self::measures::{Left, Measures};
use self::mixture::{Mixture, mix};
pub use self::steps::denoise_with_steps;
#[cfg(test)]
pub(crate) use self::{crickets::crickets, dimmer::dimmer, traffic::traffic};

/// Length of the separate noise recording, in seconds.
pub const KNOWN_NOISE_SECONDS: f64 = 4.0;
/// Most of a recorded noise that it is learned from, in seconds ...
pub const LEARNED_SECONDS: f64 = 2.0;
/// ... and as a share of the recording; the rest is mixed in.
pub const LEARNED_SHARE: f64 = 0.4;
/// Name of the noisy input among the methods.
pub const NOISY: &str = "noisy input";

/// Makes the stream of the dither of mixtures with gaps one that no noise has.
const DITHER: u64 = 1 << 61;

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
    /// What it is.
    pub sound: NoiseSound,
}

/// Where a noise comes from.
#[derive(Clone, Debug)]
pub enum NoiseSound {
    /// White Gaussian noise.
    White,
    /// Mains hum, made up: harmonics up to 4 kHz, slowly drifting.
    Hum {
        /// 50 or 60 Hz.
        mains_hz: f64,
    },
    /// The buzz of a lamp dimmer, made up: clicks at twice the frequency of the mains.
    Dimmer,
    /// The whine of a computer, made up: harmonics of 1 kHz over hiss.
    Whine,
    /// The whistle of a motor, made up: a tone and its octave over hiss, whose pitch is not steady.
    Whistle,
    /// Crickets, made up: chirps in a narrow band, with silence between them.
    Crickets,
    /// Traffic far away, made up: a steady rumble and nothing above it.
    Traffic,
    /// A recording.
    Recording {
        /// Sample rate in Hz.
        rate_hz: u32,
        /// Mono samples.
        samples: Vec<f32>,
    },
}

/// A model in a mode.
pub struct Contender {
    /// Its name in tables.
    pub name: String,
    /// The mode, which decides what it is compared with; [`Mode::Instant`] for waveform models.
    pub mode: Mode,
    /// What denoises.
    pub denoiser: Denoiser,
    /// How many diffusion steps, if not as many as the mode has. The whole signal is then worked on at once with one
    /// noise spectrum, whose level is not followed, and hum is not taken out as sines. Waveform models have one step
    /// whatever is asked.
    pub steps: Option<usize>,
    /// How deep the noise is taken down, see [`crate::audio::denoiser::StreamDenoiser::set_amount_db`].
    pub amount_db: f32,
}

impl Contender {
    /// Leaves as much of the noise in an estimate as [`Self::amount_db`] asks.
    fn leave_in(&self, rate_hz: u32, noisy: &[f32], estimate: &mut [f32]) {
        let mut mix = OutputMix::new(rate_hz);
        mix.set_amount_db(self.amount_db);
        let weights = mix.target();
        for (e, y) in estimate.iter_mut().zip(noisy) {
            *e = weights.apply(*e, *y);
        }
    }
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
    /// Whether the classical denoisers are measured too.
    pub classical: bool,
    /// Whether [`evaluate`] cuts gaps into the mixtures (see [`gaps`]).
    pub gaps: bool,
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
    /// The listener failed.
    #[error("{0}")]
    Listener(String),
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
    /// Hears what methods make of mixtures, if anyone wants to.
    pub listener: Option<&'a dyn Listener>,
}

/// A mixture that is evaluated.
#[derive(Clone, Copy, Debug)]
pub struct MixtureName<'a> {
    /// Number of the clean clip.
    pub clip: usize,
    /// Its instrument or folder.
    pub group: &'a str,
    /// Name of the noise.
    pub noise: &'a str,
    /// Input SNR in dB.
    pub level_db: f64,
}

/// What methods make of a mixture.
pub struct Heard<'a> {
    /// Sample rate in Hz of all signals.
    pub rate_hz: u32,
    /// The clean signal.
    pub clean: &'a [f32],
    /// What kind each method is, in the order of [`Evaluation::methods`].
    pub kinds: &'a [MethodKind],
    /// The estimate of every method with its measures, in the same order; the first is the mixture itself.
    pub estimates: &'a [(Measures, Vec<f32>)],
}

/// Wants to hear what methods make of some mixtures. Called from several threads.
pub trait Listener: Sync {
    /// Whether this mixture is wanted.
    fn wants(&self, mixture: &MixtureName<'_>) -> bool;

    /// Takes in a mixture that is wanted.
    ///
    /// # Errors
    /// A sentence; it ends the evaluation.
    fn hear(&self, mixture: &MixtureName<'_>, heard: &Heard<'_>) -> Result<(), String>;
}

/// Each method's measures on a mixture and its seconds of work.
type Scores = Vec<(Measures, f64)>;

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
    let with_gaps: Vec<CleanClip>;
    let clean = if options.gaps {
        with_gaps = clean.iter().map(gaps::cut).collect();
        &with_gaps
    } else {
        clean
    };
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
    let results: Vec<Scores> = jobs
        .par_iter()
        .map(|(i, clip, noise, level)| {
            let mut mixture = mix(clip, noise, *level, options.seed, *i as u64)?;
            if options.gaps {
                let mut rng = StableRng::new(options.seed, *i as u64 ^ DITHER);
                gaps::cut_mixture(&mut mixture.noisy, clip.rate_hz, &mut rng);
            }
            let name = MixtureName {
                clip: *i,
                group: &clip.group,
                noise: &noise.name,
                level_db: *level,
            };
            let scores = Run {
                clip,
                mixture: &mixture,
                field,
                options,
                surroundings,
            }
            .all(&name)?;
            (surroundings.go_on)(true);
            Ok(scores)
        })
        .collect::<Result<_, EvalError>>()?;
    let methods = method_names(field, options);

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
    let mut cells: BTreeMap<(&str, usize, usize), Vec<&Scores>> = BTreeMap::new();
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
        cells
            .entry((clip.group.as_str(), noise_number, level_number))
            .or_default()
            .push(scores);
    }
    let cells: Vec<Cell> = cells
        .into_iter()
        .map(|((group, noise, level), files)| Cell {
            group: group.to_owned(),
            noise: noises
                .get(noise)
                .map(|n| n.name.clone())
                .unwrap_or_default(),
            level_db: options.levels_db.get(level).copied().unwrap_or_default(),
            files: files.len(),
            means: (0..methods.len())
                .map(|m| Measures::mean(files.iter().filter_map(|f| f.get(m)).map(|(s, _)| s)))
                .collect(),
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

fn kind_of(baseline: &Baseline) -> MethodKind {
    match baseline {
        Baseline::OracleWiener { .. } => MethodKind::Oracle,
        Baseline::DdWiener { window: 512, .. } => MethodKind::ClassicalLive,
        _ => MethodKind::Classical,
    }
}

/// What is measured, in the order of the results.
fn method_names(field: &Field, options: &EvalOptions) -> Vec<(String, MethodKind)> {
    let mut methods = vec![(NOISY.to_owned(), MethodKind::Noisy)];
    if options.classical {
        let classical = standard_set(REFERENCE_RATE_HZ);
        methods.extend(classical.iter().map(|b| (b.name(), kind_of(b))));
    }
    let peers = field.peers.iter();
    methods.extend(peers.map(|p| (p.name.clone(), MethodKind::Peer)));
    let models = field.contenders.iter();
    methods.extend(models.map(|c| (c.name.clone(), MethodKind::Model)));
    methods
}

/// All methods on one mixture.
struct Run<'a> {
    clip: &'a CleanClip,
    mixture: &'a Mixture,
    field: &'a Field,
    options: &'a EvalOptions,
    surroundings: &'a Surroundings<'a>,
}

impl Run<'_> {
    /// What each method makes of the mixture, and how long it takes.
    fn all(&self, name: &MixtureName<'_>) -> Result<Scores, EvalError> {
        let rate_hz = self.clip.rate_hz;
        let (clean, noisy) = (&self.clip.samples, &self.mixture.noisy);
        let noise_only = NoiseOnly::new(clean, noisy, rate_hz);
        let listener = self.surroundings.listener.filter(|l| l.wants(name));
        let mut kept: Vec<(Measures, Vec<f32>)> = Vec::new();
        let mut scores = Scores::new();
        let mut take = |estimate: Vec<f32>, seconds: f64| {
            let measures = Measures::of(clean, noise_only.as_ref(), rate_hz, &estimate);
            scores.push((measures, seconds));
            if listener.is_some() {
                kept.push((measures, estimate));
            }
        };
        take(noisy.clone(), 0.0);
        let tracking =
            (!self.options.knows_noise).then(|| Tracking::of_signal(rate_hz, &[noisy], 0.0, &[]));
        let tracked = tracking.as_ref().and_then(Tracking::first_estimate);
        if self.options.classical {
            for baseline in standard_set(rate_hz) {
                let (estimate, seconds) = self.timed(|| self.classical(&baseline, tracked))?;
                take(estimate, seconds);
            }
        }
        for peer in &self.field.peers {
            let (estimate, seconds) = self.timed(|| self.peer(peer))?;
            take(estimate, seconds);
        }
        let learned = match tracked {
            None => NoiseSpectrum::learn(rate_hz, &[&self.mixture.known]),
            Some(_) => None,
        };
        for contender in &self.field.contenders {
            let known = learned.as_ref();
            let (estimate, seconds) = self.timed(|| self.model(contender, known, tracked))?;
            take(estimate, seconds);
        }
        if let Some(listener) = listener {
            let methods = method_names(self.field, self.options);
            let kinds: Vec<MethodKind> = methods.into_iter().map(|(_, kind)| kind).collect();
            let heard = Heard {
                rate_hz,
                clean,
                kinds: &kinds,
                estimates: &kept,
            };
            listener.hear(name, &heard).map_err(EvalError::Listener)?;
        }
        Ok(scores)
    }

    fn timed(
        &self,
        work: impl FnOnce() -> Result<Vec<f32>, EvalError>,
    ) -> Result<(Vec<f32>, f64), EvalError> {
        if (self.surroundings.go_on)(false) == Control::Stop {
            return Err(EvalError::Stopped);
        }
        let start = (self.surroundings.clock)();
        let estimate = work()?;
        Ok((estimate, (self.surroundings.clock)() - start))
    }

    fn classical(
        &self,
        baseline: &Baseline,
        tracked: Option<&NoiseSpectrum>,
    ) -> Result<Vec<f32>, EvalError> {
        let (noisy, clean) = (&self.mixture.noisy, Some(self.clip.samples.as_slice()));
        classical(baseline, noisy, clean, &self.mixture.known, tracked)
    }

    fn peer(&self, peer: &Peer) -> Result<Vec<f32>, EvalError> {
        let rate_hz = self.clip.rate_hz;
        let noisy = &self.mixture.noisy;
        let known = &self.mixture.known;
        let input = PeerInput {
            rate_hz,
            noisy,
            known_noise: self.options.knows_noise.then_some(known),
        };
        let estimate = (peer.run)(&input).map_err(|reason| EvalError::Peer {
            name: peer.name.clone(),
            reason,
        })?;
        let most = (LONGEST_PEER_DELAY_SECONDS * f64::from(rate_hz)) as usize;
        let delay = delay_samples(noisy, &estimate, most);
        Ok(shifted(&estimate, delay, self.clip.samples.len()))
    }

    fn model(
        &self,
        contender: &Contender,
        learned: Option<&NoiseSpectrum>,
        tracked: Option<&NoiseSpectrum>,
    ) -> Result<Vec<f32>, EvalError> {
        let rate_hz = self.clip.rate_hz;
        let noisy = &self.mixture.noisy;
        let mut estimate = match (&contender.denoiser, contender.steps, learned.or(tracked)) {
            (Denoiser::Spectral(chain), Some(steps), Some(noise)) => {
                denoise_with_steps(chain, steps, rate_hz, noisy, noise)
            }
            _ => {
                let noise = learned.map_or(SignalNoise::Adaptive, |spectrum| {
                    SignalNoise::Followed(vec![spectrum.clone()])
                });
                denoise_signal(&contender.denoiser, rate_hz, noisy, noise)?
            }
        };
        contender.leave_in(rate_hz, noisy, &mut estimate);
        Ok(estimate)
    }
}

/// Runs a classical denoiser, driven by a tracked spectrum if there is one, but for the oracle.
fn classical(
    baseline: &Baseline,
    noisy: &[f32],
    clean: Option<&[f32]>,
    known: &[f32],
    tracked: Option<&NoiseSpectrum>,
) -> Result<Vec<f32>, EvalError> {
    Ok(match tracked {
        Some(spectrum) if kind_of(baseline) != MethodKind::Oracle => {
            baseline.denoise_with_psd(noisy, &psd(spectrum, baseline), clean)
        }
        _ => baseline.denoise(noisy, known, clean),
    }?)
}

/// The groups of clips, in the order in which they come.
fn groups(clips: &[CleanClip]) -> Vec<&str> {
    let mut groups: Vec<&str> = Vec::new();
    for clip in clips {
        if !groups.contains(&clip.group.as_str()) {
            groups.push(&clip.group);
        }
    }
    groups
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

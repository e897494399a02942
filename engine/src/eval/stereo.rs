//! Stereo: clean recordings put into scenes of two channels, each channel with noise of its own.

use rayon::prelude::*;
use serde::Serialize;

use super::mixture::{Mixture, mix, power};
use super::{
    CleanClip, EvalError, EvalOptions, Field, MethodKind, NoiseKind, Surroundings, classical,
    groups, kind_of,
};
use crate::audio::file_denoise::{SignalNoise, denoise_channels, denoise_signal};
use crate::audio::noise::NoiseSpectrum;
use crate::audio::tracking::Tracking;
use crate::classic::standard_set;
use crate::metrics::audio::snr_db;
use crate::train::Control;

/// Keeps the noises of the two channels apart.
const RIGHT: u64 = 1 << 62;

/// Where the music is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Scene {
    /// The same left and right.
    Middle,
    /// 12 dB softer on the right.
    Side,
    /// Two microphones, the right one further away in a room.
    Spaced,
    /// Another recording on the right, as loud; the same backwards if there is no other.
    Two,
    /// Left only; on the right nothing but noise.
    Beside,
    /// The same left and right, but the noise of the right channel is 30 dB softer.
    Quiet,
}

/// Echoes that the further microphone hears, (milliseconds, gain).
const FURTHER: [(f64, f32); 4] = [(3.1, 0.7), (9.0, 0.4), (16.2, -0.3), (31.3, 0.2)];

impl Scene {
    /// All of them.
    pub const ALL: [Self; 6] = [
        Self::Middle,
        Self::Side,
        Self::Spaced,
        Self::Two,
        Self::Beside,
        Self::Quiet,
    ];

    /// What is heard.
    #[must_use]
    pub const fn description(self) -> &'static str {
        match self {
            Self::Middle => "music in the middle",
            Self::Side => "music to the left, 12 dB",
            Self::Spaced => "two microphones in a room",
            Self::Two => "another recording right",
            Self::Beside => "nothing but noise right",
            Self::Quiet => "noise 30 dB softer right",
        }
    }

    /// Gain of the noise of the right channel.
    const fn right_noise(self) -> f32 {
        match self {
            Self::Quiet => 0.031_6,
            _ => 1.0,
        }
    }

    /// The clean right channel of a scene whose left one is `left`.
    fn right(self, left: &CleanClip, other: &CleanClip) -> Vec<f32> {
        let x = &left.samples;
        match self {
            Self::Middle | Self::Quiet => x.clone(),
            Self::Side => x.iter().map(|v| 0.251 * v).collect(),
            Self::Spaced => {
                let mut right = vec![0.0; x.len()];
                for (ms, gain) in FURTHER {
                    let delay = (ms * 1e-3 * f64::from(left.rate_hz)) as usize;
                    for (r, v) in right.iter_mut().skip(delay).zip(x) {
                        *r += gain * v;
                    }
                }
                right
            }
            Self::Two => {
                let mut right = other.samples.clone();
                if std::ptr::eq(left, other) {
                    right.reverse();
                }
                right.resize(x.len(), 0.0);
                let gain = libm::sqrt(power(x) / power(&right).max(1e-20)) as f32;
                for r in &mut right {
                    *r *= gain;
                }
                right
            }
            Self::Beside => vec![0.0; x.len()],
        }
    }
}

/// A model in a mode on a scene: SNR of both channels together, in dB, mean over the files.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct StereoCell {
    /// Instrument or folder.
    pub group: String,
    /// Noise.
    pub noise: String,
    /// Input SNR of the left channel in dB.
    pub level_db: f64,
    /// The scene.
    pub scene: Scene,
    /// The input.
    pub noisy_db: f64,
    /// The best classical denoiser, each channel by itself; none if they are left out.
    pub classical_db: Option<f64>,
    /// Each model as [`Field::contenders`]: each channel by itself, and as a pair.
    pub models_db: Vec<(f64, f64)>,
}

/// Puts every clip into every scene. Contenders are run with the steps of their mode.
///
/// # Errors
/// See [`EvalError`].
pub fn measure(
    clean: &[CleanClip],
    noises: &[NoiseKind],
    field: &Field,
    options: &EvalOptions,
    surroundings: &Surroundings<'_>,
) -> Result<Vec<StereoCell>, EvalError> {
    let mut cells = Vec::new();
    for group in groups(clean) {
        let clips: Vec<(usize, &CleanClip)> = clean
            .iter()
            .enumerate()
            .filter(|(_, c)| c.group == group)
            .collect();
        for noise in noises {
            for level_db in &options.levels_db {
                for scene in Scene::ALL {
                    let files = clips
                        .par_iter()
                        .enumerate()
                        .map(|(place, (number, clip))| {
                            // The next one of the same rate.
                            let others = clips.iter().cycle().skip(place + 1).take(clips.len());
                            let other = others
                                .map(|(_, c)| *c)
                                .find(|c| c.rate_hz == clip.rate_hz)
                                .unwrap_or(clip);
                            let one =
                                One::new(scene, [clip, other], noise, *level_db, options, *number)?;
                            let row = one.measure(field, options, surroundings)?;
                            (surroundings.go_on)(true);
                            Ok(row)
                        })
                        .collect::<Result<Vec<Row>, EvalError>>()?;
                    let cell = StereoCell {
                        group: group.to_owned(),
                        noise: noise.name.clone(),
                        level_db: *level_db,
                        scene,
                        noisy_db: mean(files.iter().map(|f| f.noisy_db)),
                        classical_db: (0..files.first().map_or(0, |f| f.classical_db.len()))
                            .map(|b| mean(files.iter().map(|f| f.classical_db[b])))
                            .reduce(f64::max),
                        models_db: (0..field.contenders.len())
                            .map(|m| {
                                let of = |f: &Row| f.models_db[m];
                                let apart = mean(files.iter().map(|f| of(f).0));
                                (apart, mean(files.iter().map(|f| of(f).1)))
                            })
                            .collect(),
                    };
                    cells.push(cell);
                }
            }
        }
    }
    Ok(cells)
}

fn mean(values: impl ExactSizeIterator<Item = f64>) -> f64 {
    let count = values.len().max(1);
    values.sum::<f64>() / count as f64
}

/// What the methods make of one scene.
struct Row {
    noisy_db: f64,
    classical_db: Vec<f64>,
    models_db: Vec<(f64, f64)>,
}

/// One scene.
struct One {
    rate_hz: u32,
    clean: [Vec<f32>; 2],
    noisy: [Vec<f32>; 2],
    known: [Vec<f32>; 2],
}

impl One {
    fn new(
        scene: Scene,
        [clip, other]: [&CleanClip; 2],
        noise: &NoiseKind,
        level_db: f64,
        options: &EvalOptions,
        number: usize,
    ) -> Result<Self, EvalError> {
        let of = |number| mix(clip, noise, level_db, options.seed, number);
        let left: Mixture = of(number as u64)?;
        let beside: Mixture = of(number as u64 | RIGHT)?;
        let right = scene.right(clip, other);
        let gain = scene.right_noise();
        let noisy_right = (beside.noisy.iter().zip(&clip.samples).zip(&right))
            .map(|((y, x), r)| gain * (y - x) + r)
            .collect();
        Ok(Self {
            rate_hz: clip.rate_hz,
            clean: [clip.samples.clone(), right],
            noisy: [left.noisy, noisy_right],
            known: [left.known, beside.known.iter().map(|k| gain * k).collect()],
        })
    }

    /// SNR of both channels together in dB.
    fn snr_db(&self, estimate: &[Vec<f32>]) -> f64 {
        snr_db(&self.clean.concat(), &estimate.concat())
    }

    fn measure(
        &self,
        field: &Field,
        options: &EvalOptions,
        surroundings: &Surroundings<'_>,
    ) -> Result<Row, EvalError> {
        let rate_hz = self.rate_hz;
        let go_on = || match (surroundings.go_on)(false) {
            Control::Stop => Err(EvalError::Stopped),
            Control::Continue => Ok(()),
        };
        let channels = || self.noisy.iter().zip(&self.clean).zip(&self.known);
        let tracked: Option<Vec<NoiseSpectrum>> = (!options.knows_noise).then(|| {
            let noisy: Vec<&[f32]> = self.noisy.iter().map(Vec::as_slice).collect();
            Tracking::of_signal(rate_hz, &noisy, 0.0, &[]).estimates()
        });
        let mut classical_db = Vec::new();
        let baselines = standard_set(rate_hz);
        let baselines = baselines
            .iter()
            .filter(|b| kind_of(b) != MethodKind::Oracle);
        for baseline in baselines.filter(|_| options.classical) {
            go_on()?;
            let mut estimate = Vec::new();
            for (c, ((noisy, clean), known)) in channels().enumerate() {
                let tracked = tracked.as_ref().and_then(|t| t.get(c));
                estimate.push(classical(baseline, noisy, Some(clean), known, tracked)?);
            }
            classical_db.push(self.snr_db(&estimate));
        }
        let learned: Option<Vec<NoiseSpectrum>> = if options.knows_noise {
            self.known
                .iter()
                .map(|known| NoiseSpectrum::learn(rate_hz, &[known]))
                .collect()
        } else {
            None
        };
        let mut models_db = Vec::new();
        for contender in &field.contenders {
            go_on()?;
            let method = &contender.denoiser;
            let mixed = |mut estimate: Vec<Vec<f32>>| {
                for (estimate, noisy) in estimate.iter_mut().zip(&self.noisy) {
                    contender.leave_in(rate_hz, noisy, estimate);
                }
                self.snr_db(&estimate)
            };
            let noise = |c: Option<usize>| match (&learned, c) {
                (None, _) => SignalNoise::Adaptive,
                (Some(all), None) => SignalNoise::Followed(all.clone()),
                (Some(all), Some(c)) => SignalNoise::Followed(vec![all[c].clone()]),
            };
            let apart = (0..2)
                .map(|c| denoise_signal(method, rate_hz, &self.noisy[c], noise(Some(c))))
                .collect::<Result<Vec<_>, _>>()?;
            go_on()?;
            let pair: Vec<&[f32]> = self.noisy.iter().map(Vec::as_slice).collect();
            let together = denoise_channels(method, rate_hz, &pair, noise(None))?;
            models_db.push((mixed(apart), mixed(together)));
        }
        Ok(Row {
            noisy_db: self.snr_db(&self.noisy),
            classical_db,
            models_db,
        })
    }
}

//! One step of the reverse chain on spectra: choose the bins that hold music, read each bin's timestep off its local
//! SNR, form patch and contexts, let the model predict the noise, take it away.
//!
//! The same code serves every mode, every step and training: only the [`StepConfig`] differs. A step works on whole
//! frames and does not know how they were cut out of the sound. Work is split in phases so that a caller can spread
//! it over time: [`SpectralStep::update`], [`SpectralStep::select`], then [`SpectralStep::predict`] until done.

use realfft::num_complex::Complex32;
use serde::{Deserialize, Serialize};

use super::context::{
    Context, Mean, Plane, Power, PowerRing, TimeMean, fast_log10, fast_log10_lanes, log_estimate,
    log_noisy,
};
use super::kernel::{BIN_TILE, BINS_PER_PASS, Kernel, KernelInput, KernelScratch, Lane};
use super::stft::{FrameDurations, FrameShape};
use crate::diffusion::schedule::Schedule;

/// One complex number of a bin's patch; becomes two inputs of the model.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PatchTerm {
    /// The noisy spectrum at a neighbouring frame and bin, at the scale of the timestep's x_k.
    Noisy {
        /// Frames from the output frame; positive is later.
        frame: i8,
        /// Bins from the bin.
        bin: i8,
    },
    /// What an earlier step took away, times `gain`.
    Removed {
        /// Scale of the input.
        gain: f32,
    },
    /// The first estimate, at the scale of the timestep's x_k.
    First,
    /// The long window's estimate less the first one, times `gain`.
    LongLessFirst {
        /// Scale of the input.
        gain: f32,
    },
}

/// A bin is worked on where any rule holds nearby.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct MaskRule {
    /// Which power, relative to the frame that is judged.
    pub power: Power,
    /// Threshold in units of the noise power.
    pub above: f32,
}

/// Everything that defines a step but its weights.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct StepConfig {
    /// Frame lengths.
    pub frames: FrameDurations,
    /// Frames the step waits for beyond the output frame.
    pub lookahead: u8,
    /// Patch of a bin.
    pub patch: Vec<PatchTerm>,
    /// Context of a bin.
    pub contexts: Vec<Context>,
    /// Mean and scale of each context: input = (value - mean) * scale.
    pub normalisation: Vec<(f32, f32)>,
    /// Which bins are worked on.
    pub mask: Vec<MaskRule>,
    /// A hit counts for this many later frames, ...
    pub mask_frames_after: u8,
    /// ... this many earlier frames (at most the look-ahead) ...
    pub mask_frames_before: u8,
    /// ... and this many bins to either side.
    pub mask_bins: u8,
    /// Powers whose mean is the local level that picks the timestep.
    pub level: Vec<Power>,
    /// Whether the level contains the noise, which is then taken off.
    pub level_is_noisy: bool,
    /// Timesteps, uniform in log-SNR.
    pub schedule: Schedule,
    /// Lowest frequency of the instrument in Hz, 0 if it is not known; see [`super::range`].
    #[serde(default)]
    pub lowest_hz: f32,
    /// Bins above this frequency in Hz are not looked at, 0: all are.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub highest_hz: f32,
}

#[allow(clippy::trivially_copy_pass_by_ref)]
fn is_zero(hz: &f32) -> bool {
    *hz == 0.0
}

impl StepConfig {
    /// Whether the step refines an earlier estimate.
    #[must_use]
    pub fn refines(&self) -> bool {
        self.patch.contains(&PatchTerm::First)
    }

    /// Whether the step uses a long window's estimate.
    #[must_use]
    pub fn uses_long(&self) -> bool {
        self.patch
            .iter()
            .any(|p| matches!(p, PatchTerm::LongLessFirst { .. }))
    }

    /// Bins that are looked at, of frames of `shape` at `rate_hz`.
    #[must_use]
    pub fn bins(&self, shape: FrameShape, rate_hz: u32) -> usize {
        if self.highest_hz <= 0.0 {
            return shape.bins();
        }
        let bin_hz = rate_hz as f32 / shape.window as f32;
        shape.bins().min((self.highest_hz / bin_hz) as usize + 1)
    }

    /// Real inputs from the patch.
    #[must_use]
    pub fn patch_inputs(&self) -> usize {
        2 * self.patch.len()
    }

    /// Real inputs from the context.
    #[must_use]
    pub fn context_inputs(&self) -> usize {
        self.contexts.len()
    }

    /// The noisy frames a patch reaches to either side: (earlier, later).
    fn patch_reach(&self) -> (usize, usize) {
        let mut reach = (0, 0);
        for term in &self.patch {
            if let PatchTerm::Noisy { frame, .. } = *term {
                if frame < 0 {
                    reach.0 = reach.0.max(usize::from(frame.unsigned_abs()));
                } else {
                    reach.1 = reach.1.max(usize::from(frame.unsigned_abs()));
                }
            }
        }
        reach
    }
}

/// A ring of complex frames.
struct SpectrumRing {
    frames: Vec<Complex32>,
    bins: usize,
    depth: usize,
}

impl SpectrumRing {
    fn new(bins: usize, depth: usize) -> Self {
        Self {
            frames: vec![Complex32::default(); bins * depth],
            bins,
            depth,
        }
    }

    fn frame(&self, index: usize) -> &[Complex32] {
        &self.frames[index % self.depth * self.bins..][..self.bins]
    }

    fn frame_mut(&mut self, index: usize) -> &mut [Complex32] {
        &mut self.frames[index % self.depth * self.bins..][..self.bins]
    }
}

/// What a prediction is taken from: the first estimate, or else the noisy spectrum.
fn given<'a>(first: Option<&'a SpectrumRing>, noisy: &'a SpectrumRing) -> &'a SpectrumRing {
    first.unwrap_or(noisy)
}

/// Decision-directed a priori SNR, one value a bin.
struct APrioriTrack {
    alpha: f32,
    clean: Vec<f32>,
    snr: Vec<f32>,
}

/// Average of products of a spectrum with an earlier one.
struct CoherenceTrack {
    lag: usize,
    keep: f32,
    product: Vec<Complex32>,
    power: Vec<f32>,
}

/// Bins whose level is higher than this are passed on as they are, and so is everything while no noise is known: what a
/// model could still take away lies 40 dB and more below what is there, and clean sound stays clean and costs nothing.
const PASSED_ABOVE_DB: f32 = 40.0;

/// Power in units of the noise that the bin itself must have for that, 30 dB.
const PASSED_POWER: f32 = 1e3;

/// Lowest a priori SNR, -25 dB (Cappe 1994).
const A_PRIORI_FLOOR: f32 = 0.003_162_277_7;

/// A context with its sources looked up.
enum Source {
    Power {
        mean: usize,
        bins: u16,
        offset: i16,
        noisy: bool,
    },
    Harmonic {
        mean: usize,
        bins: u16,
        ratio: f32,
        noisy: bool,
    },
    APriori {
        track: usize,
        offset: i16,
    },
    Coherence {
        track: usize,
    },
    Frequency,
    Salience {
        mean: usize,
        bins: u16,
    },
}

/// The inputs of the bins of one frame, for training.
pub struct Gathered<'a> {
    /// Bins worked on, rising.
    pub bins: &'a [u32],
    /// Level of each bin in dB.
    pub level_db: &'a [f32],
    /// Timestep of each bin.
    pub timestep: &'a [u16],
}

/// A streaming step for one channel.
pub struct SpectralStep {
    config: StepConfig,
    shape: FrameShape,
    /// Bins that are looked at, the lowest ones of the frames.
    bins: usize,
    bin_hz: f64,
    lookahead: usize,
    /// Index of the newest frame; starts high enough that no frame index is negative.
    newest: usize,
    noisy: SpectrumRing,
    first: Option<SpectrumRing>,
    long: Option<SpectrumRing>,
    powers: Vec<(Plane, PowerRing)>,
    means: Vec<TimeMean>,
    sources: Vec<Source>,
    a_priori: Vec<APrioriTrack>,
    coherence: Vec<CoherenceTrack>,
    mask_rules: Vec<(usize, u16, f32)>,
    hits: Vec<Vec<bool>>,
    /// Bins hit in any of the frames.
    near_hit: Vec<bool>,
    level_sources: Vec<(usize, u16)>,
    /// Per patch term and bin modulo `hops_per_window`: takes back the phase advance to the term's frame.
    advance: Vec<Complex32>,
    salience: Salience,
    active: Vec<u32>,
    level_db: Vec<f32>,
    /// sqrt(1 - alpha_bar) of each active bin: brings its patch to the scale of x_k.
    scale: Vec<f32>,
    timestep: Vec<u16>,
    out: Vec<Complex32>,
    context: Vec<Lane>,
    patch: Vec<Lane>,
    turn: Vec<Complex32>,
    noise: Vec<f32>,
    kernel_scratch: KernelScratch,
}

impl SpectralStep {
    /// Allocates a step at `rate_hz`.
    #[must_use]
    pub fn new(config: &StepConfig, rate_hz: u32) -> Self {
        let shape = config.frames.at_rate(rate_hz);
        let bins = config.bins(shape, rate_hz);
        let lookahead = usize::from(config.lookahead);
        let mut means: Vec<TimeMean> = Vec::new();
        let mut find = |power: &Power, shift: i16| {
            let (plane, mean) = (power.plane, power.mean);
            let mean = match mean {
                Mean::Span { from, to } => Mean::Span {
                    from: from + shift,
                    to: (to + shift).min(lookahead as i16),
                },
                ema @ Mean::Ema { .. } => ema,
            };
            let index = means
                .iter()
                .position(|m| m.is(plane, mean))
                .unwrap_or_else(|| {
                    means.push(TimeMean::new(plane, mean, bins, lookahead));
                    means.len() - 1
                });
            means[index].will_ask(power.bins);
            index
        };
        let mut a_priori: Vec<APrioriTrack> = Vec::new();
        let mut coherence: Vec<CoherenceTrack> = Vec::new();
        let sources = config
            .contexts
            .iter()
            .map(|context| match *context {
                Context::Power { power, offset } => Source::Power {
                    mean: find(&power, 0),
                    bins: power.bins,
                    offset,
                    noisy: power.plane == Plane::Noisy,
                },
                Context::Harmonic {
                    power,
                    numerator,
                    denominator,
                } => Source::Harmonic {
                    mean: find(&power, 0),
                    bins: power.bins,
                    ratio: f32::from(numerator) / f32::from(denominator.max(1)),
                    noisy: power.plane == Plane::Noisy,
                },
                Context::APrioriSnr { alpha, offset } => Source::APriori {
                    track: a_priori
                        .iter()
                        .position(|t| t.alpha == alpha)
                        .unwrap_or_else(|| {
                            a_priori.push(APrioriTrack {
                                alpha,
                                clean: vec![0.0; bins],
                                snr: vec![A_PRIORI_FLOOR; bins],
                            });
                            a_priori.len() - 1
                        }),
                    offset,
                },
                Context::Coherence { lag, frames } => {
                    coherence.push(CoherenceTrack {
                        lag: usize::from(lag.max(1)),
                        keep: libm::expf(-1.0 / frames.max(0.05)),
                        product: vec![Complex32::default(); bins],
                        power: vec![0.0; bins],
                    });
                    Source::Coherence {
                        track: coherence.len() - 1,
                    }
                }
                Context::Frequency => Source::Frequency,
                Context::Salience { power } => Source::Salience {
                    mean: find(&power, 0),
                    bins: power.bins,
                },
            })
            .collect();
        let before = usize::from(config.mask_frames_before).min(lookahead);
        let mask_rules = config
            .mask
            .iter()
            .map(|rule| {
                let p = rule.power;
                (find(&p, before as i16), p.bins, rule.above)
            })
            .collect();
        let level_sources = config.level.iter().map(|p| (find(p, 0), p.bins)).collect();
        let a_priori_depth = if a_priori.is_empty() {
            0
        } else {
            lookahead + 1
        };
        let powers = [Plane::Noisy, Plane::First, Plane::Long]
            .into_iter()
            .filter_map(|plane| {
                let depth = means
                    .iter()
                    .filter(|m| m.plane() == plane)
                    .map(TimeMean::depth)
                    .max()
                    .unwrap_or(0);
                let depth = if plane == Plane::Noisy {
                    depth.max(a_priori_depth)
                } else {
                    depth
                };
                (depth > 0).then(|| (plane, PowerRing::new(bins, depth)))
            })
            .collect();
        let reach = config.patch_reach();
        let longest_lag = coherence.iter().map(|c| c.lag).max().unwrap_or(0);
        let noisy_depth = (lookahead + reach.0 + 1).max(longest_lag + 1);
        let estimate = |used: bool| used.then(|| SpectrumRing::new(bins, lookahead + 1));
        let hops = shape.hops_per_window();
        Self {
            shape,
            bins,
            bin_hz: f64::from(rate_hz) / shape.window as f64,
            lookahead,
            newest: 1 << 20,
            noisy: SpectrumRing::new(bins, noisy_depth),
            first: estimate(config.refines()),
            long: estimate(config.uses_long()),
            powers,
            means,
            sources,
            a_priori,
            coherence,
            mask_rules,
            hits: vec![vec![false; bins]; before + usize::from(config.mask_frames_after) + 1],
            near_hit: vec![false; bins],
            level_sources,
            advance: config
                .patch
                .iter()
                .flat_map(|term| {
                    let frames = match *term {
                        PatchTerm::Noisy { frame, .. } => i64::from(frame),
                        _ => 0,
                    };
                    (0..hops as i64).map(move |bin| (bin * frames).rem_euclid(hops as i64))
                })
                .map(|turns| {
                    let (sin, cos) =
                        libm::sincos(-std::f64::consts::TAU * turns as f64 / hops as f64);
                    Complex32::new(cos as f32, sin as f32)
                })
                .collect(),
            salience: Salience::new(
                &config.contexts,
                bins,
                f64::from(rate_hz) / shape.window as f64,
            ),
            active: Vec::with_capacity(bins),
            level_db: vec![0.0; bins],
            scale: vec![1.0; bins],
            timestep: vec![1; bins],
            out: vec![Complex32::default(); bins],
            context: vec![[0.0; BIN_TILE]; BINS_PER_PASS / BIN_TILE * config.context_inputs()],
            patch: vec![[0.0; BIN_TILE]; BINS_PER_PASS / BIN_TILE * config.patch_inputs()],
            turn: vec![Complex32::default(); BINS_PER_PASS],
            noise: vec![0.0; BINS_PER_PASS * 2],
            kernel_scratch: KernelScratch::default(),
            config: config.clone(),
        }
    }

    /// What defines the step.
    #[must_use]
    pub const fn config(&self) -> &StepConfig {
        &self.config
    }

    /// Frame lengths in samples.
    #[must_use]
    pub const fn shape(&self) -> FrameShape {
        self.shape
    }

    /// Bins of its spectra: all of a frame's, or those up to [`StepConfig::highest_hz`].
    #[must_use]
    pub const fn bins(&self) -> usize {
        self.bins
    }

    /// Frames that the output lags the input.
    #[must_use]
    pub const fn lookahead(&self) -> usize {
        self.lookahead
    }

    /// Back to the state of a new step. Never allocates.
    pub fn clear(&mut self) {
        let estimates = self.first.iter_mut().chain(&mut self.long);
        for ring in estimates.chain([&mut self.noisy]) {
            ring.frames.fill(Complex32::default());
        }
        for (_, ring) in &mut self.powers {
            ring.clear();
        }
        for mean in &mut self.means {
            mean.clear();
        }
        for track in &mut self.a_priori {
            track.clean.fill(0.0);
            track.snr.fill(A_PRIORI_FLOOR);
        }
        for track in &mut self.coherence {
            track.product.fill(Complex32::default());
            track.power.fill(0.0);
        }
        for hits in &mut self.hits {
            hits.fill(false);
        }
        self.active.clear();
        self.newest = 1 << 20;
    }

    /// Announces the next frame; write its spectra through [`Self::noisy_mut`] and so on, then call [`Self::update`].
    pub fn next_frame(&mut self) {
        self.newest += 1;
    }

    /// The newest whitened noisy spectrum, to be written.
    pub fn noisy_mut(&mut self) -> &mut [Complex32] {
        self.noisy.frame_mut(self.newest)
    }

    /// The newest first estimate, to be written; empty in a step that does not refine.
    pub fn first_mut(&mut self) -> &mut [Complex32] {
        let newest = self.newest;
        self.first
            .as_mut()
            .map_or(&mut [], |ring| ring.frame_mut(newest))
    }

    /// The newest estimate with the long window, to be written; empty in a step that does not use one.
    pub fn long_mut(&mut self) -> &mut [Complex32] {
        let newest = self.newest;
        self.long
            .as_mut()
            .map_or(&mut [], |ring| ring.frame_mut(newest))
    }

    /// The noisy spectrum of the output frame.
    #[must_use]
    pub fn noisy_at_output(&self) -> &[Complex32] {
        self.noisy.frame(self.newest - self.lookahead)
    }

    /// Takes the newest frame into all running averages.
    pub fn update(&mut self) {
        for part in 0..self.update_parts() {
            self.update_part(part);
        }
    }

    /// Into how many parts [`Self::update`] can be cut.
    #[must_use]
    pub fn update_parts(&self) -> usize {
        1 + self.means.len() + self.a_priori.len() + self.coherence.len()
    }

    /// Part `part` of [`Self::update`]; parts must follow each other from 0.
    pub fn update_part(&mut self, part: usize) {
        let Some(mean) = part.checked_sub(1) else {
            self.update_powers();
            return;
        };
        if let Some(mean) = self.means.get_mut(mean) {
            if let Some((_, ring)) = self.powers.iter().find(|(plane, _)| *plane == mean.plane()) {
                mean.update(ring);
            }
            return;
        }
        let track = mean - self.means.len();
        if track < self.a_priori.len() {
            self.update_a_priori(track);
        } else {
            self.update_coherence(track - self.a_priori.len());
        }
    }

    fn update_powers(&mut self) {
        for (plane, ring) in &mut self.powers {
            let spectrum = match plane {
                Plane::Noisy => Some(&self.noisy),
                Plane::First => self.first.as_ref(),
                Plane::Long => self.long.as_ref(),
            };
            let power = ring.push();
            if let Some(spectrum) = spectrum {
                for (p, y) in power.iter_mut().zip(spectrum.frame(self.newest)) {
                    *p = y.norm_sqr();
                }
            }
        }
    }

    fn update_a_priori(&mut self, track: usize) {
        let ring = self.powers.iter().find(|(plane, _)| *plane == Plane::Noisy);
        let (Some(track), Some((_, ring))) = (self.a_priori.get_mut(track), ring) else {
            return;
        };
        let power = ring.frame(self.lookahead);
        for ((clean, snr), p) in track.clean.iter_mut().zip(&mut track.snr).zip(power) {
            let xi = (track.alpha * *clean + (1.0 - track.alpha) * (p - 1.0).max(0.0))
                .max(A_PRIORI_FLOOR);
            let gain = xi / (1.0 + xi);
            *clean = gain * gain * p;
            *snr = xi;
        }
    }

    fn update_coherence(&mut self, track: usize) {
        let Some(track) = self.coherence.get_mut(track) else {
            return;
        };
        let take = 1.0 - track.keep;
        let now = self.noisy.frame(self.newest);
        let then = self.noisy.frame(self.newest - track.lag);
        for (((product, power), y), z) in track
            .product
            .iter_mut()
            .zip(&mut track.power)
            .zip(now)
            .zip(then)
        {
            // The tiny constant keeps the averages of silence out of the slow range of the smallest numbers.
            *product = *product * track.keep + (y * z.conj() + 1e-20) * take;
            *power = *power * track.keep + 0.5 * (y.norm_sqr() + z.norm_sqr()) * take;
        }
    }

    /// Finds the bins to work on and their timesteps; the others put out zero.
    pub fn select(&mut self) {
        for part in 0..self.select_parts() {
            self.select_part(part);
        }
    }

    /// Into how many parts [`Self::select`] can be cut.
    #[must_use]
    pub fn select_parts(&self) -> usize {
        1 + self.salience.parts()
    }

    /// Part `part` of [`Self::select`]; parts must follow each other from 0.
    pub fn select_part(&mut self, part: usize) {
        match part.checked_sub(1) {
            None => self.select_bins(),
            Some(part) => self.salience.update_part(part, &self.means, &self.sources),
        }
    }

    fn select_bins(&mut self) {
        let bins = self.bins;
        self.hits.rotate_right(1);
        let hits = &mut self.hits[0];
        hits.fill(false);
        for &(mean, width, above) in &self.mask_rules {
            self.means[mean].mark_above(width, above, hits);
        }
        self.near_hit.fill(false);
        for hits in &self.hits {
            for (near, hit) in self.near_hit.iter_mut().zip(hits) {
                *near |= hit;
            }
        }
        let spread = usize::from(self.config.mask_bins);
        self.active.clear();
        // One pass: how far the last hit in any of the frames lies back.
        let mut covered_until = 0;
        for f in 0..bins {
            if self.near_hit[f] {
                covered_until = f + spread + 1;
                let from = self.active.last().map_or(0, |&last| last as usize + 1);
                for g in from.max(f.saturating_sub(spread))..=f {
                    self.active.push(g as u32);
                }
            } else if f < covered_until {
                self.active.push(f as u32);
            }
        }
        let noise = if self.config.level_is_noisy { 1.0 } else { 0.0 };
        let share = 1.0 / self.level_sources.len().max(1) as f32;
        let steps = self.config.schedule.timesteps();
        let (top, bottom) = (
            self.config.schedule.snr_db(1),
            self.config.schedule.snr_db(steps),
        );
        let per_step = if steps > 1 {
            (top - bottom) / (steps - 1) as f64
        } else {
            1.0
        };
        self.out.fill(Complex32::default());
        let frame = self.newest - self.lookahead;
        let given = given(self.first.as_ref(), &self.noisy).frame(frame);
        // Bins that stay move up over those that are passed on.
        let mut kept = 0;
        for i in 0..self.active.len() {
            let f = self.active[i] as usize;
            let mut level = 0.0;
            for &(mean, width) in &self.level_sources {
                level += share * self.means[mean].at(f, width);
            }
            let snr = (level - noise).max(1e-3);
            let db = 10.0 * fast_log10(snr);
            if db > PASSED_ABOVE_DB && given[f].norm_sqr() > PASSED_POWER {
                self.out[f] = given[f];
                continue;
            }
            self.active[kept] = f as u32;
            self.scale[kept] = 1.0 / (1.0 + snr).sqrt();
            self.level_db[kept] = db;
            let k = 1.0 + ((top - f64::from(db)) / per_step).round();
            self.timestep[kept] = k.clamp(1.0, steps as f64) as u16;
            kept += 1;
        }
        self.active.truncate(kept);
    }

    /// Number of bins that [`Self::predict`] has to work on.
    #[must_use]
    pub fn active_count(&self) -> usize {
        self.active.len()
    }

    /// The bins of the frame and their timesteps.
    #[must_use]
    pub fn gathered(&self) -> Gathered<'_> {
        let n = self.active.len();
        Gathered {
            bins: &self.active,
            level_db: &self.level_db[..n],
            timestep: &self.timestep[..n],
        }
    }

    /// Predicts and takes away the noise of active bins `start..start + BINS_PER_PASS`. Never allocates.
    pub fn predict(&mut self, kernel: &Kernel, start: usize) {
        let end = (start + BINS_PER_PASS).min(self.active.len());
        if start >= end {
            return;
        }
        let mut noise = std::mem::take(&mut self.noise);
        self.gather(start, end);
        let n = end - start;
        let tiles = n.div_ceil(BIN_TILE);
        kernel.predict_into(
            KernelInput {
                context: &self.context[..tiles * self.config.context_inputs()],
                patch: &self.patch[..tiles * self.config.patch_inputs()],
                timestep: &self.timestep[start..end],
            },
            &mut self.kernel_scratch,
            &mut noise,
        );
        let frame = self.newest - self.lookahead;
        let given = given(self.first.as_ref(), &self.noisy).frame(frame);
        for (i, (&f, turn)) in self.active[start..end].iter().zip(&self.turn).enumerate() {
            let p = Complex32::new(noise[2 * i], noise[2 * i + 1]);
            self.out[f as usize] = given[f as usize] - p * turn.conj();
        }
        self.noise = noise;
    }

    /// The estimate of the output frame, complete when every active bin has been predicted.
    #[must_use]
    pub fn output(&self) -> &[Complex32] {
        &self.out
    }

    /// Forms the model inputs of active bins `start..end`.
    fn gather(&mut self, start: usize, end: usize) {
        let d = self.config.context_inputs();
        let last = self.bins - 1;
        for (j, (source, &(mean, scale))) in self
            .sources
            .iter()
            .zip(&self.config.normalisation)
            .enumerate()
        {
            let bins = &self.active[start..end];
            // In the order that the kernel reads: one input of neighbouring bins side by side.
            let lanes = self.context.iter_mut().skip(j).step_by(d);
            let column = Column {
                lanes: lanes.zip(bins.chunks(BIN_TILE)),
                mean,
                scale,
            };
            let near =
                |f: usize, offset: i16| f.saturating_add_signed(isize::from(offset)).min(last);
            match *source {
                Source::Power {
                    mean,
                    bins,
                    offset,
                    noisy,
                } => {
                    let mean = &self.means[mean];
                    let power = |f| mean.at(near(f, offset), bins);
                    if noisy {
                        column.fill(power, log_noisy);
                    } else {
                        column.fill(power, log_estimate);
                    }
                }
                Source::Harmonic {
                    mean,
                    bins,
                    ratio,
                    noisy,
                } => {
                    let mean = &self.means[mean];
                    let power = |f| {
                        let g = (f as f32 * ratio + 0.5) as usize;
                        // Beyond the spectrum there is nothing: both laws then give -1.5.
                        if g > last {
                            if noisy { 0.081_14 } else { 0.021_62 }
                        } else {
                            mean.at(g, bins)
                        }
                    };
                    if noisy {
                        column.fill(power, log_noisy);
                    } else {
                        column.fill(power, log_estimate);
                    }
                }
                Source::APriori { track, offset } => {
                    let snr = &self.a_priori[track].snr;
                    column.fill(|f| snr[near(f, offset)] + 1e-3, fast_log10_lanes);
                }
                Source::Coherence { track } => {
                    let t = &self.coherence[track];
                    column.fill(
                        |f| t.product[f].norm_sqr().sqrt() / (t.power[f] + 1e-6),
                        |x| x,
                    );
                }
                Source::Frequency => {
                    let bin_hz = self.bin_hz as f32;
                    column.fill(|f| f.max(1) as f32 * bin_hz, fast_log10_lanes);
                }
                Source::Salience { .. } => column.fill(|f| self.salience.at(f), |x| x),
            }
        }
        let frame = self.newest - self.lookahead;
        let d = self.config.patch_inputs();
        let hops = self.shape.hops_per_window();
        let mut row = [0.0; 2 * MAX_PATCH_TERMS];
        for i in 0..end - start {
            let f = self.active[start + i] as usize;
            let scale = self.scale[start + i];
            let residue = f % hops;
            let row = &mut row[..d];
            let y = self.noisy.frame(frame)[f];
            let refine = self.first.as_ref().map(|ring| ring.frame(frame)[f]);
            let mut reference = refine.unwrap_or(0.5 * y);
            for (number, (pair, term)) in
                row.chunks_exact_mut(2).zip(&self.config.patch).enumerate()
            {
                let z = refine.unwrap_or_default();
                let value = match *term {
                    PatchTerm::Noisy { frame: dt, bin } => {
                        let g = f.saturating_add_signed(isize::from(bin)).min(last);
                        let spectrum = self
                            .noisy
                            .frame(frame.saturating_add_signed(isize::from(dt)));
                        let value = spectrum[g] * self.advance[number * hops + residue];
                        if refine.is_none() {
                            reference += value;
                        }
                        value * scale
                    }
                    PatchTerm::Removed { gain } => (y - z) * gain,
                    PatchTerm::First => z * scale,
                    PatchTerm::LongLessFirst { gain } => self
                        .long
                        .as_ref()
                        .map_or_else(Complex32::default, |ring| (ring.frame(frame)[f] - z) * gain),
                };
                (pair[0], pair[1]) = (value.re, value.im);
            }
            let norm = reference.norm_sqr().sqrt();
            let turn = if norm > 1e-12 {
                reference.conj() / norm
            } else {
                Complex32::new(1.0, 0.0)
            };
            let lanes = self.patch[i / BIN_TILE * d..][..d].chunks_exact_mut(2);
            for (lanes, pair) in lanes.zip(row.chunks_exact(2)) {
                let turned = Complex32::new(pair[0], pair[1]) * turn;
                lanes[0][i % BIN_TILE] = turned.re;
                lanes[1][i % BIN_TILE] = turned.im;
            }
            self.turn[i] = turn;
        }
    }

    /// For training: the inputs of active bin number `index` (patch, then context) go to `inputs`; returns
    /// the factor that turns a spectrum value into the model's frame, and the estimate that the prediction is taken from.
    pub fn example_into(&mut self, index: usize, inputs: &mut Vec<f32>) -> (Complex32, Complex32) {
        self.gather(index, index + 1);
        let patch = &self.patch[..self.config.patch_inputs()];
        let context = &self.context[..self.config.context_inputs()];
        inputs.extend(patch.iter().chain(context).map(|lane| lane[0]));
        let f = self.active[index] as usize;
        let frame = self.newest - self.lookahead;
        let base = given(self.first.as_ref(), &self.noisy).frame(frame)[f];
        (self.turn[0], base)
    }
}

/// Most patch terms of a bin.
pub const MAX_PATCH_TERMS: usize = 32;

/// One context input of the bins of a pass, to be filled.
struct Column<I> {
    lanes: I,
    mean: f32,
    scale: f32,
}

impl<'a, I: Iterator<Item = (&'a mut Lane, &'a [u32])>> Column<I> {
    #[inline(always)]
    fn fill(self, value: impl Fn(usize) -> f32, law: impl Fn(Lane) -> Lane) {
        for (lane, bins) in self.lanes {
            let mut raw = [1.0; BIN_TILE];
            for (x, &f) in raw.iter_mut().zip(bins) {
                *x = value(f as usize);
            }
            *lane = law(raw).map(|x| (x - self.mean) * self.scale);
        }
    }
}

/// Harmonic salience: for each candidate pitch the mean log power over its first partials, and for each bin the best
/// candidate that has a partial there.
struct Salience {
    /// Log powers of the frame, maximum over neighbouring bins, and one of nothing for what lies beyond the spectrum.
    peak: Vec<f32>,
    /// The bins of the partials of each candidate pitch.
    partials: Vec<[u32; PARTIALS.1]>,
    /// One more than there are bins.
    per_bin: Vec<f32>,
}

/// Partials that vote for a pitch, and partials at which a pitch is heard.
const PARTIALS: (usize, usize) = (8, 10);
/// Pitch range in Hz and candidates per bin.
const PITCH_HZ: (f64, f64) = (70.0, 1800.0);
const CANDIDATES_PER_BIN: f64 = 6.0;
/// Candidates that are judged in one go.
const CANDIDATES_PER_PART: usize = 256;
/// The salience of nothing.
const NOTHING: f32 = -2.0;

impl Salience {
    fn new(contexts: &[Context], bins: usize, bin_hz: f64) -> Self {
        let used = contexts
            .iter()
            .any(|c| matches!(c, Context::Salience { .. }));
        let (low, high) = (PITCH_HZ.0 / bin_hz, PITCH_HZ.1 / bin_hz);
        let count = if used {
            ((high - low) * CANDIDATES_PER_BIN) as usize
        } else {
            0
        };
        let partials = |i: usize| {
            let pitch = (low + i as f64 / CANDIDATES_PER_BIN) as f32;
            std::array::from_fn(|n| ((pitch * (n + 1) as f32 + 0.5) as usize).min(bins) as u32)
        };
        let size = if used { bins + 1 } else { 0 };
        Self {
            peak: vec![NOTHING; size],
            partials: (0..count).map(partials).collect(),
            per_bin: vec![NOTHING; size],
        }
    }

    /// Into how many parts an update is cut: the log powers, then the candidates.
    fn parts(&self) -> usize {
        if self.peak.is_empty() {
            0
        } else {
            1 + self.partials.len().div_ceil(CANDIDATES_PER_PART)
        }
    }

    fn update_part(&mut self, part: usize, means: &[TimeMean], sources: &[Source]) {
        match part.checked_sub(1) {
            None => self.update_peaks(means, sources),
            Some(part) => self.update_candidates(part * CANDIDATES_PER_PART),
        }
    }

    fn update_peaks(&mut self, means: &[TimeMean], sources: &[Source]) {
        let Some((mean, width)) = sources.iter().find_map(|s| match *s {
            Source::Salience { mean, bins } => Some((mean, bins)),
            _ => None,
        }) else {
            return;
        };
        let bins = self.peak.len() - 1;
        let logs = &mut self.per_bin[..bins];
        for (tile, p) in logs.chunks_mut(BIN_TILE).enumerate() {
            let mut raw = [1.0; BIN_TILE];
            for (i, x) in raw.iter_mut().enumerate().take(p.len()) {
                *x = means[mean].at(tile * BIN_TILE + i, width);
            }
            p.copy_from_slice(&log_estimate(raw)[..p.len()]);
        }
        for (f, peak) in self.peak[..bins].iter_mut().enumerate() {
            *peak = logs[f.saturating_sub(1)]
                .max(logs[f])
                .max(logs[(f + 1).min(bins - 1)]);
        }
        self.per_bin.fill(NOTHING);
    }

    fn update_candidates(&mut self, start: usize) {
        let last = self.peak.len() - 1;
        for partials in self.partials.iter().skip(start).take(CANDIDATES_PER_PART) {
            let partials = partials.map(|f| (f as usize).min(last));
            let mut sum = 0.0;
            for &f in &partials[..PARTIALS.0] {
                sum += self.peak[f];
            }
            let strength = sum / PARTIALS.0 as f32;
            for f in partials {
                self.per_bin[f] = self.per_bin[f].max(strength);
            }
        }
    }

    fn at(&self, bin: usize) -> f32 {
        self.per_bin[bin]
    }
}

//! The tuned constants of the spectral denoiser, in one place.

use std::collections::BTreeMap;

use super::chain::ChainConfig;
use super::context::{Context, Mean, Plane, Power};
use super::model::Mode;
use super::normalisation::normalisation;
use super::step::{MaskRule, PatchTerm, StepConfig};
use super::stft::FrameDurations;
use super::trainer::{SpectralTraining, Stage, TrainerError};
use crate::diffusion::schedule::Schedule;
use crate::model::{FeatureDraw, FeatureGroup, FeatureScale};

/// Length of a training excerpt in seconds.
pub const EXCERPT_SECONDS: f64 = 3.0;
/// Excerpts are drawn for each stretch of this many seconds of a recording.
pub const SECONDS_PER_ROUND: f64 = 5.0;
/// Most training examples per excerpt and timestep.
pub const EXAMPLES_PER_TIMESTEP: usize = 240;
/// Ridges to choose from by validation, relative to the mean diagonal of the Gram matrix.
pub const RIDGES: [f64; 3] = [3e-4, 1e-3, 3e-3];
/// The ridge when there are too few recordings to validate.
pub const RIDGE_WITHOUT_VALIDATION: f64 = 1e-3;
/// Alternations of the two ridge solves.
pub const ROUNDS: usize = 6;

/// A step to be trained.
pub struct PlannedStep {
    /// Name of the step, and of its part of the model file.
    pub name: String,
    /// What defines it.
    pub config: StepConfig,
    /// Draw of its features.
    pub draw: FeatureDraw,
    /// When it is trained.
    pub stage: Stage,
    /// The first step, and the long one, that it refines.
    pub after: Option<(String, Option<String>)>,
}

/// All steps of a training run, and which of them each mode uses.
pub struct Plan {
    /// The steps, first stage first.
    pub steps: Vec<PlannedStep>,
    /// The steps of each mode.
    pub modes: BTreeMap<Mode, ChainConfig<String>>,
}

/// Frames of each mode, at 48 kHz.
const SHORT: FrameDurations = FrameDurations::symmetric(4096, 8);
const LONG: FrameDurations = FrameDurations::symmetric(8192, 8);
const LIVE: FrameDurations = FrameDurations {
    window_at_48k: 1024,
    synthesis_at_48k: 384,
    overlap: 3,
};
const LIVE_LONG: FrameDurations = FrameDurations {
    window_at_48k: 3072,
    ..LIVE
};
const INSTANT: FrameDurations = FrameDurations {
    window_at_48k: 1024,
    synthesis_at_48k: 96,
    overlap: 2,
};
/// What long frames beside live's look at, in Hz, and how much slower their averages are.
const LIVE_LONG_HIGHEST_HZ: f32 = 4500.0;
const LIVE_LONG_SLOWER: f32 = 2.0;
const LIVE_LONG_LAG: u8 = 8;
/// Look-ahead in frames. Beyond 3 or 4 nothing measurable is won; 3 keeps balanced below 130 ms.
const SHORT_LOOKAHEAD: u8 = 3;
const LONG_LOOKAHEAD: u8 = 6;

/// The steps that `training` asks for.
///
/// # Errors
/// If a number of features or timesteps is not possible.
pub fn plan(training: &SpectralTraining) -> Result<Plan, TrainerError> {
    let uses = |mode| training.modes.contains(&mode);
    let mut steps: Vec<PlannedStep> = Vec::new();
    let mut modes = BTreeMap::new();
    let mut add = |name: &str,
                   mut config: StepConfig,
                   features: usize,
                   after: Option<(&str, Option<&str>)>| {
        if let Some(timesteps) = training.timesteps {
            let (top, bottom) = {
                let s = &config.schedule;
                (s.snr_db(1), s.snr_db(s.timesteps()))
            };
            config.schedule = Schedule::log_snr(timesteps, top, bottom)
                .map_err(|e| TrainerError::Model(e.to_string()))?;
        }
        let constants = normalisation(name);
        if constants.len() == config.contexts.len() {
            config.normalisation = constants.to_vec();
        } else {
            return Err(TrainerError::Model(format!(
                "step {name} has no constants for its contexts"
            )));
        }
        let refines = after.is_some();
        let patch_inputs = config.patch_inputs();
        // Equal spread of the angles whatever the size of the patch; the range is a measured optimum at 42 inputs.
        let size = (42.0 / patch_inputs as f32).sqrt();
        let (low, high) = if refines { (0.04, 0.4) } else { (0.05, 0.4) };
        let draw = FeatureDraw {
            d_in: patch_inputs + config.context_inputs(),
            n_features: training.features.unwrap_or(features),
            seed: training.seed,
            stream: name
                .bytes()
                .fold(0u64, |h, b| h.wrapping_mul(31).wrapping_add(u64::from(b))),
            groups: vec![
                FeatureGroup {
                    inputs: patch_inputs,
                    scale: FeatureScale::LogUniform {
                        low: low * size,
                        high: high * size,
                    },
                },
                FeatureGroup {
                    inputs: config.context_inputs(),
                    scale: FeatureScale::Fixed(if refines { 0.15 } else { 0.3 }),
                },
            ],
            orthogonal: false,
            patches: None,
        };
        draw.check()
            .map_err(|e| TrainerError::Model(e.to_string()))?;
        steps.push(PlannedStep {
            name: name.to_owned(),
            config,
            draw,
            stage: if refines { Stage::Second } else { Stage::First },
            after: after.map(|(first, long)| (first.to_owned(), long.map(str::to_owned))),
        });
        Ok::<(), TrainerError>(())
    };
    let chain = |first: &str, long: Option<&str>, refine: Option<&str>| ChainConfig {
        first: first.to_owned(),
        long: long.map(str::to_owned),
        refine: refine.map(str::to_owned),
    };
    if uses(Mode::Best) || uses(Mode::Balanced) {
        add("short", first_step(SHORT, SHORT_LOOKAHEAD), 512, None)?;
    }
    if uses(Mode::Best) {
        add("long", first_step(LONG, LONG_LOOKAHEAD), 512, None)?;
        modes.insert(
            Mode::Best,
            chain("short", Some("long"), Some("refine_best")),
        );
    }
    if uses(Mode::Balanced) {
        modes.insert(
            Mode::Balanced,
            chain("short", None, Some("refine_balanced")),
        );
    }
    if uses(Mode::Live) {
        add("live", causal_step(LIVE), 320, None)?;
        add("live_long", causal_long_step(LIVE_LONG), 160, None)?;
        modes.insert(
            Mode::Live,
            chain("live", Some("live_long"), Some("refine_live")),
        );
    }
    if uses(Mode::Instant) {
        add("instant", causal_step(INSTANT), 128, None)?;
        modes.insert(Mode::Instant, chain("instant", None, None));
    }
    if uses(Mode::Best) {
        add(
            "refine_best",
            refine_step(SHORT, 0, true),
            512,
            Some(("short", Some("long"))),
        )?;
    }
    if uses(Mode::Balanced) {
        add(
            "refine_balanced",
            refine_step(SHORT, 0, false),
            384,
            Some(("short", None)),
        )?;
    }
    if uses(Mode::Live) {
        add(
            "refine_live",
            causal_refine_step(LIVE),
            384,
            Some(("live", Some("live_long"))),
        )?;
    }
    Ok(Plan { steps, modes })
}

/// Mean over a box of `frames`, at most `ahead` of them in the future.
const fn centred(frames: i16, ahead: i16) -> Mean {
    let half = frames / 2;
    let to = if half < ahead { half } else { ahead };
    Mean::Span {
        from: to - frames + 1,
        to,
    }
}

fn power(plane: Plane, mean: Mean, bins: u16) -> Power {
    Power { plane, mean, bins }
}

fn at(power: Power, offset: i16) -> Context {
    Context::Power { power, offset }
}

const fn a_priori(alpha: f32, offset: i16) -> Context {
    Context::APrioriSnr { alpha, offset }
}

const RATIOS: [(u8, u8); 4] = [(1, 2), (2, 1), (3, 2), (2, 3)];

/// First step with a look-ahead of `ahead` frames (at least 3).
#[must_use]
pub fn first_step(frames: FrameDurations, ahead: u8) -> StepConfig {
    use Plane::Noisy;
    let a = i16::from(ahead);
    let boxed = |frames, bins| at(power(Noisy, centred(frames, a), bins), 0);
    let ema = |frames, bins| at(power(Noisy, Mean::Ema { frames }, bins), 0);
    let ahead_mean = |n: i16, bins| {
        at(
            power(
                Noisy,
                Mean::Span {
                    from: 1,
                    to: n.min(a),
                },
                bins,
            ),
            0,
        )
    };
    let mut contexts = vec![
        boxed(1, 1),
        boxed(5, 3),
        boxed(17, 1),
        boxed(33, 3),
        boxed(5, 9),
        boxed(1, 21),
        boxed(9, 1),
        boxed(65, 1),
        boxed(17, 3),
        boxed(9, 41),
        ema(2.0, 1),
        ema(6.0, 3),
        ema(16.0, 3),
        ema(40.0, 3),
        ahead_mean(3, 3),
        a_priori(0.98, -1),
        a_priori(0.98, 0),
        a_priori(0.98, 1),
        a_priori(0.9, 0),
        Context::Coherence {
            lag: 4,
            frames: 8.0,
        },
        Context::Coherence {
            lag: 8,
            frames: 8.0,
        },
    ];
    contexts.extend(RATIOS.map(|(numerator, denominator)| Context::Harmonic {
        power: power(Noisy, centred(17, a), 3),
        numerator,
        denominator,
    }));
    let before = 2.min(a / 3);
    let rule = |frames, bins, above| MaskRule {
        power: power(Noisy, centred(frames, a - before), bins),
        above,
    };
    StepConfig {
        frames,
        lookahead: ahead,
        patch: (-3..=3.min(ahead as i8))
            .map(|frame| PatchTerm::Noisy { frame, bin: 0 })
            .collect(),
        normalisation: vec![(0.0, 1.0); contexts.len()],
        contexts,
        mask: vec![rule(9, 5, 2.1), rule(33, 5, 1.75), rule(5, 3, 3.0)],
        mask_frames_after: 2,
        mask_frames_before: before as u8,
        mask_bins: 1,
        level: vec![power(Noisy, centred(7, a), 3)],
        level_is_noisy: true,
        schedule: levels(11, 35.0, -15.0),
        lowest_hz: 0.0,
        highest_hz: 0.0,
    }
}

fn levels(timesteps: usize, top_db: f64, bottom_db: f64) -> Schedule {
    #[allow(clippy::expect_used)]
    Schedule::log_snr(timesteps, top_db, bottom_db).expect("constants are in range")
}

/// Second step with a look-ahead of `ahead` frames, with or without the estimate of a long window.
#[must_use]
pub fn refine_step(frames: FrameDurations, ahead: u8, long: bool) -> StepConfig {
    use Plane::{First, Long};
    let a = i16::from(ahead);
    let boxed = |frames, bins| at(power(First, centred(frames, a), bins), 0);
    let near = |offset| at(power(First, centred(1, a), 1), offset);
    let ema = |frames, bins| at(power(First, Mean::Ema { frames }, bins), 0);
    let past = |from, to| at(power(First, Mean::Span { from, to }, 1), 0);
    let mut contexts = vec![
        near(0),
        near(-1),
        near(1),
        near(-2),
        near(2),
        boxed(3, 3),
        boxed(17, 1),
        boxed(33, 3),
        boxed(5, 9),
        boxed(65, 1),
        boxed(1, 21),
        boxed(129, 1),
        boxed(33, 21),
        boxed(9, 1),
        ema(4.0, 1),
        ema(14.0, 1),
        past(-10, -8),
        past(-6, -4),
        Context::Salience {
            power: power(First, centred(5, a), 1),
        },
    ];
    if long {
        contexts.push(at(power(Long, centred(1, a), 1), 0));
        contexts.push(at(power(Long, centred(3, a), 3), 0));
    }
    contexts.extend(RATIOS.map(|(numerator, denominator)| Context::Harmonic {
        power: power(First, centred(9, a), 3),
        numerator,
        denominator,
    }));
    let mut patch = vec![PatchTerm::Removed { gain: 0.7 }, PatchTerm::First];
    if long {
        patch.push(PatchTerm::LongLessFirst { gain: 0.7 });
    }
    let rule = |plane, frames, bins, above| MaskRule {
        power: power(plane, centred(frames, a), bins),
        above,
    };
    let mask = if long {
        vec![rule(First, 3, 3, 0.05), rule(Long, 3, 3, 0.05)]
    } else {
        vec![rule(First, 1, 1, 1e-9)]
    };
    StepConfig {
        frames,
        lookahead: ahead,
        patch,
        normalisation: vec![(0.0, 1.0); contexts.len()],
        contexts,
        mask,
        mask_frames_after: 0,
        mask_frames_before: 0,
        mask_bins: 0,
        level: vec![power(First, centred(5, a), 3)],
        level_is_noisy: false,
        schedule: levels(14, 43.0, -22.0),
        lowest_hz: 0.0,
        highest_hz: 0.0,
    }
}

/// Causal first step: no look-ahead beyond the frame.
#[must_use]
pub fn causal_step(frames: FrameDurations) -> StepConfig {
    causal_first(frames, 1.0, 4)
}

/// Causal first step on long frames beside those of another: see [`super::long_frames`].
#[must_use]
pub fn causal_long_step(frames: FrameDurations) -> StepConfig {
    StepConfig {
        highest_hz: LIVE_LONG_HIGHEST_HZ,
        ..causal_first(frames, LIVE_LONG_SLOWER, LIVE_LONG_LAG)
    }
}

/// Time constants are `slower` times those for a hop of 128 samples at 48 kHz; coherence is that of frames `lag` hops apart.
fn causal_first(frames: FrameDurations, slower: f32, lag: u8) -> StepConfig {
    use Plane::Noisy;
    let per_hop = slower * 128.0 / (frames.synthesis_at_48k as f32 / frames.overlap as f32);
    let now = |bins| at(power(Noisy, centred(1, 0), bins), 0);
    let mean = |frames: f32| Mean::Ema {
        frames: (frames * per_hop).max(0.7),
    };
    let ema = |frames, bins| at(power(Noisy, mean(frames), bins), 0);
    let contexts = vec![
        now(1),
        now(3),
        ema(3.0, 1),
        ema(3.0, 3),
        ema(10.0, 1),
        ema(10.0, 3),
        ema(40.0, 1),
        ema(40.0, 3),
        ema(150.0, 3),
        ema(3.0, 9),
        ema(40.0, 9),
        a_priori(0.98, -1),
        a_priori(0.98, 0),
        a_priori(0.98, 1),
        a_priori(0.9, 0),
        Context::Coherence {
            lag,
            frames: 20.0 * per_hop,
        },
        Context::Coherence {
            lag,
            frames: 60.0 * per_hop,
        },
    ];
    let rule = |frames, bins, above| MaskRule {
        power: power(Noisy, mean(frames), bins),
        above,
    };
    StepConfig {
        frames,
        lookahead: 0,
        patch: vec![
            PatchTerm::Noisy { frame: 0, bin: 0 },
            PatchTerm::Noisy { frame: 0, bin: -1 },
            PatchTerm::Noisy { frame: 0, bin: 1 },
        ],
        normalisation: vec![(0.0, 1.0); contexts.len()],
        contexts,
        mask: vec![rule(10.0, 5, 1.5), rule(40.0, 5, 1.4), rule(3.0, 3, 2.2)],
        mask_frames_after: 0,
        mask_frames_before: 0,
        mask_bins: 0,
        level: vec![power(Noisy, mean(3.0), 3)],
        level_is_noisy: true,
        schedule: levels(11, 35.0, -15.0),
        lowest_hz: 0.0,
        highest_hz: 0.0,
    }
}

/// Causal second step on the frames of the first, with the estimate of long frames beside them.
///
/// Trained on 26 guitar and 21 flute recordings of `train` and tried on the others (white noise, known, 0, 10 and 20 dB): one step
/// 17.96 24.94 32.60 and 17.16 23.76 29.77 dB; a second without long frames 18.14 25.05 32.68, 17.48 24.00 29.85; with them 18.71 25.55
/// 33.12, 17.74 24.15 29.89; and with salience 18.74 25.62 33.15, 17.85 24.23 29.99. Long frames of 2048 samples 18.50 25.40 32.97, of 3072
/// within 0.07 dB of 4096. Heard up to 4.5 kHz, 6 kHz or all: within 0.03 dB. 512 features instead of 384: 0.02 dB. Harmonic
/// contexts, salience of the long frames, more neighbours in the patch: nothing.
#[must_use]
pub fn causal_refine_step(frames: FrameDurations) -> StepConfig {
    use Plane::{First, Long, Noisy};
    let per_hop = 128.0 / (frames.synthesis_at_48k as f32 / frames.overlap as f32);
    let mean = |frames: f32| Mean::Ema {
        frames: (frames * per_hop).max(0.7),
    };
    let now = |plane, bins, offset| at(power(plane, centred(1, 0), bins), offset);
    let ema = |plane, frames, bins| at(power(plane, mean(frames), bins), 0);
    let coherence = |frames: f32| Context::Coherence {
        lag: 4,
        frames: frames * per_hop,
    };
    let contexts = vec![
        now(First, 1, 0),
        now(First, 1, -1),
        now(First, 1, 1),
        now(First, 3, 0),
        ema(First, 3.0, 1),
        ema(First, 10.0, 1),
        ema(First, 40.0, 1),
        ema(First, 150.0, 1),
        ema(First, 3.0, 3),
        ema(First, 10.0, 3),
        ema(First, 10.0, 9),
        now(Long, 1, 0),
        now(Long, 3, 0),
        ema(Long, 10.0, 1),
        now(Noisy, 1, 0),
        ema(Noisy, 3.0, 1),
        ema(Noisy, 10.0, 1),
        ema(Noisy, 10.0, 3),
        ema(Noisy, 40.0, 3),
        ema(Noisy, 150.0, 3),
        ema(Noisy, 3.0, 9),
        a_priori(0.98, -1),
        a_priori(0.98, 0),
        a_priori(0.98, 1),
        coherence(20.0),
        coherence(60.0),
        Context::Salience {
            power: power(First, mean(3.0), 1),
        },
    ];
    let rule = |plane| MaskRule {
        power: power(plane, centred(1, 0), 1),
        above: 0.02,
    };
    StepConfig {
        frames,
        lookahead: 0,
        patch: vec![
            PatchTerm::Removed { gain: 0.7 },
            PatchTerm::First,
            PatchTerm::LongLessFirst { gain: 0.7 },
        ],
        normalisation: vec![(0.0, 1.0); contexts.len()],
        contexts,
        mask: vec![rule(First), rule(Long)],
        mask_frames_after: 0,
        mask_frames_before: 0,
        mask_bins: 0,
        level: vec![power(First, mean(3.0), 3), power(First, centred(1, 0), 3)],
        level_is_noisy: false,
        schedule: levels(14, 43.0, -22.0),
        lowest_hz: 0.0,
        highest_hz: 0.0,
    }
}

//! The tuned constants of the spectral denoiser, in one place.

use super::context::{Context, Mean, Plane, Power};
use super::step::{MaskRule, PatchTerm, StepConfig};
use super::stft::FrameDurations;
use crate::diffusion::schedule::Schedule;

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

const RATIOS: [(u8, u8); 4] = [(1, 2), (2, 1), (3, 2), (2, 3)];

/// First step with a look-ahead of `ahead` frames (at least 3).
#[must_use]
pub fn first_step(frames: FrameDurations, ahead: u8) -> StepConfig {
    use Plane::Noisy;
    let a = i16::from(ahead);
    let boxed = |frames, bins| at(power(Noisy, centred(frames, a), bins), 0);
    let ema = |frames, bins| at(power(Noisy, Mean::Ema { frames }, bins), 0);
    let ahead_mean = |n: i16, bins| at(power(Noisy, Mean::Span { from: 1, to: n.min(a) }, bins), 0);
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
        Context::APrioriSnr { alpha: 0.98, offset: -1 },
        Context::APrioriSnr { alpha: 0.98, offset: 0 },
        Context::APrioriSnr { alpha: 0.98, offset: 1 },
        Context::APrioriSnr { alpha: 0.9, offset: 0 },
        Context::Coherence { lag: 4, frames: 8.0 },
        Context::Coherence { lag: 8, frames: 8.0 },
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
    }
}

/// Causal first step: no look-ahead beyond the frame. Time constants are for a hop of 128 samples at 48 kHz.
#[must_use]
pub fn causal_step(frames: FrameDurations) -> StepConfig {
    use Plane::Noisy;
    let per_hop = 128.0 / (frames.synthesis_at_48k as f32 / frames.overlap as f32);
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
        Context::APrioriSnr { alpha: 0.98, offset: -1 },
        Context::APrioriSnr { alpha: 0.98, offset: 0 },
        Context::APrioriSnr { alpha: 0.98, offset: 1 },
        Context::APrioriSnr { alpha: 0.9, offset: 0 },
        Context::Coherence { lag: 4, frames: 20.0 * per_hop },
        Context::Coherence { lag: 4, frames: 60.0 * per_hop },
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
    }
}

/// Causal second step on the frames of the first.
#[must_use]
pub fn causal_refine_step(frames: FrameDurations) -> StepConfig {
    use Plane::First;
    let first = causal_step(frames);
    let per_hop = 128.0 / (frames.synthesis_at_48k as f32 / frames.overlap as f32);
    let mean = |frames: f32| Mean::Ema {
        frames: (frames * per_hop).max(0.7),
    };
    let now = |bins, offset| at(power(First, centred(1, 0), bins), offset);
    let ema = |frames, bins| at(power(First, mean(frames), bins), 0);
    let mut contexts = vec![
        now(1, 0),
        now(1, -1),
        now(1, 1),
        now(1, -2),
        now(1, 2),
        now(3, 0),
        now(9, 0),
        ema(3.0, 1),
        ema(10.0, 1),
        ema(40.0, 1),
        ema(150.0, 1),
        ema(3.0, 3),
        ema(10.0, 3),
        ema(40.0, 3),
        ema(10.0, 9),
    ];
    contexts.extend(first.contexts);
    StepConfig {
        frames,
        lookahead: 0,
        patch: vec![PatchTerm::Removed { gain: 0.7 }, PatchTerm::First],
        normalisation: vec![(0.0, 1.0); contexts.len()],
        contexts,
        mask: vec![MaskRule {
            power: power(First, centred(1, 0), 1),
            above: 1e-9,
        }],
        mask_frames_after: 0,
        mask_frames_before: 0,
        mask_bins: 0,
        level: vec![power(First, mean(3.0), 3), power(First, centred(1, 0), 3)],
        level_is_noisy: false,
        schedule: levels(14, 43.0, -22.0),
    }
}

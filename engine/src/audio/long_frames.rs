//! A second first step in a mode without look-ahead: the same newest samples in longer frames, whose bins are narrower.
//!
//! Long frames end where the short ones do, and so cost no latency. Their estimate is not heard and analysed again, which would
//! take another window: the last samples of a long frame carry its analysis window, which is exchanged for that of the short
//! frame, and transformed into the short frame's spectrum. Nothing but the lower part of the spectrum, where partials are,
//! is worked on; above it the short frames speak for themselves.

use realfft::num_complex::Complex32;

use super::assumed_noise::AssumedNoise;
use super::chain::StepModel;
use super::frame_work::{ANALYSE, SYNTHESISE, StepCost, StepPhase, TURN, passes};
use super::kernel::Kernel;
use super::node::UNKNOWN;
use super::noise::NoiseSpectrum;
use super::pair::Turn;
use super::rumble_limit::RumbleLimit;
use super::step::{SpectralStep, StepConfig};
use super::stft::{FrameDurations, FrameTransform, TransformScratch};
use super::surge::SurgeFollower;

/// Short bins at the upper end of the long frames' range that are too close to it to be whole.
const EDGE_BINS: usize = 2;

/// Whether `long` can look at frames that end with those of `short` and be heard in them: no look-ahead, and the same
/// synthesis window after a longer analysis window.
#[must_use]
pub fn fits(short: &StepConfig, long: &StepConfig) -> bool {
    let same = |f: FrameDurations| (f.synthesis_at_48k, f.overlap);
    let (s, l) = (short.frames, long.frames);
    short.lookahead == 0
        && long.lookahead == 0
        && same(s) == same(l)
        && s.synthesis_at_48k < s.window_at_48k
        && s.window_at_48k < l.window_at_48k
}

/// What has to be done next.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Phase {
    Analyse { channel: usize },
    Turn,
    Step(StepPhase),
    Reframe { channel: usize },
    Done,
}

/// The long frames of a channel or a pair of them.
pub struct LongFrames {
    /// One a channel.
    steps: Vec<SpectralStep>,
    transform: FrameTransform,
    scratch: TransformScratch,
    assumed: AssumedNoise,
    /// One a channel; none in training.
    rumble: Vec<RumbleLimit>,
    surges: Vec<SurgeFollower>,
    /// Noise amplitude per channel and bin, and that of the frame with its inverse.
    amplitude: Vec<Vec<f32>>,
    used: Vec<Vec<f32>>,
    whitening: Vec<Vec<f32>>,
    spectrum: Vec<Complex32>,
    /// From the long analysis window to the short one.
    windows: Vec<f32>,
    short: FrameTransform,
    short_scratch: TransformScratch,
    /// Short bins that the long frames speak for.
    short_bins: usize,
    /// The estimates in the short frame, per channel.
    estimate: Vec<Vec<Complex32>>,
    cost: StepCost,
    phase: Phase,
}

impl LongFrames {
    /// Long frames beside those of `short` for `channels` (1 or 2); `None` unless they fit, see [`fits`]. Allocates.
    #[must_use]
    pub fn new(
        model: &StepModel,
        short: &StepConfig,
        rate_hz: u32,
        channels: usize,
    ) -> Option<Self> {
        if !fits(short, &model.config) {
            return None;
        }
        let short = FrameTransform::new(short.frames.at_rate(rate_hz));
        let steps: Vec<SpectralStep> = (0..channels)
            .map(|_| SpectralStep::new(&model.config, rate_hz))
            .collect();
        let shape = model.config.frames.at_rate(rate_hz);
        let bins = model.config.bins(shape, rate_hz);
        let transform = FrameTransform::new(shape);
        let skip = shape.window.checked_sub(short.shape().window)?;
        let windows = transform.analysis()[skip..].iter().zip(short.analysis());
        let short_bins = if bins == shape.bins() {
            short.shape().bins()
        } else {
            (bins * short.shape().window / shape.window).saturating_sub(EDGE_BINS)
        };
        let lowest_hz = model.config.lowest_hz;
        let per_bin = |v: f32| vec![vec![v; bins]; channels];
        Some(Self {
            assumed: AssumedNoise::new(shape, rate_hz, lowest_hz),
            rumble: (0..channels)
                .map(|_| RumbleLimit::new(shape, rate_hz, lowest_hz))
                .collect(),
            surges: (0..channels)
                .map(|_| SurgeFollower::of_bins(bins, shape, rate_hz))
                .collect(),
            amplitude: per_bin(1.0),
            used: per_bin(1.0),
            whitening: per_bin(1.0),
            spectrum: vec![Complex32::default(); shape.bins()],
            windows: windows.map(|(long, short)| short / long).collect(),
            short_scratch: short.make_scratch(),
            short_bins,
            estimate: vec![vec![Complex32::default(); short.shape().bins()]; channels],
            short,
            scratch: transform.make_scratch(),
            transform,
            cost: StepCost::new(&steps, model),
            phase: Phase::Done,
            steps,
        })
    }

    /// Without regard to surges, and to rumble if `rumble` is false: for whole signals.
    #[must_use]
    pub fn steady(mut self, rumble: bool) -> Self {
        self.surges.clear();
        if !rumble {
            self.rumble.clear();
        }
        self
    }

    /// Length of the long frames in samples.
    #[must_use]
    pub const fn window(&self) -> usize {
        self.transform.shape().window
    }

    /// Tells what noise to expect in a channel; 1 in every bin before. Never allocates.
    pub fn set_noise(&mut self, channel: usize, noise: &NoiseSpectrum) {
        let amplitude = &mut self.amplitude[channel];
        if noise.is_known() {
            self.assumed.amplitude_into(noise, amplitude);
            if let Some(surges) = self.surges.get_mut(channel) {
                surges.expect(noise);
            }
        } else {
            amplitude.fill(UNKNOWN);
        }
    }

    /// Back to the state of new ones, but for the noise. Never allocates.
    pub fn clear(&mut self) {
        for step in &mut self.steps {
            step.clear();
        }
        for r in &mut self.rumble {
            r.clear();
        }
        for s in &mut self.surges {
            s.clear();
        }
        self.phase = Phase::Done;
    }

    /// Begins with the frames that end here. Never allocates.
    pub fn begin(&mut self) {
        for step in &mut self.steps {
            step.next_frame();
        }
        let used = self.used.iter_mut().zip(&mut self.whitening);
        for ((used, whitening), amplitude) in used.zip(&self.amplitude) {
            used.copy_from_slice(amplitude);
            for (w, a) in whitening.iter_mut().zip(amplitude) {
                *w = 1.0 / a;
            }
        }
        self.phase = Phase::Analyse { channel: 0 };
    }

    /// Whether the estimates are there.
    #[must_use]
    pub fn is_done(&self) -> bool {
        self.phase == Phase::Done
    }

    /// Does the next part of the frame's work. `frame` gives the [`Self::window`] samples of a channel that end here, oldest
    /// first, in two parts; `kernel` is that of the model; `turns` is how the short bins of a pair are turned. Never allocates.
    pub fn advance<'a>(
        &mut self,
        kernel: &Kernel,
        frame: impl Fn(usize) -> (&'a [f32], &'a [f32]),
        turns: Option<&[Turn]>,
    ) {
        let channels = self.steps.len();
        self.phase = match self.phase {
            Phase::Analyse { channel } => {
                self.analyse(channel, frame(channel));
                if channel + 1 < channels {
                    Phase::Analyse {
                        channel: channel + 1,
                    }
                } else if turns.is_some() {
                    Phase::Turn
                } else {
                    Phase::Step(StepPhase::BEGIN)
                }
            }
            Phase::Turn => {
                self.turn(turns.unwrap_or_default());
                Phase::Step(StepPhase::BEGIN)
            }
            Phase::Step(phase) => phase
                .advance(&mut self.steps, kernel)
                .map_or(Phase::Reframe { channel: 0 }, Phase::Step),
            Phase::Reframe { channel } => {
                self.reframe(channel, turns);
                if channel + 1 < channels {
                    Phase::Reframe {
                        channel: channel + 1,
                    }
                } else {
                    Phase::Done
                }
            }
            Phase::Done => Phase::Done,
        };
    }

    /// All of a frame of one channel at once, for whole signals.
    pub fn estimate_of(&mut self, kernel: &Kernel, frame: &[f32]) {
        self.begin();
        while !self.is_done() {
            self.advance(kernel, |_| (frame, &[]), None);
        }
    }

    fn analyse(&mut self, channel: usize, (older, newer): (&[f32], &[f32])) {
        self.transform
            .analyse_into(older, newer, &mut self.scratch, &mut self.spectrum);
        let (used, whitening) = (&mut self.used[channel], &mut self.whitening[channel]);
        let spectrum = &mut self.spectrum[..used.len()];
        if used.first() != Some(&UNKNOWN) {
            if let Some(rumble) = self.rumble.get_mut(channel) {
                rumble.apply(whitening, spectrum);
            }
            if let Some(surges) = self.surges.get_mut(channel) {
                surges.apply(spectrum, used, whitening);
            }
        }
        let noisy = self.steps[channel].noisy_mut();
        for ((o, y), w) in noisy.iter_mut().zip(spectrum).zip(whitening) {
            *o = *y * *w;
        }
    }

    /// A long bin turns as the short one nearest to it.
    fn turn(&mut self, turns: &[Turn]) {
        let per_short = self.per_short();
        if let [left, right] = &mut self.steps[..] {
            let bins = left.noisy_mut().iter_mut().zip(right.noisy_mut());
            for (f, (l, r)) in bins.enumerate() {
                if let Some(turn) = turns.get((f + per_short / 2) / per_short) {
                    (*l, *r) = turn.apply(*l, *r);
                }
            }
        }
    }

    const fn per_short(&self) -> usize {
        self.transform.shape().window / self.short.shape().window
    }

    /// The estimate of a channel in the short frame.
    fn reframe(&mut self, channel: usize, turns: Option<&[Turn]>) {
        let per_short = self.per_short();
        let used = &self.used[channel];
        let out = self.spectrum[..used.len()].iter_mut().zip(used);
        match (turns, &self.steps[..]) {
            (Some(turns), [first, second]) => {
                let estimates = first.output().iter().zip(second.output());
                for (f, ((s, a), (u, v))) in out.zip(estimates).enumerate() {
                    let near = turns.get((f + per_short / 2) / per_short);
                    let (left, right) = near.unwrap_or(&Turn::NONE).back(*u, *v);
                    *s = if channel == 0 { left } else { right } * *a;
                }
            }
            (_, steps) => {
                for ((s, a), x) in out.zip(steps[channel].output()) {
                    *s = x * *a;
                }
            }
        }
        let newest = self.transform.newest_of(
            self.windows.len(),
            &self.spectrum[..used.len()],
            &mut self.scratch,
        );
        self.short.transform_into(
            newest,
            &self.windows,
            &mut self.short_scratch,
            &mut self.estimate[channel],
        );
    }

    /// The estimates in the short frame, one a channel, neither whitened nor turned when [`Self::is_done`].
    #[must_use]
    pub fn estimates_mut(&mut self) -> &mut [Vec<Complex32>] {
        &mut self.estimate
    }

    /// Copies the estimate of a channel as far up as the long frames hear, and above that what the first step made of the
    /// short frame. Never allocates.
    pub fn hand_on(&self, channel: usize, first: &[Complex32], out: &mut [Complex32]) {
        for (f, (o, z)) in out.iter_mut().zip(first).enumerate() {
            *o = if f < self.short_bins {
                self.estimate[channel][f]
            } else {
                *z
            };
        }
    }

    /// Cost of what [`Self::advance`] does next.
    #[must_use]
    pub fn cost(&self) -> f32 {
        let (long, bins) = (self.transform.shape().bins() as f32, self.used_bins());
        match self.phase {
            Phase::Analyse { .. } => long * ANALYSE,
            Phase::Turn => bins * TURN,
            Phase::Step(phase) => self.cost.of(phase),
            Phase::Reframe { .. } => self.reframe_cost(),
            Phase::Done => 0.0,
        }
    }

    fn used_bins(&self) -> f32 {
        self.used.first().map_or(0, Vec::len) as f32
    }

    fn reframe_cost(&self) -> f32 {
        let bins = self.transform.shape().bins() + self.short.shape().bins();
        bins as f32 * SYNTHESISE
    }

    /// Cost of a frame, as far as it is known.
    #[must_use]
    pub fn total_cost(&self) -> f32 {
        let channels = self.steps.len() as f32;
        let analyse = self.transform.shape().bins() as f32 * ANALYSE;
        let turn = if self.steps.len() == 2 {
            self.used_bins() * TURN
        } else {
            0.0
        };
        channels * (analyse + self.reframe_cost()) + turn + self.cost.total(passes(&self.steps))
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use crate::audio::recipe::{causal_long_step, causal_step, first_step};
    use crate::audio::unsteadiness::{BANDS, Unsteadiness};
    use crate::model::{Drfm, FeatureDraw, FeatureGroup, FeatureScale, RandomFeatures};
    use crate::rng::StableRng;

    pub const SHORT: FrameDurations = FrameDurations {
        window_at_48k: 1024,
        synthesis_at_48k: 384,
        overlap: 3,
    };
    pub const LONG: FrameDurations = FrameDurations {
        window_at_48k: 3072,
        ..SHORT
    };

    /// A step that takes nothing away.
    pub fn passing(config: StepConfig) -> StepModel {
        let inputs = |inputs, scale| FeatureGroup {
            inputs,
            scale: FeatureScale::Fixed(scale),
        };
        let features = RandomFeatures::draw(&FeatureDraw {
            d_in: config.patch_inputs() + config.context_inputs(),
            n_features: 8,
            seed: 1,
            stream: 0,
            groups: vec![
                inputs(config.patch_inputs(), 0.1),
                inputs(config.context_inputs(), 0.1),
            ],
            orthogonal: false,
            patches: None,
        })
        .unwrap();
        let gates = ndarray::Array2::zeros((config.schedule.timesteps(), 8));
        let model = Drfm::new(features, gates, ndarray::Array2::zeros((8, 2))).unwrap();
        StepModel::new(config, model).unwrap()
    }

    pub fn sound(seed: u64, samples: usize) -> Vec<f32> {
        let mut rng = StableRng::new(seed, 0);
        (0..samples).map(|_| 20.0 * rng.normal() as f32).collect()
    }

    #[test]
    fn what_is_passed_on_is_the_spectrum_of_the_short_frame() {
        for rate_hz in [22_050, 44_100, 48_000, 96_000] {
            let (short, long) = (causal_step(SHORT), passing(causal_long_step(LONG)));
            let mut frames = LongFrames::new(&long, &short, rate_hz, 1)
                .unwrap()
                .steady(false);
            let samples = sound(3, frames.window());
            let transform = FrameTransform::new(SHORT.at_rate(rate_hz));
            let bins = transform.shape().bins();
            let mut want = vec![Complex32::default(); bins];
            let newest = &samples[samples.len() - transform.shape().window..];
            transform.analyse_into(newest, &[], &mut transform.make_scratch(), &mut want);
            frames.estimate_of(long.kernel(), &samples);
            let (first, mut got) = (vec![Complex32::new(7.0, 0.0); bins], want.clone());
            frames.hand_on(0, &first, &mut got);
            let heard = frames.short_bins;
            let hz = heard as f32 * rate_hz as f32 / transform.shape().window as f32;
            assert!((4300.0..4501.0).contains(&hz), "{hz} Hz at {rate_hz}");
            // Nothing but the edge of the range leaks, and its leakage falls off: 1.1e-4 of the power at most is left of it a
            // dozen bins away.
            let far = heard - 12;
            let error = |bins: std::ops::Range<usize>| -> f32 {
                let off = bins.clone().map(|f| (got[f] - want[f]).norm_sqr());
                off.sum::<f32>() / want[bins].iter().map(|x| x.norm_sqr()).sum::<f32>()
            };
            println!("{rate_hz} Hz: {}", error(0..far));
            assert!(error(0..far) < 1.5e-4, "{rate_hz}: {}", error(0..far));
            assert!(error(0..heard) < 0.02, "{rate_hz}: {}", error(0..heard));
            assert!(got[heard..].iter().all(|x| *x == first[0]));
        }
    }

    #[test]
    fn the_turns_of_a_pair_are_taken_back() {
        let (short, long) = (causal_step(SHORT), passing(causal_long_step(LONG)));
        let sounds = [4, 5].map(|seed| sound(seed, 3072));
        let heard = |turns: Option<&[Turn]>| {
            let mut frames = LongFrames::new(&long, &short, 48_000, 2)
                .unwrap()
                .steady(false);
            frames.begin();
            while !frames.is_done() {
                frames.advance(long.kernel(), |c| (&sounds[c], &[]), turns);
            }
            frames
        };
        // Every other short bin is turned, and the three long ones around it.
        let turns: Vec<Turn> = (0..513)
            .map(|f| [Turn::NONE, Turn::UNEVEN][f % 2])
            .collect();
        let (mut alone, mut turned) = (heard(None), heard(Some(&turns)));
        for channel in 0..2 {
            let [a, t] = [&alone, &turned].map(|f| f.steps[channel].noisy_at_output());
            for (f, (a, t)) in a.iter().zip(t).enumerate() {
                assert_eq!(a != t, (f + 1) / 3 % 2 == 1, "long bin {f}");
            }
            let bins = alone.short_bins;
            let alone = &alone.estimates_mut()[channel][..bins];
            let turned = &turned.estimates_mut()[channel][..bins];
            let power: f32 = alone.iter().map(|x| x.norm_sqr()).sum();
            let pairs = alone.iter().zip(turned);
            let error: f32 = pairs.map(|(a, b)| (*a - *b).norm_sqr()).sum();
            assert!(error < 1e-9 * power, "{}", error / power);
        }
    }

    #[test]
    fn a_surge_of_noise_is_followed_unless_the_noise_was_steady() {
        let (short, long) = (causal_step(SHORT), passing(causal_long_step(LONG)));
        // Four times the power that was told.
        let louder: Vec<f32> = sound(9, 48_000).iter().map(|x| 0.1 * x).collect();
        let raised_db = |unsteady_db: f32| {
            let mut frames = LongFrames::new(&long, &short, 48_000, 1).unwrap();
            let noise = NoiseSpectrum::white(48_000, 1.0);
            let noise = noise.with(Unsteadiness::bounded([unsteady_db; BANDS]));
            frames.set_noise(0, &noise);
            for frame in louder.windows(3072).step_by(128) {
                frames.begin();
                while !frames.is_done() {
                    frames.advance(long.kernel(), |_| (frame, &[]), None);
                }
            }
            20.0 * (frames.used[0][200] / frames.amplitude[0][200]).log10()
        };
        assert_eq!(raised_db(0.0), 0.0);
        let unsteady = raised_db(0.5);
        assert!((4.5..7.5).contains(&unsteady), "{unsteady}");
    }

    #[test]
    fn only_longer_frames_without_look_ahead_fit() {
        let short = causal_step(SHORT);
        assert!(fits(&short, &causal_long_step(LONG)));
        assert!(!fits(&short, &causal_long_step(SHORT)));
        assert!(!fits(&causal_long_step(LONG), &short));
        let other = FrameDurations {
            synthesis_at_48k: 256,
            ..LONG
        };
        assert!(!fits(&short, &causal_long_step(other)));
        let ahead = StepConfig {
            lookahead: 1,
            ..causal_long_step(LONG)
        };
        assert!(!fits(&short, &ahead));
        let symmetric = FrameDurations::symmetric(4096, 8);
        assert!(!fits(
            &first_step(symmetric, 3),
            &first_step(FrameDurations::symmetric(8192, 8), 6)
        ));
    }
}

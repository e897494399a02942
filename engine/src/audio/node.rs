//! A spectral step (or two that share frames) as a sample-by-sample process whose work is spread evenly over a hop.
//!
//! A frame ends at a hop border and is worked on bit by bit while the samples of the next hop come in, in proportion
//! to how many have come (`benches/stream.rs` measures how even that is). What is computed depends on hop borders
//! alone, so the output does not depend on how the input is cut into blocks.

use std::sync::Arc;

use realfft::num_complex::Complex32;

use super::assumed_noise::AssumedNoise;
use super::chain::StepModel;
use super::frame_work::{ANALYSE, SYNTHESISE, StepCost, StepPhase, TURN, passes};
use super::long_frames::LongFrames;
use super::noise::NoiseSpectrum;
use super::pair::{PairTurns, Turn};
use super::rumble_limit::RumbleLimit;
use super::step::{SpectralStep, StepConfig};
use super::stft::{FrameTransform, History, OverlapAdd, TransformScratch};
use super::surge::SurgeFollower;

/// The amplitude that stands for noise of which nothing is known. So large that the frames whitened with it weigh nothing
/// in any running average: were they whitened with next to nothing, the averages would take seconds to forget them, and
/// every bin would be worked on until then.
pub(super) const UNKNOWN: f32 = 1e8;

/// The signals a node may read.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum NodeInputs {
    /// The noisy sound.
    Noisy,
    /// The noisy sound, a first estimate of it, and one from a longer window.
    NoisyAndEstimates,
}

/// What of a frame has to be done next.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Phase {
    Analyse {
        signal: usize,
        channel: usize,
    },
    /// How a pair of channels is to be turned.
    Hear {
        part: usize,
    },
    Turn {
        signal: usize,
    },
    First(StepPhase),
    /// The same sound in longer frames.
    Long,
    Second(StepPhase),
    Synthesise {
        channel: usize,
    },
    Done,
}

/// One stage of a streaming denoiser for a channel or a pair of them, which is turned first: see [`super::pair`].
pub struct Node {
    /// One a channel.
    steps: Vec<SpectralStep>,
    model: Arc<StepModel>,
    /// Second steps on the frames of the first, without look-ahead.
    second: Option<(Vec<SpectralStep>, Arc<StepModel>)>,
    /// What the second steps also see.
    long: Option<(Box<LongFrames>, Arc<StepModel>)>,
    lookahead: usize,
    channels: usize,
    signals: usize,
    hop: usize,
    transform: FrameTransform,
    assumed: AssumedNoise,
    /// One a channel.
    rumble: Vec<RumbleLimit>,
    surges: Vec<SurgeFollower>,
    scratch: TransformScratch,
    /// `[signal * channels + channel]`.
    history: Vec<History>,
    overlap: Vec<OverlapAdd>,
    ready: Vec<Vec<f32>>,
    making: Vec<Vec<f32>>,
    /// Noise amplitude per channel and bin.
    amplitude: Vec<Vec<f32>>,
    /// Its inverse when the frame began, lowered where the noise surges.
    whitening: Vec<Vec<f32>>,
    /// Hops that pass before noise of which nothing was known is known here too, and how many are left per channel.
    delay_hops: usize,
    unknown_hops: Vec<usize>,
    /// The amplitude that each frame was whitened with, `[frame % depth][channel]`.
    used: Vec<Vec<Vec<f32>>>,
    frame: usize,
    /// Frames analysed since the start, counted up to one more than the look-ahead.
    age: usize,
    /// How the bins of two channels are turned, and how each frame's were, `[frame % depth]`.
    pair: Option<PairTurns>,
    turns: Vec<Vec<Turn>>,
    spectrum: Vec<Complex32>,
    position: usize,
    phase: Phase,
    cost: CostModel,
    spent: f32,
}

impl Node {
    /// A node for `channels` (1 or 2). `second` must have no look-ahead and the same frames; it may see `long`, which must fit
    /// beside `model`.
    #[must_use]
    pub fn new(
        model: Arc<StepModel>,
        second: Option<Arc<StepModel>>,
        long: Option<Arc<StepModel>>,
        inputs: NodeInputs,
        rate_hz: u32,
        channels: usize,
    ) -> Self {
        let steps = |config: &StepConfig| -> Vec<SpectralStep> {
            (0..channels)
                .map(|_| SpectralStep::new(config, rate_hz))
                .collect()
        };
        let shape = model.config.frames.at_rate(rate_hz);
        let lookahead = usize::from(model.config.lookahead);
        let lowest_hz = model.config.lowest_hz;
        let transform = FrameTransform::new(shape);
        let signals = match inputs {
            NodeInputs::Noisy => 1,
            NodeInputs::NoisyAndEstimates => 3,
        };
        let long = long.and_then(|long| {
            let frames = LongFrames::new(&long, &model.config, rate_hz, channels)?;
            Some((Box::new(frames), long))
        });
        let longest = long.as_ref().map_or(shape.window, |(l, _)| l.window());
        let second = second.map(|m| (steps(&m.config), m));
        let steps = steps(&model.config);
        let pair = (channels == 2)
            .then(|| PairTurns::new(shape.bins(), shape.hop as f32 / rate_hz as f32));
        let per_bin = |v: f32| vec![v; shape.bins()];
        Self {
            cost: CostModel::new(
                &steps,
                second.as_ref().map(|(s, m)| (&s[..], &**m)),
                signals,
                pair.as_ref().map_or(0, PairTurns::parts),
                &model,
            ),
            channels,
            signals,
            hop: shape.hop,
            scratch: transform.make_scratch(),
            transform,
            assumed: AssumedNoise::new(shape, rate_hz, lowest_hz),
            rumble: (0..channels)
                .map(|_| RumbleLimit::new(shape, rate_hz, lowest_hz))
                .collect(),
            surges: (0..channels)
                .map(|_| SurgeFollower::new(shape, rate_hz))
                .collect(),
            history: vec![History::new(longest + shape.hop); signals * channels],
            overlap: vec![OverlapAdd::new(shape); channels],
            ready: vec![vec![0.0; shape.hop]; channels],
            making: vec![vec![0.0; shape.hop]; channels],
            amplitude: vec![per_bin(1.0); channels],
            whitening: vec![per_bin(1.0); channels],
            delay_hops: 0,
            unknown_hops: vec![0; channels],
            used: vec![vec![per_bin(1.0); channels]; lookahead + 1],
            frame: lookahead + 1,
            age: 0,
            pair,
            turns: if channels == 2 {
                vec![vec![Turn::NONE; shape.bins()]; lookahead + 1]
            } else {
                Vec::new()
            },
            spectrum: vec![Complex32::default(); shape.bins()],
            position: 0,
            phase: Phase::Done,
            spent: 0.0,
            steps,
            lookahead,
            model,
            second,
            long,
        }
    }

    /// For a node whose inputs come `samples` late from nodes that are told of the noise at the same time: when noise of
    /// which nothing was known becomes known, its frames know of it as much later. Before, the estimates that it is given
    /// are none.
    #[must_use]
    pub const fn after(mut self, samples: usize) -> Self {
        self.delay_hops = samples.div_ceil(self.hop);
        self
    }

    /// Samples from input to output.
    #[must_use]
    pub fn latency_samples(&self) -> usize {
        // Overlap-add, look-ahead, and one hop over which the work is spread.
        self.transform.shape().synthesis + (self.lookahead + 1) * self.hop
    }

    /// Samples until the next hop border.
    #[must_use]
    pub const fn wanted(&self) -> usize {
        self.hop - self.position
    }

    /// Tells channel `channel` what noise to expect from now on; sound is passed on as it is while none is known. Before
    /// the first frame also what to think of the past. Frames under way keep the noise that they were whitened with.
    /// Never allocates.
    pub fn set_noise(&mut self, channel: usize, noise: &NoiseSpectrum) {
        let was_unknown = self.amplitude[channel].first() == Some(&UNKNOWN);
        let amplitude = &mut self.amplitude[channel];
        if noise.is_known() {
            self.assumed.amplitude_into(noise, amplitude);
            self.surges[channel].expect(noise);
        } else {
            amplitude.fill(UNKNOWN);
        }
        if let Some((long, _)) = &mut self.long {
            long.set_noise(channel, noise);
        }
        self.begin_noise(channel, was_unknown);
    }

    /// The same, from a node that has been told and whose frames are like its own: see [`Self::hears_like`]. Never allocates.
    pub fn set_noise_as(&mut self, channel: usize, other: &Self) {
        let was_unknown = self.amplitude[channel].first() == Some(&UNKNOWN);
        self.amplitude[channel].copy_from_slice(&other.amplitude[channel]);
        self.surges[channel].expect_as(&other.surges[channel]);
        self.begin_noise(channel, was_unknown);
    }

    /// Whether a noise is the same to both.
    #[must_use]
    pub fn hears_like(&self, other: &Self) -> bool {
        self.transform.shape() == other.transform.shape()
            && self.model.config.lowest_hz == other.model.config.lowest_hz
    }

    /// The noise of a channel has changed.
    fn begin_noise(&mut self, channel: usize, was_unknown: bool) {
        let amplitude = &self.amplitude[channel];
        if was_unknown && amplitude.first() != Some(&UNKNOWN) {
            self.unknown_hops[channel] = self.delay_hops;
        }
        if self.age == 0 {
            self.unknown_hops[channel] = 0;
            for used in &mut self.used {
                used[channel].copy_from_slice(amplitude);
            }
        }
    }

    /// Takes in up to [`Self::wanted`] samples of every signal and channel (`[signal * channels + channel]`) and gives
    /// out as many. Never allocates.
    pub fn process(&mut self, inputs: &[&[f32]], outputs: &mut [Vec<f32>]) {
        debug_assert_eq!(inputs.len(), self.signals * self.channels);
        let n = inputs.first().map_or(0, |x| x.len());
        for (history, x) in self.history.iter_mut().zip(inputs) {
            history.push(x);
        }
        for (out, ready) in outputs.iter_mut().zip(&self.ready) {
            out[..n].copy_from_slice(&ready[self.position..self.position + n]);
        }
        self.position += n;
        if self.position < self.hop {
            let left = self.hop + n - self.position;
            self.work(n as f32 / left as f32);
            return;
        }
        self.work(1.0);
        self.position = 0;
        std::mem::swap(&mut self.ready, &mut self.making);
        self.begin();
    }

    /// Back to the state of a new node. Never allocates.
    pub fn clear(&mut self) {
        let second = self.second.iter_mut().flat_map(|(steps, _)| steps);
        for step in self.steps.iter_mut().chain(second) {
            step.clear();
        }
        if let Some((long, _)) = &mut self.long {
            long.clear();
        }
        for r in &mut self.rumble {
            r.clear();
        }
        for s in &mut self.surges {
            s.clear();
        }
        for h in &mut self.history {
            h.clear();
        }
        for o in &mut self.overlap {
            o.clear();
        }
        for r in self.ready.iter_mut().chain(&mut self.making) {
            r.fill(0.0);
        }
        if let Some(pair) = &mut self.pair {
            pair.clear();
        }
        self.position = 0;
        self.age = 0;
        self.phase = Phase::Done;
    }

    /// Begins with the frames that end here.
    fn begin(&mut self) {
        self.frame += 1;
        self.age = (self.age + 1).min(self.lookahead + 1);
        let depth = self.used.len();
        for step in &mut self.steps {
            step.next_frame();
        }
        for c in 0..self.channels {
            let used = &mut self.used[self.frame % depth][c];
            if self.unknown_hops[c] > 0 {
                self.unknown_hops[c] -= 1;
                used.fill(UNKNOWN);
            } else {
                used.copy_from_slice(&self.amplitude[c]);
            }
            for (w, a) in self.whitening[c].iter_mut().zip(&*used) {
                *w = 1.0 / a;
            }
        }
        if let Some((long, _)) = &mut self.long {
            long.begin();
        }
        self.phase = Phase::Analyse {
            signal: 0,
            channel: 0,
        };
        self.spent = 0.0;
    }

    /// Analyses and whitens the frame of one signal and channel, which ended `position` samples ago.
    fn analyse(&mut self, signal: usize, channel: usize) {
        let window = self.transform.shape().window;
        let history = &self.history[signal * self.channels + channel];
        let (older, newer) = history.parts_before(window, self.position);
        self.transform
            .analyse_into(older, newer, &mut self.scratch, &mut self.spectrum);
        let slot = newest_mut(&mut self.steps[channel], signal);
        let whitening = &mut self.whitening[channel];
        let depth = self.used.len();
        let amplitude = &mut self.used[self.frame % depth][channel];
        if signal == 0 && amplitude.first() != Some(&UNKNOWN) {
            self.rumble[channel].apply(whitening, &mut self.spectrum);
            self.surges[channel].apply(&self.spectrum, amplitude, whitening);
        }
        for ((o, y), i) in slot.iter_mut().zip(&self.spectrum).zip(&*whitening) {
            *o = y * i;
        }
    }

    /// Part `part` of finding out how the frame of a pair of channels is to be turned; false after the last.
    fn hear(&mut self, part: usize) -> bool {
        let slot = self.frame % self.used.len();
        let (Some(pair), [left, right]) = (&mut self.pair, &mut self.steps[..]) else {
            return false;
        };
        if self.used[slot].iter().any(|a| a.first() == Some(&UNKNOWN)) {
            self.turns[slot].fill(Turn::NONE);
            return false;
        }
        let frame = [&*left.noisy_mut(), &*right.noisy_mut()];
        let whitening = [&self.whitening[0][..], &self.whitening[1]];
        pair.hear_part(part, frame, whitening, &mut self.turns[slot]);
        part + 1 < pair.parts()
    }

    /// Turns the frame of one signal of a pair of channels.
    fn turn(&mut self, signal: usize) {
        let slot = self.frame % self.used.len();
        if let (Some(turns), [left, right]) = (self.turns.get(slot), &mut self.steps[..]) {
            let (left, right) = (newest_mut(left, signal), newest_mut(right, signal));
            for ((l, r), turn) in left.iter_mut().zip(right).zip(turns) {
                (*l, *r) = turn.apply(*l, *r);
            }
        }
    }

    /// A part of the work on the long frames, whose estimates end up whitened and turned as the frame is; false after the last.
    fn advance_long(&mut self) -> bool {
        let Some((long, model)) = &mut self.long else {
            return false;
        };
        let slot = self.frame % self.used.len();
        let turns = self.turns.get(slot).map(|t| &t[..]);
        let (history, window, age) = (&self.history, long.window(), self.position);
        let kernel = model.kernel();
        long.advance(
            kernel,
            |channel| history[channel].parts_before(window, age),
            turns,
        );
        if !long.is_done() {
            return true;
        }
        let estimates = long.estimates_mut();
        for (estimate, whitening) in estimates.iter_mut().zip(&self.whitening) {
            for (x, w) in estimate.iter_mut().zip(whitening) {
                *x *= *w;
            }
        }
        if let (Some(turns), [left, right]) = (turns, estimates) {
            for ((l, r), turn) in left.iter_mut().zip(right).zip(turns) {
                (*l, *r) = turn.apply(*l, *r);
            }
        }
        false
    }

    /// Gives the frame of the first steps to the second ones, if there are any; returns what comes next.
    fn hand_on(&mut self) -> Phase {
        let Some((second, _)) = &mut self.second else {
            return Phase::Synthesise { channel: 0 };
        };
        for (channel, (step, second)) in self.steps.iter().zip(second).enumerate() {
            second.next_frame();
            second.noisy_mut().copy_from_slice(step.noisy_at_output());
            second.first_mut().copy_from_slice(step.output());
            if let Some((long, _)) = &self.long {
                long.hand_on(channel, step.output(), second.long_mut());
            }
        }
        Phase::Second(StepPhase::BEGIN)
    }

    /// The estimate of a channel's output frame goes to `spectrum`.
    fn estimate(&mut self, channel: usize) {
        if self.age <= self.lookahead {
            // The output frame lies before the start of the sound.
            self.spectrum.fill(Complex32::default());
            return;
        }
        let slot = (self.frame - self.lookahead) % self.used.len();
        let amplitude = &self.used[slot][channel];
        let unknown = amplitude.first() == Some(&UNKNOWN);
        let estimate = |c: usize| match &self.second {
            _ if unknown => self.steps[c].noisy_at_output(),
            Some((second, _)) => second[c].output(),
            None => self.steps[c].output(),
        };
        let out = self.spectrum.iter_mut().zip(amplitude);
        if self.pair.is_none() {
            for ((s, a), x) in out.zip(estimate(channel)) {
                *s = x * a;
            }
            return;
        }
        let turned = estimate(0).iter().zip(estimate(1)).zip(&self.turns[slot]);
        for ((s, a), ((u, v), turn)) in out.zip(turned) {
            let (left, right) = turn.back(*u, *v);
            *s = if channel == 0 { left } else { right } * a;
        }
    }

    /// Does the share `share` of what is left of the frame's work. How much that is becomes known only when the bins are
    /// chosen: a frame that turns out dearer than the last is spread over the time that is left, not caught up with.
    fn work(&mut self, share: f32) {
        let before = self.spent;
        while self.phase != Phase::Done {
            let long = self.long.as_ref().map_or(0.0, |(l, _)| l.total_cost());
            let left = self.cost.total(self.passes()) + long - before;
            if share < 1.0 && self.spent - before >= share * left {
                return;
            }
            self.spent += match (&self.long, self.phase) {
                (Some((long, _)), Phase::Long) => long.cost(),
                _ => self.cost.of(self.phase),
            };
            self.phase = self.advance();
        }
    }

    /// Passes of the kernel for the first and for the second steps.
    fn passes(&self) -> (usize, usize) {
        let second = self.second.as_ref().map_or(0, |(s, _)| passes(s));
        (passes(&self.steps), second)
    }

    /// Does one phase; returns the next.
    fn advance(&mut self) -> Phase {
        match self.phase {
            Phase::Analyse { signal, channel } => {
                self.analyse(signal, channel);
                if channel + 1 < self.channels {
                    Phase::Analyse {
                        signal,
                        channel: channel + 1,
                    }
                } else if self.pair.is_some() && signal == 0 {
                    Phase::Hear { part: 0 }
                } else if self.pair.is_some() {
                    Phase::Turn { signal }
                } else if signal + 1 < self.signals {
                    Phase::Analyse {
                        signal: signal + 1,
                        channel: 0,
                    }
                } else {
                    Phase::First(StepPhase::BEGIN)
                }
            }
            Phase::Hear { part } => {
                if self.hear(part) {
                    Phase::Hear { part: part + 1 }
                } else {
                    Phase::Turn { signal: 0 }
                }
            }
            Phase::Turn { signal } => {
                self.turn(signal);
                if signal + 1 < self.signals {
                    Phase::Analyse {
                        signal: signal + 1,
                        channel: 0,
                    }
                } else {
                    Phase::First(StepPhase::BEGIN)
                }
            }
            Phase::First(phase) => match phase.advance(&mut self.steps, self.model.kernel()) {
                Some(phase) => Phase::First(phase),
                None if self.long.is_some() => Phase::Long,
                None => self.hand_on(),
            },
            Phase::Long => {
                if self.advance_long() {
                    Phase::Long
                } else {
                    self.hand_on()
                }
            }
            Phase::Second(phase) => {
                let second = self.second.as_mut();
                match second.and_then(|(steps, model)| phase.advance(steps, model.kernel())) {
                    Some(phase) => Phase::Second(phase),
                    None => Phase::Synthesise { channel: 0 },
                }
            }
            Phase::Synthesise { channel } => {
                self.estimate(channel);
                self.overlap[channel].push(
                    &self.transform,
                    &self.spectrum,
                    &mut self.scratch,
                    &mut self.making[channel],
                );
                if channel + 1 < self.channels {
                    Phase::Synthesise {
                        channel: channel + 1,
                    }
                } else {
                    Phase::Done
                }
            }
            Phase::Done => Phase::Done,
        }
    }
}

/// The newest spectrum of a signal, to be written.
fn newest_mut(step: &mut SpectralStep, signal: usize) -> &mut [Complex32] {
    match signal {
        0 => step.noisy_mut(),
        1 => step.first_mut(),
        _ => step.long_mut(),
    }
}

/// Cost of each phase, and how many of it there are.
struct CostModel {
    analyse: f32,
    analyses: f32,
    /// None for a channel by itself.
    hear: f32,
    hears: f32,
    turn: f32,
    turns: f32,
    first: StepCost,
    second: StepCost,
    synthesise: f32,
    channels: f32,
}

impl CostModel {
    fn new(
        steps: &[SpectralStep],
        second: Option<(&[SpectralStep], &StepModel)>,
        signals: usize,
        hears: usize,
        model: &StepModel,
    ) -> Self {
        let bins = steps.first().map_or(0, |s| s.shape().bins()) as f32;
        let channels = steps.len() as f32;
        Self {
            analyse: bins * ANALYSE,
            analyses: channels * signals as f32,
            hear: bins * 31.0 / hears.max(1) as f32,
            hears: hears as f32,
            turn: bins * TURN,
            turns: if hears == 0 { 0.0 } else { signals as f32 },
            first: StepCost::new(steps, model),
            second: second.map_or_else(StepCost::default, |(s, m)| StepCost::new(s, m)),
            synthesise: bins * SYNTHESISE,
            channels,
        }
    }

    fn total(&self, (first, second): (usize, usize)) -> f32 {
        self.analyses * self.analyse
            + self.hears * self.hear
            + self.turns * self.turn
            + self.first.total(first)
            + self.second.total(second)
            + self.channels * self.synthesise
    }

    fn of(&self, phase: Phase) -> f32 {
        match phase {
            Phase::Analyse { .. } => self.analyse,
            Phase::Hear { .. } => self.hear,
            Phase::Turn { .. } => self.turn,
            Phase::First(phase) => self.first.of(phase),
            Phase::Second(phase) => self.second.of(phase),
            Phase::Synthesise { .. } => self.synthesise,
            // Long frames know themselves what they cost.
            Phase::Long | Phase::Done => 0.0,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::long_frames::tests::{LONG, SHORT, passing, sound};
    use super::super::recipe::{causal_long_step, causal_refine_step, causal_step};
    use super::super::unsteadiness::{BANDS, Unsteadiness};
    use super::*;

    #[test]
    fn long_frames_are_whitened_and_turned_as_the_short_ones() {
        let step = |config| Arc::new(passing(config));
        let mut node = Node::new(
            step(causal_step(SHORT)),
            Some(step(causal_refine_step(SHORT))),
            Some(step(causal_long_step(LONG))),
            NodeInputs::Noisy,
            48_000,
            2,
        );
        for (channel, power) in [(0, 1.0), (1, 0.25)] {
            node.set_noise(channel, &NoiseSpectrum::white(48_000, power));
        }
        // In the middle but for a little: the two are turned.
        let shared = sound(7, 24_000);
        let own = sound(8, 24_000);
        let right: Vec<f32> = shared.iter().zip(&own).map(|(s, o)| s + 0.3 * o).collect();
        let mut out = vec![vec![0.0; node.hop]; 2];
        for at in (0..24_000 - node.hop).step_by(node.hop) {
            let end = at + node.hop;
            node.process(&[&shared[at..end], &right[at..end]], &mut out);
        }
        // The newest frame has only begun; the second steps still hold the one before.
        let turns = &node.turns[node.frame % node.turns.len()];
        let turned = turns.iter().filter(|t| **t != Turn::NONE).count();
        assert!(turned > 400, "{turned}");
        let (second, _) = node.second.as_mut().unwrap();
        for step in second {
            let noisy = step.noisy_at_output().to_vec();
            let (mut power, mut error) = (0.0, 0.0);
            for (x, y) in noisy.iter().zip(step.long_mut()).take(80).skip(4) {
                power += x.norm_sqr();
                error += (x - *y).norm_sqr();
            }
            assert!(power > 0.0 && error < 1e-3 * power, "{error} of {power}");
        }
    }

    #[test]
    fn a_surge_of_noise_is_followed_unless_the_noise_was_steady() {
        // Four times the power that was told.
        let louder: Vec<f32> = sound(9, 24_000).iter().map(|x| 0.1 * x).collect();
        let raised_db = |unsteady_db: f32, told_by_another: bool| {
            let step = || Arc::new(passing(causal_step(SHORT)));
            let node = || Node::new(step(), None, None, NodeInputs::Noisy, 48_000, 1);
            let (mut node, mut told) = (node(), node());
            let noise = NoiseSpectrum::white(48_000, 1.0);
            let noise = noise.with(Unsteadiness::bounded([unsteady_db; BANDS]));
            told.set_noise(0, &noise);
            if told_by_another {
                node.set_noise_as(0, &told);
            } else {
                node.set_noise(0, &noise);
            }
            let before = node.amplitude[0][256];
            let mut out = vec![vec![0.0; node.hop]];
            for samples in louder.chunks_exact(node.hop) {
                node.process(&[samples], &mut out);
            }
            // The newest frame has only begun.
            let frame = (node.frame - 1) % node.used.len();
            assert_eq!(node.used.len(), 1);
            node.work(1.0);
            20.0 * (node.used[frame][0][256] / before).log10()
        };
        for told_by_another in [false, true] {
            assert_eq!(raised_db(0.0, told_by_another), 0.0);
            let unsteady = raised_db(0.5, told_by_another);
            assert!((4.5..7.5).contains(&unsteady), "{unsteady}");
        }
    }
}

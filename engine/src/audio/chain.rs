//! A denoiser as a chain of steps, and its plain whole-signal run: what training uses and what the streaming denoiser
//! is tested against.

use std::cell::RefCell;

use realfft::num_complex::Complex32;
use serde::{Deserialize, Serialize};

use super::kernel::{BINS_PER_PASS, Kernel};
use super::long_frames::LongFrames;
use super::rumble_limit::RumbleLimit;
use super::step::{SpectralStep, StepConfig};
use super::stft::FrameTransform;
use crate::model::drfm::Drfm;

/// A step with its weights.
pub struct StepModel {
    /// What defines the step.
    pub config: StepConfig,
    /// The random feature model.
    pub model: Drfm,
    kernel: Kernel,
}

impl StepModel {
    /// Joins a configuration and a model; `None` when their shapes do not fit.
    #[must_use]
    pub fn new(config: StepConfig, model: Drfm) -> Option<Self> {
        let kernel = Kernel::new(&model, config.patch_inputs())?;
        (kernel.context_inputs() == config.context_inputs()
            && config.normalisation.len() == config.contexts.len()
            && kernel.timesteps() == config.schedule.timesteps())
        .then_some(Self {
            config,
            model,
            kernel,
        })
    }

    /// The model made ready for the audio thread.
    #[must_use]
    pub const fn kernel(&self) -> &Kernel {
        &self.kernel
    }
}

/// The steps of a mode.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ChainConfig<S> {
    /// First estimate.
    pub first: S,
    /// First estimate with a longer window; needs `refine`.
    pub long: Option<S>,
    /// Second step, which sees the earlier estimates.
    pub refine: Option<S>,
}

/// Runs `step` over a mono signal that has been whitened already; calls `each` once an output frame with the step,
/// ready to predict, and the index of the frame.
pub fn for_each_frame(
    step: &mut SpectralStep,
    noisy: &Framed<'_>,
    first: Option<&Framed<'_>>,
    long: Option<&Framed<'_>>,
    mut each: impl FnMut(&mut SpectralStep, usize),
) {
    let lookahead = step.lookahead();
    for m in 0..noisy.frames + lookahead {
        step.next_frame();
        noisy.spectrum_into(m, step.noisy_mut());
        if let Some(first) = first {
            first.spectrum_into(m, step.first_mut());
        }
        if let Some(long) = long {
            long.spectrum_into(m, step.long_mut());
        }
        step.update();
        step.select();
        if m >= lookahead {
            each(step, m - lookahead);
        }
    }
}

/// A whole mono signal as overlapping frames: frame `m` ends at sample `(m + 1) hop`.
pub struct Framed<'a> {
    transform: &'a FrameTransform,
    padded: Vec<f32>,
    samples: usize,
    frames: usize,
    whitening: Option<&'a [f32]>,
    rumble: Option<RefCell<RumbleLimit>>,
}

impl<'a> Framed<'a> {
    /// Pads `samples` so that every sample is covered by all its frames.
    #[must_use]
    pub fn new(transform: &'a FrameTransform, samples: &[f32]) -> Self {
        let shape = transform.shape();
        let frames = (samples.len() + shape.window).div_ceil(shape.hop);
        let mut padded = vec![0.0; frames * shape.hop + shape.window];
        let start = shape.window - shape.hop;
        padded[start..start + samples.len()].copy_from_slice(samples);
        Self {
            transform,
            padded,
            samples: samples.len(),
            frames,
            whitening: None,
            rumble: None,
        }
    }

    /// The same, each bin of its spectra multiplied by `whitening`, one factor a bin.
    #[must_use]
    pub fn whitened(mut self, whitening: &'a [f32]) -> Self {
        self.whitening = Some(whitening);
        self
    }

    /// The same, limited before it is whitened; frames must then be asked for in order, each once.
    #[must_use]
    pub fn limited(mut self, rumble: RumbleLimit) -> Self {
        self.rumble = Some(RefCell::new(rumble));
        self
    }

    /// The spectrum of frame `m`; silence beyond the end.
    pub fn spectrum_into(&self, m: usize, out: &mut [Complex32]) {
        let shape = self.transform.shape();
        if m >= self.frames {
            out.fill(Complex32::default());
            return;
        }
        let mut scratch = self.transform.make_scratch();
        let frame = &self.padded[m * shape.hop..][..shape.window];
        let mut spectrum = vec![Complex32::default(); shape.bins()];
        self.transform
            .analyse_into(frame, &[], &mut scratch, &mut spectrum);
        // A step may look at the lowest bins alone.
        out.copy_from_slice(&spectrum[..out.len()]);
        if let Some(whitening) = self.whitening {
            if let Some(rumble) = &self.rumble {
                rumble.borrow_mut().apply(whitening, out);
            }
            for (x, w) in out.iter_mut().zip(whitening) {
                *x *= *w;
            }
        }
    }

    /// The samples that end with frame `m`, oldest first, as many as `out` holds; silence before the beginning and after the end.
    pub fn newest_into<'b>(&self, m: usize, out: &'b mut [f32]) -> &'b [f32] {
        let shape = self.transform.shape();
        let end = (m * shape.hop + shape.window).min(self.padded.len());
        let from = end.saturating_sub(out.len());
        let (before, there) = out.split_at_mut(out.len() - (end - from));
        before.fill(0.0);
        there.copy_from_slice(&self.padded[from..end]);
        out
    }

    /// An empty signal of the same length to add frames to.
    #[must_use]
    pub fn collector(&self) -> Collector<'a> {
        Collector {
            transform: self.transform,
            padded: vec![0.0; self.padded.len()],
            samples: self.samples,
        }
    }
}

/// Overlap-add of a whole signal.
pub struct Collector<'a> {
    transform: &'a FrameTransform,
    padded: Vec<f32>,
    samples: usize,
}

impl Collector<'_> {
    /// Adds frame `m`.
    pub fn add(&mut self, m: usize, spectrum: &[Complex32]) {
        let shape = self.transform.shape();
        let mut scratch = self.transform.make_scratch();
        let end = m * shape.hop + shape.window;
        self.transform.synthesise_into(
            spectrum,
            &mut scratch,
            &mut self.padded[end - shape.synthesis..end],
        );
    }

    /// The signal.
    #[must_use]
    pub fn finish(self) -> Vec<f32> {
        let shape = self.transform.shape();
        let start = shape.window - shape.hop;
        self.padded[start..start + self.samples].to_vec()
    }
}

/// Predicts all active bins of the step's frame.
pub fn predict_all(step: &mut SpectralStep, kernel: &Kernel) {
    for start in (0..step.active_count()).step_by(BINS_PER_PASS) {
        step.predict(kernel, start);
    }
}

/// The estimate of one first step over a whole whitened mono signal.
#[must_use]
pub fn estimate_first(model: &StepModel, rate_hz: u32, noisy: &[f32]) -> Vec<f32> {
    let mut step = SpectralStep::new(&model.config, rate_hz);
    let transform = FrameTransform::new(step.shape());
    let framed = Framed::new(&transform, noisy);
    let mut out = framed.collector();
    for_each_frame(&mut step, &framed, None, None, |step, m| {
        predict_all(step, model.kernel());
        out.add(m, step.output());
    });
    out.finish()
}

/// Runs `refine` after the earlier steps over a whole whitened mono signal; calls `each` once an output frame with
/// the second step ready to predict. With a long window that does not fit beside the first step's the estimates are heard and
/// analysed again; else the second step takes the frames of the first as they are.
pub fn for_each_refined_frame(
    first: &StepModel,
    long: Option<&StepModel>,
    refine: &StepConfig,
    rate_hz: u32,
    noisy: &[f32],
    mut each: impl FnMut(&mut SpectralStep, usize),
) {
    let mut second = SpectralStep::new(refine, rate_hz);
    let transform = FrameTransform::new(second.shape());
    let framed = Framed::new(&transform, noisy);
    let mut beside = None;
    if let Some(long) = long {
        beside = LongFrames::new(long, &first.config, rate_hz, 1).map(|f| f.steady(false));
    }
    if let (Some(long), None) = (long, &beside) {
        let z = estimate_first(first, rate_hz, noisy);
        let z_long = estimate_first(long, rate_hz, noisy);
        let (z, z_long) = (
            Framed::new(&transform, &z),
            Framed::new(&transform, &z_long),
        );
        for_each_frame(&mut second, &framed, Some(&z), Some(&z_long), each);
        return;
    }
    let mut samples = vec![0.0; beside.as_ref().map_or(0, LongFrames::window)];
    let mut step = SpectralStep::new(&first.config, rate_hz);
    // A second step on the frames of the first has no look-ahead: `check_chain` sees to it.
    for_each_frame(&mut step, &framed, None, None, |step, m| {
        predict_all(step, first.kernel());
        second.next_frame();
        second.noisy_mut().copy_from_slice(step.noisy_at_output());
        second.first_mut().copy_from_slice(step.output());
        if let (Some(frames), Some(long)) = (&mut beside, long) {
            let newest = framed.newest_into(m, &mut samples);
            frames.estimate_of(long.kernel(), newest);
            frames.hand_on(0, step.output(), second.long_mut());
        }
        second.update();
        second.select();
        each(&mut second, m);
    });
}

/// The estimate of a whole chain over a whole whitened mono signal.
#[must_use]
pub fn estimate(chain: &ChainConfig<StepModel>, rate_hz: u32, noisy: &[f32]) -> Vec<f32> {
    let Some(refine) = &chain.refine else {
        return estimate_first(&chain.first, rate_hz, noisy);
    };
    let transform = FrameTransform::new(refine.config.frames.at_rate(rate_hz));
    let mut out = Framed::new(&transform, noisy).collector();
    for_each_refined_frame(
        &chain.first,
        chain.long.as_ref(),
        &refine.config,
        rate_hz,
        noisy,
        |step, m| {
            predict_all(step, refine.kernel());
            out.add(m, step.output());
        },
    );
    out.finish()
}

//! What a spectral step is trained on: inputs, timestep and noise of bins of noisy music.

use realfft::num_complex::Complex32;

use super::augment::{Augmentation, mix};
use super::chain::{Framed, StepModel, for_each_frame, for_each_refined_frame};
use super::step::{SpectralStep, StepConfig};
use super::stft::FrameTransform;
use crate::rng::StableRng;
use crate::train::{Batch, TrainError, TrainingSet};

/// A clean recording at the training rate.
pub struct Clip {
    samples: Vec<f32>,
    /// Digest of the samples: what is drawn for a clip depends on its content alone, not on which other clips there are
    /// or where they lie, so statistics of parts of a folder add up to those of the whole.
    identity: u64,
}

/// One clip in this many belongs to the validation split.
const VALIDATION_SHARE: u64 = 5;

impl Clip {
    /// A clip of mono samples; samples that are not finite become 0.
    #[must_use]
    pub fn new(mut samples: Vec<f32>) -> Self {
        let mut identity = 0xcbf2_9ce4_8422_2325u64;
        for x in &mut samples {
            if !x.is_finite() {
                *x = 0.0;
            }
            identity = (identity ^ u64::from(x.to_bits())).wrapping_mul(0x0000_0100_0000_01b3);
        }
        Self { samples, identity }
    }

    /// The samples.
    #[must_use]
    pub fn samples(&self) -> &[f32] {
        &self.samples
    }

    /// Digest of the samples.
    pub(super) const fn identity(&self) -> u64 {
        self.identity
    }

    /// Whether the file belongs to the validation split, by which the ridge is chosen.
    #[must_use]
    pub const fn is_validation(&self) -> bool {
        (self.identity >> 32).is_multiple_of(VALIDATION_SHARE)
    }
}

/// Where a training set takes its excerpts from, and how many examples of each.
#[derive(Clone, Debug)]
pub struct Sampling {
    /// Sample rate of the clips in Hz.
    pub rate_hz: u32,
    /// Length of an excerpt in seconds.
    pub excerpt_seconds: f64,
    /// A clip gives one round of excerpts for each stretch of this many seconds, begun ones included.
    pub seconds_per_round: f64,
    /// Excerpts of a round.
    pub excerpts_per_round: usize,
    /// Most excerpts of one clip.
    pub most_excerpts: usize,
    /// Most examples per excerpt and timestep.
    pub examples_per_timestep: usize,
    /// Mixtures.
    pub augmentation: Augmentation,
    /// Seed of everything drawn.
    pub seed: u64,
}

/// The steps before the one that is trained.
#[derive(Clone, Copy)]
pub struct EarlierSteps<'a> {
    /// First estimate.
    pub first: &'a StepModel,
    /// Estimate of the long window.
    pub long: Option<&'a StepModel>,
}

/// A stretch of a clip and the random numbers that go with it.
struct Excerpt {
    clip: usize,
    start: usize,
    stream: u64,
}

/// The training set of one spectral step.
pub struct SpectralTrainingSet<'a> {
    config: &'a StepConfig,
    earlier: Option<EarlierSteps<'a>>,
    clips: &'a [Clip],
    sampling: &'a Sampling,
    excerpts: Vec<Excerpt>,
}

/// Keeps the draw of the starts apart from that of the mixtures.
const STARTS: u64 = 0x5741_5254;

impl<'a> SpectralTrainingSet<'a> {
    /// Draws the excerpts.
    #[must_use]
    pub fn new(
        config: &'a StepConfig,
        earlier: Option<EarlierSteps<'a>>,
        clips: &'a [Clip],
        sampling: &'a Sampling,
    ) -> Self {
        let samples = |seconds: f64| (seconds * f64::from(sampling.rate_hz)) as usize;
        let length = samples(sampling.excerpt_seconds);
        let round = samples(sampling.seconds_per_round);
        let mut excerpts = Vec::new();
        for (i, clip) in clips.iter().enumerate() {
            let n = clip.samples.len();
            let count = (sampling.excerpts_per_round * n.div_ceil(round.max(1)))
                .clamp(1, sampling.most_excerpts);
            for draw in 0..count {
                let stream = clip.identity.wrapping_add(draw as u64);
                let mut rng = StableRng::new(sampling.seed ^ STARTS, stream);
                excerpts.push(Excerpt {
                    clip: i,
                    start: rng.below(n.saturating_sub(length) + 1),
                    stream,
                });
            }
        }
        Self {
            config,
            earlier,
            clips,
            sampling,
            excerpts,
        }
    }
}

impl TrainingSet for SpectralTrainingSet<'_> {
    fn d_in(&self) -> usize {
        self.config.patch_inputs() + self.config.context_inputs()
    }

    fn d_out(&self) -> usize {
        2
    }

    fn timesteps(&self) -> usize {
        self.config.schedule.timesteps()
    }

    fn parts(&self) -> usize {
        self.excerpts.len()
    }

    fn is_validation(&self, part: usize) -> bool {
        self.clips[self.excerpts[part].clip].is_validation()
    }

    fn read_part(&self, part: usize, out: &mut Batch) -> Result<(), TrainError> {
        let Excerpt {
            clip,
            start,
            stream,
        } = self.excerpts[part];
        let length = (self.sampling.excerpt_seconds * f64::from(self.sampling.rate_hz)) as usize;
        let samples = &self.clips[clip].samples;
        let excerpt = &samples[start..(start + length).min(samples.len())];
        let mut rng = StableRng::new(self.sampling.seed, stream);
        let mixture = mix(
            excerpt,
            self.sampling.rate_hz,
            &self.sampling.augmentation,
            &mut rng,
        );
        let mut reservoir = Reservoir::new(
            self.timesteps(),
            self.sampling.examples_per_timestep,
            self.d_in(),
            rng,
        );
        let rate_hz = self.sampling.rate_hz;
        let transform = FrameTransform::new(self.config.frames.at_rate(rate_hz));
        let clean = Framed::new(&transform, &mixture.clean);
        let mut truth = vec![Complex32::default(); transform.shape().bins()];
        let each = |step: &mut SpectralStep, m: usize| {
            clean.spectrum_into(m, &mut truth);
            reservoir.take(step, &truth);
        };
        match self.earlier {
            None => {
                let mut step = SpectralStep::new(self.config, rate_hz);
                let noisy = Framed::new(&transform, &mixture.noisy);
                for_each_frame(&mut step, &noisy, None, None, each);
            }
            Some(earlier) => {
                for_each_refined_frame(
                    earlier.first,
                    earlier.long,
                    self.config,
                    rate_hz,
                    &mixture.noisy,
                    each,
                );
            }
        }
        reservoir.drain_into(out)
    }
}

/// A fair sample of at most `capacity` examples per timestep (Vitter 1985, algorithm R).
struct Reservoir {
    capacity: usize,
    d_in: usize,
    seen: Vec<usize>,
    /// Per timestep: rows of inputs followed by two targets.
    rows: Vec<Vec<f32>>,
    row: Vec<f32>,
    rng: StableRng,
}

impl Reservoir {
    fn new(timesteps: usize, capacity: usize, d_in: usize, rng: StableRng) -> Self {
        Self {
            capacity,
            d_in,
            seen: vec![0; timesteps],
            rows: vec![Vec::new(); timesteps],
            row: Vec::new(),
            rng,
        }
    }

    fn take(&mut self, step: &mut SpectralStep, truth: &[Complex32]) {
        let width = self.d_in + 2;
        for i in 0..step.active_count() {
            let gathered = step.gathered();
            let (bin, k) = (
                gathered.bins[i] as usize,
                usize::from(gathered.timestep[i]) - 1,
            );
            self.seen[k] += 1;
            let slot = if self.rows[k].len() < self.capacity * width {
                self.rows[k].len() / width
            } else {
                let slot = self.rng.below(self.seen[k]);
                if slot >= self.capacity {
                    continue;
                }
                slot
            };
            self.row.clear();
            let (turn, base) = step.example_into(i, &mut self.row);
            let noise = (base - truth[bin]) * turn;
            self.row.extend_from_slice(&[noise.re, noise.im]);
            let rows = &mut self.rows[k];
            rows.resize(rows.len().max((slot + 1) * width), 0.0);
            rows[slot * width..(slot + 1) * width].copy_from_slice(&self.row);
        }
    }

    fn drain_into(self, out: &mut Batch) -> Result<(), TrainError> {
        for (k, rows) in self.rows.iter().enumerate() {
            for row in rows.chunks_exact(self.d_in + 2) {
                let (x, target) = row.split_at(self.d_in);
                out.push(x, k + 1, target)?;
            }
        }
        Ok(())
    }
}

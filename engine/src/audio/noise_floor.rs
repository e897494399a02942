//! What a tracker takes for noise in a bin: random features that were taught to tell noise from music by what is seen around
//! the bin.
//!
//! A quantile over 560 Hz of the minima of 2.7 s finds the noise between notes and partials, but misses what comes
//! and goes (wind) and what falls steeply (rumble). All that can be seen: noise fills its neighbourhood evenly and has no memory,
//! notes stand out and decay. How much each of these says is learned in closed form, by `drfm train-noise`, from clean
//! recordings and made-up noises of many kinds.

use std::sync::{Arc, LazyLock};

use super::kernel::{BIN_TILE, BINS_PER_PASS, KernelInput, KernelScratch, Lane};

mod band_means;
pub mod model;
mod selection;
pub mod surroundings;
pub mod synthetic;
pub mod training;

use self::band_means::BandMeans;
use self::model::FloorModel;
use self::surroundings::{CONTEXTS, Frame, SEEN, Surroundings};
use super::unsteadiness::Unsteadiness;

/// The model that comes with the program: `drfm train-noise ../shared/data/guitar/train ../shared/data/flute/train -o
/// engine/models/noise_floor.json`.
static EMBEDDED: &str = include_str!("../../models/noise_floor.json");

/// The embedded model; `None` only if the file in the source tree was spoilt (a test reads it).
#[must_use]
pub fn embedded() -> Option<Arc<FloorModel>> {
    static MODEL: LazyLock<Option<Arc<FloorModel>>> =
        LazyLock::new(|| FloorModel::from_json(EMBEDDED).ok().map(Arc::new));
    MODEL.clone()
}

/// Estimates the noise of a stream bin by bin.
///
/// The quantile of the minima errs high where noise is all there is, which its estimate does not (in its place it lost 0.5 to 0.9 dB
/// in fan and rain): the quantile is held between 2 dB below the estimate and 6 dB above it. Nobody tells the noise, mode best.
///
/// - Raised, against the quantile alone, held-out recordings of `train`, by a model that had learned lines too: six noises at 0 and
///   20 dB guitar 16.91 to 17.32 dB, eight noises flute 19.73 to 20.28 dB; wind +3.7 and +4.8 dB at 0 dB, street -0.5 dB, clean input
///   -0.1 dB. Lines were left out of the noises because a long steady note passed for one.
/// - Lowered, against raised only, four guitars and six flutes of `train` that the model was not taught: clean (noise 60 dB down) 46.6
///   to 47.0 and 43.4 to 45.1 dB, `live` 52.7 to 52.9 and 43.0 to 44.4 dB; white noise 20 dB down +0.04 and +0.07 dB; with lines judged
///   after it, seven recorded noises at 0, 10 and 20 dB guitar 18.04 to 18.02 dB. Within 4 dB instead of 6, likewise: clean 47.0 and 45.2,
///   recorded noises 17.96 and 21.10 to 21.11 dB. A model that was taught distorted guitars as well, and one that sees the floors of
///   other octaves, did no better in dense music.
pub struct NoiseFloor {
    model: Arc<FloorModel>,
    surroundings: Surroundings,
    context: Vec<Lane>,
    scratch: KernelScratch,
    out: Vec<f32>,
    /// What the noise of each bin of the last frame is at most.
    most: Vec<f32>,
    bands: BandMeans,
}

impl NoiseFloor {
    /// For spectra of `bins` bins of `bin_hz`. Allocates everything it will ever need.
    #[must_use]
    pub fn new(model: Arc<FloorModel>, bins: usize, bin_hz: f32) -> Self {
        let surroundings = Surroundings::new(bins, bin_hz);
        let looked_at = surroundings.bins();
        Self {
            model,
            surroundings,
            context: vec![[0.0; BIN_TILE]; BINS_PER_PASS.div_ceil(BIN_TILE) * CONTEXTS],
            bands: BandMeans::new(looked_at, bin_hz),
            scratch: KernelScratch::default(),
            out: vec![0.0; 2 * BINS_PER_PASS],
            most: vec![f32::MAX; looked_at],
        }
    }

    /// Takes in the next frame: call this, then [`Self::take_bins`] until all bins are done. Never allocates.
    pub fn begin_frame(&mut self, power: &[f32]) {
        self.surroundings.begin_frame(power);
        self.bands.begin_frame();
    }

    /// Number of bins that are estimated, from bin 0 on.
    #[must_use]
    pub const fn bins(&self) -> usize {
        self.surroundings.bins()
    }

    /// Raises `noise` to what is taken for noise in the bins up to `until` that are not done yet; they are done in passes, so some may
    /// be left. Never allocates.
    pub fn take_bins(&mut self, until: usize, frame: &Frame<'_>, noise: &mut [f32]) {
        let until = until.min(self.bins());
        loop {
            let first = self.surroundings.next_bin();
            let count = self.surroundings.next_count();
            if count == 0 || first + count > until {
                return;
            }
            let mut values = [[0.0; BINS_PER_PASS]; SEEN];
            self.surroundings.next_into(frame, &mut values);
            let [log_ratios, unsteadiness_db] = self.model.prepare(&mut values);
            for (tile, context) in self.context.chunks_exact_mut(CONTEXTS).enumerate() {
                for (place, value) in context.iter_mut().zip(&values) {
                    place.copy_from_slice(&value[tile * BIN_TILE..][..BIN_TILE]);
                }
            }
            let input = KernelInput {
                context: &self.context,
                patch: &[],
                timestep: &[1; BINS_PER_PASS][..count],
            };
            self.model
                .kernel()
                .predict_into(input, &mut self.scratch, &mut self.out);
            let linear = log_ratios.into_iter().zip(unsteadiness_db);
            let outputs = self.out.chunks_exact(2).zip(linear);
            for (f, (out, (log_ratio, db))) in (first..first + count).zip(outputs) {
                let log_ratio = log_ratio + out[0];
                self.bands.add(f, db + out[1]);
                let [least, most] = self.model.ratios(log_ratio);
                let reference = frame.reference(f);
                self.most[f] = reference * most;
                noise[f] = noise[f].max(reference * least);
            }
        }
    }

    /// Lowers `noise` to what it is at most, when all bins of a frame are done. Never allocates.
    pub fn lower(&self, noise: &mut [f32]) {
        for (noise, most) in noise.iter_mut().zip(&self.most) {
            *noise = noise.min(*most);
        }
    }

    /// Forgets what was heard. Never allocates.
    pub fn clear(&mut self) {
        self.surroundings.clear();
        self.bands.clear();
    }

    /// How unsteady the noise is, as far as it was heard up to the last frame that is done.
    #[must_use]
    pub fn unsteadiness(&self) -> Unsteadiness {
        self.bands.unsteadiness()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::audio::minima::{BIAS, Minima};
    use crate::rng::StableRng;

    const BINS: usize = 600;

    #[test]
    fn what_is_far_from_the_estimate_is_brought_near() {
        let mut minima = Minima::new(BINS);
        let mut floor = NoiseFloor::new(embedded().expect("model"), BINS, 6.0);
        let mut rng = StableRng::new(4, 0);
        let mut quantile = vec![0.0; BINS];
        let mut outcomes = Vec::new();
        for start in [1e-6, 1.0, 1e6] {
            minima.clear();
            floor.clear();
            let mut noise = vec![0.0; BINS];
            for _ in 0..100 {
                let mut half = || rng.normal().powi(2) as f32;
                let power: Vec<f32> = (0..BINS).map(|_| 0.5 * (half() + half())).collect();
                minima.take_frame(&power);
                minima.take_quantiles(0..minima.strides(), &mut quantile);
                floor.begin_frame(&power);
                noise.fill(start);
                let frame = Frame {
                    smoothed: minima.smoothed(),
                    lowest: minima.lowest(),
                    quantile: &quantile,
                    bias: BIAS,
                };
                floor.take_bins(BINS, &frame, &mut noise);
                floor.lower(&mut noise);
            }
            let mean = noise.iter().sum::<f32>() / BINS as f32;
            outcomes.push(10.0 * mean.log10());
        }
        println!("{outcomes:?}");
        let [lowest, middle, highest] = outcomes[..] else {
            panic!("three outcomes")
        };
        // Frames that have nothing in common, unlike those of a tracker, are a few dB less than they are taken for.
        assert!((-3.0..6.0).contains(&lowest), "{lowest}");
        assert!((7.5..8.5).contains(&(highest - lowest)), "{outcomes:?}");
        assert!((lowest..highest).contains(&middle), "{outcomes:?}");
    }
}

//! Teaching a noise floor: clean recordings and made-up noises, mixed, and what the noise alone would have been.

use rayon::prelude::*;
use realfft::num_complex::Complex32;

use super::model::{FloorReport, FloorWeights, LOG_RATIO, Output, normalised};
use super::surroundings::{CONTEXTS, Frame, SEEN, Surroundings};
use super::synthetic::noise;
use crate::audio::kernel::BINS_PER_PASS;
use crate::audio::minima::{BIAS, Minima};
use crate::audio::noise::KEPT;
use crate::audio::stft::{FrameTransform, History};
use crate::audio::trainer::{TRAINING_RATE_HZ, TrainerError};
use crate::audio::training_set::Clip;
use crate::audio::unsteadiness::{Bands, LevelSums, Unsteadiness};
use crate::model::features::{FeatureDraw, RandomFeatures};
use crate::rng::StableRng;
use crate::train::Control;

/// Length of a mixture in seconds: more than a search for minima takes.
const MIXTURE_SECONDS: f64 = 6.0;
/// Bins that are learned from, of each mixture.
const ROWS: usize = 4000;
/// Frames at the start of a mixture from which nothing is learned: an estimate needs 0.2 s.
const FIRST_FRAME: usize = 4;
/// A bin stands out if it is this much above the reference, as a natural logarithm.
const STANDS_OUT: f32 = 2.5;
/// The noise to be found is the mean over so many frames to either side, 0.35 s, and one bin.
const MEAN_FRAMES: usize = 8;
/// Frames of the parts by which it is measured how unsteady a noise is, 0.34 s.
const PART_FRAMES: usize = 8;
/// Levels of noise below the music in dB, and how often it is far below.
const SNR_DB: (f64, f64) = (-6.0, 32.0);
const NEARLY_CLEAN: f64 = 0.15;
const NEARLY_CLEAN_SNR_DB: (f64, f64) = (32.0, 65.0);
/// Ridge relative to the number of rows.
const RIDGE: f64 = 1e-5;
/// Standard deviation of the weights of features.
const FEATURE_SCALE: f32 = 0.2;

/// What may be chosen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FloorTraining {
    /// Mixtures to be made.
    pub mixtures: usize,
    /// Random features.
    pub features: usize,
    /// Seed of noises and features.
    pub seed: u64,
}

/// What is seen around a bin, the logarithm of its noise power relative to the reference, and how unsteady the noise of its band is.
struct Row {
    seen: [f32; SEEN],
    log_ratio: f32,
    unsteadiness_db: f32,
}

impl Row {
    const fn targets(&self) -> [f32; 2] {
        [self.log_ratio, self.unsteadiness_db]
    }
}

/// Trains a noise floor on clean recordings; the result does not depend on the number of threads. `go_on` is told how many
/// mixtures of all are heard.
///
/// # Errors
/// If `go_on` stops it, or nothing can be learned.
pub fn train(
    training: &FloorTraining,
    clips: &[Clip],
    go_on: &(dyn Fn(usize, usize) -> Control + Sync),
) -> Result<FloorWeights, TrainerError> {
    let heard = std::sync::atomic::AtomicUsize::new(0);
    let mixtures: Vec<(bool, Vec<Row>)> = (0..training.mixtures)
        .into_par_iter()
        .map(|number| {
            let clip = &clips[number % clips.len()];
            let mut rng = StableRng::new(training.seed, number as u64);
            let rows = rows_of(clip, &mut rng);
            let done = heard.fetch_add(1, std::sync::atomic::Ordering::Relaxed) + 1;
            match go_on(done, training.mixtures) {
                Control::Continue => Ok((clip.is_validation(), rows)),
                Control::Stop => Err(TrainerError::Train(crate::train::TrainError::Stopped)),
            }
        })
        .collect::<Result<_, TrainerError>>()?;
    let part = |validation: bool| -> Vec<&Row> {
        mixtures
            .iter()
            .filter(|(v, _)| *v == validation)
            .flat_map(|(_, rows)| rows)
            .collect()
    };
    let mut rows = part(false);
    let others = part(true);
    let mut report = FloorReport {
        recordings: clips.len(),
        seconds: clips.iter().map(|c| c.samples().len()).sum::<usize>() as f64
            / f64::from(TRAINING_RATE_HZ),
        seed: training.seed,
        rows: (rows.len() as u64, others.len() as u64),
        error_db: None,
        quantile_error_db: None,
        unsteadiness_error_db: None,
    };
    if !others.is_empty() && !rows.is_empty() {
        let tried = solve(training, &rows)?;
        let [noise, unsteadiness] = errors(&tried, &others)?;
        report.error_db = Some(in_db(noise));
        report.unsteadiness_error_db = Some((unsteadiness, deviation_of_unsteadiness(&others)));
        let above = libm::logf(BIAS);
        let errors = others.iter().map(|r| f64::from(r.log_ratio - above));
        report.quantile_error_db = Some(in_db(root_mean_square(errors)));
    }
    // What was tried on is learned from too in the end.
    rows.extend(others);
    Ok(FloorWeights {
        training: report,
        ..solve(training, &rows)?
    })
}

/// A natural logarithm of a power, in dB.
fn in_db(log: f64) -> f64 {
    10.0 / std::f64::consts::LN_10 * log
}

fn root_mean_square(values: impl ExactSizeIterator<Item = f64>) -> f64 {
    let count = values.len().max(1) as f64;
    libm::sqrt(values.map(|x| x * x).sum::<f64>() / count)
}

fn deviation_of_unsteadiness(rows: &[&Row]) -> f64 {
    let values = || rows.iter().map(|r| f64::from(r.unsteadiness_db));
    let mean = values().sum::<f64>() / rows.len().max(1) as f64;
    root_mean_square(values().map(|u| u - mean))
}

/// A mixture of some of the clip with a noise of its own.
fn rows_of(clip: &Clip, rng: &mut StableRng) -> Vec<Row> {
    let n = (MIXTURE_SECONDS * f64::from(TRAINING_RATE_HZ)) as usize;
    let samples = clip.samples();
    let start = rng.below(samples.len().saturating_sub(n) + 1);
    let music: Vec<f32> = samples
        .iter()
        .cycle()
        .skip(start)
        .take(n)
        .copied()
        .collect();
    let power = music.iter().map(|x| f64::from(*x).powi(2)).sum::<f64>() / n as f64;
    let range = if rng.uniform() < NEARLY_CLEAN {
        NEARLY_CLEAN_SNR_DB
    } else {
        SNR_DB
    };
    let snr_db = rng.uniform_in(range.0, range.1);
    let gain = libm::sqrt(power * libm::exp10(-snr_db / 10.0)) as f32;
    let mut noise = noise(TRAINING_RATE_HZ, n, rng);
    for x in &mut noise {
        *x *= gain;
    }
    let noisy: Vec<f32> = music.iter().zip(&noise).map(|(a, b)| a + b).collect();
    let noise = powers(&noise);
    let noisy = powers(&noisy);
    let bins = noisy.first().map_or(0, Vec::len);
    let shape = KEPT.at_rate(TRAINING_RATE_HZ);
    let bin_hz = TRAINING_RATE_HZ as f32 / shape.window as f32;
    let bands = Bands::new(bins, bin_hz);
    let unsteadiness = unsteadiness_of(&noise, &bands);
    let mut minima = Minima::new(bins);
    let mut surroundings = Surroundings::new(bins, bin_hz);
    let mut quantile = vec![0.0; bins];
    let looked_at = surroundings.bins();
    let frames = noisy.len();
    // All that may be learned from, thinned out as it comes.
    let chance = ROWS as f64 / frames as f64 / 2.0;
    let mut rows = Vec::with_capacity(ROWS);
    let mut pass = [[0.0; BINS_PER_PASS]; SEEN];
    let mut standing_out = Vec::new();
    for (t, power) in noisy.iter().enumerate() {
        minima.take_frame(power);
        minima.take_quantiles(0..minima.strides(), &mut quantile);
        surroundings.begin_frame(power);
        let frame = Frame {
            smoothed: minima.smoothed(),
            lowest: minima.lowest(),
            quantile: &quantile,
            bias: BIAS,
        };
        let row = |f: usize, seen: [f32; SEEN]| Row {
            seen,
            log_ratio: libm::logf(local_mean(&noise, t, f) / frame.reference(f) + 1e-30)
                .clamp(LOG_RATIO.0, LOG_RATIO.1),
            unsteadiness_db: bands.of(f).map_or(0.0, |b| unsteadiness.db()[b]),
        };
        // Low bins are fewer and matter as much: even in log frequency, nearly.
        let weights = |f: usize| {
            0.6 / (f as f64 + 1.0) / libm::log(looked_at as f64) + 0.4 / looked_at as f64
        };
        standing_out.clear();
        for f in 0..looked_at {
            if f % BINS_PER_PASS == 0 {
                surroundings.next_into(&frame, &mut pass);
            }
            let values = std::array::from_fn(|i| pass[i][f % BINS_PER_PASS]);
            if t < FIRST_FRAME {
                continue;
            }
            if rng.uniform() < chance * weights(f) {
                rows.push(row(f, values));
            }
            if values[0] > STANDS_OUT {
                standing_out.push((f, values));
            }
        }
        let wanted = (chance + rng.uniform()) as usize;
        for _ in 0..wanted.min(standing_out.len()) {
            let (f, values) = standing_out[rng.below(standing_out.len())];
            rows.push(row(f, values));
        }
    }
    rows
}

/// Power spectra of all frames, as a tracker sees them.
fn powers(samples: &[f32]) -> Vec<Vec<f32>> {
    let shape = KEPT.at_rate(TRAINING_RATE_HZ);
    let transform = FrameTransform::for_measuring(shape);
    let mut scratch = transform.make_scratch();
    let mut spectrum = vec![Complex32::default(); shape.bins()];
    let mut history = History::new(shape.window);
    let mut all = Vec::new();
    for (number, piece) in samples.chunks_exact(shape.hop).enumerate() {
        history.push(piece);
        if number + 1 >= shape.hops_per_window() {
            let (older, newer) = history.parts();
            transform.analyse_into(older, newer, &mut scratch, &mut spectrum);
            all.push(spectrum.iter().map(|y| y.norm_sqr()).collect());
        }
    }
    all
}

/// How unsteady a noise with these power spectra is.
fn unsteadiness_of(power: &[Vec<f32>], bands: &Bands) -> Unsteadiness {
    let parts: Vec<LevelSums> = power
        .chunks(PART_FRAMES)
        .map(|frames| {
            let mut sums = LevelSums::default();
            for frame in frames {
                sums.add(&bands.levels_db(frame.iter().copied()));
            }
            sums
        })
        .collect();
    bands.unsteadiness(&parts, &mut Vec::new())
}

fn local_mean(power: &[Vec<f32>], t: usize, f: usize) -> f32 {
    let frames = &power[t.saturating_sub(MEAN_FRAMES)..(t + MEAN_FRAMES + 1).min(power.len())];
    let mut sum = 0.0;
    let mut count = 0;
    for frame in frames {
        let bins = &frame[f.saturating_sub(1)..(f + 2).min(frame.len())];
        sum += bins.iter().sum::<f32>();
        count += bins.len();
    }
    sum / count.max(1) as f32
}

/// Features, contexts, a one and the rest of what is seen for each row.
fn design(features: &RandomFeatures, rows: &[[f32; SEEN]]) -> Result<Vec<f32>, TrainerError> {
    let n = features.n_features();
    let contexts: Vec<f32> = rows
        .iter()
        .flat_map(|row| &row[..CONTEXTS])
        .copied()
        .collect();
    let contexts = ndarray::ArrayView2::from_shape((rows.len(), CONTEXTS), &contexts)
        .map_err(|e| TrainerError::Model(e.to_string()))?;
    let mut sines = ndarray::Array2::zeros((rows.len(), n));
    features.features_into(contexts, sines.view_mut());
    let mut design = Vec::with_capacity(rows.len() * (n + SEEN + 1));
    for (sines, row) in sines.rows().into_iter().zip(rows) {
        design.extend(sines);
        let (contexts, steadiness) = row.split_at(CONTEXTS);
        design.extend(contexts);
        design.push(1.0);
        design.extend(steadiness);
    }
    Ok(design)
}

fn all_normalised(rows: &[&Row], normalisation: &[(f32, f32)]) -> Vec<[f32; SEEN]> {
    rows.iter()
        .map(|row| std::array::from_fn(|i| normalised(row.seen[i], normalisation[i])))
        .collect()
}

/// Rows whose products are added up at once.
const CHUNK: usize = 4096;

/// Ridge regression, in one pass.
fn solve(training: &FloorTraining, rows: &[&Row]) -> Result<FloorWeights, TrainerError> {
    let count = rows.len().max(1) as f64;
    let normalisation: Vec<(f32, f32)> = (0..SEEN)
        .map(|i| {
            let mean = rows.iter().map(|r| f64::from(r.seen[i])).sum::<f64>() / count;
            let squares = rows
                .iter()
                .map(|r| (f64::from(r.seen[i]) - mean).powi(2))
                .sum::<f64>();
            (mean as f32, libm::sqrt(squares / count).max(1e-3) as f32)
        })
        .collect();
    let draw = FeatureDraw::gaussian(CONTEXTS, training.features, training.seed, FEATURE_SCALE);
    let features = RandomFeatures::draw(&draw).map_err(|e| TrainerError::Model(e.to_string()))?;
    let offset = training.features + CONTEXTS;
    let d = training.features + SEEN + 1;
    let mut gram = vec![0.0f64; d * d];
    let mut cross = vec![0.0f64; 2 * d];
    let sums: Vec<(Vec<f32>, Vec<f32>)> = rows
        .par_chunks(CHUNK)
        .map(|rows| {
            let design = design(&features, &all_normalised(rows, &normalisation))?;
            let targets: Vec<f32> = rows.iter().flat_map(|r| r.targets()).collect();
            let mut gram = vec![0.0; d * d];
            let mut cross = vec![0.0; 2 * d];
            drfm_linalg::gram_lower(&design, d, &mut gram);
            drfm_linalg::cross_product(&design, d, &targets, 2, &mut cross);
            Ok((gram, cross))
        })
        .collect::<Result<_, TrainerError>>()?;
    for (g, c) in sums {
        for (sum, x) in gram.iter_mut().zip(g) {
            *sum += f64::from(x);
        }
        for (sum, x) in cross.iter_mut().zip(c) {
            *sum += f64::from(x);
        }
    }
    // The offset is not held back.
    for i in (0..d).filter(|i| *i != offset) {
        gram[i * d + i] += RIDGE * count;
    }
    if !drfm_linalg::cholesky(&mut gram, d) {
        return Err(TrainerError::Silent);
    }
    // The factor of the upper left corner is the corner of the factor: what the noise is not judged by is left out.
    let output = |number: usize, n: usize| {
        let factor: Vec<f64> = gram
            .chunks(d)
            .take(n)
            .flat_map(|row| &row[..n])
            .copied()
            .collect();
        let column = cross.iter().skip(number).step_by(2);
        let mut weights: Vec<f64> = column.take(n).copied().collect();
        drfm_linalg::cholesky_solve(&factor, &mut weights, n);
        let weights: Vec<f32> = weights.iter().map(|x| *x as f32).collect();
        let (features, rest) = weights.split_at(training.features);
        let (contexts, rest) = rest.split_at(CONTEXTS);
        Output {
            features: features.to_vec(),
            contexts: contexts.iter().chain(&rest[1..]).copied().collect(),
            offset: rest[0],
        }
    };
    Ok(FloorWeights {
        draw,
        normalisation,
        noise: output(0, offset + 1),
        unsteadiness: output(1, d),
        training: FloorReport {
            recordings: 0,
            seconds: 0.0,
            seed: training.seed,
            rows: (0, 0),
            error_db: None,
            quantile_error_db: None,
            unsteadiness_error_db: None,
        },
    })
}

/// Root mean square errors of both outputs.
fn errors(weights: &FloorWeights, rows: &[&Row]) -> Result<[f64; 2], TrainerError> {
    let features =
        RandomFeatures::draw(&weights.draw).map_err(|e| TrainerError::Model(e.to_string()))?;
    let all = [&weights.noise, &weights.unsteadiness].map(|output| -> Vec<f32> {
        let (contexts, steadiness) = output.contexts.split_at(CONTEXTS);
        let numbers = output.features.iter().chain(contexts);
        numbers
            .chain([&output.offset])
            .chain(steadiness)
            .copied()
            .collect()
    });
    let mut off: [Vec<f64>; 2] = Default::default();
    for rows in rows.chunks(CHUNK) {
        let design = design(&features, &all_normalised(rows, &weights.normalisation))?;
        for (values, row) in design
            .chunks_exact(features.n_features() + SEEN + 1)
            .zip(rows)
        {
            for ((off, weights), target) in off.iter_mut().zip(&all).zip(row.targets()) {
                let sum: f32 = values.iter().zip(weights).map(|(a, b)| a * b).sum();
                off.push(f64::from(sum - target));
            }
        }
    }
    Ok(off.map(|errors| root_mean_square(errors.into_iter())))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Plucked notes, one after the other.
    fn clips() -> Vec<Clip> {
        (0..6)
            .map(|number| {
                let hz = 110.0 * libm::exp2f(number as f32 / 3.0);
                Clip::new(
                    (0..3 * 48_000)
                        .map(|i| {
                            let t = i as f32 / 48_000.0;
                            let since = t % 0.75;
                            0.2 * (-3.0 * since).exp() * (std::f32::consts::TAU * hz * t).sin()
                        })
                        .collect(),
                )
            })
            .collect()
    }

    #[test]
    fn what_it_learns_is_better_than_the_quantile_and_the_same_for_any_number_of_threads() {
        let training = FloorTraining {
            mixtures: 12,
            features: 24,
            seed: 5,
        };
        let run = |threads: usize| {
            let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build();
            pool.expect("threads")
                .install(|| train(&training, &clips(), &|_, _| Control::Continue))
                .expect("a model")
        };
        let weights = run(1);
        assert_eq!(weights, run(3));
        let mixtures: Vec<Vec<Row>> = (100..104)
            .map(|n| rows_of(&clips()[0], &mut StableRng::new(9, n)))
            .collect();
        let rows: Vec<&Row> = mixtures.iter().flatten().collect();
        assert!(rows.len() > 4 * ROWS / 2, "{}", rows.len());
        let [ours, _] = errors(&weights, &rows).expect("errors");
        let ours = in_db(ours);
        let above = libm::logf(BIAS);
        let off = rows.iter().map(|r| f64::from(r.log_ratio - above));
        let quantile = in_db(root_mean_square(off));
        println!("{ours:.2} dB against {quantile:.2} dB");
        assert!(ours < quantile);
    }

    #[test]
    fn it_stops_when_told() {
        let training = FloorTraining {
            mixtures: 2,
            features: 8,
            seed: 5,
        };
        let stopped = train(&training, &clips(), &|_, _| Control::Stop);
        assert!(matches!(
            stopped,
            Err(TrainerError::Train(crate::train::TrainError::Stopped))
        ));
    }
}

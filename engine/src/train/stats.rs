//! The sufficient statistics of closed-form training: sums that merge.
//!
//! For a fixed draw of features the training loss depends on the data only through, per timestep,
//! the count, `sum phi' phi`, `sum phi' target` and `sum target^2`. They are gathered in one pass, do not grow with
//! the data, and those of two machines simply add up.

use std::io::{Read, Write};

use drfm_linalg::{cross_product, gram_lower};
use ndarray::{ArrayView2, ArrayViewMut2};
use rayon::prelude::*;
use serde::{Deserialize, Serialize};

use super::batch::{Batch, Fold, TrainingSet};
use super::codec::{Reader, Writer};
use super::error::TrainError;
use super::params::{Observer, TrainEvent, tell};
use super::symmetric::{columns_mut, triangle};
use crate::diffusion::schedule::MAX_TIMESTEPS;
use crate::model::{FeatureDraw, RandomFeatures};

/// Rows summed in `f32` before they are added to the `f64` sums: large enough for the matrix product to be fast,
/// small enough for its rounding to stay far below any useful ridge.
const CHUNK_ROWS: usize = 1024;
/// Parts read at once. Fixed, so that memory is bounded and results do not depend on the number of threads.
const PARTS_AT_ONCE: usize = 8;
/// The largest number of `f64` sums (4 GiB) one fold may need.
const MAX_SUMS: usize = 1 << 29;

const KIND: &str = "statistics";
const MAGIC: [u8; 8] = *b"DRFMSUMS";
const VERSION: u32 = 1;
const MAX_HEADER: usize = 1 << 20;
/// The largest number of weights a statistics file may ask to draw.
const MAX_FILE_WEIGHTS: usize = 1 << 26;

/// The sums of one timestep of one fold; the matrices are empty as long as there are no rows.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Sums {
    count: u64,
    gram: Vec<f64>,
    cross: Vec<f64>,
    target_sq: Vec<f64>,
}

impl Sums {
    /// Number of rows.
    #[must_use]
    pub fn count(&self) -> u64 {
        self.count
    }

    /// Lower triangle of `sum phi' phi`, column after column: N entries from the diagonal down, then N - 1, ...
    #[must_use]
    pub fn gram(&self) -> &[f64] {
        &self.gram
    }

    /// `sum phi' target`, N x d_out, row after row.
    #[must_use]
    pub fn cross(&self) -> &[f64] {
        &self.cross
    }

    /// `sum target^2` of each output.
    #[must_use]
    pub fn target_sq(&self) -> &[f64] {
        &self.target_sq
    }

    fn make_room(&mut self, n: usize, d_out: usize) {
        self.gram.resize(triangle(n), 0.0);
        self.cross.resize(n * d_out, 0.0);
        self.target_sq.resize(d_out, 0.0);
    }

    /// Adds the sums of other rows.
    pub(crate) fn add(&mut self, other: &Self) {
        if other.count == 0 {
            return;
        }
        if self.count == 0 {
            self.clone_from(other);
            return;
        }
        self.count += other.count;
        for (mine, theirs) in [
            (&mut self.gram, &other.gram),
            (&mut self.cross, &other.cross),
            (&mut self.target_sq, &other.target_sq),
        ] {
            for (a, b) in mine.iter_mut().zip(theirs) {
                *a += b;
            }
        }
    }
}

/// Sums per fold and timestep, with the feature draw they belong to.
#[derive(Clone, Debug, PartialEq)]
pub struct Stats {
    draw: FeatureDraw,
    features: RandomFeatures,
    d_out: usize,
    metadata: String,
    folds: [Vec<Sums>; 2],
}

/// The text part of a statistics file.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Header {
    draw: FeatureDraw,
    digest: u64,
    d_out: usize,
    timesteps: usize,
    metadata: String,
}

impl Stats {
    /// Empty sums for `timesteps` timesteps and `d_out` outputs; draws the features.
    ///
    /// # Errors
    /// If the draw is impossible, a number is zero, or the sums would need more than 4 GiB per fold.
    pub fn new(draw: FeatureDraw, d_out: usize, timesteps: usize) -> Result<Self, TrainError> {
        let per_timestep = draw
            .n_features
            .checked_add(1)
            .and_then(|m| m.checked_mul(draw.n_features))
            .and_then(|t| (t / 2).checked_add(draw.n_features.checked_mul(d_out)?))
            .and_then(|s| s.checked_mul(timesteps));
        let possible = d_out > 0
            && (1..=MAX_TIMESTEPS).contains(&timesteps)
            && per_timestep.is_some_and(|s| s <= MAX_SUMS);
        if !possible {
            return Err(TrainError::Parameter {
                name: "features x outputs x timesteps",
                value: format!("{} x {d_out} x {timesteps}", draw.n_features),
                allowed: "the sums must fit into 4 GiB; use fewer features or timesteps, or train with Adam",
            });
        }
        let features = RandomFeatures::draw(&draw)?;
        let empty = vec![Sums::default(); timesteps];
        Ok(Self {
            draw,
            features,
            d_out,
            metadata: String::new(),
            folds: [empty.clone(), empty],
        })
    }

    /// Reads a whole training set once. Parts are read by several threads, but summed in their order: the result does
    /// not depend on the number of threads.
    ///
    /// # Errors
    /// As [`Stats::new`]; [`TrainError::Mismatch`] if the draw does not fit the set; what reading a part gives;
    /// [`TrainError::Stopped`].
    pub fn gather(
        draw: FeatureDraw,
        set: &dyn TrainingSet,
        observer: Observer<'_>,
    ) -> Result<Self, TrainError> {
        let mut stats = Self::new(draw, set.d_out(), set.timesteps())?;
        let total = set.parts();
        let mut rows = 0;
        for first in (0..total).step_by(PARTS_AT_ONCE) {
            let done = (first + PARTS_AT_ONCE).min(total);
            let parts = (first..done)
                .into_par_iter()
                .map(|part| {
                    let mut batch = Batch::for_set(set);
                    set.read_part(part, &mut batch)?;
                    Ok((batch, Fold::of_part(set, part)))
                })
                .collect::<Result<Vec<_>, TrainError>>()?;
            rows += parts.iter().map(|(b, _)| b.len() as u64).sum::<u64>();
            let parts: Vec<(&Batch, Fold)> = parts.iter().map(|(b, f)| (b, *f)).collect();
            stats.accumulate_parts(&parts)?;
            tell(observer, &TrainEvent::PartsRead { done, total, rows })?;
        }
        Ok(stats)
    }

    /// Adds the rows of one batch to a fold.
    ///
    /// # Errors
    /// [`TrainError::Mismatch`] if the batch has another shape.
    pub fn accumulate(&mut self, batch: &Batch, fold: Fold) -> Result<(), TrainError> {
        self.accumulate_parts(&[(batch, fold)])
    }

    fn accumulate_parts(&mut self, parts: &[(&Batch, Fold)]) -> Result<(), TrainError> {
        for (batch, _) in parts {
            let found = (batch.d_in(), batch.d_out(), batch.timesteps());
            let expected = (self.draw.d_in, self.d_out, self.timesteps());
            if found != expected {
                return Err(TrainError::Mismatch {
                    what: "the batch shape (inputs, outputs, timesteps)",
                    found: format!("{found:?}"),
                    expected: format!("{expected:?}"),
                });
            }
        }
        let timesteps = self.timesteps();
        let rows: Vec<Vec<Vec<usize>>> = parts
            .iter()
            .map(|(batch, _)| rows_by_timestep(batch, timesteps))
            .collect();
        let (features, d_out) = (&self.features, self.d_out);
        // One task per fold and timestep; each adds its rows in the order of the parts.
        self.folds
            .par_iter_mut()
            .zip([Fold::Train, Fold::Validation])
            .for_each(|(sums, fold)| {
                sums.par_iter_mut()
                    .enumerate()
                    .with_max_len(1)
                    .for_each(|(k, sums)| {
                        for ((batch, _), rows) in parts
                            .iter()
                            .zip(&rows)
                            .filter(|((_, part_fold), _)| *part_fold == fold)
                        {
                            add_rows(sums, features, d_out, batch, &rows[k]);
                        }
                    });
            });
        Ok(())
    }

    /// Adds the sums of `other`, gathered from other data with the same feature draw; keeps this metadata.
    ///
    /// # Errors
    /// [`TrainError::Mismatch`] if features, outputs or timesteps differ; nothing is changed then.
    pub fn merge(&mut self, other: &Self) -> Result<(), TrainError> {
        let mismatch = |what, found: String, expected: String| {
            Err(TrainError::Mismatch {
                what,
                found,
                expected,
            })
        };
        if other.draw != self.draw || other.features != self.features {
            let text = |d: &FeatureDraw| serde_json::to_string(d).unwrap_or_default();
            return mismatch("the feature draw", text(&other.draw), text(&self.draw));
        }
        let shape = |s: &Self| format!("{:?}", (s.d_out, s.timesteps()));
        if shape(other) != shape(self) {
            return mismatch("the shape (outputs, timesteps)", shape(other), shape(self));
        }
        for (mine, theirs) in self.folds.iter_mut().zip(&other.folds) {
            for (mine, theirs) in mine.iter_mut().zip(theirs) {
                mine.add(theirs);
            }
        }
        Ok(())
    }

    /// How the features were drawn.
    #[must_use]
    pub fn draw(&self) -> &FeatureDraw {
        &self.draw
    }

    /// The features.
    #[must_use]
    pub fn features(&self) -> &RandomFeatures {
        &self.features
    }

    /// Outputs per row.
    #[must_use]
    pub fn d_out(&self) -> usize {
        self.d_out
    }

    /// Number of timesteps K.
    #[must_use]
    pub fn timesteps(&self) -> usize {
        self.folds[0].len()
    }

    /// The sums of a fold; timestep k is at `k - 1`.
    #[must_use]
    pub fn sums(&self, fold: Fold) -> &[Sums] {
        &self.folds[fold.index()]
    }

    /// Number of rows in a fold.
    #[must_use]
    pub fn rows(&self, fold: Fold) -> u64 {
        self.sums(fold).iter().map(Sums::count).sum()
    }

    /// Free text (JSON by convention) that files carry along, for example how the data was made.
    #[must_use]
    pub fn metadata(&self) -> &str {
        &self.metadata
    }

    /// Replaces the metadata.
    ///
    /// # Errors
    /// If it is longer than 512 KiB.
    pub fn set_metadata(&mut self, metadata: String) -> Result<(), TrainError> {
        super::params::require(
            metadata.len() <= MAX_HEADER / 2,
            "length of the metadata",
            metadata.len(),
            "at most 512 KiB",
        )?;
        self.metadata = metadata;
        Ok(())
    }

    /// Writes the statistics file: text header, then per fold and timestep the count and, if there are rows, the
    /// triangle and the other sums; checksums after header and end.
    ///
    /// # Errors
    /// If writing fails.
    pub fn write_to(&self, out: impl Write) -> Result<(), TrainError> {
        let mut writer = Writer::new(out, MAGIC, VERSION)?;
        let header = Header {
            draw: self.draw.clone(),
            digest: self.features.digest(),
            d_out: self.d_out,
            timesteps: self.timesteps(),
            metadata: self.metadata.clone(),
        };
        let header = serde_json::to_string(&header).map_err(std::io::Error::from)?;
        writer.text(&header)?;
        writer.checksum()?;
        for sums in self.folds.iter().flatten() {
            writer.u64(sums.count)?;
            if sums.count > 0 {
                writer.f64s(&sums.gram)?;
                writer.f64s(&sums.cross)?;
                writer.f64s(&sums.target_sq)?;
            }
        }
        writer.finish()
    }

    /// Reads a statistics file.
    ///
    /// # Errors
    /// If it is damaged, cut short, of another kind or version, too large, or if this version draws other features.
    pub fn read_from(input: impl Read) -> Result<Self, TrainError> {
        let (stats, reader) = Self::read(input)?;
        reader.end()?;
        Ok(stats)
    }

    /// The same from a stream in which something else may follow.
    ///
    /// # Errors
    /// As [`Self::read_from`].
    pub fn read_next(input: impl Read) -> Result<Self, TrainError> {
        Self::read(input).map(|(stats, _)| stats)
    }

    fn read<R: Read>(input: R) -> Result<(Self, Reader<R>), TrainError> {
        let mut reader = Reader::new(input, KIND, MAGIC, VERSION)?;
        let header = reader.text(MAX_HEADER)?;
        reader.checksum()?;
        let header: Header = serde_json::from_str(&header)
            .map_err(|e| reader.error(format!("its header cannot be read ({e})")))?;
        let weights = header.draw.d_in.checked_mul(header.draw.n_features);
        if weights.is_none_or(|w| w > MAX_FILE_WEIGHTS) {
            return Err(reader.error("it asks for too many features"));
        }
        let mut stats = Self::new(header.draw, header.d_out, header.timesteps)?;
        if stats.features.digest() != header.digest {
            return Err(reader.error(
                "its features are drawn differently by this version: gather the statistics again",
            ));
        }
        stats.set_metadata(header.metadata)?;
        let (n, d_out) = (stats.draw.n_features, stats.d_out);
        for sums in stats.folds.iter_mut().flatten() {
            sums.count = reader.u64()?;
            if sums.count > 0 {
                sums.gram = reader.f64s(triangle(n))?;
                sums.cross = reader.f64s(n * d_out)?;
                sums.target_sq = reader.f64s(d_out)?;
            }
        }
        reader.checksum()?;
        Ok((stats, reader))
    }
}

/// The rows of each timestep, in order; timestep k is at `k - 1`.
fn rows_by_timestep(batch: &Batch, timesteps: usize) -> Vec<Vec<usize>> {
    let mut rows = vec![Vec::new(); timesteps];
    for (row, k) in batch.timestep().iter().enumerate() {
        if let Some(rows) = rows.get_mut(usize::from(*k).wrapping_sub(1)) {
            rows.push(row);
        }
    }
    rows
}

/// Adds the given rows of a batch (all of one timestep) to its sums.
fn add_rows(
    sums: &mut Sums,
    features: &RandomFeatures,
    d_out: usize,
    batch: &Batch,
    rows: &[usize],
) {
    if rows.is_empty() {
        return;
    }
    let (d_in, n) = (features.d_in(), features.n_features());
    sums.make_room(n, d_out);
    sums.count += rows.len() as u64;
    let chunk_rows = rows.len().min(CHUNK_ROWS);
    let mut x = Vec::with_capacity(chunk_rows * d_in);
    let mut target = Vec::with_capacity(chunk_rows * d_out);
    let mut phi = vec![0.0f32; chunk_rows * n];
    let mut gram = vec![0.0f32; n * n];
    let mut cross = vec![0.0f32; n * d_out];
    for rows in rows.chunks(CHUNK_ROWS) {
        x.clear();
        target.clear();
        for row in rows {
            x.extend_from_slice(batch.x_row(*row));
            target.extend_from_slice(batch.target_row(*row));
        }
        let phi = &mut phi[..rows.len() * n];
        if let (Ok(x), Ok(phi)) = (
            ArrayView2::from_shape((rows.len(), d_in), &x),
            ArrayViewMut2::from_shape((rows.len(), n), &mut *phi),
        ) {
            features.features_into(x, phi);
        }
        gram_lower(phi, n, &mut gram);
        cross_product(phi, n, &target, d_out, &mut cross);
        for ((i, sums), column) in columns_mut(&mut sums.gram, n).zip(gram.chunks_exact(n)) {
            for (sum, g) in sums.iter_mut().zip(column.iter().skip(i)) {
                *sum += f64::from(*g);
            }
        }
        for (sum, h) in sums.cross.iter_mut().zip(&cross) {
            *sum += f64::from(*h);
        }
        for target in target.chunks_exact(d_out) {
            for (sum, t) in sums.target_sq.iter_mut().zip(target) {
                *sum += f64::from(*t) * f64::from(*t);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rng::StableRng;
    use crate::train::{Control, MemorySet};

    fn draw(n: usize) -> FeatureDraw {
        FeatureDraw::gaussian(4, n, 3, 0.7)
    }

    fn batch(rows: usize, seed: u64) -> Batch {
        let mut rng = StableRng::new(seed, 0);
        let mut b = Batch::new(4, 2, 3);
        for _ in 0..rows {
            let x: Vec<f32> = (0..4).map(|_| rng.normal() as f32).collect();
            let t = [x[0] * x[1], rng.normal() as f32];
            b.push(&x, 1 + rng.below(3), &t).unwrap();
        }
        b
    }

    fn set(sizes: &[usize]) -> MemorySet {
        let mut set = MemorySet::new(4, 2, 3);
        for (i, rows) in sizes.iter().enumerate() {
            set.push(batch(*rows, i as u64), i % 4 == 3).unwrap();
        }
        set
    }

    fn gather(n: usize, set: &MemorySet) -> Stats {
        Stats::gather(draw(n), set, &mut |_| Control::Continue).unwrap()
    }

    fn close(a: &Stats, b: &Stats, tolerance: f64) {
        for (a, b) in a.folds.iter().flatten().zip(b.folds.iter().flatten()) {
            assert_eq!(a.count, b.count);
            for (a, b) in [
                (&a.gram, &b.gram),
                (&a.cross, &b.cross),
                (&a.target_sq, &b.target_sq),
            ] {
                assert_eq!(a.len(), b.len());
                for (a, b) in a.iter().zip(b) {
                    assert!((a - b).abs() <= tolerance * (1.0 + a.abs()), "{a} {b}");
                }
            }
        }
    }

    #[test]
    fn sums_agree_with_their_definition() {
        let b = batch(5000, 9);
        let mut stats = Stats::new(draw(19), 2, 3).unwrap();
        stats.accumulate(&b, Fold::Train).unwrap();
        assert_eq!(stats.rows(Fold::Train), 5000);
        assert_eq!(stats.rows(Fold::Validation), 0);
        for k in 1..=3u16 {
            let sums = &stats.sums(Fold::Train)[usize::from(k) - 1];
            let mut gram = vec![0.0; triangle(19)];
            let mut cross = [0.0; 38];
            let mut count = 0;
            for row in (0..5000).filter(|r| b.timestep()[*r] == k) {
                let phi: Vec<f64> = (0..19)
                    .map(|n| {
                        let f = stats.features();
                        let z: f64 = (0..4)
                            .map(|j| f64::from(b.x_row(row)[j]) * f64::from(f.weights()[[j, n]]))
                            .sum();
                        (z + f64::from(f.bias()[n])).sin()
                    })
                    .collect();
                for i in 0..19usize {
                    for j in i..19 {
                        gram[i * 19 - i * i.saturating_sub(1) / 2 + j - i] += phi[i] * phi[j];
                    }
                    for o in 0..2 {
                        cross[i * 2 + o] += phi[i] * f64::from(b.target_row(row)[o]);
                    }
                }
                count += 1;
            }
            assert_eq!(sums.count(), count);
            for (a, b) in sums.gram().iter().zip(&gram) {
                assert!((a - b).abs() < 2e-3);
            }
            for (a, b) in sums.cross().iter().zip(&cross) {
                assert!((a - b).abs() < 2e-3);
            }
        }
    }

    #[test]
    fn merging_equals_gathering_all_at_once() {
        let sizes = [30, 2000, 1, 500, 0, 700, 90, 400, 1500, 20, 10, 800, 5];
        let all = set(&sizes);
        let mut first = MemorySet::new(4, 2, 3);
        let mut second = first.clone();
        for (i, rows) in sizes.iter().enumerate() {
            let half = if i < 6 { &mut first } else { &mut second };
            half.push(batch(*rows, i as u64), i % 4 == 3).unwrap();
        }
        let mut merged = gather(19, &first);
        merged.merge(&gather(19, &second)).unwrap();
        close(&merged, &gather(19, &all), 1e-12);
        let mut empty = Stats::new(draw(19), 2, 3).unwrap();
        empty.merge(&gather(19, &all)).unwrap();
        assert_eq!(empty, gather(19, &all));
    }

    #[test]
    fn what_does_not_belong_together_does_not_merge() {
        let mut stats = gather(19, &set(&[50]));
        let before = stats.clone();
        assert!(stats.merge(&gather(20, &set(&[50]))).is_err());
        let mut other = draw(19);
        other.seed = 4;
        assert!(stats.merge(&Stats::new(other, 2, 3).unwrap()).is_err());
        assert!(stats.merge(&Stats::new(draw(19), 2, 4).unwrap()).is_err());
        assert!(stats.merge(&Stats::new(draw(19), 1, 3).unwrap()).is_err());
        assert!(stats.accumulate(&Batch::new(4, 2, 2), Fold::Train).is_err());
        assert_eq!(stats, before);
        assert!(Stats::new(draw(60_000), 2, 3).is_err());
        assert!(Stats::new(draw(10), 0, 3).is_err());
        assert!(Stats::new(draw(10), 2, 0).is_err());
    }

    #[test]
    fn the_number_of_threads_changes_no_bit() {
        let set = set(&[300, 2000, 100, 500, 3000, 10, 20, 30, 40, 50]);
        let with = |threads| {
            let pool = rayon::ThreadPoolBuilder::new().num_threads(threads);
            pool.build().unwrap().install(|| gather(33, &set))
        };
        assert_eq!(with(1), with(2));
        assert_eq!(with(1), with(5));
    }

    #[test]
    fn the_observer_can_stop() {
        let set = set(&[10; 20]);
        let mut events = Vec::new();
        let result = Stats::gather(draw(5), &set, &mut |e| {
            events.push(e.clone());
            if events.len() == 2 {
                Control::Stop
            } else {
                Control::Continue
            }
        });
        assert!(matches!(result, Err(TrainError::Stopped)));
        let expected = TrainEvent::PartsRead {
            done: 16,
            total: 20,
            rows: 160,
        };
        assert_eq!(events[1], expected);
    }

    #[test]
    fn files_come_back_whole_or_not_at_all() {
        let mut stats = gather(7, &set(&[40, 30, 20, 25]));
        stats.set_metadata("{\"recipe\": 1}".into()).unwrap();
        let mut file = Vec::new();
        stats.write_to(&mut file).unwrap();
        assert_eq!(Stats::read_from(&file[..]).unwrap(), stats);
        for end in 0..file.len() {
            assert!(Stats::read_from(&file[..end]).is_err());
        }
        for at in 0..file.len() {
            let mut bad = file.clone();
            bad[at] ^= 1 << (at % 8);
            assert!(Stats::read_from(&bad[..]).is_err(), "{at}");
        }
        file.push(0);
        assert!(Stats::read_from(&file[..]).is_err());
    }
}

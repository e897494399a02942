//! Training on more images than fit into memory or onto one machine: images are read once, one after another, and only
//! sums are kept; the sums of parts add up.
//!
//! This is the primal closed form ([`closed_form`]): its memory grows with the number of features and timesteps and not
//! with the data, so it is the right one for many images and the dual for few.

use std::io::{Read, Write};

use serde::{Deserialize, Serialize};

use super::error::ImageError;
use super::model::{ImageModel, ImageRecipe};
use super::rows::independent_rows;
use super::set::ImageSet;
use super::source::ImageStream;
use super::training::{ImageTraining, record};
use crate::model::ModelKind;
use crate::train::closed_form::{self, ClosedFormParams};
use crate::train::{Fold, Observer, Stats, TrainError, TrainEvent, params};

/// Mean and standard deviation of the pixels of Fashion-MNIST (all classes, training half). Parts must share them, so they
/// cannot be those of each part.
pub const NORMALISATION: (f64, f64) = (0.286, 0.353);
/// Images whose rows are held in memory together.
const TOGETHER: usize = 32;
/// Alternations of the two solves.
const ROUNDS: usize = 4;
/// Every fifth image is set aside to choose the ridge with.
const FOLDS: usize = 5;
/// Ridges to choose from, relative to the mean diagonal.
const RIDGES: [f64; 6] = [1e-4, 3e-4, 1e-3, 3e-3, 1e-2, 3e-2];
/// The ridge without validation.
const RIDGE_WITHOUT_VALIDATION: f64 = 1e-3;

/// Which images of the data are gathered: those whose number, from 0, is `index` modulo `count`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Shard {
    /// From 0 to `count` - 1.
    pub index: usize,
    /// At least 1.
    pub count: usize,
}

/// What sums were gathered with, kept with them.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct About {
    training: ImageTraining,
    recipe: ImageRecipe,
    draws: usize,
    images: u64,
}

/// Sums of image training.
#[derive(Clone, Debug, PartialEq)]
pub struct ImageStats {
    stats: Stats,
    about: About,
}

impl ImageStats {
    /// Reads the images of a shard, at most the first `most` of the data, `draws` rows of each.
    ///
    /// # Errors
    /// If an image cannot be read, there is none, or the sums do not fit into memory; [`TrainError::Stopped`].
    pub fn gather(
        training: &ImageTraining,
        normalisation: (f64, f64),
        stream: &mut ImageStream,
        shard: Shard,
        most: Option<usize>,
        draws: usize,
        observer: Observer<'_>,
    ) -> Result<Self, ImageError> {
        let recipe = ImageRecipe {
            width: stream.width(),
            height: stream.height(),
            mean: normalisation.0,
            deviation: normalisation.1,
            schedule: training.schedule.clone(),
        };
        recipe.check()?;
        let dim = recipe.width * recipe.height;
        let draw = training.draw(recipe.width, recipe.height);
        let mut stats = Stats::new(draw, dim, training.schedule.timesteps())?;
        let (mut number, mut images, mut rows) = (0usize, 0u64, 0u64);
        loop {
            let mut parts = [Vec::new(), Vec::new()];
            let mut end = false;
            while parts.iter().map(Vec::len).sum::<usize>() < TOGETHER {
                if most.is_some_and(|most| number >= most) {
                    end = true;
                    break;
                }
                let Some(image) = stream.next_image()? else {
                    end = true;
                    break;
                };
                if number % shard.count.max(1) == shard.index {
                    // By the number within the data, so that the folds are the same for any number of shards.
                    let fold = usize::from(number / shard.count.max(1) % FOLDS == FOLDS - 1);
                    parts[fold].push((number, image));
                }
                number += 1;
            }
            for (part, fold) in parts.iter().zip([Fold::Train, Fold::Validation]) {
                for (number, image) in part {
                    let image = ImageSet::from_pixels(recipe.width, recipe.height, image.clone());
                    let x0 = recipe.normalised(&image);
                    let batch =
                        independent_rows(&x0, &training.schedule, draws, training.seed, *number)?;
                    rows += batch.len() as u64;
                    images += 1;
                    stats.accumulate(&batch, fold)?;
                }
            }
            let event = TrainEvent::PartsRead {
                done: number,
                total: most.unwrap_or(number),
                rows,
            };
            params::tell(&mut *observer, &event)?;
            if end {
                break;
            }
        }
        if images == 0 {
            return Err(TrainError::NoData.into());
        }
        let about = About {
            training: training.clone(),
            recipe,
            draws,
            images,
        };
        Ok(Self { stats, about })
    }

    /// Adds sums that were gathered from other images with the same options.
    ///
    /// # Errors
    /// [`ImageError::Parameter`] if the options differ.
    pub fn merge(&mut self, other: &Self) -> Result<(), ImageError> {
        let mut about = other.about.clone();
        about.images = self.about.images;
        if about != self.about {
            return Err(ImageError::Parameter(
                "these statistics were gathered with other options: gather all parts with the same"
                    .to_owned(),
            ));
        }
        self.stats.merge(&other.stats)?;
        self.about.images += other.about.images;
        Ok(())
    }

    /// Number of images that went in.
    #[must_use]
    pub fn images(&self) -> u64 {
        self.about.images
    }

    /// DRFM or RF, as the options say.
    ///
    /// # Errors
    /// As [`closed_form::solve`].
    pub fn solve(&self, observer: Observer<'_>) -> Result<ImageModel, ImageError> {
        let validated = self.stats.rows(Fold::Validation) > 0 && self.stats.rows(Fold::Train) > 0;
        let params = ClosedFormParams {
            kind: self.about.training.kind,
            rounds: ROUNDS,
            ridge_grid: if validated {
                RIDGES.to_vec()
            } else {
                vec![RIDGE_WITHOUT_VALIDATION]
            },
            ..ClosedFormParams::default()
        };
        let (drfm, report) = closed_form::solve(&self.stats, &params, observer)?;
        let recipe = &self.about.recipe;
        let report = serde_json::json!({
            "images": self.about.images,
            "chosen_ridge": report.chosen_ridge,
            "loss": report.loss,
            "ridges": report.ridges,
        });
        let none = ImageSet::new(recipe.width, recipe.height);
        let draw = self.stats.draw();
        let mut record = record(&self.about.training, &none, draw, report);
        record["count"] = self.about.images.into();
        record[super::model::KEPT] = serde_json::Value::Null;
        ImageModel::new(recipe.clone(), self.about.training.kind, drfm, record)
    }

    /// Writes the statistics file.
    ///
    /// # Errors
    /// If writing fails.
    pub fn write_to(&self, out: impl Write) -> Result<(), ImageError> {
        let mut stats = self.stats.clone();
        let about =
            serde_json::to_string(&self.about).map_err(|e| ImageError::Recipe(e.to_string()))?;
        stats.set_metadata(about)?;
        Ok(stats.write_to(out)?)
    }

    /// Reads a statistics file.
    ///
    /// # Errors
    /// If it is damaged, cut short, or not of images.
    pub fn read_from(input: impl Read) -> Result<Self, ImageError> {
        let mut stats = Stats::read_from(input)?;
        let about: About = serde_json::from_str(stats.metadata())
            .map_err(|_| ImageError::Recipe("these are not statistics of images".to_owned()))?;
        about.recipe.check()?;
        let dim = about.recipe.width * about.recipe.height;
        let found = (stats.d_out(), stats.timesteps(), stats.draw().d_in);
        let kind = about.training.kind;
        if found != (dim, about.recipe.schedule.timesteps(), dim) || kind == ModelKind::Nn {
            return Err(ImageError::Recipe(
                "the sums do not fit their own options".to_owned(),
            ));
        }
        stats.set_metadata(String::new())?;
        Ok(Self { stats, about })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::diffusion::{Sampler, Schedule};
    use crate::image::source::Query;
    use crate::metrics::image::mean_psnr_db;
    use crate::train::Control;

    /// An idx file of 60 images of 6 x 6 pixels: bars of random height.
    fn bars() -> (tempfile::TempDir, Query, ImageSet) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("bars-idx3-ubyte");
        let mut rng = crate::rng::StableRng::new(1, 1);
        let mut bytes = vec![0, 0, 8, 3, 0, 0, 0, 60, 0, 0, 0, 6, 0, 0, 0, 6];
        for _ in 0..60 {
            let top = rng.below(6);
            bytes.extend((0..36).map(|i| if i / 6 >= top { 200u8 } else { 20 }));
        }
        std::fs::write(&path, bytes).unwrap();
        let query = Query {
            paths: vec![path],
            ..Query::default()
        };
        let set = query.read(None).unwrap();
        (folder, query, set)
    }

    fn gather(query: &Query, shard: Shard) -> ImageStats {
        let mut training = ImageTraining::paper(60, 8).unwrap();
        training.schedule = Schedule::log_snr(8, 20.0, -10.0).unwrap();
        training.scale = 1.0;
        let mut stream = query.open().unwrap();
        let go = &mut |_: &TrainEvent| Control::Continue;
        ImageStats::gather(&training, NORMALISATION, &mut stream, shard, None, 24, go).unwrap()
    }

    #[test]
    fn parts_add_up_to_the_whole_and_denoise() {
        let (_folder, query, set) = bars();
        let whole = gather(&query, Shard { index: 0, count: 1 });
        assert_eq!(whole.images(), 60);
        let mut sum: Option<ImageStats> = None;
        for index in 0..3 {
            let mut file = Vec::new();
            gather(&query, Shard { index, count: 3 })
                .write_to(&mut file)
                .unwrap();
            let part = ImageStats::read_from(&file[..]).unwrap();
            assert!(ImageStats::read_from(&file[..file.len() / 2]).is_err());
            match &mut sum {
                None => sum = Some(part),
                Some(sum) => sum.merge(&part).unwrap(),
            }
        }
        let sum = sum.unwrap();
        assert_eq!(sum.images(), 60);
        let noisy = crate::image::model::with_noise(&set, 0.2, 2);
        let before = mean_psnr_db(&set, &noisy.clipped());
        let go = &mut |_: &TrainEvent| Control::Continue;
        for stats in [&whole, &sum] {
            let model = stats.solve(go).unwrap();
            let out = model.denoise(&noisy, 0.25, Sampler::Mean, 1).unwrap();
            let after = mean_psnr_db(&set, &out);
            // Sixty features and a few rows: little, but a gain.
            assert!(after > before + 1.0, "{before} {after}");
        }
        let mut other = sum.clone();
        other.about.draws = 1;
        assert!(other.merge(&whole).is_err());
    }
}

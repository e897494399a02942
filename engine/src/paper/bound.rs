//! The error bound of Lemma 3.2 (Eq. 25), which is the third term of Eq. 30, against the error measured.
//!
//! The bound says that a sum of N random features comes as near to any function of their span as
//! `C sqrt(d) / sqrt(N) (1 + sqrt(2 log 1/delta))`, where C bounds the coefficients, `|theta2| <= C / N`. Here the function
//! is what the widest model of a series predicts; the error is the mean distance, over rows of held-out images, of
//! narrower models from it.

use serde::Serialize;

use crate::image::ImageSet;
use crate::image::error::ImageError;
use crate::image::model::ImageModel;
use crate::image::rows::independent_rows;
use crate::image::training::{ImageTraining, predictions, train};
use crate::train::adam_run::NoCheckpoints;
use crate::train::{Batch, Observer};

/// Probability with which the bound may fail.
pub const DELTA: f64 = 0.05;
/// Fresh rows of each image.
const DRAWS: usize = 5;

/// One number of features.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Point {
    /// Number of features N.
    pub features: usize,
    /// Mean over rows of the norm of the difference to the widest model's prediction.
    pub measured: f64,
    /// Eq. 25 with C = N max |theta2| of this model.
    pub bound: f64,
    /// Mean squared error per pixel on the training images with fresh noise.
    pub loss: f64,
    /// The same on held-out images.
    pub held_out_loss: f64,
}

/// Trains models of each number of features (ascending) and compares all with the last.
///
/// # Errors
/// As [`train`].
pub fn compare(
    training: &ImageTraining,
    sizes: &[usize],
    images: &ImageSet,
    held_out: &ImageSet,
    observer: Observer<'_>,
) -> Result<Vec<Point>, ImageError> {
    let mut models: Vec<ImageModel> = Vec::new();
    for features in sizes {
        let training = ImageTraining {
            features: *features,
            ..training.clone()
        };
        models.push(train(
            &training,
            images,
            &mut NoCheckpoints,
            &mut *observer,
        )?);
    }
    let Some(last) = models.last() else {
        return Ok(Vec::new());
    };
    let rows_of = |set: &ImageSet| {
        let x0 = last.recipe().normalised(set);
        independent_rows(&x0, &training.schedule, DRAWS, training.seed, 0)
    };
    let (seen, unseen) = (rows_of(images)?, rows_of(held_out)?);
    let best = predictions(last, &unseen);
    Ok(models
        .iter()
        .map(|model| {
            let m = model.drfm();
            let (d, n) = (m.d_out(), m.n_features() as f64);
            let mine = predictions(model, &unseen);
            let rows = mine.chunks_exact(d).zip(best.chunks_exact(d));
            let norms = rows.map(|(a, b)| squares(a, b).sqrt()).sum::<f64>();
            let largest = m.theta2().iter().fold(0.0f32, |l, t| l.max(t.abs()));
            let c = n * f64::from(largest);
            let chance = 1.0 + (2.0 * libm::log(1.0 / DELTA)).sqrt();
            let loss =
                |batch: &Batch, p: &[f32]| squares(p, batch.target()) / p.len().max(1) as f64;
            Point {
                features: m.n_features(),
                measured: norms / unseen.len().max(1) as f64,
                bound: c * (d as f64 / n).sqrt() * chance,
                loss: loss(&seen, &predictions(model, &seen)),
                held_out_loss: loss(&unseen, &mine),
            }
        })
        .collect())
}

fn squares(a: &[f32], b: &[f32]) -> f64 {
    let errors = a.iter().zip(b).map(|(a, b)| f64::from(a - b));
    errors.map(|e| e * e).sum()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::image::training::ImageTrainer;
    use crate::rng::StableRng;
    use crate::train::{Control, TrainEvent};

    #[test]
    fn errors_fall_with_the_features_and_stay_below_the_bound() {
        let mut rng = StableRng::new(4, 0);
        let pixels = (0..50 * 16).map(|_| rng.uniform() as f32).collect();
        let set = ImageSet::from_pixels(4, 4, pixels);
        let mut training = ImageTraining::paper(1, 6).unwrap();
        training.trainer = ImageTrainer::ClosedForm { rows: 400 };
        let go = &mut |_: &TrainEvent| Control::Continue;
        let (train, rest) = (set.part(0..40), set.part(40..50));
        let points = compare(&training, &[20, 80, 700], &train, &rest, go).unwrap();
        assert_eq!(points.len(), 3);
        assert!(points[0].measured > points[1].measured);
        assert_eq!(points[2].measured, 0.0);
        assert!(
            points
                .iter()
                .all(|p| p.measured < p.bound && p.loss.is_finite())
        );
    }
}

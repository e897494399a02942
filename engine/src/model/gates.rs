//! What the gates of a model do, in numbers that people can read.

use serde::Serialize;

use super::drfm::Drfm;

/// Gates nearer to zero than this count as closed, farther from zero than one minus this as open.
const NEAR: f32 = 0.25;

/// The gates of one timestep.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct GateSummary {
    /// The timestep, from 1.
    pub timestep: usize,
    /// Mean of |cos(theta1)|.
    pub mean: f64,
    /// Features whose gate is (almost) fully open.
    pub open: usize,
    /// Features whose gate is (almost) closed.
    pub closed: usize,
    /// Features whose gate is turned over (negative) and not closed.
    pub negative: usize,
    /// Likeness to the gates of the timestep before, the cosine of the angle between them; 1 for the first.
    pub like_previous: f64,
}

/// A summary of every timestep.
#[must_use]
pub fn gate_summaries(model: &Drfm) -> Vec<GateSummary> {
    let mut previous: Option<Vec<f32>> = None;
    (1..=model.timesteps())
        .map(|timestep| {
            let gates = model.gates(timestep).to_vec();
            let count = |f: &dyn Fn(f32) -> bool| gates.iter().filter(|g| f(**g)).count();
            let summary = GateSummary {
                timestep,
                mean: gates.iter().map(|g| f64::from(g.abs())).sum::<f64>()
                    / gates.len().max(1) as f64,
                open: count(&|g| g.abs() > 1.0 - NEAR),
                closed: count(&|g| g.abs() < NEAR),
                negative: count(&|g| g <= -NEAR),
                like_previous: previous.as_ref().map_or(1.0, |p| cosine(p, &gates)),
            };
            previous = Some(gates);
            summary
        })
        .collect()
}

/// The features by how much they contribute, most first: by the power of their row of theta2 times that of their gates.
#[must_use]
pub fn features_by_use(model: &Drfm) -> Vec<usize> {
    let mut gates = vec![0.0f64; model.n_features()];
    for k in 1..=model.timesteps() {
        for (sum, g) in gates.iter_mut().zip(&model.gates(k)) {
            *sum += f64::from(*g).powi(2);
        }
    }
    let rows = model.theta2().outer_iter();
    let mut used: Vec<(usize, f64)> = rows
        .zip(&gates)
        .map(|(row, gates)| gates * row.iter().map(|t| f64::from(*t).powi(2)).sum::<f64>())
        .enumerate()
        .collect();
    used.sort_by(|a, b| b.1.total_cmp(&a.1).then(a.0.cmp(&b.0)));
    used.into_iter().map(|(n, _)| n).collect()
}

/// The root of the sum over features of theta2 squared, for each output.
#[must_use]
pub fn power_per_output(model: &Drfm) -> Vec<f32> {
    let columns = model.theta2().columns().into_iter();
    columns
        .map(|c| c.iter().map(|t| f64::from(*t).powi(2)).sum::<f64>().sqrt() as f32)
        .collect()
}

fn cosine(a: &[f32], b: &[f32]) -> f64 {
    let dot = |a: &[f32], b: &[f32]| {
        a.iter()
            .zip(b)
            .map(|(a, b)| f64::from(*a) * f64::from(*b))
            .sum::<f64>()
    };
    let norm = libm::sqrt(dot(a, a) * dot(b, b));
    if norm > 0.0 { dot(a, b) / norm } else { 0.0 }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{FeatureDraw, RandomFeatures};
    use ndarray::array;

    #[test]
    fn open_closed_and_negative_are_told_apart() {
        use std::f32::consts::{FRAC_PI_2, PI};
        let features = RandomFeatures::draw(&FeatureDraw::gaussian(2, 3, 1, 1.0)).unwrap();
        let theta1 = array![[0.0, FRAC_PI_2, PI], [0.0, FRAC_PI_2, PI]];
        let model = Drfm::new(features, theta1, array![[1.0], [1.0], [1.0]]).unwrap();
        let s = gate_summaries(&model);
        assert_eq!((s[0].open, s[0].closed, s[0].negative), (2, 1, 1));
        assert!((s[1].like_previous - 1.0).abs() < 1e-6);
        assert!((s[0].mean - 2.0 / 3.0).abs() < 1e-6);
        // The second is closed; the others are equally open, and come in their order.
        assert_eq!(features_by_use(&model), [0, 2, 1]);
        assert!((power_per_output(&model)[0] - 3.0f32.sqrt()).abs() < 1e-6);
    }
}

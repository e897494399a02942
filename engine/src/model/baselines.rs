//! The paper's two baselines (Section 4): RF, which has no gates, and NN, which trains everything.

use ndarray::Array2;
use serde::{Deserialize, Serialize};

use super::drfm::Drfm;
use super::error::ModelError;
use super::features::RandomFeatures;

/// Which of the three models of the paper; they differ only in what is trained.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ModelKind {
    /// theta1 and theta2 trained, W and b random.
    Drfm,
    /// Only theta2 trained; theta1 = 0, so that every gate is 1.
    Rf,
    /// W, b, theta1 and theta2 trained.
    Nn,
}

/// A random feature model (RF) with coefficients `theta2` (N x d_out): a [`Drfm`] whose gates are all 1.
///
/// # Errors
/// As [`Drfm::new`].
pub fn random_feature_model(
    features: RandomFeatures,
    timesteps: usize,
    theta2: Array2<f32>,
) -> Result<Drfm, ModelError> {
    let theta1 = Array2::zeros((timesteps, features.n_features()));
    Drfm::new(features, theta1, theta2)
}

/// Number of parameters that training changes, for N = `n_features` and K = `timesteps`.
#[must_use]
pub fn trainable_parameters(
    kind: ModelKind,
    d_in: usize,
    d_out: usize,
    timesteps: usize,
    n_features: usize,
) -> usize {
    n_features.saturating_mul(parameters_per_feature(kind, d_in, d_out, timesteps))
}

/// The N that gives NN as many trainable parameters as a DRFM with `drfm_features` features, to the nearest; at least 1.
#[must_use]
pub fn nn_features_matching(
    d_in: usize,
    d_out: usize,
    timesteps: usize,
    drfm_features: usize,
) -> usize {
    let wanted = trainable_parameters(ModelKind::Drfm, d_in, d_out, timesteps, drfm_features);
    let per_feature = parameters_per_feature(ModelKind::Nn, d_in, d_out, timesteps);
    (wanted.saturating_add(per_feature / 2) / per_feature).max(1)
}

fn parameters_per_feature(kind: ModelKind, d_in: usize, d_out: usize, timesteps: usize) -> usize {
    match kind {
        ModelKind::Rf => d_out,
        ModelKind::Drfm => timesteps.saturating_add(d_out),
        ModelKind::Nn => d_in
            .saturating_add(1)
            .saturating_add(timesteps)
            .saturating_add(d_out),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::features::FeatureDraw;

    #[test]
    fn nn_gets_as_many_parameters_as_drfm() {
        let (d_in, d_out, k, n) = (784, 784, 100, 80_000);
        let nn = nn_features_matching(d_in, d_out, k, n);
        let drfm = trainable_parameters(ModelKind::Drfm, d_in, d_out, k, n);
        let close = trainable_parameters(ModelKind::Nn, d_in, d_out, k, nn);
        assert_eq!(drfm, 80_000 * 884);
        assert!(drfm.abs_diff(close) <= (784 + 1 + 100 + 784) / 2);
        assert_eq!(nn_features_matching(100, 1, 1, 1), 1);
        assert_eq!(trainable_parameters(ModelKind::Rf, 9, 2, 11, 10), 20);
    }

    #[test]
    fn rf_has_open_gates() {
        let f = RandomFeatures::draw(&FeatureDraw::gaussian(3, 8, 1, 1.0)).unwrap();
        let rf = random_feature_model(f, 4, Array2::ones((8, 2))).unwrap();
        for k in 1..=4 {
            assert!(rf.gates(k).iter().all(|g| (g - 1.0).abs() < 1e-7));
        }
    }

    #[test]
    fn kinds_are_written_in_lower_case() {
        assert_eq!(serde_json::to_string(&ModelKind::Nn).unwrap(), "\"nn\"");
    }
}

//! Models: random features, DRFM, RF and NN baselines, model files.
pub mod baselines;
pub mod drfm;
pub mod error;
pub mod features;
pub mod file;
pub mod gates;
pub mod patches;
pub mod sine;
pub mod wide;

pub use baselines::{ModelKind, nn_features_matching, trainable_parameters};
pub use drfm::{Drfm, DrfmPredictor};
pub use error::ModelError;
pub use features::{FeatureDraw, FeatureGroup, FeatureScale, RandomFeatures};

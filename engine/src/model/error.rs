//! What can be wrong with a model.

/// Why features or a model cannot be built.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum ModelError {
    /// A size is zero or beyond [`MAX_WEIGHTS`](super::features::MAX_WEIGHTS) in all.
    #[error(
        "{inputs} inputs x {features} features are not possible: both must be at least 1, and their product at most {}",
        super::features::MAX_WEIGHTS
    )]
    Size {
        /// Inputs of the features.
        inputs: usize,
        /// Number of features.
        features: usize,
    },
    /// The feature groups do not add up to the inputs.
    #[error(
        "the feature groups hold {groups} inputs in all, but there are {inputs}: make them equal"
    )]
    Groups {
        /// Sum over the groups.
        groups: usize,
        /// Inputs of the features.
        inputs: usize,
    },
    /// A feature scale is not usable.
    #[error(
        "feature scale {low} to {high} is not possible: choose finite numbers with 0 < low <= high"
    )]
    Scale {
        /// Lower end.
        low: f32,
        /// Upper end.
        high: f32,
    },
    /// The patches do not fit the image or there are fewer features than patches.
    #[error(
        "the patches do not fit: they must cover the inputs exactly, with at least one feature each; use more features or larger tiles"
    )]
    Patches,
    /// Two arrays do not fit together.
    #[error(
        "{what} has shape {found:?} where {expected:?} is needed: the model's arrays do not belong together"
    )]
    Shape {
        /// Name of the array.
        what: &'static str,
        /// Its shape.
        found: Vec<usize>,
        /// The shape that fits.
        expected: Vec<usize>,
    },
    /// An array holds NaN or an infinity.
    #[error("{0} holds numbers that are not finite: the model is damaged, train it again")]
    NotFinite(&'static str),
    /// The model has context inputs and so predicts fewer values than it sees.
    #[error(
        "a model with {inputs} inputs and {outputs} outputs cannot run a reverse process: use one with as many outputs as inputs"
    )]
    NotSquare {
        /// Inputs per row.
        inputs: usize,
        /// Outputs per row.
        outputs: usize,
    },
}

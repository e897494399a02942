//! What a sampler needs from a model.

/// Predicts the noise in `x_k`: `p_theta(x_k, k)` of Eq. 20, with as many outputs as inputs.
///
/// Samplers call it, models implement it; neither knows the other.
pub trait NoisePredictor {
    /// Number of values in one row of `x_k` and of the prediction.
    fn dim(&self) -> usize;

    /// Number of timesteps K the predictor knows.
    fn timesteps(&self) -> usize;

    /// Predicts the noise of one row (`dim` values) or of several rows one after another.
    ///
    /// `k` counts from 1 (cleanest) to [`timesteps`](Self::timesteps) (noisiest). `out` has the length of `x_k`.
    /// `scratch` grows to what one call needs and may be kept between calls.
    fn predict_into(&self, x_k: &[f32], k: usize, scratch: &mut Vec<f32>, out: &mut [f32]);
}

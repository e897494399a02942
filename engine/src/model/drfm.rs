//! The Diffusion Random Feature Model (Eq. 20).

use ndarray::linalg::general_mat_mul;
use ndarray::{Array1, Array2, ArrayView2, ArrayViewMut2};

use super::error::ModelError;
use super::features::RandomFeatures;
use crate::diffusion::NoisePredictor;
use crate::rng::StableRng;

/// `p(x_k, k) = (sin(x_k W + b) * cos(theta1[k])) theta2` (Eq. 20).
///
/// There may be more inputs than outputs: the surplus inputs are context the model only looks at.
#[derive(Clone, Debug, PartialEq)]
pub struct Drfm {
    features: RandomFeatures,
    theta1: Array2<f32>,
    theta2: Array2<f32>,
}

impl Drfm {
    /// A model from its parts: `theta1` is K x N (radians), `theta2` is N x d_out.
    ///
    /// # Errors
    /// If the shapes do not belong together or a number is not finite.
    pub fn new(
        features: RandomFeatures,
        theta1: Array2<f32>,
        theta2: Array2<f32>,
    ) -> Result<Self, ModelError> {
        let n = features.n_features();
        if theta1.ncols() != n || theta1.nrows() == 0 {
            return Err(ModelError::Shape {
                what: "theta1",
                found: theta1.shape().to_vec(),
                expected: vec![theta1.nrows().max(1), n],
            });
        }
        if theta2.nrows() != n || theta2.ncols() == 0 {
            return Err(ModelError::Shape {
                what: "theta2",
                found: theta2.shape().to_vec(),
                expected: vec![n, theta2.ncols().max(1)],
            });
        }
        if !theta1.iter().all(|v| v.is_finite()) {
            return Err(ModelError::NotFinite("theta1"));
        }
        if !theta2.iter().all(|v| v.is_finite()) {
            return Err(ModelError::NotFinite("theta2"));
        }
        Ok(Self {
            features,
            theta1: theta1.as_standard_layout().into_owned(),
            theta2: theta2.as_standard_layout().into_owned(),
        })
    }

    /// Untrained parameters: `theta1` from N(0, 1) as in the authors' code, `theta2` uniform in +-1/sqrt(N).
    ///
    /// # Errors
    /// If `timesteps` or `d_out` is zero.
    pub fn initial(
        features: RandomFeatures,
        timesteps: usize,
        d_out: usize,
        rng: &mut StableRng,
    ) -> Result<Self, ModelError> {
        let n = features.n_features();
        let theta1 = Array2::from_shape_simple_fn((timesteps, n), || rng.normal() as f32);
        let bound = 1.0 / (n as f64).sqrt();
        let theta2 =
            Array2::from_shape_simple_fn((n, d_out), || rng.uniform_in(-bound, bound) as f32);
        Self::new(features, theta1, theta2)
    }

    /// The fixed features `sin(x W + b)`.
    #[must_use]
    pub fn features(&self) -> &RandomFeatures {
        &self.features
    }

    /// `theta1`, K x N, in radians.
    #[must_use]
    pub fn theta1(&self) -> &Array2<f32> {
        &self.theta1
    }

    /// `theta2`, N x d_out.
    #[must_use]
    pub fn theta2(&self) -> &Array2<f32> {
        &self.theta2
    }

    /// All parameters, to be trained.
    pub(crate) fn parameters_mut(
        &mut self,
    ) -> (&mut RandomFeatures, &mut Array2<f32>, &mut Array2<f32>) {
        (&mut self.features, &mut self.theta1, &mut self.theta2)
    }

    /// Inputs per row.
    #[must_use]
    pub fn d_in(&self) -> usize {
        self.features.d_in()
    }

    /// Outputs per row.
    #[must_use]
    pub fn d_out(&self) -> usize {
        self.theta2.ncols()
    }

    /// Number of features N.
    #[must_use]
    pub fn n_features(&self) -> usize {
        self.features.n_features()
    }

    /// Number of timesteps K.
    #[must_use]
    pub fn timesteps(&self) -> usize {
        self.theta1.nrows()
    }

    /// The gates `cos(theta1[k])` of timestep `k` (1 to K; values outside are read as the nearest end).
    #[must_use]
    pub fn gates(&self, k: usize) -> Array1<f32> {
        let row = k.clamp(1, self.timesteps()) - 1;
        self.theta1.row(row).mapv(libm::cosf)
    }

    /// `theta2` with the gates of timestep `k` multiplied in (Eq. 21), N x d_out: at a fixed timestep DRFM is a
    /// random feature model with these coefficients.
    #[must_use]
    pub fn gated_theta2(&self, k: usize) -> Array2<f32> {
        let gates = self.gates(k);
        &self.theta2 * &gates.insert_axis(ndarray::Axis(1))
    }

    /// Eq. 20 for one or more rows: `x` has rows of d_in values, `out` rows of d_out values.
    ///
    /// Rows that do not fit both slices are left alone. `scratch` grows to rows x N. May allocate: the audio thread
    /// has its own kernel.
    pub fn predict_rows_into(&self, x: &[f32], k: usize, scratch: &mut Vec<f32>, out: &mut [f32]) {
        let (d_in, d_out, n) = (self.d_in(), self.d_out(), self.n_features());
        debug_assert_eq!(x.len() / d_in * d_out, out.len());
        let rows = (x.len() / d_in).min(out.len() / d_out);
        scratch.resize(rows * n, 0.0);
        let (Ok(x), Ok(mut phi), Ok(mut p)) = (
            ArrayView2::from_shape((rows, d_in), &x[..rows * d_in]),
            ArrayViewMut2::from_shape((rows, n), scratch.as_mut_slice()),
            ArrayViewMut2::from_shape((rows, d_out), &mut out[..rows * d_out]),
        ) else {
            return;
        };
        self.features.features_into(x, phi.view_mut());
        phi *= &self.gates(k);
        general_mat_mul(1.0, &phi, &self.theta2, 0.0, &mut p);
    }

    /// The model as a noise predictor for samplers.
    ///
    /// # Errors
    /// If it has not as many outputs as inputs.
    pub fn predictor(&self) -> Result<DrfmPredictor<'_>, ModelError> {
        if self.d_in() == self.d_out() {
            Ok(DrfmPredictor { model: self })
        } else {
            Err(ModelError::NotSquare {
                inputs: self.d_in(),
                outputs: self.d_out(),
            })
        }
    }
}

/// A [`Drfm`] with as many outputs as inputs; made by [`Drfm::predictor`].
#[derive(Clone, Copy, Debug)]
pub struct DrfmPredictor<'m> {
    model: &'m Drfm,
}

impl NoisePredictor for DrfmPredictor<'_> {
    fn dim(&self) -> usize {
        self.model.d_in()
    }

    fn timesteps(&self) -> usize {
        self.model.timesteps()
    }

    fn predict_into(&self, x_k: &[f32], k: usize, scratch: &mut Vec<f32>, out: &mut [f32]) {
        self.model.predict_rows_into(x_k, k, scratch, out);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::features::FeatureDraw;

    fn model(d_in: usize, d_out: usize) -> Drfm {
        let features = RandomFeatures::draw(&FeatureDraw::gaussian(d_in, 40, 1, 0.5)).unwrap();
        Drfm::initial(features, 6, d_out, &mut StableRng::new(2, 0)).unwrap()
    }

    #[test]
    fn prediction_agrees_with_equation_20() {
        let m = model(5, 3);
        let x: Vec<f32> = (0..20).map(|i| (i as f32 * 1.3).cos() * 2.0).collect();
        let mut scratch = Vec::new();
        for k in 1..=6 {
            let mut out = vec![0.0; 12];
            m.predict_rows_into(&x, k, &mut scratch, &mut out);
            for row in 0..4 {
                for o in 0..3 {
                    let mut p = 0.0f64;
                    for n in 0..40 {
                        let mut z = f64::from(m.features().bias()[n]);
                        for j in 0..5 {
                            z += f64::from(x[row * 5 + j])
                                * f64::from(m.features().weights()[[j, n]]);
                        }
                        p += z.sin()
                            * f64::from(m.theta1()[[k - 1, n]]).cos()
                            * f64::from(m.theta2()[[n, o]]);
                    }
                    assert!((f64::from(out[row * 3 + o]) - p).abs() < 1e-5);
                }
            }
        }
    }

    #[test]
    fn folded_gates_predict_the_same() {
        let m = model(5, 3);
        let x = Array2::from_shape_fn((4, 5), |(i, j)| (i as f32 - j as f32) * 0.6);
        let mut phi = Array2::zeros((4, 40));
        m.features().features_into(x.view(), phi.view_mut());
        let folded = phi.dot(&m.gated_theta2(4));
        let mut out = vec![0.0; 12];
        m.predict_rows_into(x.as_slice().unwrap(), 4, &mut Vec::new(), &mut out);
        for (a, b) in folded.iter().zip(&out) {
            assert!((a - b).abs() < 1e-5);
        }
    }

    #[test]
    fn rows_do_not_influence_each_other() {
        let m = model(5, 5);
        let x: Vec<f32> = (0..35).map(|i| (i as f32 * 0.9).sin()).collect();
        let p = m.predictor().unwrap();
        let mut all = vec![0.0; 35];
        p.predict_into(&x, 3, &mut Vec::new(), &mut all);
        for row in 0..7 {
            let mut one = vec![0.0; 5];
            p.predict_into(&x[row * 5..row * 5 + 5], 3, &mut Vec::new(), &mut one);
            assert_eq!(one, all[row * 5..row * 5 + 5]);
        }
    }

    #[test]
    fn parts_that_do_not_fit_are_refused() {
        let m = model(5, 3);
        assert!(m.predictor().is_err());
        let f = m.features().clone();
        let (t1, t2) = (m.theta1().clone(), m.theta2().clone());
        assert!(Drfm::new(f.clone(), t1.clone(), t2.clone()).is_ok());
        assert!(Drfm::new(f.clone(), Array2::zeros((6, 39)), t2.clone()).is_err());
        assert!(Drfm::new(f.clone(), Array2::zeros((0, 40)), t2.clone()).is_err());
        assert!(Drfm::new(f.clone(), t1.clone(), Array2::zeros((40, 0))).is_err());
        let mut nan = t2;
        nan[[3, 1]] = f32::NAN;
        assert!(Drfm::new(f, t1, nan).is_err());
    }
}

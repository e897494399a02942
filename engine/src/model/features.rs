//! The random features `sin(x W + b)` of Eq. 20: how W and b are drawn, and how features are computed.

use ndarray::linalg::general_mat_mul;
use ndarray::{Array1, Array2, ArrayView2, ArrayViewMut2};
use serde::{Deserialize, Serialize};

use super::error::ModelError;
use super::patches::Patches;
use super::sine::sine_in_place;
use crate::rng::StableRng;

/// The largest number of weights (inputs x features) of one model; the paper's own has 63 million.
pub const MAX_WEIGHTS: usize = 1 << 28;

/// How large the weights of a group are: the inverse of the distance over which a feature changes.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FeatureScale {
    /// The same standard deviation for all features; finite, at least 0.
    Fixed(f32),
    /// One standard deviation per feature, uniform in its logarithm: coarse and fine features in one draw.
    LogUniform {
        /// Smallest standard deviation, above 0.
        low: f32,
        /// Largest standard deviation.
        high: f32,
    },
}

/// A run of neighbouring inputs that share one scale rule.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FeatureGroup {
    /// Number of inputs in the group.
    pub inputs: usize,
    /// Scale of their weights.
    pub scale: FeatureScale,
}

/// Everything that decides W and b: files store this instead of the numbers.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FeatureDraw {
    /// Inputs per row.
    pub d_in: usize,
    /// Number of features N.
    pub n_features: usize,
    /// Seed of the random numbers.
    pub seed: u64,
    /// Stream of the seed.
    pub stream: u64,
    /// The inputs from first to last; their numbers of inputs add up to `d_in`.
    pub groups: Vec<FeatureGroup>,
    /// Makes the weights of as many features as a group has inputs orthogonal, with the lengths of Gaussian vectors
    /// (Yu et al. 2016, "Orthogonal Random Features").
    pub orthogonal: bool,
    /// Features of images that see parts of them only; without it all features see all inputs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub patches: Option<Patches>,
}

impl FeatureDraw {
    /// Independent Gaussian weights of one standard deviation for all inputs.
    #[must_use]
    pub fn gaussian(d_in: usize, n_features: usize, seed: u64, scale: f32) -> Self {
        Self {
            d_in,
            n_features,
            seed,
            stream: 0,
            groups: vec![FeatureGroup {
                inputs: d_in,
                scale: FeatureScale::Fixed(scale),
            }],
            orthogonal: false,
            patches: None,
        }
    }

    /// Checks what [`RandomFeatures::draw`] relies on.
    ///
    /// # Errors
    /// [`ModelError::Size`], [`ModelError::Groups`] or [`ModelError::Scale`].
    pub fn check(&self) -> Result<(), ModelError> {
        let size = ModelError::Size {
            inputs: self.d_in,
            features: self.n_features,
        };
        match self.d_in.checked_mul(self.n_features) {
            Some(n) if (1..=MAX_WEIGHTS).contains(&n) => {}
            _ => return Err(size),
        }
        let groups = self
            .groups
            .iter()
            .fold(0usize, |sum, g| sum.saturating_add(g.inputs));
        if groups != self.d_in {
            return Err(ModelError::Groups {
                groups,
                inputs: self.d_in,
            });
        }
        for group in &self.groups {
            let (low, high, possible) = match group.scale {
                FeatureScale::Fixed(s) => (s, s, s.is_finite() && s >= 0.0),
                FeatureScale::LogUniform { low, high } => {
                    (low, high, low > 0.0 && low <= high && high.is_finite())
                }
            };
            if !possible {
                return Err(ModelError::Scale { low, high });
            }
        }
        if let Some(p) = &self.patches {
            let fits = p.width.checked_mul(p.height) == Some(self.d_in)
                && p.tile >= 1
                && p.count() <= self.n_features;
            if !fits {
                return Err(ModelError::Patches);
            }
        }
        Ok(())
    }
}

/// The fixed half of the model: `W` (d_in x N) and `b` (N) of Eq. 20.
#[derive(Clone, Debug, PartialEq)]
pub struct RandomFeatures {
    weights: Array2<f32>,
    bias: Array1<f32>,
}

impl RandomFeatures {
    /// Draws W and b: `W[j, n] = N(0, 1) * scale`, `b` uniform in `0..2 pi`. Same draw, same bits, on every system.
    ///
    /// # Errors
    /// As [`FeatureDraw::check`].
    pub fn draw(draw: &FeatureDraw) -> Result<Self, ModelError> {
        draw.check()?;
        let n = draw.n_features;
        let mut rng = StableRng::new(draw.seed, draw.stream);
        let mut weights = Array2::<f32>::zeros((draw.d_in, n));
        let mut first = 0;
        for group in &draw.groups {
            let scales: Vec<f64> = (0..n).map(|_| draw_scale(group.scale, &mut rng)).collect();
            let mut rows = weights.slice_mut(ndarray::s![first..first + group.inputs, ..]);
            let per_block = if draw.orthogonal {
                group.inputs.max(1)
            } else {
                1
            };
            for (block, scales) in scales.chunks(per_block).enumerate() {
                let directions = if draw.orthogonal {
                    orthogonal_block(group.inputs, scales.len(), &mut rng)
                } else {
                    vec![(0..group.inputs).map(|_| rng.normal()).collect()]
                };
                for (i, (direction, scale)) in directions.iter().zip(scales).enumerate() {
                    let mut column = rows.column_mut(block * per_block + i);
                    for (w, v) in column.iter_mut().zip(direction) {
                        *w = (v * scale) as f32;
                    }
                }
            }
            first += group.inputs;
        }
        if let Some(patches) = &draw.patches {
            for tile in 0..patches.count() {
                let features = patches.features(tile, n);
                let mut seen = patches.inputs(tile).into_iter().peekable();
                for (input, mut row) in weights.rows_mut().into_iter().enumerate() {
                    if seen.next_if_eq(&input).is_none() {
                        row.slice_mut(ndarray::s![features.clone()]).fill(0.0);
                    }
                }
            }
        }
        let bias = (0..n)
            .map(|_| rng.uniform_in(0.0, std::f64::consts::TAU) as f32)
            .collect();
        Ok(Self { weights, bias })
    }

    /// Features with given weights (d_in x N) and biases (N), for model files and for trained features (NN).
    ///
    /// # Errors
    /// If the shapes do not belong together, are empty or too large, or a number is not finite.
    pub fn from_parts(weights: Array2<f32>, bias: Array1<f32>) -> Result<Self, ModelError> {
        let (d_in, n) = weights.dim();
        if !(1..=MAX_WEIGHTS).contains(&weights.len()) {
            return Err(ModelError::Size {
                inputs: d_in,
                features: n,
            });
        }
        if bias.len() != n {
            return Err(ModelError::Shape {
                what: "bias",
                found: vec![bias.len()],
                expected: vec![n],
            });
        }
        if !weights.iter().all(|w| w.is_finite()) {
            return Err(ModelError::NotFinite("W"));
        }
        if !bias.iter().all(|b| b.is_finite()) {
            return Err(ModelError::NotFinite("b"));
        }
        Ok(Self {
            weights: weights.as_standard_layout().into_owned(),
            bias,
        })
    }

    /// Inputs per row.
    #[must_use]
    pub fn d_in(&self) -> usize {
        self.weights.nrows()
    }

    /// Number of features N.
    #[must_use]
    pub fn n_features(&self) -> usize {
        self.weights.ncols()
    }

    /// `W`, d_in x N, row-major.
    #[must_use]
    pub fn weights(&self) -> &Array2<f32> {
        &self.weights
    }

    /// `b`, N values in radians.
    #[must_use]
    pub fn bias(&self) -> &Array1<f32> {
        &self.bias
    }

    /// Both arrays, to be trained (NN).
    pub(crate) fn parts_mut(&mut self) -> (&mut Array2<f32>, &mut Array1<f32>) {
        (&mut self.weights, &mut self.bias)
    }

    /// A number that two sets of features share only if all their bits agree (FNV-1a).
    #[must_use]
    pub fn digest(&self) -> u64 {
        let mut hash = Fnv::default();
        hash.write(&(self.d_in() as u64).to_le_bytes());
        for v in self.weights.iter().chain(&self.bias) {
            hash.write(&v.to_bits().to_le_bytes());
        }
        hash.value()
    }

    /// The angles `x W + b`; `x` is rows x d_in, `out` rows x N. May allocate: not for the audio thread.
    pub(crate) fn angles_into(&self, x: ArrayView2<'_, f32>, mut out: ArrayViewMut2<'_, f32>) {
        out.assign(&self.bias);
        general_mat_mul(1.0, &x, &self.weights, 1.0, &mut out);
    }

    /// The features `sin(x W + b)`; `x` is rows x d_in, `out` rows x N, in standard layout.
    ///
    /// May allocate (packing buffers of the matrix product): not for the audio thread.
    ///
    /// # Panics
    /// If a shape is wrong.
    pub fn features_into(&self, x: ArrayView2<'_, f32>, mut out: ArrayViewMut2<'_, f32>) {
        self.angles_into(x, out.view_mut());
        match out.as_slice_mut() {
            Some(values) => sine_in_place(values),
            None => out.mapv_inplace(super::sine::sine),
        }
    }
}

fn draw_scale(scale: FeatureScale, rng: &mut StableRng) -> f64 {
    match scale {
        FeatureScale::Fixed(s) => f64::from(s),
        FeatureScale::LogUniform { low, high } => {
            let (low, high) = (libm::log(f64::from(low)), libm::log(f64::from(high)));
            libm::exp(rng.uniform_in(low, high))
        }
    }
}

/// `count <= dim` orthogonal vectors of `dim` numbers, each as long as a fresh Gaussian vector.
pub(crate) fn orthogonal_block(dim: usize, count: usize, rng: &mut StableRng) -> Vec<Vec<f64>> {
    let mut block: Vec<Vec<f64>> = Vec::with_capacity(count);
    for _ in 0..count {
        let mut v: Vec<f64> = (0..dim).map(|_| rng.normal()).collect();
        // Twice is enough (Kahan): the second pass removes what rounding left of the first.
        for _ in 0..2 {
            for u in &block {
                let along = dot(&v, u);
                for (v, u) in v.iter_mut().zip(u) {
                    *v -= along * u;
                }
            }
            let length = dot(&v, &v).sqrt().max(f64::MIN_POSITIVE);
            for v in &mut v {
                *v /= length;
            }
        }
        block.push(v);
    }
    for v in &mut block {
        let square: f64 = (0..dim).map(|_| rng.normal()).map(|z| z * z).sum();
        let length = square.sqrt();
        for v in v {
            *v *= length;
        }
    }
    block
}

fn dot(a: &[f64], b: &[f64]) -> f64 {
    a.iter().zip(b).map(|(a, b)| a * b).sum()
}

/// The hash FNV-1a (64 bits), for telling data apart; no protection against intent.
#[derive(Clone, Debug)]
pub(crate) struct Fnv(u64);

impl Default for Fnv {
    fn default() -> Self {
        Self(0xcbf2_9ce4_8422_2325)
    }
}

impl Fnv {
    pub(crate) fn write(&mut self, bytes: &[u8]) {
        for b in bytes {
            self.0 = (self.0 ^ u64::from(*b)).wrapping_mul(0x0000_0100_0000_01b3);
        }
    }

    pub(crate) fn value(&self) -> u64 {
        self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn two_groups(orthogonal: bool) -> FeatureDraw {
        FeatureDraw {
            d_in: 7,
            n_features: 50,
            seed: 11,
            stream: 2,
            groups: vec![
                FeatureGroup {
                    inputs: 4,
                    scale: FeatureScale::LogUniform {
                        low: 0.1,
                        high: 2.0,
                    },
                },
                FeatureGroup {
                    inputs: 3,
                    scale: FeatureScale::Fixed(0.5),
                },
            ],
            orthogonal,
            patches: None,
        }
    }

    #[test]
    fn features_agree_with_the_equation() {
        let f = RandomFeatures::draw(&two_groups(false)).unwrap();
        let x = Array2::from_shape_fn((9, 7), |(i, j)| ((i * 7 + j) as f32 * 0.7).sin() * 3.0);
        let mut out = Array2::zeros((9, 50));
        f.features_into(x.view(), out.view_mut());
        for i in 0..9 {
            for n in 0..50 {
                let mut z = f64::from(f.bias()[n]);
                for j in 0..7 {
                    z += f64::from(x[[i, j]]) * f64::from(f.weights()[[j, n]]);
                }
                assert!((f64::from(out[[i, n]]) - z.sin()).abs() < 3e-6);
            }
        }
    }

    #[test]
    fn orthogonal_blocks_are_orthogonal_per_group() {
        let mut draw = two_groups(true);
        draw.groups[0].scale = FeatureScale::Fixed(1.0);
        let f = RandomFeatures::draw(&draw).unwrap();
        for (rows, size) in [(0..4, 4), (4..7, 3)] {
            for block in 0..(50 / size) {
                for a in 0..size {
                    for b in 0..a {
                        let (a, b) = (block * size + a, block * size + b);
                        let product: f32 = rows
                            .clone()
                            .map(|j| f.weights()[[j, a]] * f.weights()[[j, b]])
                            .sum();
                        assert!(product.abs() < 1e-5);
                    }
                }
            }
        }
    }

    #[test]
    fn both_draws_have_the_right_moments() {
        for orthogonal in [false, true] {
            let mut draw = FeatureDraw::gaussian(20, 5000, 3, 0.3);
            draw.orthogonal = orthogonal;
            let f = RandomFeatures::draw(&draw).unwrap();
            let n = f.weights().len() as f64;
            let m2 = f
                .weights()
                .iter()
                .map(|w| f64::from(*w).powi(2))
                .sum::<f64>()
                / n;
            let m4 = f
                .weights()
                .iter()
                .map(|w| f64::from(*w).powi(4))
                .sum::<f64>()
                / n;
            assert!((m2 / 0.09 - 1.0).abs() < 0.02, "{m2}");
            assert!((m4 / (3.0 * 0.0081) - 1.0).abs() < 0.05, "{m4}");
            assert!(
                f.bias()
                    .iter()
                    .all(|b| (0.0..=std::f32::consts::TAU).contains(b))
            );
        }
    }

    #[test]
    fn log_uniform_scales_stay_in_range() {
        let mut draw = FeatureDraw::gaussian(400, 200, 3, 1.0);
        draw.groups[0].scale = FeatureScale::LogUniform {
            low: 0.1,
            high: 10.0,
        };
        let f = RandomFeatures::draw(&draw).unwrap();
        let mut below_one = 0;
        for n in 0..200 {
            let std = (f.weights().column(n).iter().map(|w| w * w).sum::<f32>() / 400.0).sqrt();
            assert!((0.08..12.5).contains(&std));
            below_one += usize::from(std < 1.0);
        }
        assert!((70..130).contains(&below_one));
    }

    #[test]
    fn numbers_of_a_draw_are_pinned() {
        let plain = RandomFeatures::draw(&two_groups(false)).unwrap();
        let orthogonal = RandomFeatures::draw(&two_groups(true)).unwrap();
        let pick = |f: &RandomFeatures| {
            [
                f.weights()[[0, 0]].to_bits(),
                f.weights()[[3, 49]].to_bits(),
                f.weights()[[6, 17]].to_bits(),
                f.bias()[5].to_bits(),
            ]
        };
        assert_eq!(pick(&plain), PINNED_PLAIN);
        assert_eq!(pick(&orthogonal), PINNED_ORTHOGONAL);
        assert_eq!(plain.digest(), PINNED_DIGEST);
        assert_ne!(plain.digest(), orthogonal.digest());
    }
    const PINNED_PLAIN: [u32; 4] = [3_220_247_207, 3_200_610_662, 1_026_999_737, 1_075_709_623];
    const PINNED_ORTHOGONAL: [u32; 4] =
        [3_217_344_657, 1_070_442_784, 1_049_349_245, 1_062_400_654];
    const PINNED_DIGEST: u64 = 15_085_031_767_788_511_641;

    #[test]
    fn impossible_draws_are_refused() {
        let good = two_groups(false);
        assert!(good.check().is_ok());
        for change in [
            (|d| d.n_features = 0) as fn(&mut FeatureDraw),
            |d| d.n_features = usize::MAX,
            |d| d.d_in = 8,
            |d| d.groups[0].inputs = usize::MAX,
            |d| d.groups[1].scale = FeatureScale::Fixed(f32::NAN),
            |d| {
                d.groups[0].scale = FeatureScale::LogUniform {
                    low: 0.0,
                    high: 1.0,
                }
            },
            |d| {
                d.groups[0].scale = FeatureScale::LogUniform {
                    low: 2.0,
                    high: 1.0,
                }
            },
        ] {
            let mut draw = good.clone();
            change(&mut draw);
            assert!(RandomFeatures::draw(&draw).is_err());
        }
        let text = serde_json::to_string(&good).unwrap();
        assert_eq!(serde_json::from_str::<FeatureDraw>(&text).unwrap(), good);
    }
}

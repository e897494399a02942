//! The linear part of a waveform model: the best noise predictor that knows nothing but the mean autocorrelation.
//!
//! For Gaussian music with covariance C, and `x_k` after Eq. 4, the mean of the noise given `x_k` is linear:
//!
//! ```text
//! E[eps | x_k] = L_k x_k,    L_k = sqrt(1 - alpha_bar_k) ( alpha_bar_k C + (1 - alpha_bar_k) I )^-1
//! ```
//!
//! and the `mean` step with it is the Wiener filter. With the eigenvectors U of C this is itself a DRFM of d features in
//! the limit of small weights: W = s U, b = 0, sin(s U' x) = s U' x, theta2 = U' / s, and the gate of feature i at
//! timestep k is its eigenvalue of `L_k`. So the sum with Eq. 20 is a DRFM of N + d features, d of which are not
//! random. It is kept apart because this form needs d numbers in a file instead of 2 d^2, and loses no digits to s.

use crate::diffusion::Schedule;

/// `L_k` for every timestep.
#[derive(Clone, Debug, PartialEq)]
pub struct LinearPart {
    window: usize,
    /// `L_k` of timestep k at `(k - 1) d^2`; symmetric, d x d.
    matrices: Vec<f32>,
    /// The lower Cholesky factor F of C, d x d.
    factor: Vec<f32>,
}

impl LinearPart {
    /// The linear part for music whose autocorrelation at lags 0 to d - 1 is given (that at lag 0 is its variance).
    /// `None` if it is empty, not finite, or the autocorrelation of no signal.
    #[must_use]
    pub fn new(autocorrelation: &[f32], schedule: &Schedule) -> Option<Self> {
        let d = autocorrelation.len();
        if d == 0 || !is_autocorrelation(autocorrelation) {
            return None;
        }
        let mut matrices = Vec::with_capacity(schedule.timesteps() * d * d);
        for k in 1..=schedule.timesteps() {
            let alpha_bar = schedule.alpha_bar(k);
            let scale = (1.0 - alpha_bar).sqrt();
            let inverse = inverse(&toeplitz(autocorrelation, alpha_bar, 1.0 - alpha_bar), d)?;
            matrices.extend(inverse.iter().map(|v| (v * scale) as f32));
        }
        let factor = cholesky(
            &toeplitz(autocorrelation, 1.0, rounding(autocorrelation)),
            d,
        )?;
        let finite = matrices.iter().all(|v| v.is_finite());
        finite.then_some(Self {
            window: d,
            matrices,
            factor: factor.iter().map(|v| *v as f32).collect(),
        })
    }

    /// `L_k`, d x d, symmetric; timesteps outside 1 to K are read as the nearest end.
    #[must_use]
    pub fn matrix(&self, k: usize) -> &[f32] {
        let size = self.window * self.window;
        let timesteps = self.matrices.len() / size;
        &self.matrices[(k.clamp(1, timesteps) - 1) * size..][..size]
    }

    /// Adds `L_k x` to `out`; both have d values. Never allocates.
    pub fn add_to(&self, x: &[f32], k: usize, out: &mut [f32]) {
        debug_assert!(x.len() == self.window && out.len() == self.window);
        for (x, row) in x.iter().zip(self.matrix(k).chunks_exact(self.window)) {
            for (o, l) in out.iter_mut().zip(row) {
                *o += x * l;
            }
        }
    }

    /// Writes `F' x` to `out`, where `F F' = C`; both have d values. Random weights of equal variance behind it are
    /// weights of covariance C before it. Never allocates.
    pub fn colour_into(&self, x: &[f32], out: &mut [f32]) {
        debug_assert!(x.len() == self.window && out.len() == self.window);
        out.fill(0.0);
        for (j, (x, row)) in x
            .iter()
            .zip(self.factor.chunks_exact(self.window))
            .enumerate()
        {
            for (o, f) in out.iter_mut().zip(&row[..=j]) {
                *o += x * f;
            }
        }
    }
}

/// What is added to the diagonal, at lag 0, before a matrix is called positive: rounding in single precision.
fn rounding(lags: &[f32]) -> f64 {
    1e-6 * lags.first().map_or(0.0, |v| f64::from(*v))
}

/// Whether some signal has this autocorrelation: its Toeplitz matrix is positive, up to rounding.
fn is_autocorrelation(lags: &[f32]) -> bool {
    rounding(lags) > 0.0
        && lags.iter().all(|v| v.is_finite())
        && cholesky(&toeplitz(lags, 1.0, rounding(lags)), lags.len()).is_some()
}

/// `scale T + diagonal I`, n x n.
fn toeplitz(lags: &[f32], scale: f64, diagonal: f64) -> Vec<f64> {
    let n = lags.len();
    let mut matrix = Vec::with_capacity(n * n);
    for i in 0..n {
        for j in 0..n {
            let extra = if i == j { diagonal } else { 0.0 };
            matrix.push(scale * f64::from(lags[i.abs_diff(j)]) + extra);
        }
    }
    matrix
}

/// The lower factor of a symmetric matrix; `None` if it is not positive definite.
fn cholesky(matrix: &[f64], n: usize) -> Option<Vec<f64>> {
    let mut lower = matrix.to_vec();
    for i in 0..n {
        let (above, row) = lower.split_at_mut(i * n);
        for j in 0..=i {
            let column = if j < i { &above[j * n..j * n + n] } else { &[] };
            let sum: f64 = row[..j].iter().zip(column).map(|(a, b)| a * b).sum();
            if j < i {
                row[j] = (row[j] - sum) / column[j];
            } else {
                let square = row[i] - row[..i].iter().map(|a| a * a).sum::<f64>();
                // NaN must fail too.
                if square > 0.0 {
                    row[i] = square.sqrt();
                } else {
                    return None;
                }
            }
        }
    }
    Some(lower)
}

/// The inverse of a positive definite matrix.
fn inverse(matrix: &[f64], n: usize) -> Option<Vec<f64>> {
    let lower = cholesky(matrix, n)?;
    let mut result = vec![0.0; n * n];
    let mut column = vec![0.0; n];
    for c in 0..n {
        for i in 0..n {
            let sum: f64 = lower[i * n..i * n + i]
                .iter()
                .zip(&column)
                .map(|(l, y)| l * y)
                .sum();
            let unit = if i == c { 1.0 } else { 0.0 };
            column[i] = (unit - sum) / lower[i * n + i];
        }
        for i in (0..n).rev() {
            let sum: f64 = (i + 1..n).map(|j| lower[j * n + i] * column[j]).sum();
            column[i] = (column[i] - sum) / lower[i * n + i];
        }
        // The inverse is symmetric: a column is a row.
        result[c * n..(c + 1) * n].copy_from_slice(&column);
    }
    Some(result)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn matrices_solve_their_equation() {
        let lags: Vec<f32> = (0..12)
            .map(|l| (l as f32 * 0.3).cos() * 0.95f32.powi(l))
            .collect();
        let schedule = Schedule::log_snr(4, 30.0, -30.0).unwrap();
        let linear = LinearPart::new(&lags, &schedule).unwrap();
        for k in 1..=4 {
            let alpha_bar = schedule.alpha_bar(k);
            let covariance = toeplitz(&lags, alpha_bar, 1.0 - alpha_bar);
            for row in 0..12 {
                // x is a row of the covariance of x_k, so L_k x is a unit vector times sqrt(1 - alpha_bar).
                let x: Vec<f32> = covariance[row * 12..][..12]
                    .iter()
                    .map(|v| *v as f32)
                    .collect();
                let mut out = vec![0.0; 12];
                linear.add_to(&x, k, &mut out);
                for (i, o) in out.iter().enumerate() {
                    let want = if i == row {
                        (1.0 - alpha_bar).sqrt() as f32
                    } else {
                        0.0
                    };
                    assert!((o - want).abs() < 1e-3, "{k} {row} {i} {o}");
                }
            }
        }
    }

    #[test]
    fn coloured_weights_have_the_covariance_of_the_music() {
        let lags: Vec<f32> = (0..6).map(|l| 0.8f32.powi(l)).collect();
        let schedule = Schedule::log_snr(1, 0.0, 0.0).unwrap();
        let linear = LinearPart::new(&lags, &schedule).unwrap();
        let columns: Vec<Vec<f32>> = (0..6)
            .map(|i| {
                let mut unit = vec![0.0; 6];
                unit[i] = 1.0;
                let mut out = vec![0.0; 6];
                linear.colour_into(&unit, &mut out);
                out
            })
            .collect();
        for i in 0..6 {
            for j in 0..6 {
                let c: f32 = columns[i].iter().zip(&columns[j]).map(|(a, b)| a * b).sum();
                assert!((c - lags[i.abs_diff(j)]).abs() < 1e-5);
            }
        }
    }

    #[test]
    fn white_music_is_scaled() {
        let schedule = Schedule::log_snr(3, 10.0, -10.0).unwrap();
        let linear = LinearPart::new(&[1.0, 0.0, 0.0, 0.0], &schedule).unwrap();
        let mut out = [0.0; 4];
        linear.add_to(&[1.0, -2.0, 0.5, 0.0], 2, &mut out);
        let gain = 0.5f32.sqrt();
        for (o, x) in out.iter().zip([1.0, -2.0, 0.5, 0.0]) {
            assert!((o - gain * x).abs() < 1e-6);
        }
    }

    #[test]
    fn what_is_no_autocorrelation_is_refused() {
        let schedule = Schedule::log_snr(3, 10.0, -10.0).unwrap();
        for lags in [
            &[][..],
            &[0.0, 0.0],
            &[1.0, 1.1],
            &[1.0, f32::NAN],
            &[-1.0, 0.0],
        ] {
            assert!(LinearPart::new(lags, &schedule).is_none());
        }
        // A pure tone lies on the edge of what is possible.
        let tone: Vec<f32> = (0..64).map(|l| (l as f32 * 0.05).cos()).collect();
        assert!(LinearPart::new(&tone, &schedule).is_some());
    }
}

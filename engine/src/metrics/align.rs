//! Finding and taking back the delay of a denoiser that does not tell it.

use realfft::RealFftPlanner;
use realfft::num_complex::Complex32;

/// The delay of `estimate` against `reference` in samples (negative: it is early), up to `most` either way: where their
/// cross-correlation is largest in magnitude. 0 if one of them is silent.
#[must_use]
pub fn delay_samples(reference: &[f32], estimate: &[f32], most: usize) -> isize {
    let n = (reference.len().max(estimate.len()) + most)
        .max(2)
        .next_power_of_two();
    let mut planner = RealFftPlanner::<f32>::new();
    let forward = planner.plan_fft_forward(n);
    let spectrum = |x: &[f32]| -> Option<Vec<Complex32>> {
        let mut padded = vec![0.0; n];
        for (p, x) in padded.iter_mut().zip(x) {
            *p = if x.is_finite() { *x } else { 0.0 };
        }
        let mut out = forward.make_output_vec();
        forward.process(&mut padded, &mut out).ok()?;
        Some(out)
    };
    let (Some(r), Some(mut e)) = (spectrum(reference), spectrum(estimate)) else {
        return 0;
    };
    for (e, r) in e.iter_mut().zip(&r) {
        *e *= r.conj();
    }
    // The first and the last number of a real signal's spectrum are real; rounding must not make them otherwise.
    if let Some(first) = e.first_mut() {
        first.im = 0.0;
    }
    if let Some(last) = e.last_mut() {
        last.im = 0.0;
    }
    let mut correlation = vec![0.0; n];
    if planner
        .plan_fft_inverse(n)
        .process(&mut e, &mut correlation)
        .is_err()
    {
        return 0;
    }
    let most = most.min(n / 2 - 1) as isize;
    let mut best = (0, 0.0f32);
    for lag in -most..=most {
        let value = correlation
            .get(lag.rem_euclid(n as isize) as usize)
            .map_or(0.0, |c| c.abs());
        if value > best.1 {
            best = (lag, value);
        }
    }
    best.0
}

/// `estimate` with a delay taken back, as long as `length`, silence where nothing is known.
#[must_use]
pub fn shifted(estimate: &[f32], delay_samples: isize, length: usize) -> Vec<f32> {
    (0..length as isize)
        .map(|i| {
            usize::try_from(i + delay_samples)
                .ok()
                .and_then(|i| estimate.get(i))
                .copied()
                .unwrap_or(0.0)
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rng::StableRng;

    #[test]
    fn delays_are_found_and_taken_back() {
        let mut rng = StableRng::new(1, 0);
        let x: Vec<f32> = (0..5000).map(|_| rng.normal() as f32).collect();
        for delay in [-300isize, -1, 0, 1, 700] {
            let late = shifted(&x, -delay, 5000);
            let noisy: Vec<f32> = late.iter().map(|v| -0.5 * v).collect();
            assert_eq!(delay_samples(&x, &noisy, 1000), delay);
            let back = shifted(&late, delay, 5000);
            assert_eq!(back[1000..4000], x[1000..4000]);
        }
        assert_eq!(delay_samples(&x, &[0.0; 100], 1000), 0);
        assert_eq!(delay_samples(&[], &[], 1000), 0);
        assert_eq!(shifted(&x, 0, 0).len(), 0);
    }
}

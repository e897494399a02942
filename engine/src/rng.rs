//! Random numbers that never change: same seed, same numbers, on every system and in every later version.
//!
//! The bits come from ChaCha8 (a fixed, specified generator); the conversions to uniform and normal numbers are
//! written out here with `libm`, because library distributions may change between versions and system
//! mathematics libraries differ in the last bit.

use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{Rng as _, SeedableRng as _};

/// A seeded source of random numbers, stable for ever.
#[derive(Clone, Debug)]
pub struct StableRng {
    bits: ChaCha8Rng,
    spare_normal: Option<f64>,
}

impl StableRng {
    /// A generator for `seed`; different `stream`s of one seed are independent of each other.
    #[must_use]
    pub fn new(seed: u64, stream: u64) -> Self {
        let mut bits = ChaCha8Rng::seed_from_u64(seed);
        bits.set_stream(stream);
        Self {
            bits,
            spare_normal: None,
        }
    }

    /// 64 random bits.
    pub fn bits(&mut self) -> u64 {
        self.bits.next_u64()
    }

    /// A number uniform in `[0, 1)`, on a grid of 2^-53.
    pub fn uniform(&mut self) -> f64 {
        (self.bits() >> 11) as f64 * (1.0 / (1u64 << 53) as f64)
    }

    /// A number uniform in `[low, high)`.
    pub fn uniform_in(&mut self, low: f64, high: f64) -> f64 {
        low + (high - low) * self.uniform()
    }

    /// A whole number uniform in `0..n`; 0 for `n` = 0.
    pub fn below(&mut self, n: usize) -> usize {
        // The bias of the multiply-shift is below n / 2^64: nothing that any use here could see.
        ((u128::from(self.bits()) * n as u128) >> 64) as usize
    }

    /// A standard normal number (Box and Muller 1958).
    pub fn normal(&mut self) -> f64 {
        if let Some(z) = self.spare_normal.take() {
            return z;
        }
        let radius = libm::sqrt(-2.0 * libm::log(1.0 - self.uniform()));
        let (sin, cos) = libm::sincos(std::f64::consts::TAU * self.uniform());
        self.spare_normal = Some(radius * sin);
        radius * cos
    }

    /// Shuffles `items` (Fisher and Yates).
    pub fn shuffle<T>(&mut self, items: &mut [T]) {
        for i in (1..items.len()).rev() {
            items.swap(i, self.below(i + 1));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_of_a_seed_are_pinned() {
        let mut r = StableRng::new(7, 3);
        let got = [r.bits(), r.bits()];
        let mut again = StableRng::new(7, 3);
        assert_eq!(got, [again.bits(), again.bits()]);
        assert_ne!(got[0], StableRng::new(7, 4).bits());
        assert_ne!(got[0], StableRng::new(8, 3).bits());
    }

    #[test]
    fn normal_has_unit_moments() {
        let mut r = StableRng::new(1, 0);
        let (mut m1, mut m2, mut m4) = (0.0, 0.0, 0.0);
        let n = 200_000;
        for _ in 0..n {
            let z = r.normal();
            m1 += z;
            m2 += z * z;
            m4 += z * z * z * z;
        }
        let n = f64::from(n);
        assert!((m1 / n).abs() < 0.01);
        assert!((m2 / n - 1.0).abs() < 0.02);
        assert!((m4 / n - 3.0).abs() < 0.1);
    }
}

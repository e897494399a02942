//! Sine and cosine of whole slices: fast, and the same bits on every system.
//!
//! System mathematics libraries differ in the last bit and compute one number at a time; this is a polynomial the
//! compiler vectorises. Arguments beyond +-65536 radians, where `f32` is too coarse for an angle, are held there.

/// Largest |angle|, in radians, that is told apart.
const LIMIT: f32 = 65_536.0;
/// 1.5 * 2^23: adding and subtracting it rounds to a whole number.
const ROUND: f32 = 12_582_912.0;
/// pi in three parts; the first two are short, so that small multiples of them are exact (Cody and Waite 1980).
const PI_HIGH: f32 = 3.140_625;
const PI_MIDDLE: f32 = 9.675_026e-4;
const PI_LOW: f32 = 1.509_958e-7;

/// Sine of one angle in radians; absolute error below 2e-7 for |x| <= 256, and below 1e-5 up to the limit. NaN gives NaN.
#[must_use]
#[inline]
pub fn sine(x: f32) -> f32 {
    let x = x.clamp(-LIMIT, LIMIT);
    let turns = x * std::f32::consts::FRAC_1_PI + ROUND;
    // The lowest bit of the rounded number of half turns decides the sign.
    let sign = turns.to_bits() << 31;
    let n = turns - ROUND;
    let r = ((x - n * PI_HIGH) - n * PI_MIDDLE) - n * PI_LOW;
    let r2 = r * r;
    // Minimax polynomial of odd degree 9 on [-pi/2, pi/2].
    let p = 2.608_316e-6;
    let p = p * r2 - 1.981_069e-4;
    let p = p * r2 + 8.333_079e-3;
    let p = p * r2 - 1.666_666e-1;
    let s = r + r * (r2 * p);
    f32::from_bits(s.to_bits() ^ sign)
}

/// Replaces every angle (radians) by its [`sine`].
pub fn sine_in_place(angles: &mut [f32]) {
    for x in angles {
        *x = sine(*x);
    }
}

/// Replaces every angle (radians) by its cosine; accuracy as [`sine`].
pub fn cosine_in_place(angles: &mut [f32]) {
    for x in angles {
        // cos x = sin(pi/2 - |x|); |x| keeps the function exactly even.
        *x = sine(std::f32::consts::FRAC_PI_2 - x.abs());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn agrees_with_double_precision() {
        let (mut near, mut far, mut cos_near) = (0.0f64, 0.0f64, 0.0f64);
        for i in -100_000..100_000 {
            let x = i as f32 * 2.56e-3;
            near = near.max((f64::from(sine(x)) - f64::from(x).sin()).abs());
            let mut c = [x];
            cosine_in_place(&mut c);
            // The shift by pi/2 is rounded once: half a unit in the last place of x.
            let slack = f64::from(x.abs()) * 6e-8;
            cos_near = cos_near.max((f64::from(c[0]) - f64::from(x).cos()).abs() - slack);
            let x = i as f32 * 0.64;
            far = far.max((f64::from(sine(x)) - f64::from(x).sin()).abs());
        }
        assert!(near < 2e-7, "{near}");
        assert!(cos_near < 3e-7, "{cos_near}");
        assert!(far < 1e-5, "{far}");
    }

    #[test]
    fn special_arguments() {
        assert_eq!(sine(0.0).to_bits(), 0);
        assert!(sine(f32::NAN).is_nan());
        for x in [f32::INFINITY, -f32::INFINITY, 1e30, -1e9] {
            assert!(sine(x).abs() <= 1.0);
        }
    }
}

//! The exponential integral that the log-spectral gain needs.

/// Euler's constant.
const EULER_GAMMA: f64 = 0.577_215_664_901_532_9;

/// E1(x) = integral of exp(-t)/t for t from x to infinity (Abramowitz and Stegun 1964, chapter 5).
///
/// Relative error below 1e-12 for x > 0; infinite at 0, NaN below 0, 0 for very large x.
#[must_use]
pub fn exponential_integral_e1(x: f64) -> f64 {
    if x.is_nan() || x < 0.0 {
        return f64::NAN;
    }
    if x == 0.0 {
        return f64::INFINITY;
    }
    if x < 1.0 {
        series(x)
    } else {
        continued_fraction(x)
    }
}

/// Equation 5.1.11: -gamma - ln x - sum of (-x)^n / (n n!).
fn series(x: f64) -> f64 {
    let mut term = 1.0;
    let mut sum = 0.0;
    for n in 1..40 {
        let n = f64::from(n);
        term *= -x / n;
        let part = term / n;
        sum -= part;
        if part.abs() < 1e-17 {
            break;
        }
    }
    sum - EULER_GAMMA - x.ln()
}

/// Equation 5.1.22 in its even form, summed by the modified Lentz method.
fn continued_fraction(x: f64) -> f64 {
    let mut b = x + 1.0;
    let mut c = f64::MAX;
    let mut d = 1.0 / b;
    let mut h = d;
    for n in 1..200 {
        let n = f64::from(n);
        let a = -n * n;
        b += 2.0;
        d = 1.0 / (a * d + b);
        c = b + a / c;
        let step = c * d;
        h *= step;
        if (step - 1.0).abs() < 1e-15 {
            break;
        }
    }
    h * (-x).exp()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// E1(x) = exp(-x) * integral of exp(-x u)/(1+u) over u > 0, by Simpson's rule after u = exp(s).
    fn numerical(x: f64) -> f64 {
        let (low, high, steps) = (-45.0f64, 12.0f64, 40_000);
        let h = (high - low) / f64::from(steps);
        let f = |s: f64| {
            let u = s.exp();
            (-x * u).exp() / (1.0 + u) * u
        };
        let sum: f64 = (0..=steps)
            .map(|i| {
                let weight = match i {
                    0 => 1.0,
                    i if i == steps => 1.0,
                    i if i % 2 == 1 => 4.0,
                    _ => 2.0,
                };
                weight * f(low + h * f64::from(i))
            })
            .sum();
        sum * h / 3.0 * (-x).exp()
    }

    #[test]
    fn agrees_with_a_numerical_integral() {
        for x in [
            1e-3, 0.01, 0.1, 0.5, 0.999, 1.0, 1.001, 2.0, 5.0, 20.0, 100.0,
        ] {
            let (got, want) = (exponential_integral_e1(x), numerical(x));
            assert!((got / want - 1.0).abs() < 1e-9, "{x}: {got} {want}");
        }
    }

    #[test]
    fn agrees_with_printed_tables() {
        for (x, want) in [
            (0.5, 0.559_773_594_776_160_8),
            (1.0, 0.219_383_934_395_520_3),
            (2.0, 0.048_900_510_708_061_12),
            (10.0, 4.156_968_929_685_324e-6),
        ] {
            assert!((exponential_integral_e1(x) / want - 1.0).abs() < 1e-12);
        }
    }

    #[test]
    fn the_ends_are_defined() {
        assert_eq!(exponential_integral_e1(0.0), f64::INFINITY);
        assert_eq!(exponential_integral_e1(1e4), 0.0);
        assert!(exponential_integral_e1(-1.0).is_nan());
        assert!(exponential_integral_e1(1e-300).is_finite());
    }
}

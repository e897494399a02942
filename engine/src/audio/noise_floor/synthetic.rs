//! Made-up noises of many kinds: hiss, rumble, wind, fans. Not hum and whistles: what stands still and alone may be a long note
//! (see `noise_lines.rs`).

use realfft::RealFftPlanner;
use realfft::num_complex::Complex32;

use crate::rng::StableRng;

/// Octaves from 20 Hz to half of the highest rate.
const OCTAVES: f64 = 10.3;
const LOWEST_HZ: f64 = 20.0;

fn octave(hz: f64) -> f64 {
    libm::log2(hz.max(8.0) / LOWEST_HZ)
}

/// The value at `x` in units of the distance between `knots`, held at the ends.
fn interpolate(knots: &[f64], x: f64) -> f64 {
    let x = x.clamp(0.0, (knots.len() - 1) as f64);
    let i = (x as usize).min(knots.len().saturating_sub(2));
    let next = knots.get(i + 1).unwrap_or(&knots[i]);
    knots[i] + (x - i as f64) * (next - knots[i])
}

/// A noise of unit variance that is like no other.
#[must_use]
pub fn noise(rate_hz: u32, n: usize, rng: &mut StableRng) -> Vec<f32> {
    let envelope = envelope(rng);
    let mut y = coloured(rate_hz, n, &envelope, rng);
    to_unit_variance(&mut y);
    if rng.uniform() < 0.15 {
        let every = rng.uniform_in(0.2, 2.0);
        let gains: Vec<f64> = (0..(n as f64 / f64::from(rate_hz) / every) as usize + 2)
            .map(|_| 6.0 * rng.normal())
            .collect();
        apply_db(&mut y, |i| {
            interpolate(&gains, i as f64 / f64::from(rate_hz) / every)
        });
    }
    to_unit_variance(&mut y);
    y
}

/// A spectrum in dB as a function of octaves above 20 Hz.
struct Envelope {
    slope: f64,
    knots: Vec<f64>,
    /// Height, place and width of humps.
    humps: Vec<[f64; 3]>,
    /// A slope below a corner, as microphones and rumble filters have.
    low_cut: Option<[f64; 2]>,
    /// Height, corner and steepness of rumble.
    rumble: Option<[f64; 3]>,
}

fn envelope(rng: &mut StableRng) -> Envelope {
    let plain = rng.uniform() < 0.25;
    let deviation = if plain { 0.0 } else { 5.0 * rng.uniform() };
    let mut level = 0.0;
    let knots = (0..18)
        .map(|_| {
            level += deviation * rng.normal();
            level
        })
        .collect();
    let humps = if plain { 0 } else { rng.below(4) };
    Envelope {
        slope: if rng.uniform() < 0.6 {
            rng.uniform_in(-9.0, 1.0)
        } else {
            0.0
        },
        knots,
        humps: (0..humps)
            .map(|_| {
                let place = if rng.uniform() < 0.7 {
                    rng.uniform_in(0.0, 6.0)
                } else {
                    rng.uniform_in(4.0, 9.5)
                };
                [
                    rng.uniform_in(0.0, 35.0),
                    place,
                    libm::exp10(rng.uniform_in(-1.1, 0.2)),
                ]
            })
            .collect(),
        low_cut: (rng.uniform() < 0.5)
            .then(|| [rng.uniform_in(-1.0, 2.0), rng.uniform_in(6.0, 36.0)]),
        rumble: (rng.uniform() < 0.3).then(|| {
            [
                rng.uniform_in(10.0, 40.0),
                rng.uniform_in(1.0, 5.0),
                rng.uniform_in(2.0, 6.0),
            ]
        }),
    }
}

impl Envelope {
    fn db(&self, octave: f64) -> f64 {
        let mut db = self.slope * octave
            + interpolate(
                &self.knots,
                octave / OCTAVES * (self.knots.len() - 1) as f64,
            );
        for [height, place, width] in &self.humps {
            db += height * libm::exp(-0.5 * ((octave - place) / width).powi(2));
        }
        if let Some([corner, slope]) = self.low_cut {
            db += ((octave - corner) * slope).min(0.0);
        }
        if let Some([height, corner, steepness]) = self.rumble {
            db += height / (1.0 + libm::exp((octave - corner) * steepness));
        }
        db
    }
}

/// Gaussian noise with an envelope, of which one to four bands come and go each for itself.
fn coloured(rate_hz: u32, n: usize, envelope: &Envelope, rng: &mut StableRng) -> Vec<f32> {
    let mut planner = RealFftPlanner::<f32>::new();
    let forward = planner.plan_fft_forward(n);
    let backward = planner.plan_fft_inverse(n);
    let mut white: Vec<f32> = (0..n).map(|_| rng.normal() as f32).collect();
    let mut spectrum = forward.make_output_vec();
    // Lengths are the plan's own: these calls cannot fail.
    let _ = forward.process(&mut white, &mut spectrum);
    let bands = 1 + rng.below(4);
    let moves_db = if rng.uniform() < 0.6 {
        rng.uniform_in(0.0, 6.0)
    } else {
        0.0
    };
    let seconds = libm::exp10(rng.uniform_in(-1.0, 0.5));
    let mut sum = vec![0.0f32; n];
    for band in 0..bands {
        let mut part: Vec<Complex32> = spectrum
            .iter()
            .enumerate()
            .map(|(k, y)| {
                let octave = octave(k as f64 * f64::from(rate_hz) / n as f64);
                let place = octave.clamp(0.0, OCTAVES) / OCTAVES * (bands - 1) as f64;
                let weight = (1.0 - (place - band as f64).abs()).max(0.0);
                y * (weight * libm::exp10(envelope.db(octave) / 20.0)) as f32
            })
            .collect();
        if let Some(first) = part.first_mut() {
            *first = Complex32::default();
        }
        if let Some(last) = part.last_mut() {
            last.im = 0.0;
        }
        let mut y = backward.make_output_vec();
        let _ = backward.process(&mut part, &mut y);
        if moves_db > 0.0 {
            let step = 0.02;
            let keep = libm::exp(-step / seconds);
            let mut level = rng.normal();
            let gains: Vec<f64> = (0..(n as f64 / f64::from(rate_hz) / step) as usize + 2)
                .map(|_| {
                    level = keep * level + libm::sqrt(1.0 - keep * keep) * rng.normal();
                    moves_db * level
                })
                .collect();
            apply_db(&mut y, |i| {
                interpolate(&gains, i as f64 / f64::from(rate_hz) / step)
            });
        }
        for (s, y) in sum.iter_mut().zip(y) {
            *s += y;
        }
    }
    sum
}

/// Multiplies by a gain in dB that depends on the sample and changes slowly.
fn apply_db(y: &mut [f32], db: impl Fn(usize) -> f64) {
    for (block, samples) in y.chunks_mut(64).enumerate() {
        let gain = libm::exp10(db(64 * block) / 20.0) as f32;
        for y in samples {
            *y *= gain;
        }
    }
}

fn to_unit_variance(y: &mut [f32]) {
    let power = y.iter().map(|x| f64::from(*x).powi(2)).sum::<f64>() / y.len().max(1) as f64;
    if power > 0.0 {
        let gain = (1.0 / libm::sqrt(power)) as f32;
        for y in y {
            *y *= gain;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn noises_have_unit_variance_and_are_all_different() {
        let mut shares = Vec::new();
        for number in 0..12 {
            let y = noise(48_000, 48_000, &mut StableRng::new(3, number));
            assert_eq!(y, noise(48_000, 48_000, &mut StableRng::new(3, number)));
            let power = y.iter().map(|x| x * x).sum::<f32>() / 48_000.0;
            assert!((power - 1.0).abs() < 1e-3, "{power}");
            // How much of it is above 5 kHz or so: the power of the differences.
            let rough = y.windows(2).map(|w| (w[1] - w[0]).powi(2)).sum::<f32>() / 48_000.0;
            shares.push(10.0 * rough.log10());
        }
        shares.sort_by(f32::total_cmp);
        println!("{shares:?}");
        assert!(shares[11] - shares[0] > 15.0, "{shares:?}");
    }
}

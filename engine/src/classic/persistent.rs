//! Persistent empirical Wiener shrinkage (Siedenburg and Doerfler 2013, "Persistent Time-Frequency Shrinkage for
//! Audio Denoising", J. Audio Eng. Soc. 61).

/// Mean of |bin|^2 / noise power over `time` frames x `freq` bins centred on each bin.
///
/// `powers` and the result hold frame after frame of `noise_power.len()` bins. Outside the signal there is silence;
/// beyond the edge bins nothing is counted. Even sizes act as the next smaller odd one.
pub(super) fn neighbourhood_snr(
    powers: &[f32],
    noise_power: &[f32],
    time: usize,
    freq: usize,
) -> Vec<f32> {
    let bins = noise_power.len();
    let whitened: Vec<f32> = powers
        .chunks_exact(bins)
        .flat_map(|frame| {
            let across: Vec<f32> = frame
                .iter()
                .zip(noise_power)
                // Noise of no power: every sound is far above it.
                .map(|(p, n)| (p / n.max(f32::MIN_POSITIVE)).min(1e12))
                .collect();
            let reach = freq.saturating_sub(1) / 2;
            (0..bins).map(move |k| {
                let around = across
                    .iter()
                    .skip(k.saturating_sub(reach))
                    .take(k.min(reach) + 1 + reach);
                let count = around.len();
                around.sum::<f32>() / count as f32
            })
        })
        .collect();
    let reach = time.saturating_sub(1) / 2;
    let mut snr = vec![0.0f32; whitened.len()];
    let scale = 1.0 / (2 * reach + 1) as f32;
    let frames = whitened.len() / bins.max(1);
    for (t, out) in snr.chunks_exact_mut(bins).enumerate() {
        let first = t.saturating_sub(reach);
        let count = (t + reach + 1).min(frames) - first;
        for row in whitened.chunks_exact(bins).skip(first).take(count) {
            for (o, x) in out.iter_mut().zip(row) {
                *o += x * scale;
            }
        }
    }
    snr
}

/// The shrinkage gain max(0, 1 - threshold / snr) for a neighbourhood SNR.
pub(super) fn persistent_gain(snr: f32, threshold: f32) -> f32 {
    if snr > threshold {
        1.0 - threshold / snr
    } else {
        0.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn neighbourhood_is_a_plain_mean() {
        let (frames, bins) = (6usize, 5usize);
        let powers: Vec<f32> = (0..frames * bins).map(|i| (i * i % 17) as f32).collect();
        let noise = [1.0f32, 2.0, 4.0, 0.5, 1.0];
        let got = neighbourhood_snr(&powers, &noise, 3, 3);
        for t in 0..frames as i32 {
            for k in 0..bins as i32 {
                let mut total = 0.0;
                for dt in -1..=1 {
                    let ks: Vec<i32> = (-1..=1)
                        .map(|d| k + d)
                        .filter(|j| (0..5).contains(j))
                        .collect();
                    if (0..6).contains(&(t + dt)) {
                        let row = ((t + dt) * 5) as usize;
                        total += ks
                            .iter()
                            .map(|&j| powers[row + j as usize] / noise[j as usize])
                            .sum::<f32>()
                            / ks.len() as f32;
                    }
                }
                let want = total / 3.0;
                assert!((got[(t * 5 + k) as usize] - want).abs() < 1e-4);
            }
        }
    }

    #[test]
    fn gain_is_zero_below_and_one_far_above_the_threshold() {
        assert_eq!(persistent_gain(0.0, 1.5), 0.0);
        assert_eq!(persistent_gain(1.5, 1.5), 0.0);
        assert_eq!(persistent_gain(3.0, 1.5), 0.5);
        assert!(persistent_gain(1e12, 1.5) > 0.999_999);
    }
}

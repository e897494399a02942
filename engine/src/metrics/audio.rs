//! Measures of an estimate against the clean reference it should equal.
//!
//! All take (reference, estimate), aligned and at the same rate, sum in f64 and never return NaN:
//! - the shorter slice counts as followed by silence;
//! - decibel ratios lie within +-[`LIMIT_DB`]: no error at all gives +[`LIMIT_DB`], also for two silences;
//!   an error against a silent reference, or a sample that is not finite, gives -[`LIMIT_DB`].

use std::ops::Range;

use realfft::RealFftPlanner;

/// Decibel ratios are limited to this, either way.
pub const LIMIT_DB: f64 = 200.0;

/// Segmental SNR: frame length in seconds.
pub const SEGMENT_SECONDS: f64 = 0.03;
/// Segmental SNR: least value of a frame in dB.
pub const SEGMENT_MIN_DB: f64 = -10.0;
/// Segmental SNR: greatest value of a frame in dB.
pub const SEGMENT_MAX_DB: f64 = 35.0;

/// Log-spectral distance: window in samples at 48 kHz.
const SPECTRAL_WINDOW: f64 = 2048.0;
/// Log-spectral distance: bins further than this below the loudest reference bin count as equal.
const SPECTRAL_RANGE_DB: f64 = 80.0;

/// Signal-to-noise ratio in dB: 10 log10( sum r^2 / sum (r - e)^2 ).
#[must_use]
pub fn snr_db(reference: &[f32], estimate: &[f32]) -> f64 {
    let (mut signal, mut error) = (0.0, 0.0);
    for (r, e) in pairs(reference, estimate) {
        signal += r * r;
        error += (r - e) * (r - e);
    }
    ratio_db(signal, error)
}

/// Scale-invariant signal-to-distortion ratio in dB (Le Roux et al. 2019), means not removed:
/// 10 log10( |a r|^2 / |e - a r|^2 ) with a = <e, r> / <r, r>.
#[must_use]
pub fn si_sdr_db(reference: &[f32], estimate: &[f32]) -> f64 {
    let (mut cross, mut energy, mut estimated) = (0.0, 0.0, 0.0);
    for (r, e) in pairs(reference, estimate) {
        cross += r * e;
        energy += r * r;
        estimated += e * e;
    }
    if energy == 0.0 || estimated == 0.0 {
        // No scale can be told: silence is right against silence and wrong against anything else.
        return ratio_db(0.0, energy + estimated);
    }
    let scale = cross / energy;
    let distortion = pairs(reference, estimate)
        .map(|(r, e)| (e - scale * r) * (e - scale * r))
        .sum();
    ratio_db(scale * scale * energy, distortion)
}

/// Segmental SNR in dB (Quackenbush et al. 1988): the SNR of frames of 30 ms side by side, each limited to
/// -10..35 dB, averaged. Frames where both are silent are left out; a frame that is silent in the reference only
/// counts -10 dB. The samples that do not fill a last frame are left out unless they are all there is.
/// Nothing to average gives 35 dB.
#[must_use]
pub fn segmental_snr_db(reference: &[f32], estimate: &[f32], rate_hz: u32) -> f64 {
    let frame = ((f64::from(rate_hz) * SEGMENT_SECONDS).round() as usize).max(1);
    let total = reference.len().max(estimate.len());
    let frames = (total / frame).max(1);
    let (mut sum, mut count) = (0.0, 0usize);
    for t in 0..frames {
        let (mut signal, mut error) = (0.0, 0.0);
        // A signal shorter than one frame is measured as a whole.
        let range = t * frame..((t + 1) * frame).min(total);
        for (r, e) in pairs_in(reference, estimate, range) {
            signal += r * r;
            error += (r - e) * (r - e);
        }
        if signal != 0.0 || error != 0.0 {
            sum += ratio_db(signal, error).clamp(SEGMENT_MIN_DB, SEGMENT_MAX_DB);
            count += 1;
        }
    }
    if count == 0 {
        SEGMENT_MAX_DB
    } else {
        sum / count as f64
    }
}

/// Log-spectral distance in dB: per frame the root mean square over the bins of
/// 10 log10 |R|^2 - 10 log10 |E|^2, averaged over the frames. 0 is best.
///
/// Hann window of 2048 samples every 512 at 48 kHz (the same durations at other rates), whole frames only, one
/// frame filled up with silence for shorter signals. Powers are floored 80 dB below the greatest bin of the
/// reference (of the estimate where the reference is silent), so the greatest possible distance is about 80 dB
/// plus what the estimate exceeds the reference by. Two silences give 0; samples that are not finite give
/// [`LIMIT_DB`].
#[must_use]
pub fn log_spectral_distance_db(reference: &[f32], estimate: &[f32], rate_hz: u32) -> f64 {
    let (window, hop) = spectral_frames(rate_hz);
    let total = reference.len().max(estimate.len()).max(window);
    if pairs(reference, estimate).any(|(r, e)| !r.is_finite() || !e.is_finite()) {
        return LIMIT_DB;
    }
    let reference = frame_powers(reference, total, window, hop);
    let estimate = frame_powers(estimate, total, window, hop);
    let greatest = |powers: &[f64]| powers.iter().copied().fold(0.0, f64::max);
    let top = match greatest(&reference) {
        0.0 => greatest(&estimate),
        top => top,
    };
    if top == 0.0 {
        return 0.0;
    }
    let floor = top * 10f64.powf(-SPECTRAL_RANGE_DB / 10.0);
    let bins = window / 2 + 1;
    let (mut sum, mut count) = (0.0, 0usize);
    for (r, e) in reference
        .chunks_exact(bins)
        .zip(estimate.chunks_exact(bins))
    {
        let mean = r
            .iter()
            .zip(e)
            .map(|(r, e)| (10.0 * (r.max(floor) / e.max(floor)).log10()).powi(2))
            .sum::<f64>()
            / bins as f64;
        sum += mean.sqrt();
        count += 1;
    }
    sum / count.max(1) as f64
}

/// Window and hop of the spectral measures in samples: 2048 and 512 at 48 kHz, the same durations at other rates.
pub(super) fn spectral_frames(rate_hz: u32) -> (usize, usize) {
    let hop = ((SPECTRAL_WINDOW / 4.0 * f64::from(rate_hz) / 48_000.0).round() as usize).max(1);
    (4 * hop, hop)
}

/// |FFT|^2 of the whole Hann-windowed frames of a signal followed by silence up to `total` samples.
pub(super) fn frame_powers(samples: &[f32], total: usize, window: usize, hop: usize) -> Vec<f64> {
    let transform = RealFftPlanner::<f64>::new().plan_fft_forward(window);
    let hann: Vec<f64> = (0..window)
        .map(|i| 0.5 - 0.5 * (std::f64::consts::TAU * i as f64 / window as f64).cos())
        .collect();
    let mut frame = transform.make_input_vec();
    let mut bins = transform.make_output_vec();
    let mut scratch = transform.make_scratch_vec();
    let frames = (total - window) / hop + 1;
    let mut powers = Vec::with_capacity(frames * bins.len());
    for t in 0..frames {
        frame.fill(0.0);
        let source = samples.iter().skip(t * hop);
        for ((f, w), x) in frame.iter_mut().zip(&hann).zip(source) {
            *f = w * f64::from(*x);
        }
        // The buffers come from the transform itself, so their lengths cannot be wrong.
        if transform
            .process_with_scratch(&mut frame, &mut bins, &mut scratch)
            .is_ok()
        {
            powers.extend(bins.iter().map(|b| b.norm_sqr()));
        }
    }
    powers
}

/// The samples of both slices side by side, the shorter one followed by zeros.
fn pairs<'a>(
    reference: &'a [f32],
    estimate: &'a [f32],
) -> impl Iterator<Item = (f64, f64)> + use<'a> {
    pairs_in(reference, estimate, 0..reference.len().max(estimate.len()))
}

/// The samples of both slices in `range`, zeros beyond their ends.
fn pairs_in<'a>(
    reference: &'a [f32],
    estimate: &'a [f32],
    range: Range<usize>,
) -> impl Iterator<Item = (f64, f64)> + use<'a> {
    let at = |slice: &[f32], i: usize| f64::from(slice.get(i).copied().unwrap_or(0.0));
    range.map(move |i| (at(reference, i), at(estimate, i)))
}

/// 10 log10(signal / error) within +-[`LIMIT_DB`], by the conventions of this module.
fn ratio_db(signal: f64, error: f64) -> f64 {
    if !signal.is_finite() || !error.is_finite() {
        -LIMIT_DB
    } else if error == 0.0 {
        LIMIT_DB
    } else if signal == 0.0 {
        -LIMIT_DB
    } else {
        (10.0 * (signal / error).log10()).clamp(-LIMIT_DB, LIMIT_DB)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rng::StableRng;

    fn noise(n: usize, stream: u64, gain: f64) -> Vec<f32> {
        let mut rng = StableRng::new(9, stream);
        (0..n).map(|_| (gain * rng.normal()) as f32).collect()
    }

    fn energy(x: &[f64]) -> f64 {
        x.iter().map(|v| v * v).sum()
    }

    fn wide(x: &[f32]) -> Vec<f64> {
        x.iter().copied().map(f64::from).collect()
    }

    #[test]
    fn snr_agrees_with_its_definition() {
        let r = noise(1000, 0, 1.0);
        let n = noise(1000, 1, 0.1);
        let e: Vec<f32> = r.iter().zip(&n).map(|(a, b)| a + b).collect();
        let error: Vec<f64> = wide(&r).iter().zip(wide(&e)).map(|(a, b)| a - b).collect();
        let want = 10.0 * (energy(&wide(&r)) / energy(&error)).log10();
        assert!((snr_db(&r, &e) - want).abs() < 1e-9);
        assert!((want - 20.0).abs() < 1.0);
    }

    #[test]
    fn si_sdr_ignores_gain_and_sign_and_nothing_else() {
        let r = noise(1000, 0, 1.0);
        let n = noise(1000, 1, 0.1);
        let e: Vec<f32> = r.iter().zip(&n).map(|(a, b)| a + b).collect();
        let base = si_sdr_db(&r, &e);
        for gain in [0.125f32, 4.0, -2.0] {
            let scaled: Vec<f32> = e.iter().map(|x| gain * x).collect();
            assert!((si_sdr_db(&r, &scaled) - base).abs() < 1e-6);
        }
        let (r, e) = (wide(&r), wide(&e));
        let a = r.iter().zip(&e).map(|(x, y)| x * y).sum::<f64>() / energy(&r);
        let target: Vec<f64> = r.iter().map(|x| a * x).collect();
        let rest: Vec<f64> = e.iter().zip(&target).map(|(x, y)| x - y).collect();
        assert!((base - 10.0 * (energy(&target) / energy(&rest)).log10()).abs() < 1e-9);
    }

    #[test]
    fn segmental_snr_agrees_with_its_definition() {
        let mut r = noise(10_000, 0, 1.0);
        r[..3000].fill(0.0);
        let mut e: Vec<f32> = r
            .iter()
            .zip(noise(10_000, 1, 0.1))
            .map(|(a, b)| a + b)
            .collect();
        e[..960].fill(0.0);
        e[5280..5760].copy_from_slice(&r[5280..5760]);
        // 480 samples a frame at 16 kHz: two silent frames, some against silence, one perfect.
        let mut values = Vec::new();
        for t in 0..20 {
            let range = t * 480..(t + 1) * 480;
            let s = energy(&wide(&r[range.clone()]));
            let d: Vec<f64> = range.map(|i| f64::from(r[i]) - f64::from(e[i])).collect();
            if s == 0.0 && energy(&d) == 0.0 {
                continue;
            }
            values.push((10.0 * (s / energy(&d)).log10()).clamp(-10.0, 35.0));
        }
        assert_eq!(values.len(), 18);
        let want = values.iter().sum::<f64>() / values.len() as f64;
        assert!((segmental_snr_db(&r, &e, 16_000) - want).abs() < 1e-9);
        assert!((segmental_snr_db(&r[4000..4100], &e[4000..4100], 16_000) - 20.0).abs() < 2.0);
    }

    #[test]
    fn log_spectral_distance_agrees_with_a_naive_transform() {
        // 1 kHz: hop 11, window 44.
        let (r, e) = (noise(100, 0, 1.0), noise(100, 1, 0.3));
        let power = |x: &[f32], start: usize, k: usize| {
            let (mut re, mut im) = (0.0, 0.0);
            for i in 0..44 {
                let w = 0.5 - 0.5 * (std::f64::consts::TAU * i as f64 / 44.0).cos();
                let turn = -std::f64::consts::TAU * (i * k) as f64 / 44.0;
                re += w * f64::from(x[start + i]) * turn.cos();
                im += w * f64::from(x[start + i]) * turn.sin();
            }
            re * re + im * im
        };
        let mut frames = Vec::new();
        for start in (0..=56).step_by(11) {
            let square: f64 = (0..23)
                .map(|k| (10.0 * (power(&r, start, k) / power(&e, start, k)).log10()).powi(2))
                .sum();
            frames.push((square / 23.0).sqrt());
        }
        let want = frames.iter().sum::<f64>() / frames.len() as f64;
        assert!((log_spectral_distance_db(&r, &e, 1000) - want).abs() < 1e-6);
    }

    #[test]
    fn log_spectral_distance_of_a_gain_is_the_gain() {
        let r = noise(20_000, 0, 1.0);
        let e: Vec<f32> = r.iter().map(|x| 0.5 * x).collect();
        let want = 20.0 * 2f64.log10();
        assert!((log_spectral_distance_db(&r, &e, 48_000) - want).abs() < 0.01);
    }

    #[test]
    fn silence_and_broken_samples_are_defined() {
        let silence = [0.0f32; 5000];
        let sound = noise(5000, 0, 0.1);
        let mut broken = sound.clone();
        broken[7] = f32::NAN;
        let mut burst = sound.clone();
        burst[7] = f32::INFINITY;
        for ratio in [snr_db, si_sdr_db] {
            assert_eq!(ratio(&silence, &silence), LIMIT_DB);
            assert_eq!(ratio(&[], &[]), LIMIT_DB);
            assert_eq!(ratio(&sound, &sound), LIMIT_DB);
            assert_eq!(ratio(&silence, &sound), -LIMIT_DB);
            assert_eq!(ratio(&sound, &broken), -LIMIT_DB);
            assert_eq!(ratio(&sound, &burst), -LIMIT_DB);
        }
        assert_eq!(snr_db(&sound, &silence), 0.0);
        assert_eq!(si_sdr_db(&sound, &silence), -LIMIT_DB);
        assert_eq!(snr_db(&sound, &sound[..4000]), {
            let mut padded = sound[..4000].to_vec();
            padded.resize(5000, 0.0);
            snr_db(&sound, &padded)
        });
        assert_eq!(segmental_snr_db(&silence, &silence, 48_000), SEGMENT_MAX_DB);
        assert_eq!(segmental_snr_db(&silence, &sound, 48_000), SEGMENT_MIN_DB);
        assert!(segmental_snr_db(&sound, &broken, 48_000).is_finite());
        assert_eq!(segmental_snr_db(&[], &[], 0), SEGMENT_MAX_DB);
        let lsd = log_spectral_distance_db;
        assert_eq!(lsd(&silence, &silence, 48_000), 0.0);
        assert_eq!(lsd(&[], &[], 0), 0.0);
        assert_eq!(lsd(&sound, &sound, 48_000), 0.0);
        assert_eq!(lsd(&sound, &broken, 48_000), LIMIT_DB);
        assert!((60.0..=80.0).contains(&lsd(&silence, &sound, 48_000)));
        assert!((60.0..=80.0).contains(&lsd(&sound, &silence, 48_000)));
        assert!(lsd(&sound[..10], &sound[..9], 48_000).is_finite());
    }
}

use super::*;
use crate::rng::StableRng;

pub(super) const RATE_HZ: u32 = 48_000;

/// Hum of 40 harmonics of a frequency that drifts by 0.05 Hz; power 1.
pub(in crate::audio) fn hum(rate_hz: u32, mains_hz: f64, seconds: f64) -> Vec<f32> {
    let mut rng = StableRng::new(7, 0);
    let lines: Vec<(f64, f64, f64)> = (1..=40)
        .map(|h| {
            let h = f64::from(h);
            (h, 1.0 / h, rng.uniform_in(0.0, std::f64::consts::TAU))
        })
        .collect();
    let mut turn = 0.0;
    let mut x: Vec<f32> = (0..(seconds * f64::from(rate_hz)) as usize)
        .map(|i| {
            let t = i as f64 / f64::from(rate_hz);
            let hz = mains_hz + 0.05 * libm::sin(0.3 * t + 1.0);
            turn += std::f64::consts::TAU * hz / f64::from(rate_hz);
            let line = |(h, a, p): &(f64, f64, f64)| a * libm::sin(h * turn + p);
            lines.iter().map(line).sum::<f64>() as f32
        })
        .collect();
    let scale = libm::sqrtf(1.0 / power(&x) as f32);
    for x in &mut x {
        *x *= scale;
    }
    x
}

pub(super) fn noise(n: usize, scale: f32, seed: u64) -> Vec<f32> {
    let mut rng = StableRng::new(seed, 1);
    (0..n).map(|_| scale * rng.normal() as f32).collect()
}

/// A plucked note every second and a half.
pub(super) fn notes(rate_hz: u32, n: usize, pitches_hz: &[f64]) -> Vec<f32> {
    (0..n)
        .map(|i| {
            let t = i as f64 / f64::from(rate_hz);
            let since = t % 1.5;
            let hz = pitches_hz[(t / 1.5) as usize % pitches_hz.len()];
            let partial = |k: i32| {
                let k = f64::from(k);
                libm::exp(-since * (1.0 + 0.5 * k)) / k
                    * libm::sin(std::f64::consts::TAU * k * hz * since)
            };
            (0.5 * (1..10).map(partial).sum::<f64>()) as f32
        })
        .collect()
}

fn power(x: &[f32]) -> f64 {
    x.iter().map(|x| f64::from(*x).powi(2)).sum::<f64>() / x.len().max(1) as f64
}

/// Power of what is left of the hum, relative to it, in dB.
pub(super) fn left_db(output: &[f32], wanted: &[f32], hum: &[f32], from: usize) -> f64 {
    let error: Vec<f32> = output.iter().zip(wanted).map(|(y, x)| y - x).collect();
    10.0 * libm::log10(power(&error[from..]) / power(&hum[from..]))
}

pub(super) fn sum(a: &[f32], b: &[f32]) -> Vec<f32> {
    a.iter().zip(b).map(|(a, b)| a + b).collect()
}

#[test]
fn hum_goes_at_every_rate() {
    for (rate_hz, mains_hz) in [
        (48_000, 50.0),
        (44_100, 60.0),
        (96_000, 50.0),
        (8_000, 60.0),
    ] {
        let hum = hum(rate_hz, mains_hz, 8.0);
        let room = noise(hum.len(), 0.01, 3);
        let mut canceller = HumCanceller::new(rate_hz);
        let mut out = vec![0.0; hum.len()];
        canceller.process(&sum(&hum, &room), &mut out);
        let left = left_db(&out, &room, &hum, 4 * rate_hz as usize);
        println!("{rate_hz}: {left}");
        assert!(left < -42.0, "{rate_hz}: {left}");
        let found = canceller.mains_hz().unwrap();
        assert!((found - mains_hz).abs() < 0.06, "{found}");
    }
}

#[test]
fn notes_over_hum_stay_whole_even_close_to_its_own_pitch() {
    let hum: Vec<f32> = hum(RATE_HZ, 50.0, 10.0).iter().map(|x| 0.1 * x).collect();
    for (pitches_hz, most) in [([98.0, 146.8, 220.0], -25.0), ([100.4, 150.3, 200.7], -6.0)] {
        let music = notes(RATE_HZ, hum.len(), &pitches_hz);
        let mut canceller = HumCanceller::new(RATE_HZ);
        let input = sum(&hum, &music);
        canceller.prime(&input);
        let mut out = vec![0.0; hum.len()];
        canceller.process(&input, &mut out);
        let left = left_db(&out, &music, &hum, 0);
        println!("{pitches_hz:?}: {left}");
        assert!(left < most, "{pitches_hz:?}: {left}");
    }
}

#[test]
fn what_is_no_hum_passes_bit_for_bit() {
    let music = notes(RATE_HZ, 12 * 48_000, &[110.0, 196.0, 82.4, 300.5]);
    let mixtures = [music.clone(), sum(&music, &noise(music.len(), 0.02, 5))];
    for input in mixtures {
        for primed in [false, true] {
            let mut canceller = HumCanceller::new(RATE_HZ);
            if primed {
                canceller.prime(&input);
            }
            let mut out = vec![0.0; input.len()];
            canceller.process(&input, &mut out);
            assert_eq!(input, out);
        }
    }
}

#[test]
fn a_long_note_is_no_hum() {
    for hz in [100.0, 120.0, 200.0] {
        let note: Vec<f32> = (0..10 * 48_000)
            .map(|i| {
                let turn = std::f64::consts::TAU * hz * f64::from(i) / 48_000.0;
                (1..8)
                    .map(|k| libm::sin(f64::from(k) * turn) / f64::from(k))
                    .sum::<f64>() as f32
            })
            .collect();
        let mut canceller = HumCanceller::new(RATE_HZ);
        let mut out = vec![0.0; note.len()];
        canceller.process(&note, &mut out);
        println!("{hz}: {:?}", canceller.mains_hz());
        assert_eq!(note, out, "{hz}");
    }
}

/// What a transformer makes of mains of 50 Hz: a few even harmonics that stand still; power 1.
fn transformer(seconds: f64) -> Vec<f32> {
    let lines = [(2.0, 1.0), (4.0, 0.7), (6.0, 0.3), (8.0, 0.3), (12.0, 0.15)];
    (0..(seconds * 48_000.0) as usize)
        .map(|i| {
            let turn = std::f64::consts::TAU * 50.02 * i as f64 / 48_000.0;
            let line = |(h, a): &(f64, f64)| a * libm::sin(h * turn + h);
            (1.09 * lines.iter().map(line).sum::<f64>()) as f32
        })
        .collect()
}

#[test]
fn even_harmonics_alone_are_hum_too() {
    let hum: Vec<f32> = transformer(14.0).iter().map(|x| 0.2 * x).collect();
    let music = sum(
        &notes(RATE_HZ, hum.len(), &[98.0, 146.8, 220.0]),
        &noise(hum.len(), 0.003, 4),
    );
    let mut canceller = HumCanceller::new(RATE_HZ);
    let mut out = vec![0.0; hum.len()];
    canceller.process(&sum(&hum, &music), &mut out);
    let left = left_db(&out, &music, &hum, 8 * 48_000);
    println!("{left}");
    assert!(left < -20.0, "{left}");
    let found = canceller.mains_hz().unwrap();
    assert!((found - 50.02).abs() < 0.03, "{found}");
}

#[test]
fn a_harmonic_that_is_held_beside_a_note_is_no_hum() {
    let held = |hz: f64| -> Vec<f32> {
        let turn = |i: usize| std::f64::consts::TAU * hz * i as f64 / 48_000.0;
        let partial = |i: usize, k: i32| libm::sin(f64::from(k) * turn(i)) / f64::from(k);
        (0..10 * 48_000)
            .map(|i| (1..9).map(|k| partial(i, k)).sum::<f64>() as f32)
            .collect()
    };
    // Of 150 and 180 Hz enough even harmonics stand still, but no two that are neighbours.
    let notes = [
        (200.0, 246.9),
        (400.0, 98.0),
        (240.0, 329.6),
        (150.0, 246.9),
        (180.0, 329.6),
    ];
    for (hz, beside_hz) in notes {
        let input = sum(&held(hz), &held(beside_hz));
        let mut canceller = HumCanceller::new(RATE_HZ);
        let mut out = vec![0.0; input.len()];
        canceller.process(&input, &mut out);
        assert_eq!(input, out, "{hz}");
    }
}

#[test]
fn hum_that_was_learned_goes_from_under_notes_beside_it() {
    let hum: Vec<f32> = hum(RATE_HZ, 60.0, 12.0).iter().map(|x| 0.05 * x).collect();
    let music = notes(RATE_HZ, hum.len(), &[123.5, 185.0, 233.1, 116.5]);
    let mut canceller = told(&hum);
    let mut out = vec![0.0; hum.len()];
    canceller.process(&sum(&hum, &music), &mut out);
    let left = left_db(&out, &music, &hum, 4 * 48_000);
    println!("{left}");
    // -12 where a line counts only if it is clear in every hop.
    assert!(left < -20.0, "{left}");
}

#[test]
fn primed_it_is_gone_from_the_first_sample() {
    let hum = hum(RATE_HZ, 60.0, 9.0);
    let room = noise(hum.len(), 0.01, 4);
    let input = sum(&hum, &room);
    let mut canceller = HumCanceller::new(RATE_HZ);
    canceller.prime(&input);
    let mut out = vec![0.0; hum.len()];
    canceller.process(&input, &mut out);
    let second = 48_000;
    let left = left_db(&out[..second], &room[..second], &hum[..second], 0);
    println!("{left}");
    assert!(left < -25.0, "{left}");
    // Known from too little, it is looked for as in a stream.
    canceller.prime(&input[..1000]);
    assert!(!canceller.is_active());
}

#[test]
fn hum_that_stops_is_not_put_in_its_place() {
    let mut hum = hum(RATE_HZ, 50.0, 10.0);
    hum[5 * 48_000..].fill(0.0);
    let room = noise(hum.len(), 0.01, 6);
    let mut canceller = HumCanceller::new(RATE_HZ);
    let mut out = vec![0.0; hum.len()];
    canceller.process(&sum(&hum, &room), &mut out);
    let from = 5 * 48_000 + 48_000 * 3 / 10;
    let excess = 10.0 * libm::log10(power(&out[from..]) / power(&room[from..]));
    println!("{excess}");
    assert!(excess < 0.5, "{excess}");
}

#[test]
fn a_volume_control_is_followed_at_once() {
    let mut hum = hum(RATE_HZ, 50.0, 10.0);
    for x in &mut hum[5 * 48_000..] {
        *x *= 0.4;
    }
    let room = noise(hum.len(), 0.003, 8);
    let mut canceller = HumCanceller::new(RATE_HZ);
    let mut out = vec![0.0; hum.len()];
    canceller.process(&sum(&hum, &room), &mut out);
    let from = 5 * 48_000 + 48_000 * 4 / 10;
    let left = left_db(&out, &room, &hum, from);
    println!("{left}");
    assert!(left < -15.0, "{left}");
}

#[test]
fn pieces_of_any_length_give_the_same_bits_and_clear_forgets() {
    let hum = hum(RATE_HZ, 50.0, 6.0);
    let input = sum(&hum, &noise(hum.len(), 0.01, 9));
    let mut canceller = HumCanceller::new(RATE_HZ);
    let mut whole = vec![0.0; input.len()];
    canceller.process(&input, &mut whole);
    assert!(canceller.is_active());
    for length in [1, 7, 64, 441, 4096] {
        canceller.clear();
        assert!(!canceller.is_active());
        let mut pieces = vec![0.0; input.len()];
        for (x, y) in input.chunks(length).zip(pieces.chunks_mut(length)) {
            canceller.process(x, y);
        }
        assert_eq!(whole, pieces, "{length}");
    }
}

#[test]
fn the_noise_that_is_left_has_no_lines_but_the_rest() {
    let hum = hum(RATE_HZ, 50.0, 6.0);
    let room = noise(hum.len(), 0.01, 10);
    let input = sum(&hum, &room);
    let mut canceller = HumCanceller::new(RATE_HZ);
    let learned = NoiseSpectrum::learn(RATE_HZ, &[&input]).unwrap();
    let mut left = NoiseSpectrum::white(RATE_HZ, 0.0);
    canceller.soften_into(&learned, &mut left);
    assert_eq!(learned, left);
    let mut out = vec![0.0; input.len()];
    canceller.process(&input, &mut out);
    canceller.soften_into(&learned, &mut left);
    let line = 171; // 1000 Hz
    let change = learned.power()[line] / left.power()[line];
    println!("{change} {}", left.power()[line]);
    assert!(change > 20.0, "{change}");
    assert!(left.power()[line] >= 0.5 * left.power()[line + 4]);
    let white = NoiseSpectrum::learn(RATE_HZ, &[&room]).unwrap();
    let above = |s: &NoiseSpectrum| s.power()[900..].iter().sum::<f32>();
    canceller.soften_into(&white, &mut left);
    assert!((above(&left) / above(&white) - 1.0).abs() < 0.1);
}

#[test]
fn broken_samples_do_not_last() {
    let hum = hum(RATE_HZ, 50.0, 8.0);
    let room = noise(hum.len(), 0.01, 11);
    let mut input = sum(&hum, &room);
    input[120_000..120_500].fill(f32::NAN);
    input[200_000] = f32::INFINITY;
    input[200_001] = 1e30;
    let mut canceller = HumCanceller::new(RATE_HZ);
    for primed in [false, true] {
        canceller.clear();
        if primed {
            canceller.prime(&input);
        }
        let mut out = vec![0.0; input.len()];
        canceller.process(&input, &mut out);
        let left = left_db(&out, &room, &hum, 7 * 48_000);
        assert!(left < -25.0, "{left}");
    }
}

/// A computer's whine, 1 kHz and harmonics; power 1.
pub(super) fn whine(seconds: f64) -> Vec<f32> {
    let mut x: Vec<f32> = (0..(seconds * f64::from(RATE_HZ)) as usize)
        .map(|i| {
            let turn = std::f64::consts::TAU * 1000.03 * i as f64 / f64::from(RATE_HZ);
            let line = |h: i32| libm::sin(f64::from(h) * turn + f64::from(h * h));
            (1..16).map(line).sum::<f64>() as f32
        })
        .collect();
    let scale = libm::sqrtf(1.0 / power(&x) as f32);
    for x in &mut x {
        *x *= scale;
    }
    x
}

/// A canceller that knows it from two seconds of it, with a little hiss.
fn told(whine: &[f32]) -> HumCanceller {
    let stretch = sum(&whine[..96_000], &noise(96_000, 0.01, 8));
    let learned = NoiseSpectrum::learn(RATE_HZ, &[&stretch]).expect("it is not silent");
    let mut canceller = HumCanceller::new(RATE_HZ);
    canceller.expect(&learned);
    canceller
}

#[test]
fn a_whine_that_was_learned_goes_from_under_notes() {
    let whine = whine(8.0);
    // Its pitch is that of a harmonic, or close to it.
    let notes = notes(RATE_HZ, whine.len(), &[200.0, 249.5, 330.0]);
    let wanted = sum(&notes, &noise(whine.len(), 0.01, 3));
    let input = sum(&wanted, &whine);
    let mut canceller = told(&whine);
    let mut out = vec![0.0; input.len()];
    canceller.process(&input, &mut out);
    let soon = left_db(&out, &wanted, &whine, 48_000);
    assert!(canceller.mains_hz().is_none() && canceller.is_active());
    canceller.prime(&input);
    canceller.process(&input, &mut out);
    let primed = left_db(&out, &wanted, &whine, 0);
    println!("{soon} {primed}");
    assert!(soon < -20.0 && primed < -20.0, "{soon} {primed}");
    // Nobody told it to expect it: nothing is done.
    canceller.expect_nothing();
    canceller.process(&input, &mut out);
    assert_eq!(input, out);
}

#[test]
fn a_whine_that_was_learned_but_stops_is_not_put_in_its_place() {
    let mut whine = whine(8.0);
    let mut canceller = told(&whine);
    let before = whine.clone();
    whine[3 * 48_000..].fill(0.0);
    let room = noise(whine.len(), 0.01, 6);
    let mut out = vec![0.0; whine.len()];
    canceller.process(&sum(&whine, &room), &mut out);
    let left = left_db(&out, &room, &before, 3 * 48_000 + 24_000);
    println!("{left}");
    assert!(left < -25.0, "{left}");
    // And it comes back.
    let input = sum(&before, &room);
    canceller.process(&input, &mut out);
    let again = left_db(&out, &room, &before, 48_000);
    println!("{again}");
    assert!(again < -20.0, "{again}");
}

#[test]
fn told_pieces_of_any_length_give_the_same_bits() {
    let whine = whine(3.0);
    let input = sum(&whine, &noise(whine.len(), 0.1, 2));
    let mut whole = vec![0.0; input.len()];
    let mut canceller = told(&whine);
    canceller.process(&input, &mut whole);
    let mut pieces = vec![0.0; input.len()];
    canceller.clear();
    let (mut from, mut n) = (0, 1);
    while from < input.len() {
        let to = (from + n).min(input.len());
        canceller.process(&input[from..to], &mut pieces[from..to]);
        (from, n) = (to, n % 701 + 13);
    }
    assert_eq!(whole, pieces);
}

//! Buzz that nobody told of is found; music is not taken for it.

use super::tests::{RATE_HZ, left_db, noise, notes, sum, whine};
use super::*;
use crate::eval::dimmer;
use crate::rng::StableRng;

fn buzz(rate_hz: u32, seconds: f64) -> Vec<f32> {
    let n = (seconds * f64::from(rate_hz)) as usize;
    dimmer(rate_hz, n, &mut StableRng::new(5, 0))
        .iter()
        .map(|x| 0.1 * x)
        .collect()
}

/// Twelve harmonics or so of a pitch that is a little unsteady.
fn held(seconds: f64, hz: f64, harmonics: i32, unsteady: f64) -> Vec<f32> {
    let mut rng = StableRng::new(9, 0);
    let (mut turn, mut wander) = (0.0, 0.0);
    (0..(seconds * f64::from(RATE_HZ)) as usize)
        .map(|_| {
            // Over a tenth of a second or so.
            wander += 2e-4 * (unsteady * 70.0 * rng.normal() - wander);
            turn += std::f64::consts::TAU * hz * (1.0 + wander) / f64::from(RATE_HZ);
            let line = |k: i32| libm::sin(f64::from(k) * turn + f64::from(k * k)) / f64::from(k);
            (0.2 * (1..=harmonics).map(line).sum::<f64>()) as f32
        })
        .collect()
}

#[test]
fn a_buzz_is_found_under_notes_at_every_rate() {
    for rate_hz in [48_000, 44_100, 96_000, 8_000] {
        let buzz = buzz(rate_hz, 9.0);
        let music = notes(rate_hz, buzz.len(), &[110.0, 196.0, 249.5]);
        let input = sum(&music, &buzz);
        let mut canceller = HumCanceller::new(rate_hz);
        let mut out = vec![0.0; input.len()];
        canceller.process(&input, &mut out);
        let later = left_db(&out, &music, &buzz, 6 * rate_hz as usize);
        // Four seconds of a recording are enough to know it from the start.
        canceller.prime(&input[..4 * rate_hz as usize]);
        assert!(canceller.is_active() && canceller.mains_hz().is_none());
        canceller.process(&input, &mut out);
        let primed = left_db(&out, &music, &buzz, 0);
        println!("{rate_hz}: {later} {primed}");
        // The hiss is left.
        assert!(later < -11.0 && primed < -11.0, "{later} {primed}");
    }
}

#[test]
fn held_notes_are_no_buzz() {
    // However steady, few harmonics are a note, and so are many for ten seconds if nothing else sounds; however many, one that
    // breathes is.
    for (hz, harmonics, unsteady) in [
        (237.4, 11, 0.0),
        (237.4, 30, 0.0),
        (237.4, 30, 1e-3),
        (440.0, 24, 1e-3),
    ] {
        let note = held(10.0, hz, harmonics, unsteady);
        let mut canceller = HumCanceller::new(RATE_HZ);
        let mut out = vec![0.0; note.len()];
        canceller.process(&note, &mut out);
        assert_eq!(note, out, "{hz} {harmonics}");
        canceller.prime(&note);
        assert!(!canceller.is_active(), "{hz} {harmonics}");
    }
}

#[test]
fn a_comb_alone_is_believed_late() {
    let note = held(17.0, 237.4, 30, 0.0);
    let mut canceller = HumCanceller::new(RATE_HZ);
    let mut out = vec![0.0; 480];
    let found = note.chunks(480).position(|x| {
        canceller.process(x, &mut out);
        canceller.is_active()
    });
    let seconds = found.expect("it is found") as f64 / 100.0;
    println!("{seconds}");
    assert!((13.0..15.0).contains(&seconds), "{seconds}");
}

#[test]
fn a_buzz_that_stops_is_not_put_in_its_place() {
    let mut buzz = buzz(RATE_HZ, 9.0);
    let before = buzz.clone();
    let stop = 7 * RATE_HZ as usize;
    buzz[stop..].fill(0.0);
    let room = noise(buzz.len(), 0.003, 6);
    let mut canceller = HumCanceller::new(RATE_HZ);
    let mut out = vec![0.0; buzz.len()];
    canceller.process(&sum(&buzz, &room), &mut out);
    let left = left_db(&out[..stop], &room[..stop], &before[..stop], 6 * 48_000);
    let after = left_db(&out, &room, &before, stop + 24_000);
    println!("{left} {after}");
    assert!(left < -12.0 && after < -25.0, "{left} {after}");
}

#[test]
fn pieces_and_channels_give_the_same_bits() {
    let buzz = buzz(RATE_HZ, 7.0);
    let input = sum(&buzz, &notes(RATE_HZ, buzz.len(), &[110.0, 196.0]));
    let mut whole = vec![0.0; input.len()];
    let mut canceller = HumCanceller::new(RATE_HZ);
    canceller.process(&input, &mut whole);
    assert!(canceller.is_active());
    for number in [1, 2, 3, 7] {
        let mut canceller = HumCanceller::of_channel(RATE_HZ, number);
        let mut pieces = vec![0.0; input.len()];
        let (mut from, mut n) = (0, number);
        while from < input.len() {
            let to = (from + n).min(input.len());
            canceller.process(&input[from..to], &mut pieces[from..to]);
            (from, n) = (to, n % 701 + 13);
        }
        assert_eq!(whole, pieces, "{number}");
    }
}

#[test]
fn hum_does_not_take_over_what_a_buzz_takes_out() {
    let second = RATE_HZ as usize;
    // Soft odd harmonics join even ones.
    let both: Vec<f32> = (0..14 * second)
        .map(|i| {
            let turn = std::f64::consts::TAU * 50.02 * i as f64 / f64::from(RATE_HZ);
            (1..60)
                .map(|h| {
                    let there = if i > 6 * second { 0.002 } else { 0.0 };
                    let h = f64::from(h);
                    let amplitude = if h % 2.0 == 0.0 { 0.02 } else { there };
                    amplitude * libm::sin(h * turn + h * h) / libm::sqrt(h)
                })
                .sum::<f64>() as f32
        })
        .collect();
    let room = noise(both.len(), 0.001, 4);
    let input = sum(&both, &room);
    let mut canceller = HumCanceller::new(RATE_HZ);
    let mut out = vec![0.0; input.len()];
    canceller.process(&input, &mut out);
    assert!(canceller.any.is_active());
    for half in 12..28 {
        let part = half * second / 2..(half + 1) * second / 2;
        let left = left_db(
            &out[part.clone()],
            &room[part.clone()],
            &both[part.clone()],
            0,
        );
        println!("{left}");
        assert!(left < -15.0, "{half}: {left}");
    }
}

#[test]
fn a_buzz_is_known_by_its_high_harmonics_too() {
    let mut rng = StableRng::new(2, 0);
    // The steadiest lines are the highest.
    let buzz: Vec<f32> = (0..8 * RATE_HZ as usize)
        .map(|i| {
            let turn = std::f64::consts::TAU * 120.04 * i as f64 / f64::from(RATE_HZ);
            let line = |h: i32| 2e-5 * f64::from(h * h) * libm::sin(f64::from(h) * turn);
            (1..80).map(line).sum::<f64>() as f32
        })
        .collect();
    let room: Vec<f32> = (0..buzz.len())
        .map(|_| 1e-3 * rng.normal() as f32)
        .collect();
    let mut canceller = HumCanceller::new(RATE_HZ);
    canceller.process(&sum(&buzz, &room), &mut vec![0.0; buzz.len()]);
    let hz = canceller.any.hz().expect("it is found");
    assert!((hz - 120.04).abs() < 0.01, "{hz}");
}

#[test]
fn a_buzz_that_is_learned_after_it_was_found_is_taken_out_once_and_remembered() {
    let second = RATE_HZ as usize;
    let room = noise(13 * second, 0.4, 3);
    let mut whine = whine(13.0);
    let before = whine.clone();
    let stretch = sum(&whine[..2 * second], &room);
    let learned = NoiseSpectrum::learn(RATE_HZ, &[&stretch]).expect("it is not silent");
    // It stops for a second.
    whine[10 * second..11 * second].fill(0.0);
    let buzz = sum(&whine, &room);
    let mut canceller = HumCanceller::new(RATE_HZ);
    let mut out = vec![0.0; buzz.len()];
    canceller.process(&buzz[..6 * second], &mut out[..6 * second]);
    assert!(canceller.any.is_active());
    canceller.expect(&learned);
    canceller.process(
        &buzz[6 * second..9 * second],
        &mut out[6 * second..9 * second],
    );
    assert!(canceller.any.is_active() && !canceller.learned[0].is_active());
    canceller.process(&buzz[9 * second..], &mut out[9 * second..]);
    for at in [6, 7, 8, 12] {
        let part = at * second..(at + 1) * second;
        let left = left_db(&out[part.clone()], &room[part.clone()], &before[part], 0);
        println!("{at}: {left}");
        assert!(left < -20.0, "{at}: {left}");
    }
    // Sooner than it could be found again.
    assert!(canceller.learned[0].is_active());
}

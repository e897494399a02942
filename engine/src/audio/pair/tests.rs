use super::*;
use crate::rng::StableRng;

const BINS: usize = 300;
const HOP_SECONDS: f32 = 0.01;
const EVEN: [&[f32]; 2] = [&[1.0; BINS]; 2];

/// Hears a whole frame.
fn hear(pair: &mut PairTurns, frame: [&[Complex32]; 2], whitening: [&[f32]; 2]) -> Vec<Turn> {
    let mut turns = vec![Turn::NONE; frame[0].len()];
    for part in 0..pair.parts() {
        pair.hear_part(part, frame, whitening, &mut turns);
    }
    turns
}

type Frame = (Vec<Complex32>, Vec<Complex32>);

fn gaussian(rng: &mut StableRng, amplitude: f32) -> Complex32 {
    let scale = amplitude * std::f32::consts::FRAC_1_SQRT_2;
    Complex32::new(rng.normal() as f32, rng.normal() as f32) * scale
}

/// Noise of unit power whose channels share `shared` of it, turned by a phase.
fn noise(rng: &mut StableRng, shared: f32) -> Frame {
    let mut frame = (Vec::new(), Vec::new());
    for _ in 0..BINS {
        let common = gaussian(rng, shared.sqrt());
        let own = (1.0 - shared).sqrt();
        let right = common * Complex32::from_polar(1.0, 0.7);
        frame.0.push(common + gaussian(rng, own));
        frame.1.push(right + gaussian(rng, own));
    }
    frame
}

/// Adds music that sounds in every fifth bin and its neighbours, with these amplitudes left and right.
fn add_music(rng: &mut StableRng, frame: &mut Frame, left: Complex32, right: Complex32) {
    for f in (20..BINS - 1).step_by(5) {
        let x = gaussian(rng, 1.0);
        for g in f - 1..=f + 1 {
            frame.0[g] += x * left;
            frame.1[g] += x * right;
        }
    }
}

fn powers(turns: &[Turn], frame: &Frame) -> (f64, f64) {
    let (mut first, mut second) = (0.0, 0.0);
    for ((l, r), turn) in frame.0.iter().zip(&frame.1).zip(turns) {
        let (u, v) = turn.apply(*l, *r);
        first += f64::from(u.norm_sqr());
        second += f64::from(v.norm_sqr());
    }
    (first / BINS as f64, second / BINS as f64)
}

#[test]
fn back_undoes_the_turn() {
    let mut rng = StableRng::new(3, 0);
    let mut pair = PairTurns::new(BINS, HOP_SECONDS);
    for _ in 0..100 {
        let mut frame = noise(&mut rng, 0.5);
        let right = Complex32::from_polar(4.0, 1.3);
        add_music(&mut rng, &mut frame, Complex32::new(9.0, 0.0), right);
        for ((l, r), turn) in
            frame
                .0
                .iter()
                .zip(&frame.1)
                .zip(hear(&mut pair, [&frame.0, &frame.1], EVEN))
        {
            let (u, v) = turn.apply(*l, *r);
            let (left, right) = turn.back(u, v);
            assert!((left - l).norm() + (right - r).norm() < 1e-4 * (1.0 + l.norm() + r.norm()));
        }
    }
}

#[test]
fn noise_of_any_coherence_comes_out_as_unit_noise() {
    for shared in [0.0, 0.3, 0.8] {
        let mut rng = StableRng::new(4, 0);
        let mut pair = PairTurns::new(BINS, HOP_SECONDS);
        let (mut first, mut second) = (0.0, 0.0);
        for t in 0..600 {
            // Notes come and go: bins are turned towards them.
            let mut frame = noise(&mut rng, shared);
            let quiet = frame.clone();
            if t % 100 < 50 {
                let b = Complex32::from_polar(6.0, 0.4);
                add_music(&mut rng, &mut frame, Complex32::new(8.0, 0.0), b);
            }
            let turns = hear(&mut pair, [&frame.0, &frame.1], EVEN);
            if t >= 200 {
                let (u, v) = powers(&turns, &quiet);
                (first, second) = (first + u / 400.0, second + v / 400.0);
            }
        }
        println!("{shared}: {first:.3} {second:.3}");
        // Rather too much noise is expected than too little.
        assert!((0.9..1.08).contains(&first) && (0.78..1.08).contains(&second));
    }
}

#[test]
fn music_anywhere_in_the_picture_ends_up_in_the_first_row() {
    for (right, phase) in [(1.0f32, 0.0f32), (1.0, 2.0), (0.4, 0.0), (2.0, -1.0)] {
        let mut rng = StableRng::new(5, 0);
        let mut pair = PairTurns::new(BINS, HOP_SECONDS);
        let (mut first, mut second) = (0.0, 0.0);
        for t in 0..150 {
            let mut frame = noise(&mut rng, 0.0);
            let mut alone = (
                vec![Complex32::default(); BINS],
                vec![Complex32::default(); BINS],
            );
            let (a, b) = (
                Complex32::new(20.0, 0.0),
                Complex32::from_polar(20.0 * right, phase),
            );
            let mut same = rng.clone();
            add_music(&mut rng, &mut frame, a, b);
            add_music(&mut same, &mut alone, a, b);
            let turns = hear(&mut pair, [&frame.0, &frame.1], EVEN);
            if t > 50 {
                let (u, v) = powers(&turns, &alone);
                (first, second) = (first + u, second + v);
            }
        }
        println!("{right} {phase}: {:.5}", second / first);
        assert!(second < 0.005 * first);
    }
}

#[test]
fn channels_that_have_nothing_in_common_are_left_as_they_are() {
    let zero = Complex32::default();
    // Music beside noise, and two pieces of music.
    for other in [0.0, 20.0] {
        let mut rng = StableRng::new(6, 0);
        let mut pair = PairTurns::new(BINS, HOP_SECONDS);
        let mut apart = 0;
        for t in 0..400 {
            let mut frame = noise(&mut rng, 0.0);
            add_music(&mut rng, &mut frame, Complex32::new(20.0, 0.0), zero);
            add_music(&mut rng, &mut frame, zero, Complex32::new(other, 0.0));
            let turns = hear(&mut pair, [&frame.0, &frame.1], EVEN);
            if t >= 100 {
                apart += turns[20..].iter().filter(|t| t.b == zero).count();
            }
        }
        let share = apart as f64 / (300 * (BINS - 20)) as f64;
        println!("{other}: {share:.3}");
        assert!(share > 0.95);
    }
}

#[test]
fn a_tracker_that_changes_its_mind_does_not_turn_the_picture() {
    let mut rng = StableRng::new(9, 0);
    let mut pair = PairTurns::new(BINS, HOP_SECONDS);
    let a = Complex32::new(20.0, 0.0);
    let mut gain = 1.0;
    let mut second = 0.0;
    for t in 0..200 {
        let mut frame = noise(&mut rng, 0.0);
        let mut alone = (
            vec![Complex32::default(); BINS],
            vec![Complex32::default(); BINS],
        );
        let mut same = rng.clone();
        add_music(&mut rng, &mut frame, a, a);
        add_music(&mut same, &mut alone, a, a);
        // The right channel's noise is found to be 20 dB louder than it was thought to be.
        if t == 150 {
            gain = 0.1;
        }
        for x in frame.1.iter_mut().chain(&mut alone.1) {
            *x *= gain;
        }
        let whitening: [&[f32]; 2] = [&[1.0; BINS], &[gain; BINS]];
        let turns = hear(&mut pair, [&frame.0, &frame.1], whitening);
        if (150..153).contains(&t) {
            let (u, v) = powers(&turns, &alone);
            second += v / u / 3.0;
        }
    }
    println!("{second:.6}");
    assert!(second < 1e-3);
}

#[test]
fn where_the_right_channel_is_far_louder_it_comes_first_turned_or_not() {
    let mut rng = StableRng::new(10, 0);
    let mut pair = PairTurns::new(BINS, HOP_SECONDS);
    let zero = Complex32::default();
    for t in 0..600 {
        let mut frame = noise(&mut rng, 0.0);
        let left = if t < 300 {
            Complex32::new(3.0, 0.0)
        } else {
            zero
        };
        add_music(&mut rng, &mut frame, left, Complex32::new(300.0, 0.0));
        let turns = hear(&mut pair, [&frame.0, &frame.1], EVEN);
        if t > 100 {
            assert!(turns[20..BINS - 5].iter().all(|t| t.b.norm() > 0.9), "{t}");
        }
        if t == 599 {
            let apart = turns[20..].iter().filter(|t| t.a == zero).count();
            assert!(apart > 250, "{apart}");
        }
    }
}

#[test]
fn same_left_and_right_has_no_difference_and_comes_back_the_same() {
    let mut rng = StableRng::new(7, 0);
    let mut pair = PairTurns::new(BINS, HOP_SECONDS);
    for t in 0..300 {
        let mut frame = noise(&mut rng, 0.0);
        if t > 30 {
            let a = Complex32::new(30.0, 0.0);
            add_music(&mut rng, &mut frame, a, a);
        }
        for (l, turn) in frame
            .0
            .iter()
            .zip(hear(&mut pair, [&frame.0, &frame.0], EVEN))
        {
            let (u, v) = turn.apply(*l, *l);
            assert_eq!(v, Complex32::default());
            // The noise of the sum is twice as loud, whether it has been heard yet or not.
            assert!((u.norm() - l.norm()).abs() < 1e-3 * l.norm());
            let (left, right) = turn.back(u * 0.3, v);
            assert_eq!(left, right);
        }
    }
}

#[test]
fn hostile_levels_leave_nothing_broken() {
    let mut rng = StableRng::new(8, 0);
    let mut pair = PairTurns::new(BINS, HOP_SECONDS);
    let a = Complex32::new(20.0, 0.0);
    for t in 0..400 {
        let mut frame = noise(&mut rng, 0.0);
        add_music(&mut rng, &mut frame, a, a);
        let gain = [1.0, 1e7, 1e18, 1e-30, 0.0][t / 20 % 5];
        for x in frame.0.iter_mut().chain(&mut frame.1) {
            *x *= if t < 200 { gain } else { 1.0 };
        }
        for turn in hear(&mut pair, [&frame.0, &frame.1], EVEN) {
            let length = turn.a.norm_sqr() + turn.b.norm_sqr();
            assert!((length - 1.0).abs() < 1e-3, "{t}: {turn:?}");
            assert!(
                turn.noise.iter().all(|n| (0.3..1.5).contains(n)),
                "{turn:?}"
            );
        }
    }
    let mut fresh = PairTurns::new(BINS, HOP_SECONDS);
    pair.clear();
    let frame = noise(&mut rng, 0.0);
    let after = hear(&mut pair, [&frame.0, &frame.1], EVEN).to_vec();
    assert_eq!(
        after,
        hear(&mut fresh, [&frame.0, &frame.1], EVEN),
        "cleared"
    );
}

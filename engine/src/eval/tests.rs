//! Tests of the evaluation.

use super::*;
use crate::rng::StableRng;

fn clip() -> CleanClip {
    CleanClip {
        group: "sine".into(),
        rate_hz: 48_000,
        samples: (0..96_000).map(|i| 0.3 * (i as f32 * 0.05).sin()).collect(),
    }
}

fn run(noise: NoiseKind, knows_noise: bool) -> Evaluation {
    let options = EvalOptions {
        levels_db: vec![10.0, 0.0],
        seed: 3,
        knows_noise,
        classical: true,
        gaps: false,
    };
    let surroundings = Surroundings {
        clock: &|| 0.0,
        go_on: &|_| Control::Continue,
        listener: None,
    };
    evaluate(
        &[clip()],
        &[noise],
        &Field::default(),
        &options,
        &surroundings,
    )
    .unwrap()
}

#[test]
fn mixtures_have_the_level_asked_for_and_classical_denoisers_help() {
    let mut rng = StableRng::new(5, 5);
    let recording: Vec<f32> = (0..120_000).map(|_| 0.01 * rng.normal() as f32).collect();
    let sounds = [
        NoiseSound::White,
        NoiseSound::Hum { mains_hz: 50.0 },
        NoiseSound::Whine,
        NoiseSound::Recording {
            rate_hz: 44_100,
            samples: recording,
        },
    ];
    for sound in sounds {
        for knows in [true, false] {
            let noise = NoiseKind {
                name: "noise".into(),
                sound: sound.clone(),
            };
            let result = run(noise, knows);
            // Tones that nobody was told of are not found in so short a sound.
            let found = knows || !matches!(sound, NoiseSound::Hum { .. } | NoiseSound::Whine);
            let gain_db = if found { 5.0 } else { -1.0 };
            assert_eq!(result.cells.len(), 2);
            for (cell, level) in result.cells.iter().zip([10.0, 0.0]) {
                assert_eq!(cell.level_db, level);
                assert!((cell.means[0].snr_db - level).abs() < 1e-3);
                for (method, means) in result.methods.iter().zip(&cell.means).skip(1) {
                    assert!(
                        means.snr_db > level + gain_db,
                        "{} {knows}: {}",
                        method.name,
                        means.snr_db
                    );
                }
            }
        }
    }
}

#[test]
fn peers_are_aligned_and_their_failures_told() {
    let surroundings = Surroundings {
        clock: &|| 0.0,
        go_on: &|_| Control::Continue,
        listener: None,
    };
    let options = EvalOptions {
        levels_db: vec![10.0],
        seed: 1,
        knows_noise: true,
        classical: true,
        gaps: false,
    };
    let white = [NoiseKind {
        name: "white".into(),
        sound: NoiseSound::White,
    }];
    let field = |run: Box<RunPeer>| Field {
        peers: vec![Peer {
            name: "other".into(),
            run,
        }],
        ..Field::default()
    };
    let late = field(Box::new(|input| {
        assert!(input.known_noise.is_some());
        Ok([vec![0.0; 700], input.noisy.to_vec()].concat())
    }));
    let result = evaluate(&[clip()], &white, &late, &options, &surroundings).unwrap();
    let at = |name: &str| result.methods.iter().position(|m| m.name == name).unwrap();
    let means = &result.cells[0].means;
    assert_eq!(means[at("other")], means[at(NOISY)]);
    let broken = field(Box::new(|_| Err("no such program".into())));
    let told = evaluate(&[clip()], &white, &broken, &options, &surroundings);
    assert!(
        told.unwrap_err()
            .to_string()
            .contains("peer other: no such program")
    );
}

#[test]
fn silence_and_stopping_are_told() {
    let surroundings = Surroundings {
        clock: &|| 0.0,
        go_on: &|_| Control::Stop,
        listener: None,
    };
    let options = EvalOptions {
        levels_db: vec![0.0],
        seed: 1,
        knows_noise: true,
        classical: true,
        gaps: false,
    };
    let white = [NoiseKind {
        name: "white".into(),
        sound: NoiseSound::White,
    }];
    let stopped = evaluate(
        &[clip()],
        &white,
        &Field::default(),
        &options,
        &surroundings,
    );
    assert!(matches!(stopped, Err(EvalError::Stopped)));
    let silent = CleanClip {
        samples: vec![0.0; 10_000],
        ..clip()
    };
    let silent = evaluate(
        &[silent],
        &white,
        &Field::default(),
        &options,
        &surroundings,
    );
    assert!(matches!(silent, Err(EvalError::SilentClean(_))));
}

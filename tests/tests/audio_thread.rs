//! The processing call never allocates: the allocator of this test ends the program if it does.

#![allow(clippy::unwrap_used)]

use assert_no_alloc::{AllocDisabler, assert_no_alloc};
use drfm_engine::audio::denoiser::{NoiseSource, Output, StreamDenoiser};
use drfm_engine::audio::embedded;
use drfm_engine::audio::model::{DenoiserModel, Mode};
use drfm_engine::audio::noise::NoiseSpectrum;
use drfm_tests::fixture;

#[global_allocator]
static GUARD: AllocDisabler = AllocDisabler;

/// Samples, 4 s: hum is believed after 2.3.
const LENGTH: usize = 192_000;

#[test]
fn processing_never_allocates() {
    // Hum is found in it, followed and taken out.
    let mut music = fixture("noisy_guitar.flac");
    for (i, x) in music.iter_mut().enumerate() {
        let turn = 50.0 * std::f64::consts::TAU * i as f64 / 48_000.0;
        let hum = |h: i32| (f64::from(h) * turn + f64::from(h * h)).sin() / f64::from(h);
        *x += 0.2 * (1..30).map(hum).sum::<f64>() as f32;
    }
    let model = DenoiserModel::from_bytes(embedded::bytes("general").unwrap()).unwrap();
    for mode in Mode::ALL {
        for noise in [
            NoiseSource::Adaptive,
            NoiseSource::Known(vec![NoiseSpectrum::white(48_000, 1e-4)]),
        ] {
            let mut stream = StreamDenoiser::new(model.chain(mode).unwrap(), 48_000, 3, noise);
            let mut sound = [music.clone(), music.clone(), music.clone()];
            let blocks = [1, 7, 64, 440, 4096, 0, 512];
            let mut at = 0;
            let mut heard = 0.0f32;
            let mut hum = false;
            for size in blocks.iter().cycle() {
                let end = (at + size).min(LENGTH);
                let [a, b, c] = &mut sound;
                assert_no_alloc(|| {
                    stream.process(&mut [&mut a[at..end], &mut b[at..end], &mut c[at..end]]);
                    stream.set_amount_db((at % 40) as f32);
                    stream.set_output(if at % 3 == 0 {
                        Output::Removed
                    } else {
                        Output::Denoised
                    });
                    if at > LENGTH - 6_000 {
                        stream.reset();
                    }
                });
                hum |= stream.mains_hz(0).is_some();
                heard = a[at..end].iter().fold(heard, |h, x| h.max(x.abs()));
                at = end;
                if at == LENGTH {
                    break;
                }
            }
            assert!(heard > 0.0, "{mode:?}: silence proves nothing");
            assert!(hum, "{mode:?}: no hum was found");
        }
    }
}

#[test]
fn a_buzz_is_looked_for_and_found_without_allocation() {
    let mut sound: Vec<f32> = (0..7 * 48_000)
        .map(|i| {
            let turn = std::f64::consts::TAU * 120.04 * f64::from(i) / 48_000.0;
            (1..30)
                .map(|h| 0.01 * (f64::from(h) * turn).sin())
                .sum::<f64>() as f32
        })
        .collect();
    let before = sound.clone();
    let model = DenoiserModel::from_bytes(embedded::bytes("general").unwrap()).unwrap();
    let chain = model.chain(Mode::Live).unwrap();
    let mut stream = StreamDenoiser::new(chain, 48_000, 1, NoiseSource::Adaptive);
    assert_no_alloc(|| {
        for block in sound.chunks_mut(500) {
            stream.process(&mut [block]);
        }
    });
    let power = |x: &[f32]| x.iter().map(|x| x * x).sum::<f32>();
    assert!(power(&sound[6 * 48_000..]) < 1e-3 * power(&before[6 * 48_000..]));
}

#[test]
fn a_learned_whine_is_expected_and_forgotten_without_allocation() {
    let whine: Vec<f32> = (0..2 * 48_000)
        .map(|i| {
            let turn = std::f64::consts::TAU * 1000.0 * f64::from(i) / 48_000.0;
            (1..15)
                .map(|h| 0.01 * (f64::from(h) * turn).sin())
                .sum::<f64>() as f32
        })
        .collect();
    let learned = NoiseSpectrum::learn(48_000, &[&whine]).unwrap();
    let model = DenoiserModel::from_bytes(embedded::bytes("general").unwrap()).unwrap();
    let chain = model.chain(Mode::Live).unwrap();
    let mut stream = StreamDenoiser::new(chain, 48_000, 1, NoiseSource::Adaptive);
    let mut sound = whine.clone();
    let (first, rest) = sound.split_at_mut(48_000);
    assert_no_alloc(|| {
        stream.process(&mut [&mut first[..1000]]);
        stream.follow_noise(0, &learned);
        stream.process(&mut [&mut first[1000..]]);
        stream.assume_noise(0, &learned);
        stream.process(&mut [rest]);
        stream.reset();
        stream.set_tracking(true);
    });
    let power = |x: &[f32]| x.iter().map(|x| x * x).sum::<f32>();
    assert!(power(&sound[48_000..]) < 1e-3 * power(&whine[48_000..]));
}

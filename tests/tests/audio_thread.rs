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

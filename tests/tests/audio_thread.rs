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

#[test]
fn processing_never_allocates() {
    let music = fixture("noisy_guitar.flac");
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
            for size in blocks.iter().cycle() {
                let end = (at + size).min(96_000);
                let [a, b, c] = &mut sound;
                assert_no_alloc(|| {
                    stream.process(&mut [&mut a[at..end], &mut b[at..end], &mut c[at..end]]);
                    stream.set_amount_db((at % 40) as f32);
                    stream.set_output(if at % 3 == 0 {
                        Output::Removed
                    } else {
                        Output::Denoised
                    });
                    if at > 90_000 {
                        stream.reset();
                    }
                });
                heard = a[at..end].iter().fold(heard, |h, x| h.max(x.abs()));
                at = end;
                if at == 96_000 {
                    break;
                }
            }
            assert!(heard > 0.0, "{mode:?}: silence proves nothing");
        }
    }
}

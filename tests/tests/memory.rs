//! One stream takes at most 64 MB, at any sample rate: the allocator of this test counts.

#![allow(clippy::unwrap_used)]

use drfm_engine::audio::denoiser::{NoiseSource, StreamDenoiser};
use drfm_engine::audio::embedded;
use drfm_engine::audio::model::{DenoiserModel, Mode};
use peak_alloc::PeakAlloc;

#[global_allocator]
static COUNTING: PeakAlloc = PeakAlloc;

const MOST_BYTES: usize = 64_000_000;

#[test]
fn a_stereo_stream_keeps_within_its_memory() {
    for name in ["guitar", "flute"] {
        let model = DenoiserModel::from_bytes(embedded::bytes(name).unwrap()).unwrap();
        for mode in Mode::ALL {
            let chain = model.chain(mode).unwrap();
            let mut before_bytes = 0;
            for rate_hz in [48_000, 192_000] {
                let without = COUNTING.current_usage();
                let mut stream = StreamDenoiser::new(chain, rate_hz, 2, NoiseSource::Adaptive);
                let mut sound = [[0.1; 512]; 2];
                let [left, right] = &mut sound;
                stream.process(&mut [left, right]);
                let bytes = COUNTING.current_usage() - without;
                println!("{name}, {mode:?}, {rate_hz} Hz: {bytes} bytes");
                assert!(bytes < MOST_BYTES);
                // Were nothing counted, nothing could be too much.
                assert!(bytes > before_bytes + 1_000_000, "{bytes}");
                before_bytes = bytes;
            }
        }
    }
}

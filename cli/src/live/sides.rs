//! What the sound card calls: the input's side denoises and hands on, the output's side plays. Neither allocates, locks,
//! prints or waits; both may be called with blocks of any size.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use drfm_engine::realtime::denormals::FlushDenormals;
use rtrb::Producer;

use super::bridge::{BridgeInput, BridgeOutput};
use super::probe::Probe;
use super::processor::Processor;
use super::shared::{Counters, Shared};
use super::timing::Timing;

/// Frames treated at once.
const PIECE: usize = 512;

/// Copies of the sound for the recorder and the screen, interleaved.
pub struct Taps {
    /// As it came.
    pub raw: Producer<f32>,
    /// As it is played.
    pub clean: Producer<f32>,
}

/// The input's side.
pub struct InputSide {
    shared: Arc<Shared>,
    processor: Processor,
    bridge: Option<BridgeInput>,
    taps: Taps,
    channels: usize,
    device_channels: usize,
    block_ns_per_frame: f64,
    /// The largest callback so far, in frames.
    largest: usize,
    planar: Vec<Vec<f32>>,
    interleaved: Vec<f32>,
}

impl InputSide {
    /// Hears a device of `device_channels` channels; `processor` has `channels` channels at `rate_hz`. Without a bridge
    /// nothing is played.
    #[must_use]
    pub fn new(
        shared: Arc<Shared>,
        processor: Processor,
        bridge: Option<BridgeInput>,
        taps: Taps,
        (channels, device_channels): (usize, usize),
        rate_hz: u32,
    ) -> Self {
        Self {
            shared,
            processor,
            bridge,
            taps,
            channels,
            device_channels: device_channels.max(1),
            block_ns_per_frame: 1e9 / f64::from(rate_hz.max(1)),
            largest: 0,
            planar: vec![vec![0.0; PIECE]; channels],
            interleaved: vec![0.0; PIECE * channels],
        }
    }

    /// Channels of the device.
    #[must_use]
    pub const fn device_channels(&self) -> usize {
        self.device_channels
    }

    /// A callback's frames, interleaved.
    pub fn hear(&mut self, frames: &[f32], timing: Timing) {
        let started = Instant::now();
        let _flush = FlushDenormals::new();
        let count = frames.len() / self.device_channels;
        for piece in frames.chunks(PIECE * self.device_channels) {
            self.hear_piece(piece);
        }
        if let Some(bridge) = &mut self.bridge {
            bridge.publish(count, timing);
        }
        let counters = &self.shared.counters;
        Counters::add(&counters.input_blocks, 1);
        Counters::add(&counters.input_frames, count);
        self.largest = self.largest.max(count);
        if let Some(block) = self.shared.blocks.first() {
            block.store(self.largest as u64, Ordering::Relaxed);
        }
        let busy = started.elapsed();
        note_busy(&self.shared, busy);
        // Some cards send now many frames, now a single one: the time there is, is that of the many.
        if busy.as_nanos() as f64 > self.largest as f64 * self.block_ns_per_frame {
            Counters::add(&counters.late_blocks, 1);
        }
    }

    fn hear_piece(&mut self, piece: &[f32]) {
        let n = piece.len() / self.device_channels;
        for (c, channel) in self.planar.iter_mut().enumerate() {
            // A device with fewer channels is heard on all.
            let from = c.min(self.device_channels - 1);
            for (x, frame) in channel
                .iter_mut()
                .zip(piece.chunks_exact(self.device_channels))
            {
                *x = frame.get(from).copied().unwrap_or_default();
            }
        }
        let mut slices = Slices::of(&mut self.planar, n);
        let block = slices.get();
        self.shared.meters.input.hear(block);
        let counters = &self.shared.counters;
        interleave(block, &mut self.interleaved);
        let samples = n * self.channels;
        if self
            .taps
            .raw
            .push_entire_slice(&self.interleaved[..samples])
            .is_err()
        {
            Counters::add(&counters.unrecorded_frames, n);
        }
        self.processor.process(block);
        self.shared.meters.output.hear(block);
        interleave(block, &mut self.interleaved);
        let sound = &self.interleaved[..samples];
        let clipped = sound.iter().filter(|x| x.abs() > 1.0).count();
        Counters::add(&counters.clipped, clipped);
        if self.taps.clean.push_entire_slice(sound).is_err() {
            Counters::add(&counters.unrecorded_frames, n);
        }
        if let Some(bridge) = &mut self.bridge {
            let lost = bridge.push(sound);
            // While nothing plays yet, the ring overflows and nothing is lost that anybody waited for.
            if lost > 0 && counters.output_frames.load(Ordering::Relaxed) > 0 {
                Counters::add(&counters.dropped_frames, lost);
                Counters::add(&counters.drops, 1);
            }
        }
    }
}

fn note_busy(shared: &Shared, busy: Duration) {
    Counters::add(&shared.counters.busy_ns, busy.as_nanos() as usize);
}

fn interleave(block: &[&mut [f32]], out: &mut [f32]) {
    let channels = block.len();
    for (c, channel) in block.iter().enumerate() {
        for (frame, x) in out.chunks_exact_mut(channels).zip(channel.iter()) {
            if let Some(place) = frame.get_mut(c) {
                *place = *x;
            }
        }
    }
}

/// Most channels that are treated.
pub const MOST_CHANNELS: usize = 2;

/// The beginnings of channels, as a list that needs no allocation.
struct Slices<'a> {
    list: [&'a mut [f32]; MOST_CHANNELS],
    used: usize,
}

impl<'a> Slices<'a> {
    fn of(channels: &'a mut [Vec<f32>], n: usize) -> Self {
        let mut list: [&mut [f32]; MOST_CHANNELS] = Default::default();
        let mut used = 0;
        for (place, channel) in list.iter_mut().zip(channels) {
            *place = &mut channel[..n];
            used += 1;
        }
        Self { list, used }
    }

    fn get(&mut self) -> &mut [&'a mut [f32]] {
        &mut self.list[..self.used]
    }
}

/// The output's side.
pub struct OutputSide {
    shared: Arc<Shared>,
    bridge: BridgeOutput,
    channels: usize,
    device_channels: usize,
    ns_per_frame: f64,
    sound: Vec<f32>,
    probe: Option<Probe>,
}

impl OutputSide {
    /// Plays on a device of `device_channels` channels at `rate_hz` what comes in `channels` channels.
    #[must_use]
    pub fn new(
        shared: Arc<Shared>,
        bridge: BridgeOutput,
        (channels, device_channels): (usize, usize),
        rate_hz: u32,
    ) -> Self {
        Self {
            shared,
            bridge,
            channels,
            device_channels: device_channels.max(1),
            ns_per_frame: 1e9 / f64::from(rate_hz.max(1)),
            // The whole callback at once: the bridge looks at the clock once a callback.
            sound: vec![0.0; LARGEST_CALLBACK * channels],
            probe: None,
        }
    }

    /// Plays the probe instead of the sound.
    #[must_use]
    pub fn with_probe(mut self, probe: Probe) -> Self {
        self.probe = Some(probe);
        self
    }

    /// Channels of the device.
    #[must_use]
    pub const fn device_channels(&self) -> usize {
        self.device_channels
    }

    /// Fills a callback's frames, interleaved.
    pub fn play(&mut self, frames: &mut [f32], timing: Timing) {
        let started = Instant::now();
        let _flush = FlushDenormals::new();
        let mut before = 0;
        for piece in frames.chunks_mut(LARGEST_CALLBACK * self.device_channels) {
            let n = piece.len() / self.device_channels;
            // Later pieces are played later.
            let timing = Timing {
                device_ns: timing.device_ns + before,
                ..timing
            };
            self.play_piece(piece, n, timing);
            before += (n as f64 * self.ns_per_frame) as u64;
        }
        let count = frames.len() / self.device_channels;
        let counters = &self.shared.counters;
        Counters::add(&counters.output_blocks, 1);
        Counters::add(&counters.output_frames, count);
        if let Some(block) = self.shared.blocks.get(1) {
            block.fetch_max(count as u64, Ordering::Relaxed);
        }
        note_busy(&self.shared, started.elapsed());
    }

    fn play_piece(&mut self, piece: &mut [f32], n: usize, timing: Timing) {
        let sound = &mut self.sound[..n * self.channels];
        let pulled = self.bridge.pull(sound, timing);
        if let Some(probe) = &mut self.probe {
            probe.replace(sound, self.channels);
        }
        let counters = &self.shared.counters;
        Counters::add(&counters.underruns, usize::from(pulled.underrun));
        Counters::add(&counters.silent_frames, pulled.missing);
        Counters::add(&counters.dropped_frames, pulled.skipped);
        Counters::add(&counters.drops, usize::from(pulled.skipped > 0));
        if pulled.latency_ns > 0 {
            self.shared
                .path_latency_ns
                .store(pulled.latency_ns, Ordering::Relaxed);
        }
        self.shared
            .waiting_frames
            .store(pulled.waiting as u64, Ordering::Relaxed);
        let ppb = (self.bridge.correction() * 1e9) as i64;
        self.shared
            .correction_ppb
            .store(ppb as u64, Ordering::Relaxed);
        let (channels, device_channels) = (self.channels, self.device_channels);
        let frames = piece.chunks_exact_mut(device_channels);
        for (to, from) in frames.zip(sound.chunks_exact(channels)) {
            if device_channels < channels {
                let mean = from.iter().sum::<f32>() / channels as f32;
                to.fill(mean);
                continue;
            }
            // One channel is played on both sides; further loudspeakers stay silent.
            for (c, place) in to.iter_mut().enumerate() {
                *place = if c < MOST_CHANNELS {
                    from.get(c.min(channels - 1)).copied().unwrap_or_default()
                } else {
                    0.0
                };
            }
        }
    }
}

/// Frames of output made at once.
const LARGEST_CALLBACK: usize = 8192;

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::live::bridge::{BridgeSetup, bridge};
    use crate::live::choice::Choice;
    use crate::live::shared::Noise;
    use assert_no_alloc::assert_no_alloc;
    use drfm_engine::audio::denoiser::Output;
    use drfm_engine::audio::model::Mode;
    use drfm_engine::rng::StableRng;
    use rtrb::RingBuffer;

    #[test]
    fn callbacks_of_any_size_never_allocate_whatever_the_player_does() {
        for (one_clock, device_channels) in [(true, 2), (false, 1), (true, 5)] {
            let shared = Arc::new(Shared::default());
            let mut choice = Choice::new("general", Some(Mode::Instant)).unwrap();
            let (to_bridge, from_bridge) = bridge(BridgeSetup {
                channels: 2,
                input_hz: 48_000,
                output_hz: if one_clock { 48_000 } else { 44_100 },
                one_clock,
            })
            .unwrap();
            let (raw, mut raw_end) = RingBuffer::new(1 << 20);
            let (clean, mut clean_end) = RingBuffer::new(1 << 14);
            let stream = choice.stream(48_000, 2).unwrap();
            let mut input = InputSide::new(
                Arc::clone(&shared),
                Processor::new(Arc::clone(&shared), stream),
                Some(to_bridge),
                Taps { raw, clean },
                (2, device_channels),
                48_000,
            );
            let mut output = OutputSide::new(
                Arc::clone(&shared),
                from_bridge,
                (2, device_channels),
                48_000,
            );
            let mut rng = StableRng::new(5, 0);
            let sizes = [256usize, 1, 511, 64, 1024, 0, 440];
            let mut played = 0.0f32;
            let (mut frames_in, mut now_ns) = (0usize, 0u64);
            for (i, n) in sizes.iter().cycle().take(1200).enumerate() {
                let x: Vec<f32> = (0..n * device_channels)
                    .map(|_| match i % 100 {
                        99 => f32::NAN,
                        _ => 0.1 * rng.normal() as f32,
                    })
                    .collect();
                let mut y = vec![f32::NAN; n * device_channels];
                now_ns += *n as u64 * 20_833;
                let timing = Timing {
                    now_ns,
                    device_ns: 1000,
                };
                match i {
                    200 => shared.set_learn(true),
                    500 => shared.set_learn(false),
                    550 => assert_eq!(shared.noise(), Noise::Learned),
                    560 => {
                        choice.next_mode();
                        let _ = shared.deliveries.push(choice.stream(48_000, 2).unwrap());
                    }
                    700 => shared.set_output(Output::Removed),
                    800 => shared.set_amount_db(12.0),
                    900 => shared.forget_noise(),
                    _ => {}
                }
                assert_no_alloc(|| {
                    input.hear(&x, timing);
                    output.play(&mut y, timing);
                });
                frames_in += n;
                played = y.iter().fold(played, |h, y| h.max(y.abs()));
                assert!(y.iter().all(|y| y.is_finite()));
                // The recorder sleeps now and then.
                if i % 50 == 0 {
                    while clean_end.pop().is_ok() {}
                    while raw_end.pop().is_ok() {}
                }
                if i % 10 == 0 {
                    while shared.retired.pop().is_some() {}
                }
            }
            let counters = &shared.counters;
            assert_eq!(
                counters.input_frames.load(Ordering::Relaxed),
                frames_in as u64
            );
            assert!(counters.unrecorded_frames.load(Ordering::Relaxed) > 0);
            assert!(played > 0.01, "silence proves nothing");
            assert_eq!(choice.mode(), Mode::Live);
            assert_eq!(shared.engine_latency.load(Ordering::Relaxed), 512);
        }
    }
}

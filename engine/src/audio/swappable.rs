//! A running denoiser whose model can be changed while it plays: a stream of the new model hears along until it is
//! ready, takes over in a short crossfade, and the old one is handed back to be dropped elsewhere.

use super::denoiser::{Output, StreamDenoiser};
use super::noise::NoiseSpectrum;
use super::stages::PIECE;

/// Seconds that a new stream hears beyond its latency before it is heard.
const WARM_UP_SECONDS: f32 = 0.2;
/// Length of the crossfade in seconds.
const FADE_SECONDS: f32 = 0.03;
/// Time constant of gain changes in seconds.
const TRIM_SECONDS: f32 = 0.005;

/// A new stream on its way in.
struct Incoming {
    stream: Box<StreamDenoiser>,
    /// Samples it has heard.
    heard: usize,
}

/// A stream that can be exchanged while it plays. Except for [`Self::new`] nothing here allocates, locks or waits.
pub struct SwappableDenoiser {
    current: Box<StreamDenoiser>,
    incoming: Option<Incoming>,
    retired: Option<Box<StreamDenoiser>>,
    tracking: bool,
    amount_db: f32,
    output: Output,
    trim: f32,
    trim_target: f32,
    trim_share: f32,
    /// What the incoming stream makes of a piece.
    second: Vec<Vec<f32>>,
}

impl SwappableDenoiser {
    /// Starts with `stream`, tracking the noise. Allocates.
    #[must_use]
    pub fn new(stream: Box<StreamDenoiser>) -> Self {
        let mut new = Self {
            second: vec![vec![0.0; PIECE]; stream.channels()],
            trim_share: 1.0 - libm::expf(-1.0 / (TRIM_SECONDS * stream.rate_hz().max(1) as f32)),
            current: stream,
            incoming: None,
            retired: None,
            tracking: true,
            amount_db: super::denoiser::FULL_AMOUNT_DB,
            output: Output::Denoised,
            trim: 1.0,
            trim_target: 1.0,
        };
        new.current.set_tracking(true);
        new
    }

    /// The stream that is heard.
    #[must_use]
    pub const fn current(&self) -> &StreamDenoiser {
        &self.current
    }

    /// Samples that the output lags the input; changes only by [`Self::swap_in_changing_latency`].
    #[must_use]
    pub fn latency_samples(&self) -> usize {
        self.current.latency_samples()
    }

    /// How deep the noise is taken down, what is heard, and the gain of the output, which bypass does without. Changes
    /// are smoothed.
    pub fn set(&mut self, amount_db: f32, output: Output, trim_db: f32) {
        self.amount_db = amount_db;
        self.output = output;
        let incoming = self.incoming.as_mut().map(|i| &mut i.stream);
        for stream in [&mut self.current].into_iter().chain(incoming) {
            stream.set_amount_db(amount_db);
            stream.set_output(output);
        }
        self.trim_target = if output == Output::Bypass || trim_db == 0.0 {
            1.0
        } else {
            libm::exp10f(trim_db / 20.0)
        };
    }

    /// Starts at the present settings instead of gliding to them.
    pub fn settle(&mut self) {
        self.current.settle();
        if let Some(incoming) = &mut self.incoming {
            incoming.stream.settle();
        }
        self.trim = self.trim_target;
    }

    /// See [`StreamDenoiser::set_tracking`].
    pub fn set_tracking(&mut self, on: bool) {
        self.tracking = on;
        self.current.set_tracking(on);
    }

    /// See [`StreamDenoiser::follow_noise`].
    pub fn follow_noise(&mut self, channel: usize, noise: &NoiseSpectrum) {
        self.tracking = true;
        self.current.follow_noise(channel, noise);
        if let Some(incoming) = &mut self.incoming {
            incoming.stream.assume_noise(channel, noise);
        }
    }

    /// See [`StreamDenoiser::assume_noise`].
    pub fn assume_noise(&mut self, channel: usize, noise: &NoiseSpectrum) {
        self.current.assume_noise(channel, noise);
        if let Some(incoming) = &mut self.incoming {
            incoming.stream.assume_noise(channel, noise);
        }
    }

    /// Whether [`Self::swap_in`] would take a stream.
    #[must_use]
    pub const fn can_swap(&self) -> bool {
        self.incoming.is_none() && self.retired.is_none()
    }

    /// Lets `stream` take over as soon as it is warm. It must have the rate, channels and latency of the present
    /// one, and [`Self::can_swap`] must be true; otherwise it comes back.
    ///
    /// # Errors
    /// The stream, if it cannot be taken.
    pub fn swap_in(&mut self, stream: Box<StreamDenoiser>) -> Result<(), Box<StreamDenoiser>> {
        if stream.latency_samples() == self.current.latency_samples() {
            self.swap_in_changing_latency(stream)
        } else {
            Err(stream)
        }
    }

    /// As [`Self::swap_in`], for callers that can live with another latency: within the crossfade both are heard, one
    /// later than the other.
    ///
    /// # Errors
    /// The stream, if it cannot be taken.
    pub fn swap_in_changing_latency(
        &mut self,
        mut stream: Box<StreamDenoiser>,
    ) -> Result<(), Box<StreamDenoiser>> {
        let fits = stream.channels() == self.current.channels()
            && stream.rate_hz() == self.current.rate_hz();
        if !fits || !self.can_swap() {
            return Err(stream);
        }
        // While it warms up it is told the noise; it takes over the tracking when it takes over.
        stream.set_tracking(false);
        for channel in 0..stream.channels() {
            if let Some(noise) = self.current.present_noise(channel) {
                stream.assume_noise(channel, noise);
            }
        }
        stream.set_amount_db(self.amount_db);
        stream.set_output(self.output);
        stream.settle();
        self.incoming = Some(Incoming { stream, heard: 0 });
        Ok(())
    }

    /// A stream that is no longer needed, to be dropped off the audio thread.
    pub fn take_retired(&mut self) -> Option<Box<StreamDenoiser>> {
        self.retired.take()
    }

    /// Back to silence, with the same settings; a swap under way is completed at once.
    pub fn reset(&mut self) {
        if self.incoming.is_some() {
            self.take_over();
        }
        self.current.reset();
        self.trim = self.trim_target;
    }

    fn take_over(&mut self) {
        let Some(mut incoming) = self.incoming.take() else {
            return;
        };
        if self.tracking {
            incoming.stream.set_tracking(true);
        }
        for channel in 0..self.current.channels() {
            if self.tracking {
                incoming
                    .stream
                    .take_tracking_from(channel, &mut self.current);
            }
            incoming.stream.take_hum_from(channel, &mut self.current);
        }
        self.retired = Some(std::mem::replace(&mut self.current, incoming.stream));
    }

    /// Denoises a block of any length in place, one slice a channel.
    pub fn process(&mut self, block: &mut [&mut [f32]]) {
        if self.incoming.is_some() {
            self.process_both(block);
        } else {
            self.current.process(block);
        }
        self.apply_trim(block);
    }

    fn process_both(&mut self, block: &mut [&mut [f32]]) {
        let channels = self.current.channels();
        let length = block
            .iter()
            .take(channels)
            .map(|c| c.len())
            .min()
            .unwrap_or(0);
        if block.len() < channels {
            return;
        }
        let rate_hz = self.current.rate_hz() as f32;
        let latency = self
            .incoming
            .as_ref()
            .map_or(0, |i| i.stream.latency_samples());
        let warm = latency + (WARM_UP_SECONDS * rate_hz) as usize;
        let fade = ((FADE_SECONDS * rate_hz) as usize).max(1);
        let mut start = 0;
        while start < length {
            let Some(incoming) = &mut self.incoming else {
                let mut rest = Pieces::of(block, start, length - start);
                self.current.process(rest.get());
                return;
            };
            let n = (length - start).min(PIECE);
            for (second, channel) in self.second.iter_mut().zip(block.iter()) {
                second[..n].copy_from_slice(&channel[start..start + n]);
            }
            let mut second = Pieces::of_buffers(&mut self.second, n);
            incoming.stream.process(second.get());
            let mut piece = Pieces::of(block, start, n);
            self.current.process(piece.get());
            for (x, y) in piece.get().iter_mut().zip(second.get().iter()) {
                for (i, (x, y)) in x.iter_mut().zip(y.iter()).enumerate() {
                    let into = (incoming.heard + i).saturating_sub(warm).min(fade);
                    let share = into as f32 / fade as f32;
                    *x += share * (y - *x);
                }
            }
            incoming.heard += n;
            if incoming.heard >= warm + fade {
                self.take_over();
            }
            start += n;
        }
    }

    fn apply_trim(&mut self, block: &mut [&mut [f32]]) {
        let (from, target) = (self.trim, self.trim_target);
        if from == 1.0 && target == 1.0 {
            return;
        }
        for channel in block.iter_mut().take(self.current.channels()) {
            let mut trim = from;
            for x in channel.iter_mut() {
                trim = if (target - trim).abs() < 1e-5 {
                    target
                } else {
                    trim + self.trim_share * (target - trim)
                };
                *x *= trim;
            }
            self.trim = trim;
        }
    }
}

/// Most channels that can be swapped; more are not touched while a swap is under way.
const MOST_CHANNELS: usize = 8;

/// Parts of channels, as a list of slices that needs no allocation.
struct Pieces<'a> {
    list: [&'a mut [f32]; MOST_CHANNELS],
    used: usize,
}

impl<'a> Pieces<'a> {
    fn collect(slices: impl Iterator<Item = &'a mut [f32]>) -> Self {
        let mut list: [&mut [f32]; MOST_CHANNELS] = Default::default();
        let mut used = 0;
        for (place, slice) in list.iter_mut().zip(slices) {
            *place = slice;
            used += 1;
        }
        Self { list, used }
    }

    fn of(block: &'a mut [&mut [f32]], start: usize, n: usize) -> Self {
        Self::collect(block.iter_mut().map(|c| &mut c[start..start + n]))
    }

    fn of_buffers(buffers: &'a mut [Vec<f32>], n: usize) -> Self {
        Self::collect(buffers.iter_mut().map(|c| &mut c[..n]))
    }

    fn get(&mut self) -> &mut [&'a mut [f32]] {
        &mut self.list[..self.used]
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::audio::denoiser::{Chain, NoiseSource};
    use crate::audio::embedded;
    use crate::audio::hum::tests::hum;
    use crate::audio::model::{DenoiserModel, Mode};
    use crate::rng::StableRng;

    const RATE_HZ: u32 = 48_000;

    fn model(name: &str) -> DenoiserModel {
        DenoiserModel::from_bytes(embedded::bytes(name).unwrap()).unwrap()
    }

    fn made(chain: &Chain, rate_hz: u32, channels: usize, linked: bool) -> StreamDenoiser {
        StreamDenoiser::with_linking(linked, chain, rate_hz, channels, NoiseSource::Adaptive)
    }

    /// Two channels of a decaying chord in noise.
    fn sound(seconds: f32) -> Vec<Vec<f32>> {
        let n = (seconds * RATE_HZ as f32) as usize;
        (0..2)
            .map(|c| {
                let mut rng = StableRng::new(7 + c, 0);
                (0..n)
                    .map(|i| {
                        let t = i as f32 / RATE_HZ as f32;
                        let tone = (t * 1382.0).sin() + (t * 1741.0 + c as f32).sin();
                        0.1 * tone * (-(t % 1.0)).exp() + 0.01 * rng.normal() as f32
                    })
                    .collect()
            })
            .collect()
    }

    fn run(denoiser: &mut SwappableDenoiser, sound: &mut [Vec<f32>], from: usize, to: usize) {
        let mut at = from;
        for size in [1usize, 333, 2048, 64, 512].iter().cycle() {
            let end = (at + size).min(to);
            let mut pieces: Vec<&mut [f32]> = sound.iter_mut().map(|c| &mut c[at..end]).collect();
            denoiser.process(&mut pieces);
            at = end;
            if at == to {
                return;
            }
        }
    }

    #[test]
    fn is_the_stream_denoiser_when_nothing_is_swapped() {
        let model = model("guitar");
        let chain = model.chain(Mode::Live).unwrap();
        let mut plain = StreamDenoiser::new(chain, RATE_HZ, 2, NoiseSource::Adaptive);
        let streams = Box::new(made(chain, RATE_HZ, 2, true));
        let mut swappable = SwappableDenoiser::new(streams);
        let (mut a, mut b) = (sound(1.0), sound(1.0));
        let n = a[0].len();
        run(&mut swappable, &mut a, 0, n);
        let mut pieces: Vec<&mut [f32]> = b.iter_mut().map(|c| &mut c[..]).collect();
        plain.process(&mut pieces);
        assert_eq!(a, b);
    }

    #[test]
    fn a_new_model_takes_over_without_a_click_and_the_old_one_comes_back() {
        let (guitar, flute) = (model("guitar"), model("flute"));
        for mode in [Mode::Live, Mode::Balanced] {
            for linked in [true, false] {
                let streams = |m: &DenoiserModel, linked| {
                    Box::new(made(m.chain(mode).unwrap(), RATE_HZ, 2, linked))
                };
                let mut denoiser = SwappableDenoiser::new(streams(&guitar, true));
                let mut only_old = SwappableDenoiser::new(streams(&guitar, true));
                let mut only_new = SwappableDenoiser::new(streams(&flute, linked));
                for d in [&mut denoiser, &mut only_old, &mut only_new] {
                    d.set_tracking(false);
                    let noise = NoiseSpectrum::white(RATE_HZ, 1e-4);
                    d.assume_noise(0, &noise);
                    d.assume_noise(1, &noise);
                    d.settle();
                }
                let (mut out, mut old, mut new) = (sound(6.0), sound(6.0), sound(6.0));
                let n = out[0].len();
                run(&mut only_old, &mut old, 0, n);
                run(&mut only_new, &mut new, 0, n);
                let at = 48_000;
                run(&mut denoiser, &mut out, 0, at);
                assert!(denoiser.can_swap());
                assert!(denoiser.swap_in(streams(&flute, linked)).is_ok());
                assert!(
                    denoiser.swap_in(streams(&flute, linked)).is_err(),
                    "one at a time"
                );
                run(&mut denoiser, &mut out, at, n);
                assert!(denoiser.take_retired().is_some());
                assert!(denoiser.can_swap());
                let warm = at + denoiser.latency_samples() + (0.2 * RATE_HZ as f32) as usize;
                let done = warm + (0.03 * RATE_HZ as f32) as usize + 1;
                for c in 0..2 {
                    assert_eq!(out[c][..warm], old[c][..warm], "{mode:?}");
                    // The new model started later, so averages over the past differ a little, and less and less.
                    let mut error = 0.0f32;
                    let mut difference = 0.0f32;
                    for i in n - 48_000..n {
                        error += (out[c][i] - new[c][i]).powi(2);
                        difference += (old[c][i] - new[c][i]).powi(2);
                    }
                    assert!(
                        error < 0.25 * difference,
                        "{mode:?} {linked}: {error} {difference}"
                    );
                    // Within the fade every sample lies between the two.
                    for i in warm..done {
                        let (low, high) = (old[c][i].min(new[c][i]), old[c][i].max(new[c][i]));
                        assert!(out[c][i] > low - 0.01 && out[c][i] < high + 0.01);
                    }
                }
            }
        }
    }

    #[test]
    fn streams_that_do_not_fit_are_refused() {
        let guitar = model("guitar");
        let streams = |mode, rate_hz, channels| {
            Box::new(made(guitar.chain(mode).unwrap(), rate_hz, channels, true))
        };
        let mut denoiser = SwappableDenoiser::new(streams(Mode::Live, RATE_HZ, 2));
        assert!(
            denoiser
                .swap_in(streams(Mode::Balanced, RATE_HZ, 2))
                .is_err()
        );
        assert!(denoiser.swap_in(streams(Mode::Live, 96_000, 2)).is_err());
        assert!(denoiser.swap_in(streams(Mode::Live, RATE_HZ, 1)).is_err());
        assert!(denoiser.swap_in(streams(Mode::Live, RATE_HZ, 2)).is_ok());
    }

    #[test]
    fn another_mode_takes_over_with_its_own_latency() {
        let guitar = model("guitar");
        let streams = |mode| Box::new(made(guitar.chain(mode).unwrap(), RATE_HZ, 2, true));
        let mut denoiser = SwappableDenoiser::new(streams(Mode::Instant));
        // Bypass shows the latency to the sample.
        denoiser.set(0.0, Output::Bypass, 0.0);
        denoiser.settle();
        let (mut out, dry) = (sound(2.0), sound(2.0));
        let n = out[0].len();
        run(&mut denoiser, &mut out, 0, n / 2);
        let before = denoiser.latency_samples();
        assert!(
            denoiser
                .swap_in_changing_latency(streams(Mode::Balanced))
                .is_ok()
        );
        run(&mut denoiser, &mut out, n / 2, n);
        let after = denoiser.latency_samples();
        assert!(denoiser.take_retired().is_some());
        assert!(after > before);
        for c in 0..2 {
            assert_eq!(out[c][before..n / 2], dry[c][..n / 2 - before]);
            let done = n - RATE_HZ as usize / 4;
            assert_eq!(out[c][done..], dry[c][done - after..n - after]);
        }
    }

    #[test]
    fn the_noise_that_was_tracked_is_kept_across_a_swap() {
        let (guitar, flute) = (model("guitar"), model("flute"));
        let streams =
            |m: &DenoiserModel| Box::new(made(m.chain(Mode::Live).unwrap(), RATE_HZ, 2, true));
        let mut denoiser = SwappableDenoiser::new(streams(&guitar));
        let mut out = sound(8.0);
        let n = out[0].len();
        let (mut old, mut new) = (sound(8.0), sound(8.0));
        run(
            &mut SwappableDenoiser::new(streams(&guitar)),
            &mut old,
            0,
            n,
        );
        run(&mut SwappableDenoiser::new(streams(&flute)), &mut new, 0, n);
        run(&mut denoiser, &mut out, 0, n / 2);
        let before = denoiser.current().present_noise(0).unwrap().variance();
        denoiser.swap_in(streams(&flute)).ok().unwrap();
        run(&mut denoiser, &mut out, n / 2, n / 2 + 13_000);
        assert!(denoiser.take_retired().is_some());
        let after = denoiser.current().present_noise(0).unwrap().variance();
        assert!(
            (10.0 * (after / before).log10()).abs() < 1.0,
            "{before} {after}"
        );
        run(&mut denoiser, &mut out, n / 2 + 13_000, n);
        // The streams remember some seconds of what they have made of the sound; then nothing of the old one is left.
        let last = n - 48_000..n;
        let to = |other: &[Vec<f32>]| -> f32 {
            let pairs = other[0][last.clone()].iter().zip(&out[0][last.clone()]);
            pairs.map(|(a, b)| (a - b).powi(2)).sum()
        };
        assert!(to(&new) < 0.2 * to(&old), "{} {}", to(&new), to(&old));
    }

    #[test]
    fn trim_is_smooth_and_bypass_does_without_it() {
        let guitar = model("guitar");
        let chain = guitar.chain(Mode::Instant).unwrap();
        let mut denoiser = SwappableDenoiser::new(Box::new(made(chain, RATE_HZ, 1, true)));
        denoiser.set(0.0, Output::Denoised, 0.0);
        denoiser.settle();
        let mut x = vec![vec![0.5f32; 48_000]];
        run(&mut denoiser, &mut x, 0, 16_000);
        denoiser.set(0.0, Output::Denoised, -6.0);
        run(&mut denoiser, &mut x, 16_000, 32_000);
        denoiser.set(0.0, Output::Bypass, -6.0);
        run(&mut denoiser, &mut x, 32_000, 48_000);
        let x = &x[0];
        assert!((x[15_999] - 0.5).abs() < 1e-6);
        assert!((x[31_999] - 0.2506).abs() < 1e-3, "{}", x[31_999]);
        assert!((x[47_999] - 0.5).abs() < 1e-6);
        let latency = denoiser.latency_samples();
        for pair in x[latency + 1..].windows(2) {
            assert!((pair[1] - pair[0]).abs() < 0.002, "a click");
        }
    }

    #[test]
    fn hum_stays_away_across_a_swap() {
        let guitar = model("guitar");
        let streams = || {
            let chain = guitar.chain(Mode::Live).unwrap();
            let mut streams = Box::new(made(chain, RATE_HZ, 1, true));
            // Nothing but the canceller takes it out.
            streams.set_tracking(false);
            streams.assume_noise(0, &NoiseSpectrum::white(RATE_HZ, 1e-9));
            streams
        };
        let mut sound = vec![hum(RATE_HZ, 50.0, 6.0)];
        let power = |x: &[f32]| x.iter().map(|x| x * x).sum::<f32>() / x.len() as f32;
        let mut denoiser = SwappableDenoiser::new(streams());
        denoiser.set_tracking(false);
        let second = RATE_HZ as usize;
        run(&mut denoiser, &mut sound, 0, 4 * second);
        denoiser.swap_in(streams()).ok().unwrap();
        run(&mut denoiser, &mut sound, 4 * second, 6 * second);
        assert!(denoiser.take_retired().is_some());
        let (first, last) = (&sound[0][..second], &sound[0][5 * second..]);
        assert!(power(first) > 0.5, "{}", power(first));
        assert!(power(last) < 1e-3, "{}", power(last));
    }
}

//! Measuring the latency: a sound goes out on the loudspeaker's side and is looked for in what comes back through the
//! whole program.

use drfm_engine::rng::StableRng;
use realfft::RealFftPlanner;
use realfft::num_complex::Complex32;
use rtrb::{Consumer, Producer, RingBuffer};

/// One attempt, in seconds; round trips must be shorter.
pub const PERIOD_SECONDS: f64 = 2.0;
/// Length of the sound in seconds.
const SOUND_SECONDS: f64 = 0.25;
/// Level of the sound: clearly heard, not loud.
const LEVEL: f32 = 0.1;
/// The correlation's peak must be so many times as high as its root mean square.
const CLEAR: f32 = 12.0;

/// The output side's part.
pub struct Probe {
    sound: Vec<f32>,
    period: usize,
    at: usize,
    heard: Producer<f32>,
}

/// The other end: what was heard since the start, mono.
pub struct Heard {
    samples: Consumer<f32>,
    sound: Vec<f32>,
    period: usize,
    collected: Vec<f32>,
}

/// A probe for `rate_hz`, and its other end.
#[must_use]
pub fn probe(rate_hz: u32) -> (Probe, Heard) {
    let mut rng = StableRng::new(1, 0);
    let n = (SOUND_SECONDS * f64::from(rate_hz)) as usize;
    let sound: Vec<f32> = (0..n)
        .map(|i| {
            // Noise is found to the sample; its edges are soft.
            let edge = (i.min(n - i) as f32 / (0.1 * n as f32)).min(1.0);
            LEVEL * edge * (2.0 * rng.uniform() as f32 - 1.0)
        })
        .collect();
    let period = (PERIOD_SECONDS * f64::from(rate_hz)) as usize;
    let (heard, samples) = RingBuffer::new(2 * period);
    let probe = Probe {
        sound: sound.clone(),
        period,
        at: 0,
        heard,
    };
    let heard = Heard {
        samples,
        sound,
        period,
        collected: Vec::new(),
    };
    (probe, heard)
}

impl Probe {
    /// Hands on what would have been played, and puts the probe in its place. Never allocates or waits.
    pub fn replace(&mut self, frames: &mut [f32], channels: usize) {
        for frame in frames.chunks_exact_mut(channels) {
            let mean = frame.iter().sum::<f32>() / channels as f32;
            let _ = self.heard.push(mean);
            frame.fill(self.sound.get(self.at).copied().unwrap_or_default());
            self.at = (self.at + 1) % self.period;
        }
    }
}

impl Heard {
    /// Takes in what has come. After each period: the round trip in samples, or `None` if nothing was recognised.
    pub fn listen(&mut self) -> Option<Option<usize>> {
        while let Ok(x) = self.samples.pop() {
            self.collected.push(x);
            if self.collected.len() == self.period {
                let found = find_delay(&self.sound, &self.collected);
                self.collected.clear();
                return Some(found);
            }
        }
        None
    }
}

/// How many samples late `sound` is in `heard`, by cross-correlation; `None` if it is not in there.
#[must_use]
pub fn find_delay(sound: &[f32], heard: &[f32]) -> Option<usize> {
    let n = (sound.len() + heard.len()).next_power_of_two();
    let mut planner = RealFftPlanner::<f32>::new();
    let forward = planner.plan_fft_forward(n);
    let backward = planner.plan_fft_inverse(n);
    let spectrum = |x: &[f32]| -> Option<Vec<Complex32>> {
        let mut padded = forward.make_input_vec();
        for (p, x) in padded.iter_mut().zip(x) {
            *p = if x.is_finite() { *x } else { 0.0 };
        }
        let mut out = forward.make_output_vec();
        forward.process(&mut padded, &mut out).ok()?;
        Some(out)
    };
    let (a, b) = (spectrum(sound)?, spectrum(heard)?);
    let mut product: Vec<Complex32> = a.iter().zip(&b).map(|(a, b)| a.conj() * b).collect();
    // Both ends of a real signal's spectrum are real.
    for end in [0, product.len() - 1] {
        if let Some(p) = product.get_mut(end) {
            p.im = 0.0;
        }
    }
    let mut correlation = backward.make_output_vec();
    backward.process(&mut product, &mut correlation).ok()?;
    let lags = heard.len().saturating_sub(sound.len() / 2).max(1);
    let possible = correlation.get(..lags.min(correlation.len()))?;
    let power = possible.iter().map(|x| x * x).sum::<f32>() / possible.len() as f32;
    let (delay, peak) = possible
        .iter()
        .enumerate()
        .max_by(|x, y| x.1.abs().total_cmp(&y.1.abs()))?;
    (power > 1e-20 && peak.abs() > CLEAR * power.sqrt()).then_some(delay)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn delays_are_found_to_the_sample_even_in_noise() {
        for delay in [0usize, 1, 1023, 20_000] {
            let (mut probe, mut heard) = probe(48_000);
            let mut rng = StableRng::new(7, 0);
            let mut line = std::collections::VecDeque::from(vec![0.0f32; delay]);
            let found = loop {
                // What came back from the last frame that was played is what would be played now.
                let mut frame = [line.front().copied().unwrap_or(0.0); 2];
                frame
                    .iter_mut()
                    .for_each(|x| *x += 0.01 * rng.normal() as f32);
                if delay == 0 {
                    break Some(find_delay(&probe.sound, &probe.sound).unwrap());
                }
                probe.replace(&mut frame, 2);
                line.pop_front();
                // Quieter and upside down, as rooms and cables like it.
                line.push_back(-0.1 * frame[0]);
                if let Some(found) = heard.listen() {
                    break found;
                }
            };
            assert_eq!(found, Some(delay));
        }
    }

    #[test]
    fn noise_is_not_taken_for_the_probe() {
        let (probe, _) = probe(48_000);
        let mut rng = StableRng::new(9, 0);
        let noise: Vec<f32> = (0..96_000).map(|_| rng.normal() as f32).collect();
        assert_eq!(find_delay(&probe.sound, &noise), None);
        assert_eq!(find_delay(&probe.sound, &[0.0; 96_000]), None);
    }
}

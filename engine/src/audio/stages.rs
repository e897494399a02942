//! The nodes of a chain for a channel or a pair of them, and the delays that bring their signals together.

use super::delay::DelayLine;
use super::denoiser::Chain;
use super::long_frames::fits;
use super::node::{Node, NodeInputs};
use super::noise::NoiseSpectrum;

/// Most channels that are worked on together.
pub const MAX_CHANNELS: usize = 2;
/// Longest piece that is worked on at once; more only costs memory.
pub const PIECE: usize = 1024;

/// How the steps of a chain are wired.
pub struct Stages {
    wiring: Wiring,
    out: Vec<Vec<f32>>,
}

enum Wiring {
    /// One node: first and second step on the same frames, and perhaps long frames beside them.
    Single(Box<Node>),
    /// Three nodes: the estimates of a short and a long window are heard and analysed again.
    Double(Box<Double>),
}

struct Double {
    first: Node,
    long: Node,
    refine: Node,
    noisy_delay: Vec<DelayLine>,
    first_delay: Vec<DelayLine>,
    noisy: Vec<Vec<f32>>,
    first_out: Vec<Vec<f32>>,
    first_delayed: Vec<Vec<f32>>,
    long_out: Vec<Vec<f32>>,
}

impl Double {
    fn together(&self) -> usize {
        self.first
            .latency_samples()
            .max(self.long.latency_samples())
    }
}

impl Stages {
    /// Wires `chain` up for `channels` (1 or 2) at `rate_hz`. Allocates everything it will ever need.
    #[must_use]
    pub fn new(chain: &Chain, rate_hz: u32, channels: usize) -> Self {
        let buffers = || vec![vec![0.0; PIECE]; channels];
        let node = |step: &_, second, long, inputs| {
            Node::new(
                std::sync::Arc::clone(step),
                second,
                long,
                inputs,
                rate_hz,
                channels,
            )
        };
        let apart = chain.long.as_ref();
        let apart = apart.filter(|long| !fits(&chain.first.config, &long.config));
        let wiring = if let (Some(long), Some(refine)) = (apart, &chain.refine) {
            let first = node(&chain.first, None, None, NodeInputs::Noisy);
            let long = node(long, None, None, NodeInputs::Noisy);
            let together = first.latency_samples().max(long.latency_samples());
            let delays = |d: usize| vec![DelayLine::new(d); channels];
            Wiring::Double(Box::new(Double {
                noisy_delay: delays(together),
                first_delay: delays(together - first.latency_samples()),
                first,
                long,
                refine: node(refine, None, None, NodeInputs::NoisyAndEstimates).after(together),
                noisy: buffers(),
                first_out: buffers(),
                first_delayed: buffers(),
                long_out: buffers(),
            }))
        } else {
            Wiring::Single(Box::new(node(
                &chain.first,
                chain.refine.clone(),
                chain.long.clone(),
                NodeInputs::Noisy,
            )))
        };
        Self {
            wiring,
            out: buffers(),
        }
    }

    /// Samples from input to output.
    #[must_use]
    pub fn latency_samples(&self) -> usize {
        match &self.wiring {
            Wiring::Single(node) => node.latency_samples(),
            Wiring::Double(d) => d.together() + d.refine.latency_samples(),
        }
    }

    /// Most samples that the next call of [`Self::process`] may carry, apart from [`PIECE`].
    #[must_use]
    pub fn wanted(&self) -> usize {
        match &self.wiring {
            Wiring::Single(node) => node.wanted(),
            Wiring::Double(d) => d.first.wanted().min(d.long.wanted()).min(d.refine.wanted()),
        }
    }

    /// Tells all nodes what noise to expect in a channel, see [`Node::set_noise`]. Never allocates.
    pub fn set_noise(&mut self, channel: usize, noise: &NoiseSpectrum) {
        match &mut self.wiring {
            Wiring::Single(node) => node.set_noise(channel, noise),
            Wiring::Double(d) => {
                d.first.set_noise(channel, noise);
                d.long.set_noise(channel, noise);
                if d.refine.hears_like(&d.first) {
                    d.refine.set_noise_as(channel, &d.first);
                } else {
                    d.refine.set_noise(channel, noise);
                }
            }
        }
    }

    fn nodes_mut(&mut self) -> impl Iterator<Item = &mut Node> {
        let nodes: [Option<&mut Node>; 3] = match &mut self.wiring {
            Wiring::Single(node) => [Some(node), None, None],
            Wiring::Double(d) => [Some(&mut d.first), Some(&mut d.long), Some(&mut d.refine)],
        };
        nodes.into_iter().flatten()
    }

    /// Takes `n` samples of each channel in; the estimate is then in [`Self::estimate`]. Never allocates.
    pub fn process(&mut self, input: &[Vec<f32>], n: usize) {
        match &mut self.wiring {
            Wiring::Single(node) => {
                node.process(slices::<MAX_CHANNELS>(&[input], n).get(), &mut self.out);
            }
            Wiring::Double(d) => {
                let inputs = slices::<MAX_CHANNELS>(&[input], n);
                d.first.process(inputs.get(), &mut d.first_out);
                d.long.process(inputs.get(), &mut d.long_out);
                for (c, x) in input.iter().enumerate() {
                    d.noisy_delay[c].process(&x[..n], &mut d.noisy[c][..n]);
                    d.first_delay[c].process(&d.first_out[c][..n], &mut d.first_delayed[c][..n]);
                }
                let inputs =
                    slices::<{ 3 * MAX_CHANNELS }>(&[&d.noisy, &d.first_delayed, &d.long_out], n);
                d.refine.process(inputs.get(), &mut self.out);
            }
        }
    }

    /// The newest samples of the estimate of a channel.
    #[must_use]
    pub fn estimate(&self, channel: usize) -> &[f32] {
        &self.out[channel]
    }

    /// Back to silence. Never allocates.
    pub fn clear(&mut self) {
        for node in self.nodes_mut() {
            node.clear();
        }
        if let Wiring::Double(d) = &mut self.wiring {
            for line in d.noisy_delay.iter_mut().chain(&mut d.first_delay) {
                line.clear();
            }
        }
    }
}

/// The first `n` samples of buffers, as a list of slices that needs no allocation.
struct Slices<'a, const N: usize> {
    list: [&'a [f32]; N],
    used: usize,
}

impl<'a, const N: usize> Slices<'a, N> {
    fn get(&self) -> &[&'a [f32]] {
        &self.list[..self.used]
    }
}

fn slices<'a, const N: usize>(signals: &[&'a [Vec<f32>]], n: usize) -> Slices<'a, N> {
    let mut list: [&[f32]; N] = [&[]; N];
    let mut used = 0;
    for buffer in signals.iter().flat_map(|s| s.iter()) {
        list[used] = &buffer[..n];
        used += 1;
    }
    Slices { list, used }
}

//! The streaming rules, tested on chains with random weights: what a chain puts out does not matter here, only that it
//! puts out the same whatever is done to it.

use std::sync::Arc;

use super::chain::{ChainConfig, StepModel, estimate};
use super::denoiser::{Chain, NoiseSource, Output, StreamDenoiser};
use super::model::{DenoiserModel, Mode};
use super::noise::NoiseSpectrum;
use super::recipe;
use super::trainer::SpectralTraining;
use crate::model::{Drfm, RandomFeatures};
use crate::rng::StableRng;

/// The steps of all modes with random weights and few features.
fn random_step(name: &str) -> StepModel {
    let training = SpectralTraining {
        features: Some(32),
        ..SpectralTraining::default()
    };
    let plan = recipe::plan(&training).unwrap();
    let step = plan.steps.into_iter().find(|s| s.name == name).unwrap();
    let features = RandomFeatures::draw(&step.draw).unwrap();
    let mut rng = StableRng::new(11, 0);
    let model = Drfm::initial(features, step.config.schedule.timesteps(), 2, &mut rng).unwrap();
    StepModel::new(step.config, model).unwrap()
}

fn names(mode: Mode) -> ChainConfig<String> {
    recipe::plan(&SpectralTraining::default()).unwrap().modes[&mode].clone()
}

fn chain(mode: Mode) -> Chain {
    let names = names(mode);
    let step = |name: &String| Arc::new(random_step(name));
    ChainConfig {
        first: step(&names.first),
        long: names.long.as_ref().map(step),
        refine: names.refine.as_ref().map(step),
    }
}

fn music(rate_hz: u32, seconds: f64, seed: u64) -> Vec<f32> {
    let mut rng = StableRng::new(seed, 0);
    (0..(seconds * f64::from(rate_hz)) as usize)
        .map(|i| {
            let t = i as f64 / f64::from(rate_hz);
            let tone = (t * 440.0 * std::f64::consts::TAU).sin() * (-2.0 * (t % 0.5)).exp();
            (0.2 * tone + 0.01 * rng.normal()) as f32
        })
        .collect()
}

fn known(rate_hz: u32) -> NoiseSource {
    NoiseSource::Known(vec![NoiseSpectrum::white(rate_hz, 1e-4)])
}

fn run(
    stream: &mut StreamDenoiser,
    input: &[Vec<f32>],
    mut block: impl FnMut() -> usize,
) -> Vec<Vec<f32>> {
    let mut out = input.to_vec();
    let total = input[0].len();
    let mut at = 0;
    while at < total {
        let n = block().min(total - at);
        let mut slices: Vec<&mut [f32]> = out.iter_mut().map(|c| &mut c[at..at + n]).collect();
        stream.process(&mut slices);
        at += n;
    }
    out
}

#[test]
fn any_block_length_gives_the_same_bits() {
    for mode in Mode::ALL {
        let chain = chain(mode);
        let input = vec![music(48_000, 0.9, 1), music(48_000, 0.9, 2)];
        for noise in [known(48_000), NoiseSource::Adaptive] {
            let whole = run(
                &mut StreamDenoiser::new(&chain, 48_000, 2, noise.clone()),
                &input,
                || usize::MAX,
            );
            assert!(
                whole[0].iter().any(|x| x.abs() > 1e-4),
                "{mode:?}: silence proves nothing"
            );
            for size in [1, 7, 64, 440, 4096] {
                let mut stream = StreamDenoiser::new(&chain, 48_000, 2, noise.clone());
                let cut = run(&mut stream, &input, || size);
                assert!(whole == cut, "{mode:?}: blocks of {size}");
            }
            let mut rng = StableRng::new(3, 0);
            let mut stream = StreamDenoiser::new(&chain, 48_000, 2, noise);
            let cut = run(&mut stream, &input, || rng.below(700));
            assert!(whole == cut, "{mode:?}: random blocks");
        }
    }
}

#[test]
fn streaming_equals_the_whole_signal_run() {
    for mode in Mode::ALL {
        let names = names(mode);
        let whole_chain = ChainConfig {
            first: random_step(&names.first),
            long: names.long.as_deref().map(random_step),
            refine: names.refine.as_deref().map(random_step),
        };
        let x = music(48_000, 0.8, 4);
        let whitened: Vec<f32> = x.iter().map(|v| v * 100.0).collect();
        let want = estimate(&whole_chain, 48_000, &whitened);
        let mut stream = StreamDenoiser::new(&chain(mode), 48_000, 1, known(48_000));
        let latency = stream.latency_samples();
        let mut padded = x.clone();
        padded.resize(x.len() + latency, 0.0);
        let got = run(&mut stream, &[padded], || 480);
        // Rounding differs between the two, and with it the choice of a bin now and then.
        let (mut error, mut power) = (0.0, 0.0);
        for i in 0..x.len() {
            error += f64::from(got[0][latency + i] - want[i] / 100.0).powi(2);
            power += f64::from(want[i] / 100.0).powi(2);
        }
        assert!(error < 1e-5 * power, "{mode:?}: {}", error / power);
    }
}

#[test]
fn an_impulse_arrives_after_the_latency_reported() {
    let limits_ms = [
        (Mode::Best, 500.0),
        (Mode::Balanced, 130.0),
        (Mode::Live, 12.0),
        (Mode::Instant, 3.0),
    ];
    for (mode, limit_ms) in limits_ms {
        let chain = chain(mode);
        for rate_hz in [44_100, 48_000, 96_000] {
            let mut stream = StreamDenoiser::new(&chain, rate_hz, 1, known(rate_hz));
            let latency = stream.latency_samples();
            let ms = latency as f64 * 1000.0 / f64::from(rate_hz);
            assert!(ms <= limit_ms, "{mode:?} at {rate_hz}: {ms} ms");
            // A model that takes nothing away: theta2 = 0 passes every active bin, and a loud click makes all active.
            let zeroed = silenced(&chain);
            let mut passing = StreamDenoiser::new(&zeroed, rate_hz, 1, known(rate_hz));
            let at = rate_hz as usize / 2;
            let mut click = vec![0.0; at + latency + 5000];
            click[at] = 50.0;
            let out = run(&mut passing, std::slice::from_ref(&click), || 333);
            let peak =
                (0..out[0].len()).max_by(|a, b| out[0][*a].abs().total_cmp(&out[0][*b].abs()));
            assert_eq!(peak, Some(at + latency), "{mode:?} at {rate_hz}");
            stream.set_output(Output::Bypass);
            stream.settle();
            let dry = run(&mut stream, std::slice::from_ref(&click), || 100);
            assert_eq!(dry[0][at + latency], 50.0);
            assert_eq!(dry[0].iter().filter(|x| **x != 0.0).count(), 1);
        }
    }
}

#[test]
fn a_change_of_the_noise_does_not_touch_frames_under_way() {
    for mode in Mode::ALL {
        // All bins are far above the noise and the models take nothing away: the output is the input, delayed.
        let chain = silenced(&chain(mode));
        let mut rng = StableRng::new(8, 0);
        let x: Vec<f32> = (0..96_000).map(|_| rng.normal() as f32).collect();
        let mut stream = StreamDenoiser::new(&chain, 48_000, 1, known(48_000));
        let latency = stream.latency_samples();
        let (before, after) = x.split_at(60_000);
        let mut out = run(&mut stream, &[before.to_vec()], || 256).remove(0);
        stream.set_noise(NoiseSource::Known(vec![NoiseSpectrum::white(48_000, 4e-4)]));
        out.extend(run(&mut stream, &[after.to_vec()], || 256).remove(0));
        let square = |x: f32| f64::from(x) * f64::from(x);
        let start = 30_000;
        let error: f64 = (start..x.len() - latency)
            .map(|i| square(out[i + latency] - x[i]))
            .sum();
        let power: f64 = x[start..].iter().map(|x| square(*x)).sum();
        assert!(error < 1e-4 * power, "{mode:?}: {}", error / power);
    }
}

/// The chain with models that predict no noise at all.
fn silenced(chain: &Chain) -> Chain {
    let zero = |s: &Arc<StepModel>| {
        let m = &s.model;
        let model = Drfm::new(
            m.features().clone(),
            m.theta1().clone(),
            ndarray::Array2::zeros(m.theta2().dim()),
        );
        Arc::new(StepModel::new(s.config.clone(), model.unwrap()).unwrap())
    };
    ChainConfig {
        first: zero(&chain.first),
        long: chain.long.as_ref().map(zero),
        refine: chain.refine.as_ref().map(zero),
    }
}

#[test]
fn amount_zero_is_the_input_and_removed_is_the_difference() {
    for mode in [Mode::Balanced, Mode::Live] {
        let chain = chain(mode);
        let x = music(44_100, 0.7, 5);
        let make = |amount: f32, output: Output| {
            let mut s = StreamDenoiser::new(&chain, 44_100, 1, known(44_100));
            s.set_amount_db(amount);
            s.set_output(output);
            s.settle();
            let latency = s.latency_samples();
            (
                run(&mut s, std::slice::from_ref(&x), || 128).remove(0),
                latency,
            )
        };
        let (null, latency) = make(0.0, Output::Denoised);
        for i in latency..x.len() {
            assert_eq!(null[i], x[i - latency]);
        }
        let (denoised, _) = make(12.0, Output::Denoised);
        let (removed, _) = make(12.0, Output::Removed);
        for i in latency..x.len() {
            assert!((denoised[i] + removed[i] - x[i - latency]).abs() < 1e-6);
        }
    }
}

#[test]
fn broken_samples_become_silence_and_nothing_else() {
    for mode in Mode::ALL {
        let chain = chain(mode);
        let mut x = music(48_000, 1.6, 6);
        let clean = x.clone();
        for (i, v) in x[20_000..20_100].iter_mut().enumerate() {
            *v = [f32::NAN, f32::INFINITY, f32::NEG_INFINITY, 1e30][i % 4];
        }
        for noise in [known(48_000), NoiseSource::Adaptive] {
            let mut stream = StreamDenoiser::new(&chain, 48_000, 1, noise.clone());
            let latency = stream.latency_samples();
            let out = run(&mut stream, std::slice::from_ref(&x), || 256);
            assert!(
                out[0].iter().all(|v| v.is_finite() && v.abs() < 10.0),
                "{mode:?}"
            );
            if matches!(noise, NoiseSource::Known(_)) {
                let mut other = StreamDenoiser::new(&chain, 48_000, 1, noise);
                let want = run(&mut other, std::slice::from_ref(&clean), || 256);
                // Long averages forget slowly; half a second after the gap hardly anything is left of it.
                for i in 20_100 + latency + 24_000..clean.len() {
                    assert!((out[0][i] - want[0][i]).abs() < 0.02, "{mode:?} at {i}");
                }
            }
        }
    }
}

#[test]
fn reset_gives_a_new_stream_and_linked_twins_stay_twins() {
    for mode in Mode::ALL {
        let chain = chain(mode);
        let x = music(48_000, 0.6, 7);
        let mut stream = StreamDenoiser::new(&chain, 48_000, 2, NoiseSource::Adaptive);
        let first = run(&mut stream, &[x.clone(), x.clone()], || 300);
        assert_eq!(first[0], first[1], "{mode:?}: same sound left and right");
        stream.reset();
        let again = run(&mut stream, &[x.clone(), x.clone()], || 300);
        assert!(first == again, "{mode:?}: reset");
        let mut mono = StreamDenoiser::new(&chain, 48_000, 1, NoiseSource::Adaptive);
        let alone = run(&mut mono, &[x], || 300);
        // Turning to the middle and back rounds, and with it the choice of a bin now and then.
        let square = |x: f32| f64::from(x) * f64::from(x);
        let error: f64 = alone[0]
            .iter()
            .zip(&first[0])
            .map(|(a, b)| square(a - b))
            .sum();
        let power: f64 = alone[0].iter().map(|a| square(*a)).sum();
        assert!(error < 1e-5 * power, "{mode:?}: dual mono is mono");
    }
}

#[test]
fn channels_that_are_not_linked_are_streams_of_their_own() {
    let input: Vec<Vec<f32>> = (0..3).map(|c| music(48_000, 3.0, c)).collect();
    for mode in [Mode::Live, Mode::Best] {
        let chain = chain(mode);
        let all = |linked: bool| {
            let noise = NoiseSource::Adaptive;
            let mut stream = StreamDenoiser::with_linking(linked, &chain, 48_000, 3, noise);
            run(&mut stream, &input, || 333)
        };
        let (linked, unlinked) = (all(true), all(false));
        for (channel, x) in input.iter().enumerate() {
            let mut alone = StreamDenoiser::new(&chain, 48_000, 1, NoiseSource::Adaptive);
            let alone = run(&mut alone, std::slice::from_ref(x), || 333).remove(0);
            assert!(unlinked[channel] == alone, "{mode:?}: {channel}");
            // The third has no other.
            assert_eq!(
                linked[channel] == alone,
                channel == 2,
                "{mode:?}: {channel}"
            );
        }
    }
}

#[test]
fn many_channels_and_odd_rates() {
    let chain = chain(Mode::Live);
    for (rate_hz, channels) in [(8_000, 1), (11_025, 3), (192_000, 2), (48_000, 8)] {
        let input: Vec<Vec<f32>> = (0..channels)
            .map(|c| music(rate_hz, 0.2, c as u64))
            .collect();
        let mut stream = StreamDenoiser::new(&chain, rate_hz, channels, NoiseSource::Adaptive);
        let out = run(&mut stream, &input, || 100);
        assert!(out.iter().flatten().all(|v| v.is_finite()));
    }
}

#[test]
fn sound_passes_until_the_noise_is_known_and_is_forgotten_then() {
    let mut rng = StableRng::new(21, 0);
    let input: Vec<f32> = (0..72_000).map(|_| (0.01 * rng.normal()) as f32).collect();
    let power = |x: &[f32]| x.iter().map(|x| x * x).sum::<f32>() / x.len() as f32;
    for mode in Mode::ALL {
        let mut stream = StreamDenoiser::new(&chain(mode), 48_000, 1, NoiseSource::Adaptive);
        let latency = stream.latency_samples();
        let out = run(&mut stream, std::slice::from_ref(&input), || 256).remove(0);
        for (x, y) in input.iter().zip(&out[latency..latency + 2000]) {
            assert!((x - y).abs() < 1e-5, "{mode:?}: {x} {y}");
        }
        // Most bins of noise alone are not worked on: these weights make more noise of it, not less.
        let later = 2 * latency + 14_000;
        let left = power(&out[later..]) / power(&input);
        assert!(left < 0.2, "{mode:?}: {left}");
    }
}

#[test]
fn thumps_of_a_rumbling_noise_go_and_notes_stay() {
    let rate_hz = 48_000;
    // Hiss, and rumble below 40 Hz that is learned where it is even.
    let mut rng = StableRng::new(21, 0);
    let (mut low, mut lower) = (0.0f64, 0.0f64);
    let mut noise = |scale: f64| {
        low += 0.004 * (scale * rng.normal() - low);
        lower += 0.004 * (low - lower);
        (lower + 1e-4 * rng.normal()) as f32
    };
    let learned: Vec<f32> = (0..96_000).map(|_| noise(0.3)).collect();
    let spectrum = NoiseSpectrum::learn(rate_hz, &[&learned]).unwrap();
    // Later it thumps every half second, beside a note.
    let seconds = |i: usize| i as f64 / f64::from(rate_hz);
    let thump = |i: usize| {
        let since = (seconds(i) % 0.5 - 0.2) / 0.03;
        (0.1 * (-since * since).exp() * (std::f64::consts::TAU * 18.0 * seconds(i)).sin()) as f32
    };
    let note = |i: usize| (0.1 * (std::f64::consts::TAU * 440.0 * seconds(i)).sin()) as f32;
    let input: Vec<f32> = (0..192_000)
        .map(|i| note(i) + thump(i) + noise(0.3))
        .collect();
    for name in ["guitar", "general"] {
        let model = DenoiserModel::from_bytes(super::embedded::bytes(name).unwrap()).unwrap();
        let source = NoiseSource::Known(vec![spectrum.clone()]);
        let mut stream = StreamDenoiser::new(model.chain(Mode::Best).unwrap(), rate_hz, 1, source);
        let latency = stream.latency_samples();
        let output = &run(&mut stream, std::slice::from_ref(&input), || 512)[0][latency..];
        let power = |x: &mut dyn Iterator<Item = f32>| x.map(|x| f64::from(x).powi(2)).sum::<f64>();
        let middle = 48_000..output.len();
        let left = power(&mut middle.clone().map(|i| output[i] - note(i)));
        let thumps = power(&mut middle.map(thump));
        println!("{name}: {:.4} of the thumps", left / thumps);
        assert!(left < 0.02 * thumps);
    }
}

//! Everything at random for a while: automation, block sizes, sample rates, layouts, states, resets, restarts. A few
//! seconds; `DRFM_SOAK_SECONDS` makes it longer.

#![allow(clippy::unwrap_used)]

mod host;

use std::sync::Mutex;
use std::time::{Duration, Instant};

use host::{Host, noisy_chords};

/// Memory is that of the process: one test at a time.
static ALONE: Mutex<()> = Mutex::new(());

/// Small and repeatable.
struct Dice(u64);

impl Dice {
    fn below(&mut self, n: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        ((self.0 >> 33) as usize) % n
    }

    fn share(&mut self) -> f64 {
        self.below(1 << 20) as f64 / f64::from(1 << 20)
    }
}

/// Memory in use by this process, in bytes; 0 where that cannot be asked for.
fn memory() -> u64 {
    let status = std::fs::read_to_string("/proc/self/statm").unwrap_or_default();
    let pages: u64 = status
        .split(' ')
        .nth(1)
        .and_then(|n| n.parse().ok())
        .unwrap_or(0);
    pages * 4096
}

#[test]
fn nothing_breaks_for_a_long_time() {
    let _alone = ALONE.lock();
    let seconds: f64 = std::env::var("DRFM_SOAK_SECONDS")
        .ok()
        .and_then(|s| s.parse().ok())
        .unwrap_or(12.0);
    let seed = std::env::var("DRFM_SOAK_SEED")
        .ok()
        .and_then(|s| s.parse().ok())
        .unwrap_or(0x5EED_1234_5678_9ABC);
    let mut dice = Dice(seed);
    let rates = [
        8_000.0, 16_000.0, 22_050.0, 44_100.0, 48_000.0, 96_000.0, 192_000.0,
    ];
    let started = Instant::now();
    let mut states: Vec<Vec<u8>> = Vec::new();
    let mut played = 0.0;
    let mut warm = 0;
    let mut rounds = 0;
    // In sound instead of time on the wall.
    let sound_seconds: f64 = std::env::var("DRFM_SOAK_SOUND_SECONDS")
        .ok()
        .and_then(|s| s.parse().ok())
        .unwrap_or(f64::INFINITY);
    while started.elapsed() < Duration::from_secs_f64(seconds) && played < sound_seconds {
        rounds += 1;
        let channels = 1 + dice.below(2);
        let mut rate_hz = rates[dice.below(rates.len())];
        let mut host = Host::new(rate_hz, channels);
        let names: Vec<String> = host.params.keys().cloned().collect();
        for _ in 0..12 {
            match dice.below(10) {
                0 => {
                    rate_hz = rates[dice.below(rates.len())];
                    host.set_rate_hz(rate_hz);
                }
                1 => states.push(host.save()),
                2 if !states.is_empty() => {
                    let state = &states[dice.below(states.len())];
                    assert!(host.load(state));
                }
                3 if !states.is_empty() => {
                    // Damaged on the way.
                    let mut state = states[dice.below(states.len())].clone();
                    for _ in 0..5 {
                        let at = dice.below(state.len());
                        state[at] = dice.below(256) as u8;
                    }
                    host.load(&state);
                }
                4 => host.reset(),
                5 => host.reactivate(),
                6 => host.jump(dice.below(1 << 30) as u64),
                _ => {}
            }
            states.truncate(6);
            let mut sound = noisy_chords(rate_hz, channels, 0.05 + 0.3 * dice.share());
            match dice.below(6) {
                0 => sound.iter_mut().flatten().for_each(|x| *x = 0.0),
                1 => sound.iter_mut().flatten().for_each(|x| *x *= 1e-38),
                2 => sound[0][7] = f32::NAN,
                3 => sound.iter_mut().flatten().for_each(|x| *x *= 30.0),
                _ => {}
            }
            let sizes: Vec<usize> = (0..7)
                .map(|_| match dice.below(4) {
                    0 => 1 + dice.below(4),
                    1 => 64,
                    2 => 1 + dice.below(4096),
                    _ => 512,
                })
                .collect();
            let changes: Vec<(usize, &str, f64)> = (0..dice.below(12))
                .map(|_| {
                    let name = names[dice.below(names.len())].as_str();
                    let param = &host.params[name];
                    let value = param.min + dice.share() * (param.max - param.min);
                    // Choices are whole numbers.
                    let value = if param.max > 1.0 {
                        value.round()
                    } else {
                        value
                    };
                    (dice.below(20), name, value)
                })
                .collect();
            host.process(&mut sound, &sizes, &changes);
            host.serve();
            played += sound[0].len() as f64 / rate_hz;
            for x in sound.iter().flatten() {
                assert!(x.is_finite(), "seed {seed}, round {rounds}");
                assert!(x.abs() < 2000.0, "seed {seed}, round {rounds}: {x}");
            }
        }
        // The first rounds fill caches.
        if rounds == 8 {
            warm = memory();
        }
        if rounds % 8 == 0 {
            println!(
                "{rounds} instances, {played:.0} s of sound: {} MB",
                memory() / 1_000_000
            );
        }
    }
    let grown = memory().saturating_sub(warm);
    println!(
        "{rounds} instances, {played:.0} s of sound, {grown} bytes more than after the eighth"
    );
    assert!(rounds > 2);
    // Wide, because the C library keeps what each thread has given back for that thread: with MALLOC_ARENA_MAX=1 the
    // growth is nearly nothing.
    if warm > 0 {
        assert!(grown < 150_000_000, "memory grows: {grown} bytes");
    }
}

#[test]
fn instances_leave_nothing_behind() {
    let _alone = ALONE.lock();
    let live = |count: usize| {
        for _ in 0..count {
            let mut host = Host::new(48_000.0, 2);
            let mut sound = noisy_chords(48_000.0, 2, 0.05);
            host.process(&mut sound, &[512], &[]);
            host.serve();
        }
        memory()
    };
    // The first ones fill caches.
    let warm = live(10);
    let grown = live(40).saturating_sub(warm);
    println!("40 instances leave {grown} bytes");
    if warm > 0 {
        assert!(grown < 40 * 100_000, "memory grows: {grown} bytes");
    }
}

//! What the threads of an instance share. The audio thread touches only what is atomic or a queue without locks; the
//! mutexes are between the others.

use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use crossbeam::queue::ArrayQueue;
use drfm_engine::audio::denoiser::StreamDenoiser;
use drfm_engine::audio::model::Mode;
use drfm_engine::audio::noise::NoiseSpectrum;

use crate::builder::{Built, KnownNoise};
use crate::error::PluginError;
use crate::models::FileModel;
use crate::scope::Scope;
use crate::training::Training;
use drfm_engine::realtime::meters::Meters;
use drfm_engine::realtime::noise_board::NoiseBoard;

/// Something made in the background for the audio thread.
pub enum Delivery {
    /// A new stream.
    Stream(Built),
    /// Noise spectra.
    Noise(Box<KnownNoise>),
}

/// Something the audio thread no longer needs.
pub enum Retired {
    /// A stream that was replaced, or came too late.
    Stream(Box<StreamDenoiser>),
    /// Noise spectra that were replaced.
    Noise(Box<KnownNoise>),
}

/// Spectra that were learned or frozen, one a channel or one for all.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct NoiseMemory {
    /// By the Learn button.
    pub learned: Option<Vec<NoiseSpectrum>>,
    /// By choosing the source "frozen".
    pub frozen: Option<Vec<NoiseSpectrum>>,
}

/// What the host has set up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Setup {
    /// Sample rate in Hz.
    pub rate_hz: u32,
    /// Channels.
    pub channels: usize,
    /// The mode it was activated in.
    pub mode: Mode,
}

/// The noise that is being taken away at present.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum NoiseInUse {
    /// Tracked, but nothing is known yet.
    Listening,
    /// Tracked.
    Tracked,
    /// The learned one.
    Learned,
    /// The frozen one.
    Frozen,
}

/// A message for the player.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Notice {
    /// What to say.
    pub text: String,
    /// Something did not work.
    pub is_error: bool,
}

/// See the module.
pub struct Shared {
    file_model: Mutex<Option<FileModel>>,
    file_generation: AtomicU64,
    noise: Mutex<NoiseMemory>,
    noise_generation: AtomicU64,
    setup: Mutex<Option<Setup>>,
    notice: Mutex<Option<Notice>>,
    /// Name of the model that plays, and the mode it plays in.
    playing: Mutex<Option<(String, Mode)>>,
    /// Width and height of the editor in logical pixels.
    window: Mutex<(u32, u32)>,
    /// To the audio thread.
    pub deliveries: ArrayQueue<Delivery>,
    /// From the audio thread.
    pub retired: ArrayQueue<Retired>,
    /// The noise learned last.
    pub learned_board: NoiseBoard,
    /// The noise frozen last.
    pub frozen_board: NoiseBoard,
    /// The noise in use, shown while the editor is open.
    pub present_board: NoiseBoard,
    noise_in_use: AtomicU8,
    learn_seconds: AtomicU32,
    latency_samples: AtomicU32,
    cpu_share: AtomicU32,
    restart_pending: AtomicBool,
    /// Tasks that were handed to the background and are not finished.
    tasks: AtomicU32,
    /// "Learn my instrument".
    pub training: Training,
    /// Levels.
    pub meters: Meters,
    /// Sound for the editor to draw.
    pub scope: Scope,
}

impl Default for Shared {
    fn default() -> Self {
        Self {
            file_model: Mutex::default(),
            file_generation: AtomicU64::new(0),
            noise: Mutex::default(),
            noise_generation: AtomicU64::new(0),
            setup: Mutex::default(),
            notice: Mutex::default(),
            playing: Mutex::default(),
            window: Mutex::new(DEFAULT_WINDOW),
            deliveries: ArrayQueue::new(8),
            retired: ArrayQueue::new(32),
            learned_board: NoiseBoard::default(),
            frozen_board: NoiseBoard::default(),
            present_board: NoiseBoard::default(),
            noise_in_use: AtomicU8::new(NoiseInUse::Listening as u8),
            learn_seconds: AtomicU32::new(0),
            latency_samples: AtomicU32::new(0),
            cpu_share: AtomicU32::new(0),
            restart_pending: AtomicBool::new(false),
            tasks: AtomicU32::new(0),
            training: Training::default(),
            meters: Meters::default(),
            scope: Scope::default(),
        }
    }
}

/// Size of a new editor window in logical pixels.
pub const DEFAULT_WINDOW: (u32, u32) = (900, 600);

/// The lock, whatever became of the thread that held it before: every value behind one is whole at any time.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Shared {
    /// Nothing known yet.
    #[must_use]
    pub fn new() -> Arc<Self> {
        Arc::default()
    }

    /// The player's model.
    #[must_use]
    pub fn file_model(&self) -> Option<FileModel> {
        lock(&self.file_model).clone()
    }

    /// Changes the player's model; the audio thread notices by itself.
    pub fn set_file_model(&self, model: Option<FileModel>) {
        *lock(&self.file_model) = model;
        self.file_generation.fetch_add(1, Ordering::Release);
    }

    /// Changes when the player's model does. Never waits.
    #[must_use]
    pub fn file_generation(&self) -> u64 {
        self.file_generation.load(Ordering::Acquire)
    }

    /// The spectra that were learned and frozen.
    #[must_use]
    pub fn noise(&self) -> NoiseMemory {
        lock(&self.noise).clone()
    }

    /// Changes the spectra that were learned and frozen; the audio thread notices by itself.
    pub fn set_noise(&self, noise: NoiseMemory) {
        *lock(&self.noise) = noise;
        self.noise_generation.fetch_add(1, Ordering::Release);
    }

    /// Changes when [`Self::set_noise`] is called. Never waits.
    #[must_use]
    pub fn noise_generation(&self) -> u64 {
        self.noise_generation.load(Ordering::Acquire)
    }

    /// Keeps what the audio thread has learned or frozen, unless other spectra were set since it began.
    pub fn store_noise(&self, generation: u64, change: impl FnOnce(&mut NoiseMemory)) {
        let mut noise = lock(&self.noise);
        if self.noise_generation() == generation {
            change(&mut noise);
        }
    }

    /// What the host has set up.
    #[must_use]
    pub fn setup(&self) -> Option<Setup> {
        *lock(&self.setup)
    }

    /// The host has set up something else.
    pub fn set_setup(&self, setup: Setup) {
        *lock(&self.setup) = Some(setup);
    }

    /// The message for the player.
    #[must_use]
    pub fn notice(&self) -> Option<Notice> {
        lock(&self.notice).clone()
    }

    /// Says something to the player.
    pub fn say(&self, text: impl Into<String>) {
        *lock(&self.notice) = Some(Notice {
            text: text.into(),
            is_error: false,
        });
    }

    /// Says what went wrong.
    pub fn complain(&self, error: &PluginError) {
        self.complain_text(error.to_string());
    }

    /// Says what went wrong.
    pub fn complain_text(&self, text: String) {
        *lock(&self.notice) = Some(Notice {
            text,
            is_error: true,
        });
    }

    /// Takes the message back.
    pub fn clear_notice(&self) {
        *lock(&self.notice) = None;
    }

    /// Name of the model that plays, and the mode it plays in.
    #[must_use]
    pub fn playing(&self) -> Option<(String, Mode)> {
        lock(&self.playing).clone()
    }

    /// Another model plays.
    pub fn set_playing(&self, name: &str, mode: Mode) {
        *lock(&self.playing) = Some((name.to_owned(), mode));
    }

    /// Size of the editor.
    #[must_use]
    pub fn window(&self) -> (u32, u32) {
        *lock(&self.window)
    }

    /// The editor has another size.
    pub fn set_window(&self, size: (u32, u32)) {
        *lock(&self.window) = size;
    }

    /// A task is handed to the background. Never waits.
    pub fn task_begins(&self) {
        self.tasks.fetch_add(1, Ordering::AcqRel);
    }

    /// It is finished.
    pub fn task_ends(&self) {
        self.tasks.fetch_sub(1, Ordering::AcqRel);
    }

    /// Waits until the background is idle, a second at most. The framework's worker must not be the last to hold an
    /// instance: it would wait for its own end then. Not for the audio thread.
    pub fn wait_for_tasks(&self) {
        let step = Duration::from_millis(2);
        for _ in 0..500 {
            if self.tasks.load(Ordering::Acquire) == 0 {
                break;
            }
            std::thread::sleep(step);
        }
        // The worker lets go of the instance only after the last task.
        std::thread::sleep(step);
    }

    /// The noise in use. Never waits.
    #[must_use]
    pub fn noise_in_use(&self) -> NoiseInUse {
        match self.noise_in_use.load(Ordering::Relaxed) {
            x if x == NoiseInUse::Tracked as u8 => NoiseInUse::Tracked,
            x if x == NoiseInUse::Learned as u8 => NoiseInUse::Learned,
            x if x == NoiseInUse::Frozen as u8 => NoiseInUse::Frozen,
            _ => NoiseInUse::Listening,
        }
    }

    /// For the audio thread.
    pub fn set_noise_in_use(&self, noise: NoiseInUse) {
        self.noise_in_use.store(noise as u8, Ordering::Relaxed);
    }

    /// Seconds of noise heard by the learner. Never waits.
    #[must_use]
    pub fn learn_seconds(&self) -> f32 {
        f32::from_bits(self.learn_seconds.load(Ordering::Relaxed))
    }

    /// For the audio thread.
    pub fn set_learn_seconds(&self, seconds: f32) {
        self.learn_seconds
            .store(seconds.to_bits(), Ordering::Relaxed);
    }

    /// Latency in samples as told to the host.
    #[must_use]
    pub fn latency_samples(&self) -> u32 {
        self.latency_samples.load(Ordering::Relaxed)
    }

    /// The host was told another latency.
    pub fn set_latency_samples(&self, latency: u32) {
        self.latency_samples.store(latency, Ordering::Relaxed);
    }

    /// Time spent on a block divided by the time it lasts, averaged.
    #[must_use]
    pub fn cpu_share(&self) -> f32 {
        f32::from_bits(self.cpu_share.load(Ordering::Relaxed))
    }

    /// For the audio thread.
    pub fn set_cpu_share(&self, share: f32) {
        self.cpu_share.store(share.to_bits(), Ordering::Relaxed);
    }

    /// The host was asked to restart and has not done so yet.
    #[must_use]
    pub fn restart_pending(&self) -> bool {
        self.restart_pending.load(Ordering::Relaxed)
    }

    /// Whether the host has a restart to do.
    pub fn set_restart_pending(&self, pending: bool) {
        self.restart_pending.store(pending, Ordering::Relaxed);
    }
}

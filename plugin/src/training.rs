//! "Learn my instrument": trains a model from clean takes in the background, at low priority, and lets it play.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;

use drfm_engine::audio::clip_file::{ClipFileError, read_clip, seconds_of};
use drfm_engine::audio::resample::resample;
use drfm_engine::audio::trainer::{
    SpectralTraining, TRAINING_RATE_HZ, TrainerError, train, usable_clips,
};
use drfm_engine::audio::training_set::Clip;
use drfm_engine::train::{Control, TrainError, TrainEvent};

use crate::error::PluginError;
use crate::models::FileModel;
use crate::shared::Shared;

/// Longest recording in the plugin, in seconds: what is left of longer ones is not kept.
pub const MOST_RECORDED_SECONDS: f32 = 600.0;
/// Less than this makes a poor model.
pub const ADVISED_SECONDS: f64 = 60.0;
/// Name of a model that was trained here.
const NAME: &str = "My instrument";

/// A clean take.
#[derive(Clone)]
pub struct Take {
    /// What it is called in the list.
    pub name: String,
    /// Where it comes from.
    pub source: TakeSource,
}

/// Where a take comes from.
#[derive(Clone)]
pub enum TakeSource {
    /// A sound file.
    File(PathBuf),
    /// Recorded in the plugin: sample rate and samples.
    Recording(u32, Arc<[f32]>),
}

/// How far the training is.
#[derive(Clone, Debug, Default, PartialEq)]
pub enum Phase {
    /// Nothing is going on.
    #[default]
    Idle,
    /// It trains.
    Running(String),
    /// The model plays.
    Done(String),
    /// It did not work.
    Failed(String),
}

/// Takes and progress of an instance.
#[derive(Default)]
pub struct Training {
    takes: Mutex<Vec<Take>>,
    phase: Mutex<Phase>,
    cancelled: AtomicBool,
    running: AtomicBool,
    /// Set when a model is finished, until somebody has seen it.
    finished: AtomicBool,
    progress: AtomicU32,
    thread: Mutex<Option<JoinHandle<()>>>,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Training {
    /// Adds a take.
    pub fn add(&self, take: Take) {
        lock(&self.takes).push(take);
    }

    /// Adds files, each once.
    pub fn add_files(&self, paths: Vec<PathBuf>) {
        let mut takes = lock(&self.takes);
        for path in paths {
            let there = |t: &Take| matches!(&t.source, TakeSource::File(p) if *p == path);
            if !takes.iter().any(there) {
                takes.push(Take {
                    name: file_name(&path),
                    source: TakeSource::File(path),
                });
            }
        }
    }

    /// Takes a take out.
    pub fn remove(&self, index: usize) {
        let mut takes = lock(&self.takes);
        if index < takes.len() {
            takes.remove(index);
        }
    }

    /// The names of the takes.
    #[must_use]
    pub fn names(&self) -> Vec<String> {
        lock(&self.takes).iter().map(|t| t.name.clone()).collect()
    }

    /// How far it is.
    #[must_use]
    pub fn phase(&self) -> Phase {
        lock(&self.phase).clone()
    }

    /// Share of the work that is done, 0 to 1.
    #[must_use]
    pub fn progress(&self) -> f32 {
        f32::from_bits(self.progress.load(Ordering::Relaxed))
    }

    /// Whether it trains.
    #[must_use]
    pub fn is_running(&self) -> bool {
        self.running.load(Ordering::Acquire)
    }

    /// Stops it soon.
    pub fn cancel(&self) {
        self.cancelled.store(true, Ordering::Relaxed);
    }

    /// Stops it and waits until it has stopped: after the instance is gone the host may unload the code that it runs.
    pub fn end(&self) {
        self.cancel();
        let thread = lock(&self.thread).take();
        if let Some(thread) = thread {
            let _ = thread.join();
        }
    }

    /// True once after a model was finished.
    pub fn take_finished(&self) -> bool {
        self.finished.swap(false, Ordering::AcqRel)
    }

    fn set_phase(&self, phase: Phase) {
        *lock(&self.phase) = phase;
    }

    fn set_progress(&self, share: f32) {
        self.progress
            .store(share.clamp(0.0, 1.0).to_bits(), Ordering::Relaxed);
    }

    fn control(&self) -> Control {
        if self.cancelled.load(Ordering::Relaxed) {
            Control::Stop
        } else {
            Control::Continue
        }
    }
}

fn file_name(path: &Path) -> String {
    path.file_name()
        .map_or_else(String::new, |n| n.to_string_lossy().into_owned())
}

/// Starts training on the takes; false if it is going on already. See [`Training::end`].
pub fn start(shared: &Arc<Shared>, options: SpectralTraining) -> bool {
    let training = &shared.training;
    if training.running.swap(true, Ordering::AcqRel) {
        return false;
    }
    training.cancelled.store(false, Ordering::Relaxed);
    training.set_progress(0.0);
    training.set_phase(Phase::Running("Reading the takes".to_owned()));
    let theirs = Arc::clone(shared);
    let thread = std::thread::Builder::new().name("drfm-training".to_owned());
    let spawned = thread.spawn(move || {
        lower_priority();
        let phase = match run(&theirs, &options) {
            Ok(model) => {
                let text = format!("{} is ready and plays", model.name);
                theirs.set_file_model(Some(model));
                theirs.training.finished.store(true, Ordering::Release);
                Phase::Done(text)
            }
            Err(PluginError::Training(TrainerError::Train(TrainError::Stopped))) => Phase::Idle,
            Err(error) => Phase::Failed(error.to_string()),
        };
        theirs.training.set_phase(phase);
        theirs.training.running.store(false, Ordering::Release);
    });
    match spawned {
        Ok(thread) => {
            *lock(&training.thread) = Some(thread);
            true
        }
        Err(error) => {
            training.set_phase(Phase::Failed(format!(
                "no thread for the training: {error}"
            )));
            training.running.store(false, Ordering::Release);
            false
        }
    }
}

fn run(shared: &Arc<Shared>, options: &SpectralTraining) -> Result<FileModel, PluginError> {
    let training = &shared.training;
    let clips = usable_clips(clips(training)?)?;
    // Half the processor at most: somebody may be playing.
    let threads = std::thread::available_parallelism().map_or(1, |n| (n.get() / 2).max(1));
    let pool = rayon::ThreadPoolBuilder::new()
        .num_threads(threads)
        .thread_name(|i| format!("drfm-training-{i}"))
        .start_handler(|_| lower_priority())
        .build()
        .map_err(|e| PluginError::Trained(e.to_string()))?;
    let seconds = seconds_of(&clips);
    let mut last: Option<String> = None;
    let mut finished_steps = 0usize;
    let model = pool.install(|| {
        train(options, &clips, &mut |progress| {
            if last.as_deref() != Some(progress.step) {
                finished_steps += usize::from(last.is_some());
                last = Some(progress.step.to_owned());
                training.set_phase(Phase::Running(format!(
                    "Learning from {seconds:.0} s of sound, step {} of this stage of {}",
                    progress.position.0, progress.position.1
                )));
            }
            let within = match progress.event {
                TrainEvent::PartsRead { done, total, .. } => *done as f32 / (*total).max(1) as f32,
                _ => 1.0,
            };
            // Each step is seen twice, gathering and solving, so this only needs to grow.
            let share = (finished_steps as f32 + within) / (2 * STEPS) as f32;
            training.set_progress(share.max(training.progress()));
            training.control()
        })
    })?;
    let bytes = model
        .to_bytes()
        .map_err(|e| PluginError::Trained(e.to_string()))?;
    training.set_progress(1.0);
    FileModel::from_bytes(NAME, bytes)
}

/// Steps of a model for all modes, roughly.
const STEPS: usize = 8;

fn clips(training: &Training) -> Result<Vec<Clip>, PluginError> {
    // A copy: the editor draws the list while the files are read.
    let takes = lock(&training.takes).clone();
    let mut clips = Vec::new();
    for take in &takes {
        if training.control() == Control::Stop {
            return Err(TrainerError::Train(TrainError::Stopped).into());
        }
        clips.push(match &take.source {
            TakeSource::File(path) => read_clip(path).map_err(PluginError::from)?.clip,
            TakeSource::Recording(rate_hz, samples) => {
                let samples = resample(samples, *rate_hz, TRAINING_RATE_HZ)
                    .map_err(|e| PluginError::from(ClipFileError::from(e)))?;
                Clip::new(samples)
            }
        });
    }
    Ok(clips)
}

/// Lets everything else on this computer go first. Where that is not possible the training is as it is.
fn lower_priority() {
    let lowest = thread_priority::ThreadPriority::Min;
    let _ = thread_priority::set_current_thread_priority(lowest);
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::{Duration, Instant};

    use drfm_engine::audio::model::Mode;

    use crate::models::chain_for;

    fn shared_with_a_take() -> Arc<Shared> {
        let shared = Shared::new();
        let take = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/fixtures/guitar.flac");
        shared.training.add_files(vec![take.clone(), take]);
        assert_eq!(shared.training.names(), ["guitar.flac"]);
        shared
    }

    fn small() -> SpectralTraining {
        SpectralTraining {
            modes: vec![Mode::Instant],
            features: Some(8),
            ..SpectralTraining::default()
        }
    }

    fn wait(shared: &Shared) {
        let started = Instant::now();
        while shared.training.is_running() {
            std::thread::sleep(Duration::from_millis(20));
            assert!(started.elapsed() < Duration::from_secs(300), "it hangs");
        }
    }

    #[test]
    fn a_take_becomes_a_model_that_plays() {
        let shared = shared_with_a_take();
        shared.training.add(Take {
            name: "recorded".to_owned(),
            source: TakeSource::Recording(
                44_100,
                (0..44_100)
                    .map(|i| 0.3 * (i as f32 * 0.06).sin())
                    .collect::<Vec<f32>>()
                    .into(),
            ),
        });
        assert!(start(&shared, small()));
        assert!(!start(&shared, small()), "one at a time");
        wait(&shared);
        assert!(
            matches!(shared.training.phase(), Phase::Done(_)),
            "{:?}",
            shared.training.phase()
        );
        assert!(shared.training.take_finished() && !shared.training.take_finished());
        assert_eq!(shared.training.progress(), 1.0);
        let model = shared.file_model().unwrap();
        // Trained for one mode only; the others fall back to it.
        assert_eq!(
            chain_for(&model.model, Mode::Best).unwrap().0,
            Mode::Instant
        );
        assert!(FileModel::from_bytes("again", model.bytes.to_vec()).is_ok());
    }

    #[test]
    fn it_can_be_cancelled_and_says_what_is_wrong() {
        let shared = shared_with_a_take();
        assert!(start(&shared, SpectralTraining::default()));
        shared.training.cancel();
        wait(&shared);
        assert_eq!(shared.training.phase(), Phase::Idle);
        assert!(shared.file_model().is_none());
        shared.training.remove(0);
        shared.training.add_files(vec!["no such take.wav".into()]);
        assert!(start(&shared, small()));
        wait(&shared);
        let Phase::Failed(text) = shared.training.phase() else {
            panic!("{:?}", shared.training.phase());
        };
        assert!(text.contains("no such take.wav"), "{text}");
    }
}

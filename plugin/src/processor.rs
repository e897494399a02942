//! The audio thread's part: settings and deliveries in, sound out. Knows no host. After [`Processor::new`] nothing here
//! allocates, frees, locks or waits.

use std::sync::Arc;

use drfm_engine::audio::model::Mode;
use drfm_engine::audio::noise_learner::NoiseLearner;
use drfm_engine::audio::swappable::SwappableDenoiser;

use crate::builder::{Built, KnownNoise, StreamRequest};
use crate::params::{NoiseChoice, Settings};
use crate::scope::ScopeSender;
use crate::shared::{Delivery, NoiseInUse, Retired, Shared};

/// Seconds of tracking before a noise may be frozen: the tracker's search for minima is complete then.
const TRACKED_SECONDS: f32 = 3.0;

/// What the audio thread wants done elsewhere.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Wishes {
    /// The host must restart the plugin: another mode, or a model with another latency.
    pub restart: bool,
    /// A stream for other settings.
    pub build: bool,
    /// The spectra that a session brought.
    pub read_noise: bool,
    /// What was learned is to be kept; with the generation it belongs to.
    pub store_learned: Option<u64>,
    /// What was frozen is to be kept; with the generation it belongs to.
    pub store_frozen: Option<u64>,
    /// There is something to be dropped.
    pub free: bool,
}

/// Most channels that are told apart when learning.
const MOST_CHANNELS: usize = 8;
/// Times a second that the noise is shown to the editor.
const SHOWN_PER_SECOND: usize = 20;

/// See the module.
pub struct Processor {
    shared: Arc<Shared>,
    /// What is playing.
    request: StreamRequest,
    /// What was asked for last.
    asked: StreamRequest,
    denoiser: SwappableDenoiser,
    /// The request of the stream on its way in.
    incoming: Option<StreamRequest>,
    /// A stream that waits for a swap to end.
    waiting: Option<Built>,
    known: Box<KnownNoise>,
    asked_generation: u64,
    learner: NoiseLearner,
    learning: bool,
    /// The source that is in force.
    source: Option<NoiseChoice>,
    tracking: bool,
    /// Chosen to be frozen, but not enough was heard yet.
    freeze_pending: bool,
    tracked_samples: usize,
    /// The mode that the host was asked to restart for.
    restart_mode: Option<Mode>,
    free_asked: bool,
    unshown_samples: usize,
    scope: Option<ScopeSender>,
}

impl Processor {
    /// Starts with `built`. Allocates.
    #[must_use]
    pub fn new(
        shared: &Arc<Shared>,
        built: Built,
        settings: &Settings,
        scope: Option<ScopeSender>,
    ) -> Self {
        let setup = built.request.setup;
        let known = Box::new(KnownNoise::read(shared, setup));
        let mut new = Self {
            request: built.request,
            asked: built.request,
            denoiser: SwappableDenoiser::new(built.stream),
            incoming: None,
            waiting: None,
            asked_generation: known.generation,
            known,
            learner: NoiseLearner::new(setup.rate_hz, setup.channels),
            learning: false,
            source: None,
            tracking: false,
            freeze_pending: false,
            tracked_samples: 0,
            restart_mode: None,
            free_asked: false,
            unshown_samples: 0,
            scope,
            shared: Arc::clone(shared),
        };
        new.follow_source(settings.noise, &mut Wishes::default());
        new.follow_levels(settings);
        new.denoiser.settle();
        new
    }

    /// What is playing.
    #[must_use]
    pub const fn request(&self) -> StreamRequest {
        self.request
    }

    /// Samples that the output lags the input.
    #[must_use]
    pub fn latency_samples(&self) -> usize {
        self.denoiser.latency_samples()
    }

    /// The sending end of the scope, for a successor.
    pub const fn take_scope(&mut self) -> Option<ScopeSender> {
        self.scope.take()
    }

    /// Back to silence.
    pub fn reset(&mut self) {
        self.denoiser.reset();
        self.finish_swap();
        self.learner.clear();
        self.tracked_samples = 0;
        if self.tracking {
            self.shared.set_noise_in_use(NoiseInUse::Listening);
        }
    }

    /// Treats a block of any length in place.
    pub fn process(&mut self, block: &mut [&mut [f32]], settings: &Settings) -> Wishes {
        let mut wishes = Wishes::default();
        self.follow_model(settings, &mut wishes);
        self.receive(&mut wishes);
        self.follow_noise(settings, &mut wishes);
        self.follow_levels(settings);
        if self.learning {
            self.learner.push(block);
            self.shared.set_learn_seconds(self.learner.seconds());
        }
        self.shared.meters.input.hear(block);
        let drawn = self.shared.scope.is_open();
        if drawn && let Some(scope) = &mut self.scope {
            scope.input(block);
        }
        self.denoiser.process(block);
        if drawn && let Some(scope) = &mut self.scope {
            scope.output(block);
        }
        self.shared.meters.output.hear(block);
        let frames = block.first().map_or(0, |c| c.len());
        self.watch_tracking(frames);
        if drawn {
            self.show_noise(frames);
        }
        self.finish_swap();
        let rubbish = !self.shared.retired.is_empty();
        wishes.free = rubbish && !self.free_asked;
        self.free_asked = rubbish;
        wishes
    }

    fn follow_model(&mut self, settings: &Settings, wishes: &mut Wishes) {
        if settings.mode == self.request.setup.mode {
            if self.restart_mode.take().is_some() {
                // The player thought better of it.
                self.shared.set_restart_pending(false);
            }
        } else if self.restart_mode != Some(settings.mode) {
            // Another mode has another latency: that is for the host to take up.
            self.restart_mode = Some(settings.mode);
            self.shared.set_restart_pending(true);
            wishes.restart = true;
        }
        let wanted = StreamRequest::of(self.request.setup, settings, &self.shared);
        if wanted != self.asked {
            self.asked = wanted;
            wishes.build = true;
        }
        let generation = self.shared.noise_generation();
        if generation != self.asked_generation {
            self.asked_generation = generation;
            wishes.read_noise = true;
        }
    }

    /// Takes what was made in the background, as long as there is room to give the old back.
    fn receive(&mut self, wishes: &mut Wishes) {
        if self.has_room()
            && let Some(built) = self.waiting.take()
        {
            self.take_stream(built, wishes);
        }
        while self.waiting.is_none() && self.has_room() {
            match self.shared.deliveries.pop() {
                None => return,
                Some(Delivery::Stream(built)) => self.take_stream(built, wishes),
                Some(Delivery::Noise(known)) => self.take_noise(known),
            }
        }
    }

    fn has_room(&self) -> bool {
        self.shared.retired.len() + 2 <= self.shared.retired.capacity()
    }

    fn retire(&self, retired: Retired) {
        if let Err(refused) = self.shared.retired.push(retired) {
            // `has_room` keeps this from happening; if it ever does, a leak is better than freeing here.
            std::mem::forget(refused);
        }
    }

    fn take_noise(&mut self, known: Box<KnownNoise>) {
        let fits = known.learned.spectra.len() == self.known.learned.spectra.len()
            && known.rate_hz == self.known.rate_hz;
        if !fits {
            // Made for a set-up that is no more.
            self.retire(Retired::Noise(known));
            return;
        }
        let old = std::mem::replace(&mut self.known, known);
        self.retire(Retired::Noise(old));
        // The source is applied afresh with the new spectra.
        self.source = None;
        self.freeze_pending = false;
    }

    fn take_stream(&mut self, built: Built, wishes: &mut Wishes) {
        let last = self.incoming.unwrap_or(self.request);
        // What was made for other settings than those of now came too late.
        if built.request != self.asked || built.request == last {
            self.retire(Retired::Stream(built.stream));
            return;
        }
        if built.stream.latency_samples() != self.denoiser.latency_samples() {
            self.shared.set_restart_pending(true);
            wishes.restart = true;
            self.retire(Retired::Stream(built.stream));
            return;
        }
        if !self.denoiser.can_swap() {
            self.waiting = Some(built);
            return;
        }
        match self.denoiser.swap_in(built.stream) {
            Ok(()) => self.incoming = Some(built.request),
            Err(refused) => self.retire(Retired::Stream(refused)),
        }
    }

    fn finish_swap(&mut self) {
        if let Some(old) = self.denoiser.take_retired() {
            self.retire(Retired::Stream(old));
            if let Some(request) = self.incoming.take() {
                self.request = request;
            }
        }
    }

    fn follow_levels(&mut self, settings: &Settings) {
        self.denoiser
            .set(settings.amount_db, settings.output, settings.trim_db);
    }

    fn follow_noise(&mut self, settings: &Settings, wishes: &mut Wishes) {
        if settings.learn && !self.learning {
            self.learner.clear();
            self.learning = true;
        } else if !settings.learn && self.learning {
            self.learning = false;
            self.finish_learning(wishes);
        }
        self.follow_source(settings.noise, wishes);
    }

    fn finish_learning(&mut self, wishes: &mut Wishes) {
        self.shared.set_learn_seconds(0.0);
        let mut learned = [false; MOST_CHANNELS];
        let spectra = &mut self.known.learned.spectra;
        for (channel, (flag, place)) in learned.iter_mut().zip(spectra.iter_mut()).enumerate() {
            *flag = self.learner.learned_into(channel, place);
        }
        if !learned.contains(&true) {
            return;
        }
        for (flag, place) in learned.iter().zip(spectra.iter_mut()) {
            if !flag {
                // A silent channel has no noise.
                place.clear();
            }
        }
        self.known.learned.known = true;
        self.shared.learned_board.write(spectra.iter());
        wishes.store_learned = Some(self.known.generation);
        if self.source == Some(NoiseChoice::Learned) {
            self.source = None;
        }
    }

    fn follow_source(&mut self, source: NoiseChoice, wishes: &mut Wishes) {
        if self.source == Some(source) {
            if self.freeze_pending {
                self.try_to_freeze(wishes);
            }
            return;
        }
        let fresh = self.source.is_none();
        self.source = Some(source);
        self.freeze_pending = false;
        match source {
            NoiseChoice::Learned if self.known.learned.known => {
                self.use_known(NoiseInUse::Learned);
            }
            NoiseChoice::Adaptive | NoiseChoice::Learned => self.track(),
            // A session brings its frozen noise along; whoever chooses "frozen" while playing means the noise of now.
            NoiseChoice::Frozen if fresh && self.known.frozen.known => {
                self.use_known(NoiseInUse::Frozen);
            }
            NoiseChoice::Frozen => {
                if fresh {
                    self.track();
                }
                self.freeze_pending = true;
                self.try_to_freeze(wishes);
            }
        }
    }

    fn track(&mut self) {
        if !self.tracking {
            self.tracking = true;
            self.tracked_samples = 0;
            self.shared.set_noise_in_use(NoiseInUse::Listening);
        }
        self.denoiser.set_tracking(true);
    }

    fn use_known(&mut self, which: NoiseInUse) {
        self.tracking = false;
        self.denoiser.set_tracking(false);
        let known = match which {
            NoiseInUse::Frozen => &self.known.frozen,
            _ => &self.known.learned,
        };
        for (channel, spectrum) in known.spectra.iter().enumerate() {
            if which == NoiseInUse::Learned {
                self.denoiser.follow_noise(channel, spectrum);
            } else {
                self.denoiser.assume_noise(channel, spectrum);
            }
        }
        self.shared.set_noise_in_use(which);
    }

    fn try_to_freeze(&mut self, wishes: &mut Wishes) {
        let tracked = self.tracked_samples as f32 / self.request.setup.rate_hz.max(1) as f32;
        if self.tracking && tracked < TRACKED_SECONDS {
            return;
        }
        let present = self.denoiser.current();
        for (channel, place) in self.known.frozen.spectra.iter_mut().enumerate() {
            let Some(noise) = present.present_noise(channel) else {
                return;
            };
            place.copy_from(noise);
        }
        self.freeze_pending = false;
        self.known.frozen.known = true;
        self.shared
            .frozen_board
            .write(self.known.frozen.spectra.iter());
        wishes.store_frozen = Some(self.known.generation);
        self.use_known(NoiseInUse::Frozen);
    }

    fn watch_tracking(&mut self, frames: usize) {
        if !self.tracking {
            return;
        }
        self.tracked_samples = self.tracked_samples.saturating_add(frames);
        if self.denoiser.current().present_noise(0).is_some() {
            self.shared.set_noise_in_use(NoiseInUse::Tracked);
        }
    }

    fn show_noise(&mut self, frames: usize) {
        self.unshown_samples += frames;
        if self.unshown_samples * SHOWN_PER_SECOND < self.request.setup.rate_hz as usize {
            return;
        }
        self.unshown_samples = 0;
        let present = self.denoiser.current();
        let spectra = (0..present.channels()).map_while(|c| present.present_noise(c));
        self.shared.present_board.write(spectra);
    }
}

//! What hosts load: glue between the framework and [`Processor`], and nothing else.

use std::sync::Arc;
use std::time::Instant;

use nice_plug::prelude::*;

use crate::builder::{self, StreamRequest};
use crate::editor::{self, DrfmEditor};
use crate::params::DrfmParams;
use crate::processor::{Processor, Wishes};
use crate::scope::ScopeSender;
use crate::shared::{Setup, Shared};
use crate::state;
use drfm_engine::realtime::denormals::FlushDenormals;

/// Sample rates that the plugin works at, in Hz.
const RATES_HZ: std::ops::RangeInclusive<f32> = 8_000.0..=384_000.0;
/// Time constant of the shown processor load, in seconds.
const LOAD_SECONDS: f32 = 0.5;

/// The plugin.
pub struct Drfm {
    shared: Arc<Shared>,
    params: Arc<DrfmParams>,
    processor: Option<Processor>,
    /// The scope's sending end, while no processor has it.
    scope: Option<ScopeSender>,
    load: f32,
    /// The host renders faster or slower than it plays and does not mind waiting.
    offline: bool,
}

impl Default for Drfm {
    fn default() -> Self {
        let shared = Shared::new();
        Self {
            params: Arc::new(DrfmParams::new(&shared)),
            scope: shared.scope.take_sender(),
            shared,
            processor: None,
            load: 0.0,
            offline: false,
        }
    }
}

impl Drop for Drfm {
    fn drop(&mut self) {
        self.shared.training.end();
    }
}

/// Work for the background.
#[derive(Clone, Copy, Debug)]
pub enum Task {
    /// Make streams for the present settings.
    Build,
    /// Read the spectra that a session brought.
    ReadNoise,
    /// Keep what was learned.
    StoreLearned(u64),
    /// Keep what was frozen.
    StoreFrozen(u64),
    /// Drop what is no longer needed.
    Free,
}

fn run(task: Task, shared: &Shared, params: &DrfmParams) {
    match task {
        Task::Build => builder::build_and_deliver(shared, &params.settings()),
        Task::ReadNoise => builder::deliver_noise(shared),
        Task::StoreLearned(generation) => {
            if let Some(spectra) = shared.learned_board.read() {
                shared.store_noise(generation, |noise| noise.learned = Some(spectra));
            }
        }
        Task::StoreFrozen(generation) => {
            if let Some(spectra) = shared.frozen_board.read() {
                shared.store_noise(generation, |noise| noise.frozen = Some(spectra));
            }
        }
        Task::Free => builder::free_retired(shared),
    }
}

impl Drfm {
    fn grant(&self, wishes: Wishes, context: &mut impl ProcessContext<Self>) {
        let tasks = [
            wishes.build.then_some(Task::Build),
            wishes.read_noise.then_some(Task::ReadNoise),
            wishes.store_learned.map(Task::StoreLearned),
            wishes.store_frozen.map(Task::StoreFrozen),
            wishes.free.then_some(Task::Free),
        ];
        for task in tasks.into_iter().flatten() {
            self.shared.task_begins();
            context.execute_background(task);
        }
        // An export must not be over before what it asked for is made.
        if self.offline && (wishes.build || wishes.read_noise) {
            self.shared.wait_for_tasks();
        }
        if wishes.restart {
            context.request_restart();
        }
    }

    fn measure_load(&mut self, started: Instant, frames: usize, rate_hz: u32) {
        let lasts = frames as f32 / rate_hz.max(1) as f32;
        if lasts <= 0.0 {
            return;
        }
        let share = started.elapsed().as_secs_f32() / lasts;
        let weight = (lasts / LOAD_SECONDS).min(1.0);
        self.load += weight * (share - self.load);
        self.shared.set_cpu_share(self.load);
    }
}

const fn layout(channels: u32, name: &'static str) -> AudioIOLayout {
    AudioIOLayout {
        main_input_channels: NonZeroU32::new(channels),
        main_output_channels: NonZeroU32::new(channels),
        names: PortNames {
            layout: Some(name),
            ..PortNames::const_default()
        },
        ..AudioIOLayout::const_default()
    }
}

impl Plugin for Drfm {
    const NAME: &'static str = "DRFM Denoiser";
    const VENDOR: &'static str = "DRFM";
    const URL: &'static str = env!("CARGO_PKG_REPOSITORY");
    const EMAIL: &'static str = "";
    const VERSION: &'static str = env!("CARGO_PKG_VERSION");
    const AUDIO_IO_LAYOUTS: &'static [AudioIOLayout] = &[layout(2, "Stereo"), layout(1, "Mono")];

    type Editor = DrfmEditor;
    type SysExMessage = ();
    type BackgroundTask = Task;

    fn task_executor(&mut self) -> TaskExecutor<Self> {
        let (shared, params) = (Arc::clone(&self.shared), Arc::clone(&self.params));
        Box::new(move |task| {
            run(task, &shared, &params);
            shared.task_ends();
        })
    }

    fn params(&self) -> Arc<dyn Params> {
        Arc::clone(&self.params) as Arc<dyn Params>
    }

    fn editor(&mut self, _executor: AsyncExecutor<Self>) -> Option<Self::Editor> {
        editor::create(&self.shared, &self.params)
    }

    fn filter_state(state: &mut PluginState) {
        state::filter(state);
    }

    fn activate(
        &mut self,
        layout: &AudioIOLayout,
        config: &BufferConfig,
        context: &mut impl ActivateContext<Self>,
    ) -> bool {
        if !RATES_HZ.contains(&config.sample_rate) {
            self.shared.complain_text(format!(
                "DRFM works at sample rates from 8 to 384 kHz, not at {} Hz: choose another in the host",
                config.sample_rate
            ));
            return false;
        }
        self.offline = config.process_mode == ProcessMode::Offline;
        let settings = self.params.settings();
        let setup = Setup {
            rate_hz: config.sample_rate.round() as u32,
            channels: layout.main_output_channels.map_or(2, NonZeroU32::get) as usize,
            mode: settings.mode,
        };
        self.shared.set_setup(setup);
        self.shared.set_restart_pending(false);
        let request = StreamRequest::of(setup, &settings, &self.shared);
        // Hosts activate again and again; what would be the same stays.
        if self.processor.as_ref().map(Processor::request) != Some(request) {
            let built = match builder::build(&self.shared, request) {
                Ok(built) => built,
                Err(error) => {
                    self.shared.complain(&error);
                    return false;
                }
            };
            let scope = match &mut self.processor {
                Some(old) => old.take_scope(),
                None => self.scope.take(),
            };
            self.processor = Some(Processor::new(&self.shared, built, &settings, scope));
        }
        builder::free_retired(&self.shared);
        let latency = self
            .processor
            .as_ref()
            .map_or(0, Processor::latency_samples);
        let latency = u32::try_from(latency).unwrap_or(u32::MAX);
        self.shared.set_latency_samples(latency);
        context.set_latency_samples(latency);
        true
    }

    fn reset(&mut self) {
        if let Some(processor) = &mut self.processor {
            processor.reset();
        }
    }

    fn process(
        &mut self,
        buffer: &mut Buffer,
        _aux: &mut AuxiliaryBuffers,
        context: &mut impl ProcessContext<Self>,
    ) -> ProcessStatus {
        let _flush = FlushDenormals::new();
        let started = Instant::now();
        let settings = self.params.settings();
        let frames = buffer.samples();
        let Some(processor) = &mut self.processor else {
            return ProcessStatus::Error("processed before it was activated");
        };
        let wishes = processor.process(buffer.as_slice(), &settings);
        let rate_hz = processor.request().setup.rate_hz;
        let latency = processor.latency_samples();
        self.grant(wishes, context);
        self.measure_load(started, frames, rate_hz);
        // What went in comes out for one latency more.
        ProcessStatus::Tail(u32::try_from(latency).unwrap_or(u32::MAX))
    }

    fn deactivate(&mut self) {
        // After this the host may destroy the instance.
        self.shared.wait_for_tasks();
        builder::free_retired(&self.shared);
    }
}

impl ClapPlugin for Drfm {
    const CLAP_ID: &'static str = "org.drfm.denoiser";
    const CLAP_DESCRIPTION: Option<&'static str> =
        Some("Takes hiss, fans and room noise out of guitar and flute");
    const CLAP_MANUAL_URL: Option<&'static str> = None;
    const CLAP_SUPPORT_URL: Option<&'static str> = None;
    const CLAP_FEATURES: &'static [ClapFeature] = &[
        ClapFeature::AudioEffect,
        ClapFeature::Restoration,
        ClapFeature::Mono,
        ClapFeature::Stereo,
    ];
}

impl Vst3Plugin for Drfm {
    const VST3_CLASS_ID: [u8; 16] = *b"DRFM.DenoiserFx1";
    const VST3_SUBCATEGORIES: &'static [Vst3SubCategory] =
        &[Vst3SubCategory::Fx, Vst3SubCategory::Restoration];
}

//! A small CLAP host for tests: loads the plugin from its file as a DAW does, runs it on a thread of its own, and takes
//! part in restarts.

#![allow(dead_code, unsafe_code, clippy::unwrap_used, clippy::expect_used)]

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use clack_extensions::audio_ports_config::{AudioPortsConfigBuffer, PluginAudioPortsConfig};
use clack_extensions::gui::{GuiSize, HostGui, HostGuiImpl};
use clack_extensions::latency::{HostLatency, HostLatencyImpl, PluginLatency};
use clack_extensions::params::{
    HostParams, HostParamsImplMainThread, HostParamsImplShared, ParamClearFlags, ParamInfoBuffer,
    ParamRescanFlags, PluginParams,
};
use clack_extensions::state::{HostState, HostStateImpl, PluginState};
use clack_host::events::event_types::{ParamValueEvent, TransportEvent, TransportFlags};
use clack_host::events::{EventFlags, EventHeader};
use clack_host::prelude::*;

/// What the plugin has asked its host for.
#[derive(Default)]
pub struct Asked {
    pub restart: AtomicBool,
    pub callback: AtomicBool,
    pub latency_changes: AtomicUsize,
}

pub struct Shared(Arc<Asked>);

impl SharedHandler<'_> for Shared {
    fn request_restart(&self) {
        self.0.restart.store(true, Ordering::SeqCst);
    }
    fn request_process(&self) {}
    fn request_callback(&self) {
        self.0.callback.store(true, Ordering::SeqCst);
    }
}

impl HostGuiImpl for Shared {
    fn resize_hints_changed(&self) {}
    fn request_resize(&self, _new_size: GuiSize) -> Result<(), HostError> {
        Ok(())
    }
    fn request_show(&self) -> Result<(), HostError> {
        Ok(())
    }
    fn request_hide(&self) -> Result<(), HostError> {
        Ok(())
    }
    fn closed(&self, _was_destroyed: bool) {}
}

impl HostParamsImplShared for Shared {
    fn request_flush(&self) {}
}

pub struct MainThread(Arc<Asked>);

impl MainThreadHandler<'_> for MainThread {}

impl HostLatencyImpl for MainThread {
    fn changed(&self) {
        self.0.latency_changes.fetch_add(1, Ordering::SeqCst);
    }
}

impl HostParamsImplMainThread for MainThread {
    fn rescan(&self, _flags: ParamRescanFlags) {}
    fn clear(&self, _param_id: ClapId, _flags: ParamClearFlags) {}
}

impl HostStateImpl for MainThread {
    fn mark_dirty(&self) {}
}

pub struct Handlers;

impl HostHandlers for Handlers {
    type Shared<'a> = Shared;
    type MainThread<'a> = MainThread;
    type AudioProcessor<'a> = ();

    fn declare_extensions(builder: &mut HostExtensions<Self>, _shared: &Shared) {
        builder
            .register::<HostGui>()
            .register::<HostLatency>()
            .register::<HostParams>()
            .register::<HostState>();
    }
}

/// The file with the plugin: what `DRFM_CLAP` names (a bundle), else what cargo has built beside this test.
pub fn plugin_file() -> PathBuf {
    if let Some(path) = std::env::var_os("DRFM_CLAP") {
        return path.into();
    }
    let test = std::env::current_exe().unwrap();
    let name = format!(
        "{}drfm_plugin{}",
        std::env::consts::DLL_PREFIX,
        std::env::consts::DLL_SUFFIX
    );
    let beside = test.with_file_name(&name);
    let above = test.parent().unwrap().with_file_name(&name);
    // `cargo test` leaves it beside the test, `cargo build` above it: the newer one counts.
    let time = |p: &PathBuf| p.metadata().and_then(|m| m.modified()).ok();
    [above, beside]
        .into_iter()
        .max_by_key(time)
        .expect("cargo builds the plugin before its tests")
}

pub const PLUGIN_ID: &std::ffi::CStr = c"org.drfm.denoiser";

/// A parameter as the host sees it.
#[derive(Clone, Debug, PartialEq)]
pub struct Param {
    pub id: ClapId,
    pub min: f64,
    pub max: f64,
    pub default: f64,
}

/// An instance of the plugin in the host.
pub struct Host {
    pub instance: PluginInstance<Handlers>,
    pub asked: Arc<Asked>,
    pub params: BTreeMap<String, Param>,
    audio: Option<PluginAudioProcessor<Handlers>>,
    configuration: PluginAudioConfiguration,
    channels: usize,
    time: u64,
    times: Vec<BlockTime>,
}

/// What a block took.
#[derive(Clone, Copy, Debug, Default)]
pub struct BlockTime {
    /// Seconds on the clock on the wall, other programs included.
    pub wall: f64,
    /// Seconds of the processor that the calling thread had.
    pub cpu: f64,
}

/// A change of a parameter: at which block (counted in a call of [`Host::process`]), its name, the value.
pub type Change<'a> = (usize, &'a str, f64);

impl Host {
    /// Loads the plugin and activates it.
    pub fn new(rate_hz: f64, channels: usize) -> Self {
        let mut host = Self::inactive(rate_hz, channels);
        host.activate();
        host.serve();
        host
    }

    /// Loads the plugin.
    pub fn inactive(rate_hz: f64, channels: usize) -> Self {
        // SAFETY: the file is our own plugin.
        let entry = unsafe { PluginEntry::load(plugin_file()) }.unwrap();
        let info = HostInfo::new("drfm test host", "drfm", "https://example.org", "1").unwrap();
        let asked = Arc::new(Asked::default());
        let (a, b) = (Arc::clone(&asked), Arc::clone(&asked));
        let mut instance = PluginInstance::<Handlers>::new(
            |()| Shared(a),
            |_| MainThread(b),
            &entry,
            PLUGIN_ID,
            &info,
        )
        .unwrap();
        let handle = instance.plugin_handle();
        if channels != 2 {
            let configs: PluginAudioPortsConfig = handle.get_extension().unwrap();
            let mut buffer = AudioPortsConfigBuffer::new();
            let id = (0..configs.count(&handle))
                .find_map(|i| {
                    let config = configs.get(&handle, i, &mut buffer)?;
                    let main = config.main_input?;
                    (main.channel_count as usize == channels).then_some(config.id)
                })
                .expect("a layout with that many channels");
            configs.select(&handle, id).unwrap();
        }
        let extension: PluginParams = handle.get_extension().unwrap();
        let params = (0..extension.count(&handle))
            .map(|i| {
                let mut buffer = ParamInfoBuffer::new();
                let info = extension.get_info(&handle, i, &mut buffer).unwrap();
                let name = String::from_utf8(info.name.to_vec()).unwrap();
                let param = Param {
                    id: info.id,
                    min: info.min_value,
                    max: info.max_value,
                    default: info.default_value,
                };
                (name, param)
            })
            .collect();
        Self {
            instance,
            asked,
            params,
            audio: None,
            configuration: PluginAudioConfiguration {
                sample_rate: rate_hz,
                min_frames_count: 1,
                max_frames_count: 4096,
            },
            channels,
            time: 0,
            times: Vec::new(),
        }
    }

    pub fn activate(&mut self) {
        let audio = self
            .instance
            .activate(|_, _| (), self.configuration)
            .unwrap();
        self.audio = Some(audio.into());
    }

    pub fn deactivate(&mut self) {
        if let Some(audio) = self.audio.take() {
            self.instance.deactivate(audio.into_stopped());
        }
    }

    pub fn set_rate_hz(&mut self, rate_hz: f64) {
        self.deactivate();
        self.configuration.sample_rate = rate_hz;
        self.activate();
    }

    /// Does what the plugin has asked for until it asks for no more; true if it wanted a restart. (The framework asks
    /// for a second one whenever an activation has changed the latency.)
    pub fn serve(&mut self) -> bool {
        let mut restarted = false;
        for _ in 0..4 {
            if self.asked.callback.swap(false, Ordering::SeqCst) {
                self.instance.call_on_main_thread_callback();
            }
            if !self.asked.restart.swap(false, Ordering::SeqCst) {
                return restarted;
            }
            restarted = true;
            self.deactivate();
            self.activate();
        }
        panic!("the plugin wants to be restarted again and again");
    }

    pub fn latency(&mut self) -> u32 {
        let handle = self.instance.plugin_handle();
        let latency: PluginLatency = handle.get_extension().unwrap();
        latency.get(&handle)
    }

    pub fn value(&mut self, name: &str) -> f64 {
        let id = self.params[name].id;
        let handle = self.instance.plugin_handle();
        let params: PluginParams = handle.get_extension().unwrap();
        params.get_value(&handle, id).unwrap()
    }

    pub fn text(&mut self, name: &str, value: f64) -> String {
        let id = self.params[name].id;
        let handle = self.instance.plugin_handle();
        let params: PluginParams = handle.get_extension().unwrap();
        let mut buffer = [0u8; 128];
        let text = params
            .value_to_text(&handle, id, value, &mut buffer)
            .unwrap();
        String::from_utf8(text.to_vec()).unwrap()
    }

    pub fn save(&mut self) -> Vec<u8> {
        let handle = self.instance.plugin_handle();
        let state: PluginState = handle.get_extension().unwrap();
        let mut bytes = Vec::new();
        state.save(&handle, &mut bytes).unwrap();
        bytes
    }

    /// True if the plugin says that it took the state.
    pub fn load(&mut self, bytes: &[u8]) -> bool {
        let handle = self.instance.plugin_handle();
        let state: PluginState = handle.get_extension().unwrap();
        state
            .load(&handle, &mut std::io::Cursor::new(bytes))
            .is_ok()
    }

    /// The transport goes on from another place, in samples.
    pub fn jump(&mut self, to: u64) {
        self.time = to;
    }

    pub fn reset(&mut self) {
        if let Some(audio) = &mut self.audio {
            audio.reset();
        }
    }

    /// Changes parameters, and does what the plugin asks for then.
    pub fn set(&mut self, changes: &[(&str, f64)]) {
        let mut silence = vec![vec![0.0; 1]; self.channels];
        let changes: Vec<Change<'_>> = changes.iter().map(|(n, v)| (0, *n, *v)).collect();
        self.process(&mut silence, &[1], &changes);
        self.serve();
    }

    /// As a new instance with the present settings: the sound so far is forgotten.
    pub fn reactivate(&mut self) {
        self.deactivate();
        self.activate();
    }

    /// What each block takes.
    pub fn time_blocks(&mut self, sound: &mut [Vec<f32>], block: usize) -> Vec<BlockTime> {
        self.times.clear();
        self.process(sound, &[block], &[]);
        std::mem::take(&mut self.times)
    }

    /// Runs the sound through the plugin in place, cut into `blocks` over and over, on another thread.
    pub fn process(&mut self, sound: &mut [Vec<f32>], blocks: &[usize], changes: &[Change<'_>]) {
        let length = sound[0].len();
        let events: Vec<(usize, ClapId, f64)> = changes
            .iter()
            .map(|(block, name, value)| (*block, self.params[*name].id, *value))
            .collect();
        let mut audio = self.audio.take().unwrap();
        let time = &mut self.time;
        let times = &mut self.times;
        let channels = self.channels;
        let rate_hz = self.configuration.sample_rate;
        let run = || {
            let processor = audio.ensure_processing_started().unwrap();
            let mut at = 0;
            for (block, size) in blocks.iter().cycle().enumerate() {
                let end = (at + size).min(length);
                let now: Vec<ParamValueEvent> = events
                    .iter()
                    .filter(|(b, _, _)| *b == block)
                    .map(|(_, id, value)| ParamValueEvent::new(0, *id, Pckn::match_all(), *value))
                    .collect();
                let mut inputs: Vec<Vec<f32>> = sound.iter().map(|c| c[at..end].to_vec()).collect();
                let mut in_ports = AudioPorts::with_capacity(channels, 1);
                let mut out_ports = AudioPorts::with_capacity(channels, 1);
                let input = in_ports.with_input_buffers([AudioPortBuffer {
                    latency: 0,
                    channels: AudioPortBufferType::f32_input_only(
                        inputs.iter_mut().map(InputChannel::variable),
                    ),
                }]);
                let mut output = out_ports.with_output_buffers([AudioPortBuffer {
                    latency: 0,
                    channels: AudioPortBufferType::f32_output_only(
                        sound.iter_mut().map(|c| &mut c[at..end]),
                    ),
                }]);
                let mut out_events = EventBuffer::new();
                let started = (std::time::Instant::now(), cpu_time::ThreadTime::now());
                processor
                    .process(
                        &input,
                        &mut output,
                        &InputEvents::from_buffer(&now),
                        &mut OutputEvents::from_buffer(&mut out_events),
                        Some(*time),
                        Some(&transport(*time, rate_hz)),
                    )
                    .unwrap();
                times.push(BlockTime {
                    cpu: started.1.elapsed().as_secs_f64(),
                    wall: started.0.elapsed().as_secs_f64(),
                });
                *time += (end - at) as u64;
                at = end;
                if at == length {
                    return;
                }
            }
        };
        std::thread::scope(|s| s.spawn(run).join().unwrap());
        self.audio = Some(audio);
    }
}

/// The host's transport, playing at 120 beats a minute, `time` samples into the song.
fn transport(time: u64, rate_hz: f64) -> TransportEvent {
    let seconds = time as f64 / rate_hz;
    let beats = 2.0 * seconds;
    TransportEvent {
        header: EventHeader::new_core(0, EventFlags::empty()),
        flags: TransportFlags::HAS_TEMPO
            | TransportFlags::HAS_BEATS_TIMELINE
            | TransportFlags::HAS_SECONDS_TIMELINE
            | TransportFlags::IS_PLAYING,
        song_pos_beats: beats.into(),
        song_pos_seconds: seconds.into(),
        tempo: 120.0,
        tempo_inc: 0.0,
        loop_start_beats: 0.0.into(),
        loop_end_beats: 0.0.into(),
        loop_start_seconds: 0.0.into(),
        loop_end_seconds: 0.0.into(),
        bar_start: (4.0 * (beats / 4.0).floor()).into(),
        bar_number: (beats / 4.0) as i32,
        time_signature_numerator: 4,
        time_signature_denominator: 4,
    }
}

impl Drop for Host {
    fn drop(&mut self) {
        self.deactivate();
    }
}

/// Where an amount in dB lies on the host's scale from 0 to 1.
pub fn amount(amount_db: f64) -> f64 {
    (amount_db / 100.0).sqrt()
}

/// Places of the modes on the host's scale.
pub const MODES: [&str; 4] = ["best", "balanced", "live", "instant"];

/// A plucked chord again and again, in white noise; some channels, of any rate.
pub fn noisy_chords(rate_hz: f64, channels: usize, seconds: f64) -> Vec<Vec<f32>> {
    let mut seed = 0x2545_F491_4F6C_DD1Du64;
    let mut noise = move || {
        let mut sum = 0.0f32;
        for _ in 0..4 {
            seed ^= seed << 13;
            seed ^= seed >> 7;
            seed ^= seed << 17;
            sum += (seed >> 40) as f32 / (1u64 << 24) as f32 - 0.5;
        }
        0.02 * sum
    };
    let n = (seconds * rate_hz) as usize;
    (0..channels)
        .map(|c| {
            (0..n)
                .map(|i| {
                    let t = i as f64 / rate_hz;
                    let tone: f64 = [196.0, 246.9, 293.7]
                        .iter()
                        .map(|hz| (t * hz * std::f64::consts::TAU + c as f64).sin())
                        .sum();
                    (0.1 * tone * (-3.0 * (t % 1.5)).exp()) as f32 + noise()
                })
                .collect()
        })
        .collect()
}

//! Real sound cards, through cpal.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use cpal::device_description::DeviceDirection;
use cpal::traits::{DeviceTrait, HostTrait, StreamTrait};
use cpal::{
    BufferSize, Device, ErrorKind, FromSample, HostId, InputCallbackInfo, OutputCallbackInfo,
    Sample, SampleFormat, SizedSample, StreamConfig, StreamInstant, SupportedBufferSize,
    SupportedStreamConfigRange,
};

use super::complaints::{Complaints, Kind};
use super::host::{
    End, Found, Host, HostError, OutputChoice, Plan, Running, Wanted, choose, sounds_built_in,
};
use super::priority::Promotion;
use super::quiet::Quiet;
use super::sides::{InputSide, MOST_CHANNELS, OutputSide};
use super::timing::Timing;

/// Frames a callback that are asked for when nobody says otherwise: safe on a busy desktop.
const USUAL_BUFFER_FRAMES: u32 = 512;
/// How long a card may take to be opened.
const OPEN_TIMEOUT: Duration = Duration::from_secs(3);
/// Frames converted at once where a card does not take floating point numbers.
const CONVERTED_FRAMES: usize = 4096;

/// See the module.
pub struct CpalHost {
    chosen: Option<HostId>,
    quiet: bool,
    started: Instant,
    ready: Option<Ready>,
}

/// What the last plan found.
struct Ready {
    host: HostId,
    input: (Device, StreamConfig, SampleFormat),
    output: Option<(Device, StreamConfig, SampleFormat)>,
}

/// Why a way is not available, after a colon, if the library says more than that it is not.
fn reason(e: &cpal::Error) -> String {
    let words = e.to_string();
    if words.contains("is not available") {
        String::new()
    } else {
        format!(": {words}")
    }
}

/// Names of the ways there are on this system.
#[must_use]
pub fn host_names() -> Vec<&'static str> {
    cpal::ALL_HOSTS.iter().map(|id| id.name()).collect()
}

impl CpalHost {
    /// Uses the way `name`, or the first one that works.
    ///
    /// # Errors
    /// The names there are.
    pub fn new(name: Option<&str>) -> Result<Self, HostError> {
        let chosen = match name {
            None => None,
            Some(name) => {
                let fits = |id: &&HostId| id.name().eq_ignore_ascii_case(name);
                let id = cpal::ALL_HOSTS.iter().find(fits).ok_or_else(|| {
                    HostError::Usage(format!(
                        "there is no host {name:?} in this build; there are: {}",
                        host_names().join(", ")
                    ))
                })?;
                Some(*id)
            }
        };
        Ok(Self {
            chosen,
            quiet: true,
            started: Instant::now(),
            ready: None,
        })
    }

    /// Everything there is, as text.
    #[must_use]
    pub fn list(&self) -> String {
        let _quiet = Quiet::new();
        let mut out = String::new();
        for id in self.candidates() {
            out.push_str(&format!("{}\n", id.name()));
            let host = match cpal::host_from_id(id) {
                Ok(host) => host,
                Err(e) => {
                    let why = reason(&e);
                    out.push_str(&format!("  not available{why}\n"));
                    continue;
                }
            };
            let defaults = (host.default_input_device(), host.default_output_device());
            let mut any = false;
            for (what, input) in [("input", true), ("output", false)] {
                for device in devices(&host, input) {
                    any = true;
                    let default = if input { &defaults.0 } else { &defaults.1 };
                    let star = if default.as_ref() == Some(&device) {
                        '*'
                    } else {
                        ' '
                    };
                    out.push_str(&format!(
                        " {star} {what:6}  {}\n           --{what} {:?}{}\n",
                        label(&device),
                        id_of(&device),
                        formats(&device, input)
                    ));
                }
            }
            if !any {
                out.push_str("  no device");
                if id.name() == "JACK" {
                    out.push_str(": no JACK server is running");
                }
                out.push('\n');
            }
        }
        out.push_str("* is what is used without --input and --output.\n");
        out
    }

    fn candidates(&self) -> Vec<HostId> {
        self.chosen
            .map_or_else(|| cpal::ALL_HOSTS.to_vec(), |id| vec![id])
    }

    fn plan_on(&mut self, id: HostId, wanted: &Wanted) -> Result<Plan, HostError> {
        let host = cpal::host_from_id(id).map_err(|e| {
            let why = reason(&e);
            HostError::Failed(format!("{} is not available{why}", id.name()))
        })?;
        let input = find(&host, wanted.input.as_deref(), true)?;
        let output = match &wanted.output {
            OutputChoice::None => None,
            OutputChoice::Default => Some(find(&host, None, false)?),
            OutputChoice::Named(name) => Some(find(&host, Some(name), false)?),
        };
        let (mut input_config, input_format) = configure(&input, true, wanted, wanted.rate_hz)?;
        let output = match output {
            None => None,
            Some(device) => {
                // The rate of the input saves resampling, where the output has it.
                let rate_hz = wanted.rate_hz.or(Some(input_config.sample_rate));
                let configured = match configure(&device, false, wanted, rate_hz) {
                    Err(_) if wanted.rate_hz.is_none() => configure(&device, false, wanted, None)?,
                    other => other?,
                };
                Some((device, configured.0, configured.1))
            }
        };
        let same_device = output
            .as_ref()
            .is_some_and(|(d, ..)| id_of(d) == id_of(&input));
        let same_rate = output
            .as_ref()
            .is_none_or(|(_, c, _)| c.sample_rate == input_config.sample_rate);
        let one_clock = same_rate
            && match id.name() {
                "JACK" | "ASIO" => true,
                "CoreAudio" => same_device,
                "ALSA" => same_device && id_of(&input).contains("hw:"),
                _ => false,
            };
        if id.name() == "JACK" {
            // The server has one size for all.
            input_config.buffer_size = BufferSize::Default;
        }
        let channels = wanted
            .channels
            .unwrap_or(usize::from(input_config.channels))
            .clamp(1, MOST_CHANNELS);
        let plan = Plan {
            host: id.name().to_owned(),
            input: end(&input, &input_config),
            output: output.as_ref().map(|(d, c, _)| end(d, c)),
            one_clock,
            channels,
        };
        self.ready = Some(Ready {
            host: id,
            input: (input, input_config, input_format),
            output: output.map(|(d, mut c, f)| {
                if id.name() == "JACK" {
                    c.buffer_size = BufferSize::Default;
                }
                (d, c, f)
            }),
        });
        Ok(plan)
    }
}

impl Host for CpalHost {
    fn plan(&mut self, wanted: &Wanted) -> Result<Plan, HostError> {
        let _quiet = self.quiet.then(Quiet::new);
        self.ready = None;
        let named = wanted.input.is_some() || matches!(wanted.output, OutputChoice::Named(_));
        let mut best: Option<(usize, HostError)> = None;
        for id in self.candidates() {
            match self.plan_on(id, wanted) {
                Ok(plan) => return Ok(plan),
                Err(e) => {
                    // If a device was named, a way that has devices knows best why it is not among them; of equal reasons,
                    // the first.
                    let reachable = named.then(|| cpal::host_from_id(id).ok()).flatten();
                    let rank = match &e {
                        HostError::Usage(_) => 3,
                        HostError::Failed(_) => reachable
                            .map_or(0, |host| 1 + usize::from(!devices(&host, true).is_empty())),
                    };
                    if best.as_ref().is_none_or(|(r, _)| rank > *r) {
                        best = Some((rank, e));
                    }
                }
            }
        }
        let first = best.map(|(_, e)| e);
        if self.chosen.is_none()
            && wanted.input.is_none()
            && !matches!(first, Some(HostError::Usage(_)))
        {
            let tried: Vec<&str> = self.candidates().iter().map(|id| id.name()).collect();
            let why = first.map(|e| format!(" ({e})")).unwrap_or_default();
            return Err(HostError::Failed(format!(
                "no usable sound device was found with {}{why}: plug one in or start the sound server, and see drfm-live --list",
                tried.join(", "),
            )));
        }
        Err(first
            .unwrap_or_else(|| HostError::Failed("there is no way to sound cards here".into())))
    }

    fn start(
        &mut self,
        plan: &Plan,
        input: InputSide,
        output: Option<OutputSide>,
        complaints: &Arc<Complaints>,
    ) -> Result<Box<dyn Running>, HostError> {
        let _quiet = self.quiet.then(Quiet::new);
        let Some(ready) = self.ready.take() else {
            return Err(HostError::Failed(
                "the devices have not been looked for".into(),
            ));
        };
        let graph = (ready.host.name() == "JACK").then(Arc::default);
        let clock = |config: &StreamConfig| Clock {
            started: self.started,
            graph: graph.clone(),
            rate_hz: config.sample_rate,
            channels: config.channels,
        };
        // Threads of JACK, CoreAudio and ASIO have their priority already.
        let promote = matches!(ready.host.name(), "ALSA" | "PulseAudio" | "PipeWire");
        let (device, config, format) = &ready.input;
        let promotion = Promotion::new(promote, complaints);
        let opened = build_input(
            device,
            *config,
            *format,
            input,
            clock(config),
            promotion,
            complaints,
        );
        let input_stream = opened.map_err(|e| opening_failed("input", &plan.input.name, &e))?;
        let mut output_stream = None;
        if let (Some((device, config, format)), Some(side)) = (&ready.output, output) {
            let name = plan.output.as_ref().map_or("", |o| o.name.as_str());
            let promotion = Promotion::new(promote, complaints);
            let opened = build_output(
                device,
                *config,
                *format,
                side,
                clock(config),
                promotion,
                complaints,
            );
            output_stream = Some(opened.map_err(|e| opening_failed("output", name, &e))?);
        }
        Ok(Box::new(Streams {
            output: output_stream.map(play).transpose()?,
            input: play(input_stream)?,
        }))
    }
}

/// Starts a stream. PulseAudio waits for the first sound in it, for ever if there is none: then the stream is left alone.
fn play(stream: cpal::Stream) -> Result<cpal::Stream, HostError> {
    let (done, wait) = std::sync::mpsc::channel();
    let thread = std::thread::Builder::new().name("drfm-starting".into());
    let started = thread.spawn(move || {
        let played = stream.play();
        // Nobody waits any more if it took too long; the stream is closed then.
        let _ = done.send(played.map(|()| stream));
    });
    started.map_err(|e| HostError::Failed(format!("the sound cannot be started: {e}")))?;
    match wait.recv_timeout(OPEN_TIMEOUT) {
        Ok(Ok(stream)) => Ok(stream),
        Ok(Err(e)) => Err(HostError::Failed(format!("the sound cannot be started: {e}"))),
        Err(_) => Err(HostError::Failed(
            "the device was opened but sends or takes no sound: try another --buffer, or another device (drfm-live --list)".into(),
        )),
    }
}

struct Streams {
    input: cpal::Stream,
    output: Option<cpal::Stream>,
}

impl Running for Streams {
    fn buffer_frames(&self) -> (Option<u32>, Option<u32>) {
        let output = self.output.as_ref();
        (
            self.input.buffer_size().ok(),
            output.and_then(|o| o.buffer_size().ok()),
        )
    }
}

/// When callbacks are, on the steady clock of the program, or on that of the streams where all of them share one.
#[derive(Clone)]
struct Clock {
    started: Instant,
    /// Of JACK, whose streams tell the time of the server, which a late callback does not change: whether it knows no latency
    /// of what the input is connected to, because that is no card but another program.
    graph: Option<Arc<AtomicBool>>,
    rate_hz: u32,
    channels: u16,
}

impl Clock {
    fn now_ns(&self, callback: StreamInstant) -> u64 {
        if self.graph.is_some() {
            callback.as_nanos() as u64
        } else {
            self.started.elapsed().as_nanos() as u64
        }
    }

    fn block_ns(&self, samples: usize) -> u64 {
        let frames = samples as u64 / u64::from(self.channels.max(1));
        frames * 1_000_000_000 / u64::from(self.rate_hz.max(1))
    }

    fn of_input(&self, info: &InputCallbackInfo, samples: usize) -> Timing {
        let at = info.timestamp();
        let device_ns = at.callback.duration_since(at.capture).as_nanos() as u64;
        if let Some(no_card) = &self.graph {
            // A card is at least a block away, a callback less than one late.
            no_card.store(device_ns < self.block_ns(samples), Ordering::Relaxed);
        }
        Timing {
            now_ns: self.now_ns(at.callback),
            device_ns,
        }
    }

    fn of_output(&self, info: &OutputCallbackInfo, samples: usize) -> Timing {
        let at = info.timestamp();
        let timing = Timing {
            now_ns: self.now_ns(at.callback),
            device_ns: at.playback.duration_since(at.callback).as_nanos() as u64,
        };
        let block_ns = self.block_ns(samples);
        match &self.graph {
            // Where JACK knows no latency, cpal takes the end of the block for the time at which it is heard; programs that
            // are connected hear it at its beginning. A hundredth is for servers whose clock is not quite right.
            Some(no_card)
                if no_card.load(Ordering::Relaxed)
                    && timing.device_ns <= block_ns + block_ns / 100 =>
            {
                Timing {
                    now_ns: (timing.now_ns + timing.device_ns).saturating_sub(block_ns),
                    device_ns: 0,
                }
            }
            _ => timing,
        }
    }
}

fn id_of(device: &Device) -> String {
    device
        .id()
        .map_or_else(|_| device.to_string(), |id| id.to_string())
}

fn label(device: &Device) -> String {
    device
        .description()
        .map_or_else(|_| device.to_string(), |d| d.name().to_owned())
}

fn devices(host: &cpal::Host, input: bool) -> Vec<Device> {
    let Ok(all) = host.devices() else {
        return Vec::new();
    };
    all.filter(|d| {
        // Some say yes to both and mean one; some of ALSA's are no devices at all and have no format.
        let direction = d.description().map(|d| d.direction());
        let other = if input {
            DeviceDirection::Output
        } else {
            DeviceDirection::Input
        };
        let formats = if input {
            d.default_input_config()
        } else {
            d.default_output_config()
        };
        direction != Ok(other) && formats.is_ok()
    })
    .collect()
}

fn find(host: &cpal::Host, name: Option<&str>, input: bool) -> Result<Device, HostError> {
    let what = if input { "input" } else { "output" };
    let Some(name) = name else {
        let default = if input {
            host.default_input_device()
        } else {
            host.default_output_device()
        };
        return default.ok_or_else(|| {
            let why = if host.id().name() == "JACK" {
                ": no JACK server is running; start one (for example with QjackCtl) and try again"
            } else {
                ""
            };
            HostError::Failed(format!("{} has no {what} device{why}", host.id().name()))
        });
    };
    let mut all = devices(host, input);
    let found: Vec<Found> = all
        .iter()
        .map(|d| Found {
            id: id_of(d),
            name: label(d),
        })
        .collect();
    let chosen = choose(&found, name, what)?;
    let at = found.iter().position(|f| f == chosen).unwrap_or(0);
    Ok(all.swap_remove(at))
}

fn ranges(device: &Device, input: bool) -> Result<Vec<SupportedStreamConfigRange>, cpal::Error> {
    Ok(if input {
        device.supported_input_configs()?.collect()
    } else {
        device.supported_output_configs()?.collect()
    })
}

/// The lower, the better; `None` for what cannot be used.
fn format_rank(format: SampleFormat) -> Option<usize> {
    let order = [
        SampleFormat::F32,
        SampleFormat::I32,
        SampleFormat::I24,
        SampleFormat::F64,
        SampleFormat::I16,
        SampleFormat::U16,
        SampleFormat::U8,
    ];
    order.iter().position(|f| *f == format)
}

fn configure(
    device: &Device,
    input: bool,
    wanted: &Wanted,
    rate_hz: Option<u32>,
) -> Result<(StreamConfig, SampleFormat), HostError> {
    let failed = |e: cpal::Error| {
        let what = if input { "input" } else { "output" };
        opening_failed(what, &label(device), &e)
    };
    let default = if input {
        device.default_input_config()
    } else {
        device.default_output_config()
    }
    .map_err(failed)?;
    let ranges = ranges(device, input).map_err(failed)?;
    let rate_hz = rate_hz.unwrap_or(default.sample_rate());
    let usual = usize::from(default.channels());
    let channels = wanted.channels.unwrap_or(usual.clamp(1, MOST_CHANNELS));
    let fitting = ranges
        .iter()
        .filter(|r| r.contains_rate(rate_hz))
        .filter_map(|r| {
            let format = format_rank(r.sample_format())?;
            let distance = usize::from(r.channels()).abs_diff(channels);
            // Too many channels are better than too few.
            let few = usize::from(usize::from(r.channels()) < channels);
            Some(((few, distance, format), r))
        })
        .min_by_key(|(rank, _)| *rank);
    let Some((_, range)) = fitting else {
        let name = label(device);
        let mut rates: Vec<u32> = ranges
            .iter()
            .flat_map(|r| [r.min_sample_rate(), r.max_sample_rate()])
            .collect();
        rates.sort_unstable();
        rates.dedup();
        let rates: Vec<String> = rates.iter().map(u32::to_string).collect();
        return Err(HostError::Failed(format!(
            "{name} does not work at {rate_hz} Hz (it names {} Hz): leave out --rate or give one of these",
            rates.join(", ")
        )));
    };
    let frames = wanted.buffer_frames.unwrap_or(USUAL_BUFFER_FRAMES);
    let buffer_size = match range.buffer_size() {
        SupportedBufferSize::Range { min, max } if min <= max => {
            BufferSize::Fixed(frames.clamp((*min).max(1), (*max).max(1)))
        }
        _ => BufferSize::Fixed(frames),
    };
    let config = StreamConfig {
        channels: range.channels(),
        sample_rate: rate_hz,
        buffer_size,
    };
    Ok((config, range.sample_format()))
}

fn end(device: &Device, config: &StreamConfig) -> End {
    let name = label(device);
    let interface = device.description().map(|d| d.interface_type());
    let is_built_in = matches!(
        interface,
        Ok(cpal::device_description::InterfaceType::BuiltIn)
    ) || sounds_built_in(&name);
    End {
        id: id_of(device),
        name,
        rate_hz: config.sample_rate,
        channels: usize::from(config.channels),
        is_built_in,
    }
}

fn formats(device: &Device, input: bool) -> String {
    let default = if input {
        device.default_input_config()
    } else {
        device.default_output_config()
    };
    default.map_or(String::new(), |c| {
        format!("   {} Hz, {} channels", c.sample_rate(), c.channels())
    })
}

/// Turns an error of cpal into a sentence that says what to do.
fn opening_failed(what: &str, name: &str, e: &cpal::Error) -> HostError {
    let advice = match e.kind() {
        ErrorKind::DeviceBusy => {
            "it is in use by another program: close that, or choose another device (drfm-live --list)"
        }
        ErrorKind::PermissionDenied => {
            "this user may not use it: on Linux, join the group audio; on macOS and Windows, allow the microphone in the privacy settings"
        }
        ErrorKind::UnsupportedConfig => "try another --rate, --buffer or --channels",
        ErrorKind::DeviceNotAvailable | ErrorKind::HostUnavailable => {
            "is it plugged in, and does the sound server run? See drfm-live --list"
        }
        _ => "see drfm-live --list for others",
    };
    HostError::Failed(format!("{what} {name} cannot be opened ({e}): {advice}"))
}

fn note(complaints: &Complaints, e: &cpal::Error) {
    let kind = match e.kind() {
        ErrorKind::Xrun => Kind::Xrun,
        ErrorKind::DeviceNotAvailable | ErrorKind::HostUnavailable => Kind::Gone,
        ErrorKind::StreamInvalidated => Kind::FormatChanged,
        ErrorKind::DeviceChanged => Kind::Rerouted,
        ErrorKind::RealtimeDenied => Kind::NoPriority,
        _ => Kind::Other,
    };
    complaints.note(kind, || e.to_string());
}

fn build_input(
    device: &Device,
    config: StreamConfig,
    format: SampleFormat,
    mut side: InputSide,
    clock: Clock,
    mut promotion: Promotion,
    complaints: &Arc<Complaints>,
) -> Result<cpal::Stream, cpal::Error> {
    let complaints = Arc::clone(complaints);
    let on_error = move |e: cpal::Error| note(&complaints, &e);
    let timing = move |info: &InputCallbackInfo, samples| clock.of_input(info, samples);
    if format == SampleFormat::F32 {
        return device.build_input_stream::<f32, _, _>(
            config,
            move |frames, info| {
                promotion.promote();
                side.hear(frames, timing(info, frames.len()));
            },
            on_error,
            Some(OPEN_TIMEOUT),
        );
    }
    macro_rules! converted {
        ($T:ty) => {
            device.build_input_stream::<$T, _, _>(
                config,
                {
                    let mut hear = converting_input::<$T>(side);
                    move |frames: &[$T], info: &InputCallbackInfo| {
                        promotion.promote();
                        hear(frames, timing(info, frames.len()));
                    }
                },
                on_error,
                Some(OPEN_TIMEOUT),
            )
        };
    }
    match format {
        SampleFormat::I32 => converted!(i32),
        SampleFormat::I24 => converted!(cpal::I24),
        SampleFormat::F64 => converted!(f64),
        SampleFormat::I16 => converted!(i16),
        SampleFormat::U16 => converted!(u16),
        _ => converted!(u8),
    }
}

fn converting_input<T>(mut side: InputSide) -> impl FnMut(&[T], Timing) + Send + 'static
where
    T: SizedSample,
    f32: FromSample<T>,
{
    let channels = side.device_channels();
    let mut scratch = vec![0.0f32; CONVERTED_FRAMES * channels];
    move |frames, timing| {
        for piece in frames.chunks(scratch.len()) {
            for (x, y) in scratch.iter_mut().zip(piece) {
                *x = f32::from_sample(*y);
            }
            side.hear(&scratch[..piece.len()], timing);
        }
    }
}

fn build_output(
    device: &Device,
    config: StreamConfig,
    format: SampleFormat,
    mut side: OutputSide,
    clock: Clock,
    mut promotion: Promotion,
    complaints: &Arc<Complaints>,
) -> Result<cpal::Stream, cpal::Error> {
    let complaints = Arc::clone(complaints);
    let on_error = move |e: cpal::Error| note(&complaints, &e);
    let timing = move |info: &OutputCallbackInfo, samples| clock.of_output(info, samples);
    if format == SampleFormat::F32 {
        return device.build_output_stream::<f32, _, _>(
            config,
            move |frames, info| {
                promotion.promote();
                let timing = timing(info, frames.len());
                side.play(frames, timing);
            },
            on_error,
            Some(OPEN_TIMEOUT),
        );
    }
    macro_rules! converted {
        ($T:ty) => {
            device.build_output_stream::<$T, _, _>(
                config,
                {
                    let mut play = converting_output::<$T>(side);
                    move |frames: &mut [$T], info: &OutputCallbackInfo| {
                        promotion.promote();
                        let timing = timing(info, frames.len());
                        play(frames, timing);
                    }
                },
                on_error,
                Some(OPEN_TIMEOUT),
            )
        };
    }
    match format {
        SampleFormat::I32 => converted!(i32),
        SampleFormat::I24 => converted!(cpal::I24),
        SampleFormat::F64 => converted!(f64),
        SampleFormat::I16 => converted!(i16),
        SampleFormat::U16 => converted!(u16),
        _ => converted!(u8),
    }
}

fn converting_output<T>(mut side: OutputSide) -> impl FnMut(&mut [T], Timing) + Send + 'static
where
    T: SizedSample + FromSample<f32>,
{
    let channels = side.device_channels();
    let mut scratch = vec![0.0f32; CONVERTED_FRAMES * channels];
    move |frames, timing| {
        for piece in frames.chunks_mut(scratch.len()) {
            let sound = &mut scratch[..piece.len()];
            side.play(sound, timing);
            for (y, x) in piece.iter_mut().zip(sound) {
                // Whole numbers end at full scale.
                *y = T::from_sample(x.clamp(-1.0, 1.0));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn refusals_say_what_to_do() {
        for (kind, part) in [
            (ErrorKind::DeviceBusy, "in use by another program"),
            (ErrorKind::PermissionDenied, "may not use it"),
            (ErrorKind::UnsupportedConfig, "--rate"),
            (ErrorKind::DeviceNotAvailable, "plugged in"),
        ] {
            let refused = opening_failed("input", "Scarlett", &cpal::Error::new(kind));
            assert!(
                matches!(&refused, HostError::Failed(text) if text.contains(part) && text.contains("input Scarlett")),
                "{refused:?}"
            );
        }
    }
}

//! Making streams and noise spectra for the audio thread, on any other thread.

use std::sync::Arc;

use drfm_engine::audio::denoiser::{NoiseSource, StreamDenoiser};
use drfm_engine::audio::model::DenoiserModel;
use drfm_engine::audio::noise::NoiseSpectrum;

use crate::error::PluginError;
use crate::models::{chain_for, embedded_model};
use crate::params::{ModelChoice, Settings};
use crate::shared::{Delivery, Setup, Shared};

/// What streams are made for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StreamRequest {
    /// What the host has set up.
    pub setup: Setup,
    /// The model.
    pub model: ModelChoice,
    /// Which of the player's models, if it is one of those.
    pub file_generation: u64,
    /// Whether channels are linked.
    pub linked: bool,
}

impl StreamRequest {
    /// What the present settings ask for. Never waits.
    #[must_use]
    pub fn of(setup: Setup, settings: &Settings, shared: &Shared) -> Self {
        Self {
            setup,
            model: settings.model,
            file_generation: if settings.model == ModelChoice::File {
                shared.file_generation()
            } else {
                0
            },
            // A single channel has nothing to be linked to.
            linked: settings.linked || setup.channels < 2,
        }
    }
}

/// A stream that was made, and what for.
pub struct Built {
    /// What was asked for.
    pub request: StreamRequest,
    /// The stream.
    pub stream: Box<StreamDenoiser>,
}

/// The spectra that are known beside tracking, one a channel, at the stream's rate.
pub struct KnownNoise {
    /// The generation of [`Shared::noise`] it was read from.
    pub generation: u64,
    /// Sample rate in Hz.
    pub rate_hz: u32,
    /// By the Learn button.
    pub learned: KnownSpectra,
    /// By freezing.
    pub frozen: KnownSpectra,
}

/// One spectrum a channel, if it is known; the room for it is there in any case.
pub struct KnownSpectra {
    /// Whether `spectra` says anything.
    pub known: bool,
    /// One a channel.
    pub spectra: Vec<NoiseSpectrum>,
}

impl KnownSpectra {
    fn new(setup: Setup, spectra: Option<&[NoiseSpectrum]>) -> Self {
        let at = |channel: usize| {
            let spectra = spectra?;
            let spectrum = spectra.get(channel).or(spectra.first())?;
            Some(spectrum.at_rate(setup.rate_hz))
        };
        Self {
            known: spectra.is_some_and(|s| !s.is_empty()),
            spectra: (0..setup.channels)
                .map(|c| at(c).unwrap_or_else(|| NoiseSpectrum::white(setup.rate_hz, 0.0)))
                .collect(),
        }
    }
}

impl KnownNoise {
    /// What is known now.
    #[must_use]
    pub fn read(shared: &Shared, setup: Setup) -> Self {
        // The generation first: if the spectra change in between, they are read once more.
        let generation = shared.noise_generation();
        let noise = shared.noise();
        Self {
            generation,
            rate_hz: setup.rate_hz,
            learned: KnownSpectra::new(setup, noise.learned.as_deref()),
            frozen: KnownSpectra::new(setup, noise.frozen.as_deref()),
        }
    }
}

/// Makes a stream.
///
/// # Errors
/// If the model cannot be used.
pub fn build(shared: &Shared, request: StreamRequest) -> Result<Built, PluginError> {
    let (model, name) = choose(shared, request.model)?;
    let setup = request.setup;
    let (mode, chain) = chain_for(&model, setup.mode).map_err(|source| PluginError::Model {
        name: name.clone(),
        source,
    })?;
    let stream = StreamDenoiser::with_linking(
        request.linked,
        chain,
        setup.rate_hz,
        setup.channels,
        NoiseSource::Adaptive,
    );
    shared.set_playing(&name, mode);
    Ok(Built {
        request,
        stream: Box::new(stream),
    })
}

/// The model of a choice; as long as the player has none, the general one stands in for it.
fn choose(
    shared: &Shared,
    choice: ModelChoice,
) -> Result<(Arc<DenoiserModel>, String), PluginError> {
    let embedded = |name: &str| Ok((embedded_model(name)?, name.to_owned()));
    if let Some(name) = choice.embedded_name() {
        return embedded(name);
    }
    match shared.file_model() {
        Some(file) => Ok((file.model, file.name)),
        None => embedded("general"),
    }
}

/// Makes what the present settings ask for and sends it to the audio thread.
pub fn build_and_deliver(shared: &Shared, settings: &Settings) {
    let Some(setup) = shared.setup() else {
        return;
    };
    match build(shared, StreamRequest::of(setup, settings, shared)) {
        Ok(built) => deliver(shared, Delivery::Stream(built)),
        Err(error) => shared.complain(&error),
    }
}

/// Sends what is known about the noise to the audio thread.
pub fn deliver_noise(shared: &Shared) {
    if let Some(setup) = shared.setup() {
        let known = Box::new(KnownNoise::read(shared, setup));
        deliver(shared, Delivery::Noise(known));
    }
}

/// Puts something into the queue to the audio thread; when nobody fetches it, the oldest makes room.
fn deliver(shared: &Shared, delivery: Delivery) {
    drop(shared.deliveries.force_push(delivery));
}

/// Drops what the audio thread no longer needs.
pub fn free_retired(shared: &Shared) {
    while shared.retired.pop().is_some() {}
}

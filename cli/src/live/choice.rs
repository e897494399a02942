//! The model and mode that play, and the next ones.

use drfm_engine::audio::denoiser::{NoiseSource, StreamDenoiser};
use drfm_engine::audio::embedded;
use drfm_engine::audio::model::{DenoiserModel, Mode};

use crate::failure::Failure;
use crate::models::{Loaded, load_denoiser};

/// See the module.
pub struct Choice {
    name: String,
    model: Box<DenoiserModel>,
    mode: Mode,
    linked: bool,
    /// What the key for the next model goes through.
    names: Vec<String>,
}

fn load(name: &str) -> Result<Box<DenoiserModel>, Failure> {
    match load_denoiser(name)? {
        Loaded::Spectral(model) => Ok(model),
        Loaded::Waveform(_) => Err(Failure::Failed(format!(
            "model {name} is a waveform model, which cleans files only (drfm denoise): for the microphone, train one with --domain spectral"
        ))),
    }
}

/// `mode`, or the one next to it that the model was trained for.
fn nearest(model: &DenoiserModel, mode: Mode) -> Mode {
    let place = |mode: Mode| Mode::ALL.iter().position(|m| *m == mode).unwrap_or(0);
    model
        .modes()
        .min_by_key(|m| place(*m).abs_diff(place(mode)))
        .unwrap_or(mode)
}

impl Choice {
    /// Loads `name`; without a mode, live or the one next to it.
    ///
    /// # Errors
    /// If there is no such model, or it has no such mode.
    pub fn new(name: &str, mode: Option<Mode>) -> Result<Self, Failure> {
        let model = load(name)?;
        if let Some(mode) = mode {
            model.chain(mode).map_err(Failure::of)?;
        }
        let mode = mode.unwrap_or_else(|| nearest(&model, Mode::Live));
        let mut names: Vec<String> = embedded::names().iter().map(|n| (*n).to_owned()).collect();
        if !names.iter().any(|n| n == name) {
            names.push(name.to_owned());
        }
        Ok(Self {
            name: name.to_owned(),
            model,
            mode,
            linked: true,
            names,
        })
    }

    /// The same, with each channel by itself if `unlinked`.
    #[must_use]
    pub const fn unlinked(mut self, unlinked: bool) -> Self {
        self.linked = !unlinked;
        self
    }

    /// Name of the model, without folders.
    #[must_use]
    pub fn name(&self) -> String {
        let path = std::path::Path::new(&self.name);
        path.file_name()
            .map_or_else(|| self.name.clone(), |n| n.to_string_lossy().into_owned())
    }

    /// The mode.
    #[must_use]
    pub const fn mode(&self) -> Mode {
        self.mode
    }

    /// The next mode that the model has, from the quickest to the best and round.
    pub fn next_mode(&mut self) {
        let modes: Vec<Mode> = Mode::ALL
            .into_iter()
            .rev()
            .filter(|m| self.model.modes().any(|n| n == *m))
            .collect();
        let at = modes.iter().position(|m| *m == self.mode).unwrap_or(0);
        if let Some(mode) = modes.get((at + 1) % modes.len().max(1)) {
            self.mode = *mode;
        }
    }

    /// The next model, in the same mode if it has it.
    ///
    /// # Errors
    /// If its file has become unreadable; the present one stays.
    pub fn next_model(&mut self) -> Result<(), Failure> {
        let at = self.names.iter().position(|n| *n == self.name).unwrap_or(0);
        let Some(name) = self.names.get((at + 1) % self.names.len().max(1)).cloned() else {
            return Ok(());
        };
        self.model = load(&name)?;
        self.name = name;
        self.mode = nearest(&self.model, self.mode);
        Ok(())
    }

    /// A stream of it.
    ///
    /// # Errors
    /// If the model lacks the mode.
    pub fn stream(&self, rate_hz: u32, channels: usize) -> Result<Box<StreamDenoiser>, Failure> {
        let chain = self.model.chain(self.mode).map_err(Failure::of)?;
        let noise = NoiseSource::Adaptive;
        let stream = StreamDenoiser::with_linking(self.linked, chain, rate_hz, channels, noise);
        Ok(Box::new(stream))
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use drfm_engine::rng::StableRng;

    use super::*;

    #[test]
    fn modes_and_models_go_round() {
        let mut choice = Choice::new("general", None).unwrap();
        assert_eq!(choice.mode(), Mode::Live);
        let mut modes = vec![choice.mode()];
        for _ in 0..4 {
            choice.next_mode();
            modes.push(choice.mode());
        }
        assert_eq!(
            modes,
            [
                Mode::Live,
                Mode::Balanced,
                Mode::Best,
                Mode::Instant,
                Mode::Live
            ]
        );
        let mut names = vec![choice.name()];
        for _ in 0..3 {
            choice.next_model().unwrap();
            names.push(choice.name());
        }
        assert_eq!(names, ["general", "guitar", "flute", "general"]);
        assert!(choice.stream(48_000, 2).is_ok());
        assert!(Choice::new("bagpipe", None).is_err());
    }

    #[test]
    fn two_instruments_are_cleaned_apart_if_that_is_asked_for() {
        let mut rng = StableRng::new(3, 0);
        let mut sound = |hz: f32| -> Vec<f32> {
            let at = |i: usize| (i as f32 / 48_000.0 * hz * std::f32::consts::TAU).sin();
            (0..144_000)
                .map(|i| 0.1 * at(i) + 0.01 * rng.normal() as f32)
                .collect()
        };
        let (left, right) = (sound(220.0), sound(330.0));
        let run = |unlinked: bool, channels: &[&[f32]]| {
            let choice = Choice::new("general", None).unwrap().unlinked(unlinked);
            let mut stream = choice.stream(48_000, channels.len()).unwrap();
            let mut out: Vec<Vec<f32>> = channels.iter().map(|c| c.to_vec()).collect();
            let mut block: Vec<&mut [f32]> = out.iter_mut().map(|c| &mut c[..]).collect();
            stream.process(&mut block);
            out.swap_remove(0)
        };
        let alone = run(false, &[&left]);
        assert!(run(true, &[&left, &right]) == alone);
        assert!(run(false, &[&left, &right]) != alone);
    }
}

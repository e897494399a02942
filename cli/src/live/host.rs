//! A way to sound cards, so that the program can be tested without one.

use std::sync::Arc;

use super::complaints::Complaints;
use super::sides::{InputSide, OutputSide};

/// Which output is wanted.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum OutputChoice {
    /// The system's default.
    #[default]
    Default,
    /// None at all: only recording.
    None,
    /// By id or part of the name.
    Named(String),
}

/// What the user wants.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Wanted {
    /// Id or part of the name of the input; the system's default if `None`.
    pub input: Option<String>,
    /// The output.
    pub output: OutputChoice,
    /// Sample rate in Hz.
    pub rate_hz: Option<u32>,
    /// Frames a callback.
    pub buffer_frames: Option<u32>,
    /// Channels, 1 or 2.
    pub channels: Option<usize>,
}

/// One end of the sound's way.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct End {
    /// Stable id.
    pub id: String,
    /// What people call it.
    pub name: String,
    /// Sample rate in Hz.
    pub rate_hz: u32,
    /// Channels of the device.
    pub channels: usize,
    /// Whether it is part of the computer, as far as the name tells.
    pub is_built_in: bool,
}

/// What is going to be opened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Plan {
    /// Name of the way, such as JACK.
    pub host: String,
    /// Where the sound comes from.
    pub input: End,
    /// Where it goes.
    pub output: Option<End>,
    /// Whether both count the same clock.
    pub one_clock: bool,
    /// Channels that are treated.
    pub channels: usize,
}

/// Why nothing can be opened.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum HostError {
    /// The options do not make sense.
    #[error("{0}")]
    Usage(String),
    /// It did not work.
    #[error("{0}")]
    Failed(String),
}

/// Streams that run until they are dropped.
pub trait Running: Send {
    /// Frames a callback that input and output were granted, if known.
    fn buffer_frames(&self) -> (Option<u32>, Option<u32>);
}

/// A way to sound cards.
pub trait Host {
    /// Finds what is wanted.
    ///
    /// # Errors
    /// A sentence that says what is missing and what to do.
    fn plan(&mut self, wanted: &Wanted) -> Result<Plan, HostError>;

    /// Opens what was planned last and starts it.
    ///
    /// # Errors
    /// A sentence that says what to do.
    fn start(
        &mut self,
        plan: &Plan,
        input: InputSide,
        output: Option<OutputSide>,
        complaints: &Arc<Complaints>,
    ) -> Result<Box<dyn Running>, HostError>;
}

/// A device of a list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Found {
    /// Stable id.
    pub id: String,
    /// What people call it.
    pub name: String,
}

/// Chooses a device by id or part of the name, whatever the case of the letters. A name as a whole goes before a part.
///
/// # Errors
/// A sentence with the names there are, if none or several fit.
pub fn choose<'a>(found: &'a [Found], wanted: &str, what: &str) -> Result<&'a Found, HostError> {
    let lower = wanted.to_lowercase();
    let exact = found
        .iter()
        .find(|f| f.id == wanted)
        .or_else(|| found.iter().find(|f| f.name.to_lowercase() == lower));
    if let Some(f) = exact {
        return Ok(f);
    }
    let fitting: Vec<&Found> = found
        .iter()
        .filter(|f| f.name.to_lowercase().contains(&lower) || f.id.to_lowercase().contains(&lower))
        .collect();
    let names = |list: &[&Found]| {
        let names: Vec<String> = list
            .iter()
            .map(|f| format!("{} ({})", f.name, f.id))
            .collect();
        names.join(", ")
    };
    match fitting.as_slice() {
        [one] => Ok(one),
        [] if found.is_empty() => Err(HostError::Failed(format!(
            "there is no {what} {wanted:?}, nor any other: plug one in, or see drfm-live --list"
        ))),
        [] => Err(HostError::Failed(format!(
            "there is no {what} {wanted:?}; there are: {}",
            names(&found.iter().collect::<Vec<_>>())
        ))),
        several => Err(HostError::Usage(format!(
            "{wanted:?} could be several of the {what}s: {}; give more of the name, or the id in brackets",
            names(several)
        ))),
    }
}

/// Whether a name sounds like a part of the computer, which hears itself.
#[must_use]
pub fn sounds_built_in(name: &str) -> bool {
    let name = name.to_lowercase();
    let phones = ["headphone", "headset", "usb", "bluetooth"];
    if phones.iter().any(|p| name.contains(p)) {
        return false;
    }
    let parts = [
        "built-in",
        "builtin",
        "internal",
        "macbook",
        "hda intel",
        "hda analog",
        "realtek",
        "microphone array",
        "sof-hda",
        "digital microphone",
    ];
    parts.iter().any(|p| name.contains(p))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn found(list: &[(&str, &str)]) -> Vec<Found> {
        list.iter()
            .map(|(id, name)| Found {
                id: (*id).into(),
                name: (*name).into(),
            })
            .collect()
    }

    #[test]
    fn devices_are_found_by_id_name_or_part() {
        let list = found(&[
            ("alsa:hw:0", "Built-in Audio"),
            ("alsa:hw:1", "Scarlett 2i2 USB"),
            ("alsa:hw:2", "Scarlett 18i8 USB"),
            ("alsa:hw:3", "Scarlett"),
        ]);
        let id = |wanted: &str| choose(&list, wanted, "input").map(|f| f.id.clone());
        assert_eq!(id("alsa:hw:0").unwrap(), "alsa:hw:0");
        assert_eq!(id("2I2").unwrap(), "alsa:hw:1");
        assert_eq!(id("scarlett").unwrap(), "alsa:hw:3", "a whole name");
        assert!(matches!(id("usb"), Err(HostError::Usage(e)) if e.contains("18i8")));
        assert!(matches!(id("banjo"), Err(HostError::Failed(e)) if e.contains("Built-in")));
        assert!(choose(&[], "x", "input").is_err());
    }

    #[test]
    fn computers_are_told_from_headphones() {
        for name in ["Built-in Audio Analog Stereo", "MacBook Pro Microphone"] {
            assert!(sounds_built_in(name), "{name}");
        }
        for name in ["Scarlett 2i2 USB", "Built-in Headphones", "JACK Input"] {
            assert!(!sounds_built_in(name), "{name}");
        }
    }
}

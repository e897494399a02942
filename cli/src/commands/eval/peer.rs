//! Other denoisers as commands: `--peer NAME='command with {in} {noise} {out}'`.

use std::path::Path;
use std::process::{Command, Stdio};

use drfm_engine::audio::clip_file::read_mono;
use drfm_engine::audio::resample::resample;
use drfm_engine::audio::writer::{AudioWriter, WavFormat};
use drfm_engine::eval::{Peer, PeerInput};

/// A peer as given on the command line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PeerCommand {
    name: String,
    command: String,
}

/// Reads `NAME=command`, for clap.
///
/// # Errors
/// What is missing.
pub fn parse(text: &str) -> Result<PeerCommand, String> {
    let form = "give NAME='command with {in} and {out}', for instance sox='sox {in} {out} gain -1'";
    let (name, command) = text.split_once('=').ok_or(form)?;
    if name.trim().is_empty() || !command.contains("{in}") || !command.contains("{out}") {
        return Err(form.to_owned());
    }
    Ok(PeerCommand {
        name: name.trim().to_owned(),
        command: command.to_owned(),
    })
}

impl PeerCommand {
    /// Its name in tables.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Whether it wants a recording of the noise.
    pub fn wants_noise(&self) -> bool {
        self.command.contains("{noise}")
    }

    /// For the evaluation.
    pub fn into_peer(self) -> Peer {
        Peer {
            name: self.name.clone(),
            run: Box::new(move |input| self.run(input)),
        }
    }

    fn run(&self, input: &PeerInput<'_>) -> Result<Vec<f32>, String> {
        let folder = tempfile::tempdir().map_err(|e| format!("no temporary folder: {e}"))?;
        let at = |name: &str| folder.path().join(name);
        let write = |path: &Path, samples: &[f32]| {
            let mut wav = AudioWriter::create(path, input.rate_hz, 1, WavFormat::Float32)
                .map_err(|e| e.to_string())?;
            wav.write(samples).map_err(|e| e.to_string())?;
            wav.finish().map_err(|e| e.to_string())
        };
        write(&at("in.wav"), input.noisy)?;
        if let Some(noise) = input.known_noise {
            write(&at("noise.wav"), noise)?;
        }
        let command = ["in", "noise", "out"]
            .iter()
            .fold(self.command.clone(), |command, name| {
                let path = at(&format!("{name}.wav"));
                command.replace(&format!("{{{name}}}"), &path.to_string_lossy())
            });
        let (shell, option) = if cfg!(windows) {
            ("cmd", "/C")
        } else {
            ("sh", "-c")
        };
        let out = Command::new(shell)
            .args([option, &command])
            .current_dir(folder.path())
            .stdin(Stdio::null())
            .output()
            .map_err(|e| format!("cannot start {shell}: {e}"))?;
        let said = String::from_utf8_lossy(&out.stderr);
        let last = said
            .lines()
            .last()
            .map(|line| format!(" ({})", line.trim()));
        if !out.status.success() {
            return Err(format!(
                "{}{}; the command was: {command}",
                out.status,
                last.unwrap_or_default()
            ));
        }
        let path = at("out.wav");
        if !path.exists() {
            return Err(format!("wrote no {{out}}; the command was: {command}"));
        }
        let estimate = read_mono(&path).map_err(|e| format!("its result: {e}"))?;
        resample(&estimate.samples, estimate.rate_hz, input.rate_hz)
            .map_err(|e| format!("its result: {e}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn peers_are_read() {
        let peer = parse("sox=sox {in} {out} gain=1").unwrap();
        assert_eq!((peer.name(), peer.wants_noise()), ("sox", false));
        assert!(parse("x=a {in} {noise} {out}").unwrap().wants_noise());
        for wrong in ["", "sox", "=sox {in} {out}", "a=cp {in}", "a=cp {out}"] {
            assert!(parse(wrong).is_err(), "{wrong}");
        }
    }
}

//! The repository, as Cargo sees it.

use std::path::PathBuf;
use std::process::Command;

use serde::Deserialize;

use crate::NAME;
use crate::error::BundlerError;

/// Where things are.
#[derive(Clone, Debug, Deserialize)]
pub struct Workspace {
    /// The folder of the repository.
    #[serde(rename = "workspace_root")]
    pub root: PathBuf,
    /// The folder that Cargo builds in.
    #[serde(rename = "target_directory")]
    pub target: PathBuf,
}

impl Workspace {
    /// Asks Cargo.
    pub fn find() -> Result<Self, BundlerError> {
        metadata(&["--no-deps"])
    }

    /// The folder of the bundles.
    pub fn bundled(&self) -> PathBuf {
        self.target.join("bundled")
    }

    /// The CLAP and the VST3 bundle.
    pub fn bundles(&self) -> [PathBuf; 2] {
        ["clap", "vst3"].map(|format| self.bundled().join(format!("{NAME}.{format}")))
    }
}

/// What Cargo knows about this workspace.
pub fn metadata<T: for<'a> Deserialize<'a>>(options: &[&str]) -> Result<T, BundlerError> {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let output = Command::new(cargo)
        .args(["metadata", "--format-version", "1"])
        .args(options)
        .output()
        .map_err(|e| BundlerError::Metadata(e.to_string()))?;
    if !output.status.success() {
        let text = String::from_utf8_lossy(&output.stderr);
        return Err(BundlerError::Metadata(text.trim().to_owned()));
    }
    serde_json::from_slice(&output.stdout).map_err(|e| BundlerError::Metadata(e.to_string()))
}

//! Where hosts look for the plugins of a user.

use std::path::PathBuf;

use crate::error::BundlerError;

/// The folders for CLAP and VST3 plugins of this user.
pub fn of_this_user() -> Result<[PathBuf; 2], BundlerError> {
    let (variable, folders) = if cfg!(windows) {
        (
            "LOCALAPPDATA",
            ["Programs/Common/CLAP", "Programs/Common/VST3"],
        )
    } else if cfg!(target_os = "macos") {
        (
            "HOME",
            ["Library/Audio/Plug-Ins/CLAP", "Library/Audio/Plug-Ins/VST3"],
        )
    } else {
        ("HOME", [".clap", ".vst3"])
    };
    let base = std::env::var_os(variable).ok_or(BundlerError::NoHome(variable))?;
    Ok(folders.map(|folder| PathBuf::from(&base).join(folder)))
}

//! The archive that is handed to others.

use std::fs::{self, File};
use std::io::Write as _;
use std::path::{Path, PathBuf};

use zip::ZipWriter;
use zip::write::SimpleFileOptions;

use crate::error::BundlerError;
use crate::workspace::Workspace;
use crate::{files, licences};

/// Version of all crates of the workspace.
const VERSION: &str = env!("CARGO_PKG_VERSION");

/// Packs bundles, presets, licences and instructions; returns the archive.
pub fn package(workspace: &Workspace) -> Result<PathBuf, BundlerError> {
    let system = format!("{}-{}", std::env::consts::OS, std::env::consts::ARCH);
    let name = format!("drfm-denoiser-{VERSION}-{system}");
    let target = workspace.bundled().join(format!("{name}.zip"));
    let file = File::create(&target).map_err(|e| BundlerError::file(&target, e))?;
    let mut archive = Archive {
        zip: ZipWriter::new(file),
        folder: name,
    };
    for bundle in workspace.bundles() {
        let base = workspace.bundled();
        for file in files::all_files(&bundle)? {
            let inside = file.strip_prefix(&base).unwrap_or(&file);
            archive.add_file(inside, &file, 0o755)?;
        }
    }
    let presets = workspace.root.join("plugin/presets");
    for file in files::all_files(&presets)? {
        let name = file.file_name().unwrap_or_default();
        archive.add_file(&Path::new("presets").join(name), &file, 0o644)?;
    }
    for (name, source) in [
        ("README.md", "plugin/README.md"),
        ("screenshot.png", "plugin/screenshot.png"),
        ("LICENSE-APACHE", "LICENSE-APACHE"),
        ("LICENSE-MIT", "LICENSE-MIT"),
        ("NOTICE", "NOTICE"),
    ] {
        archive.add_file(Path::new(name), &workspace.root.join(source), 0o644)?;
    }
    let text = licences::text()?;
    archive.add(
        Path::new("THIRD-PARTY-LICENCES.txt"),
        text.as_bytes(),
        0o644,
    )?;
    archive.zip.finish()?;
    Ok(target)
}

struct Archive {
    zip: ZipWriter<File>,
    folder: String,
}

impl Archive {
    fn add_file(&mut self, inside: &Path, file: &Path, mode: u32) -> Result<(), BundlerError> {
        let bytes = fs::read(file).map_err(|e| BundlerError::file(file, e))?;
        self.add(inside, &bytes, mode)
    }

    fn add(&mut self, inside: &Path, bytes: &[u8], mode: u32) -> Result<(), BundlerError> {
        // Archives have slashes on every system.
        let parts: Vec<_> = inside.iter().map(|p| p.to_string_lossy()).collect();
        let path = format!("{}/{}", self.folder, parts.join("/"));
        let options = SimpleFileOptions::default().unix_permissions(mode);
        self.zip.start_file(&path, options)?;
        self.zip
            .write_all(bytes)
            .map_err(|e| BundlerError::file(inside, e))
    }
}

//! Files that the plugin writes.

use std::path::Path;

/// Writes a file whole or not at all, through a file beside it that ends in `.new`. Not for the audio thread.
///
/// # Errors
/// What the system says; what was at `path` is then as it was.
pub fn write_whole(path: &Path, bytes: &[u8]) -> std::io::Result<()> {
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(".new");
    let new = path.with_file_name(name);
    let written = std::fs::write(&new, bytes).and_then(|()| std::fs::rename(&new, path));
    if written.is_err() {
        let _ = std::fs::remove_file(&new);
    }
    written
}

//! What commands print: lines and tables on stdout, warnings on stderr.

use std::fs::File;
use std::io::Write as _;
use std::path::Path;

use crate::failure::Failure;

/// Prints text to stdout as it is.
///
/// # Errors
/// When stdout cannot be written; a closed pipe (`drfm ... | head`) is not an error.
pub fn print(text: &str) -> Result<(), Failure> {
    let mut out = std::io::stdout().lock();
    match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
        Err(e) if e.kind() != std::io::ErrorKind::BrokenPipe => Err(Failure::Failed(format!(
            "cannot write to the terminal or pipe: {e}"
        ))),
        _ => Ok(()),
    }
}

/// Prints a line of JSON to stdout.
///
/// # Errors
/// As [`print()`].
pub fn print_json(value: &serde_json::Value) -> Result<(), Failure> {
    print(&format!("{value}\n"))
}

/// Writes a file whole or not at all: to a temporary file beside it first.
///
/// # Errors
/// When the folder or disk does not allow it.
pub fn write_file(path: &Path, bytes: &[u8]) -> Result<(), Failure> {
    replace_file(path, |mut file| file.write_all(bytes))
}

/// As [`write_file`], with what `write` writes.
///
/// # Errors
/// As [`write_file`], and those of `write`.
pub fn replace_file(
    path: &Path,
    write: impl FnOnce(&File) -> std::io::Result<()>,
) -> Result<(), Failure> {
    let failed =
        |e: std::io::Error| Failure::Failed(format!("writing {} failed: {e}", path.display()));
    let folder = match path.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder,
        _ => Path::new("."),
    };
    let mut builder = tempfile::Builder::new();
    builder.prefix(".drfm-").suffix(".part");
    #[cfg(unix)]
    {
        // As any other new file; the system takes off the umask.
        use std::os::unix::fs::PermissionsExt as _;
        builder.permissions(std::fs::Permissions::from_mode(0o666));
    }
    let file = builder.tempfile_in(folder).map_err(failed)?;
    write(file.as_file()).map_err(failed)?;
    file.persist(path).map_err(|e| failed(e.error))?;
    Ok(())
}

/// Warns on stderr.
pub fn warn(text: &str) {
    eprintln!("warning: {text}");
}

/// A table with a heading; numbers go to the right, the first column to the left.
#[derive(Clone, Debug, Default)]
pub struct Table {
    rows: Vec<Vec<String>>,
}

impl Table {
    /// A table with this heading.
    pub fn new<S: Into<String>>(heading: impl IntoIterator<Item = S>) -> Self {
        let mut table = Self::default();
        table.row(heading);
        table
    }

    /// Adds a row.
    pub fn row<S: Into<String>>(&mut self, cells: impl IntoIterator<Item = S>) {
        self.rows.push(cells.into_iter().map(Into::into).collect());
    }
}

impl std::fmt::Display for Table {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let mut widths: Vec<usize> = Vec::new();
        for row in &self.rows {
            widths.resize(widths.len().max(row.len()), 0);
            for (width, cell) in widths.iter_mut().zip(row) {
                *width = (*width).max(cell.chars().count());
            }
        }
        for row in &self.rows {
            let mut line = String::new();
            for (column, (width, cell)) in widths.iter().zip(row).enumerate() {
                if column == 0 {
                    line.push_str(&format!("{cell:<width$}"));
                } else {
                    line.push_str(&format!("  {cell:>width$}"));
                }
            }
            writeln!(f, "{}", line.trim_end())?;
        }
        Ok(())
    }
}

/// A duration as m:ss.s or h:mm:ss.
#[must_use]
pub fn duration(seconds: f64) -> String {
    let tenths = (seconds * 10.0).round() as u64;
    let (minutes, rest) = (tenths / 600, tenths % 600);
    if minutes < 60 {
        format!("{minutes}:{:02}.{}", rest / 10, rest % 10)
    } else {
        format!("{}:{:02}:{:02}", minutes / 60, minutes % 60, rest / 10)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_read_like_a_clock() {
        assert_eq!(duration(0.04), "0:00.0");
        assert_eq!(duration(59.96), "1:00.0");
        assert_eq!(duration(75.25), "1:15.3");
        assert_eq!(duration(3_725.0), "1:02:05");
    }

    #[test]
    fn tables_line_up() {
        let mut t = Table::new(["name", "dB"]);
        t.row(["a", "-10.0"]);
        assert_eq!(t.to_string(), "name     dB\na     -10.0\n");
    }
}

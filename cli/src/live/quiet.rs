//! Libraries of sound cards print to the terminal whatever comes to their minds; the program has its own sentences.

/// Standard error goes nowhere until this is dropped.
pub struct Quiet {
    #[cfg(unix)]
    before: Option<std::os::fd::OwnedFd>,
}

impl Quiet {
    /// From now on. Where that is not possible, nothing changes.
    #[must_use]
    pub fn new() -> Self {
        Self {
            #[cfg(unix)]
            before: redirect(),
        }
    }
}

impl Default for Quiet {
    fn default() -> Self {
        Self::new()
    }
}

#[cfg(unix)]
fn redirect() -> Option<std::os::fd::OwnedFd> {
    let nowhere = std::fs::OpenOptions::new()
        .write(true)
        .open("/dev/null")
        .ok()?;
    let before = nix::unistd::dup(std::io::stderr()).ok()?;
    nix::unistd::dup2_stderr(nowhere).ok()?;
    Some(before)
}

impl Drop for Quiet {
    fn drop(&mut self) {
        #[cfg(unix)]
        if let Some(before) = self.before.take() {
            let _ = nix::unistd::dup2_stderr(before);
        }
    }
}

//! `drfm completions`: tab completions.

use clap::CommandFactory as _;
use clap_complete::Shell;

use crate::failure::Failure;

/// Prints tab completions for a shell.
#[derive(clap::Args, Debug)]
#[command(after_help = "Example:
  drfm completions bash > ~/.local/share/bash-completion/completions/drfm")]
pub struct Arguments {
    /// The shell to print completions for.
    shell: Shell,
}

/// Prints the completions.
///
/// # Errors
/// None that can be told: a closed pipe ends the output.
pub fn run(arguments: &Arguments) -> Result<(), Failure> {
    let mut script = Vec::new();
    clap_complete::generate(
        arguments.shell,
        &mut crate::Arguments::command(),
        "drfm",
        &mut script,
    );
    crate::report::print(&String::from_utf8_lossy(&script))
}

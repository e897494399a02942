//! The `drfm` command.

fn main() -> std::process::ExitCode {
    drfm_cli::run()
}

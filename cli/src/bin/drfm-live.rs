//! The `drfm-live` command.

fn main() -> std::process::ExitCode {
    drfm_cli::live::run()
}

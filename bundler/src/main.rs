//! Makes CLAP and VST3 bundles of the plugin, once there is one.

fn main() -> std::process::ExitCode {
    eprintln!("bundler: the plugin has no CLAP or VST3 shell yet, so there is nothing to bundle");
    std::process::ExitCode::FAILURE
}

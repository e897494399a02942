//! Makes CLAP and VST3 bundles of the plugin, installs them, and packs them for others.

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use error::BundlerError;
use workspace::Workspace;

mod error;
mod files;
mod licences;
mod package;
mod places;
mod workspace;

const HELP: &str = "\
Makes the plugin ready for hosts.

Usage: cargo xtask COMMAND [OPTIONS]      (or: cargo run -p drfm-bundler -- COMMAND [OPTIONS])

Commands:
  bundle     build the plugin and make the .clap and .vst3 bundles
  install    bundle, and copy the bundles to where hosts look for the plugins of this user
  package    bundle, and pack the bundles with presets, licences and instructions into one archive

Options:
  --debug          build without optimisation: quicker to build, slower to play
  --profile NAME   build with another profile of Cargo
  --to DIR         install into DIR/CLAP and DIR/VST3 instead of where hosts look
  --locked         insist that Cargo.lock is up to date
  -- OPTIONS       anything else that `cargo build` is to be told
";

/// The package that is bundled.
const PACKAGE: &str = "drfm-plugin";
/// What hosts and users call it, as in `bundler.toml`.
const NAME: &str = "DRFM Denoiser";

/// What the command line says.
#[derive(Debug, Default, PartialEq, Eq)]
struct Arguments {
    command: String,
    build: Vec<String>,
    to: Option<PathBuf>,
}

impl Arguments {
    fn parse(arguments: impl Iterator<Item = String>) -> Result<Self, BundlerError> {
        let mut parsed = Self::default();
        let mut profile = Some("--release".to_owned());
        let mut arguments = arguments;
        let missing = |option: &str| BundlerError::Usage(format!("{option} needs a value"));
        while let Some(argument) = arguments.next() {
            match argument.as_str() {
                "--debug" => profile = None,
                "--release" => profile = Some("--release".to_owned()),
                "--profile" => {
                    let name = arguments.next().ok_or_else(|| missing("--profile"))?;
                    profile = Some(format!("--profile={name}"));
                }
                "--to" => {
                    let folder = arguments.next().ok_or_else(|| missing("--to"))?;
                    parsed.to = Some(folder.into());
                }
                "--locked" => parsed.build.push(argument),
                "--" => parsed.build.extend(arguments.by_ref()),
                "help" | "--help" | "-h" => parsed.command = "help".to_owned(),
                _ if argument.starts_with('-') || !parsed.command.is_empty() => {
                    return Err(BundlerError::Usage(format!("{argument} is not understood")));
                }
                _ => parsed.command = argument,
            }
        }
        parsed.build.extend(profile);
        Ok(parsed)
    }
}

fn main() -> ExitCode {
    match run(std::env::args().skip(1)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("bundler: {error}");
            error.exit_code()
        }
    }
}

fn run(arguments: impl Iterator<Item = String>) -> Result<(), BundlerError> {
    let arguments = Arguments::parse(arguments)?;
    // The build happens in the folder of the workspace.
    let to = arguments.to.as_deref().map(std::path::absolute).transpose();
    let to = to.map_err(|e| BundlerError::file(Path::new("--to"), e))?;
    match arguments.command.as_str() {
        "help" | "" => {
            print!("{HELP}");
            Ok(())
        }
        "bundle" => bundle(&arguments).map(|_| ()),
        "install" => install(&bundle(&arguments)?, to.as_deref()),
        "package" => {
            let workspace = bundle(&arguments)?;
            let archive = package::package(&workspace)?;
            println!("packed: {}", archive.display());
            Ok(())
        }
        other => Err(BundlerError::Usage(format!("there is no command {other}"))),
    }
}

/// Builds the plugin and makes the bundles.
fn bundle(arguments: &Arguments) -> Result<Workspace, BundlerError> {
    let workspace = Workspace::find()?;
    std::env::set_current_dir(&workspace.root)
        .map_err(|e| BundlerError::file(&workspace.root, e))?;
    let failed = |e: &dyn std::fmt::Display| BundlerError::Bundle(e.to_string());
    nice_plug_xtask::build(&[PACKAGE.to_owned()], &arguments.build).map_err(|e| failed(&e))?;
    nice_plug_xtask::bundle(&workspace.target, PACKAGE, &arguments.build, false)
        .map_err(|e| failed(&e))?;
    for bundle in workspace.bundles() {
        if !bundle.exists() {
            return Err(BundlerError::Missing(bundle));
        }
        println!("bundled: {}", bundle.display());
    }
    Ok(workspace)
}

fn install(workspace: &Workspace, to: Option<&Path>) -> Result<(), BundlerError> {
    let folders = match to {
        Some(folder) => [folder.join("CLAP"), folder.join("VST3")],
        None => places::of_this_user()?,
    };
    for (bundle, folder) in workspace.bundles().iter().zip(folders) {
        let target = files::install(bundle, &folder)?;
        println!("installed: {}", target.display());
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Result<Arguments, BundlerError> {
        Arguments::parse(text.split_whitespace().map(str::to_owned))
    }

    #[test]
    fn arguments_in_any_order() {
        let parsed = parse("--debug install --to somewhere --locked").unwrap();
        assert_eq!(parsed.command, "install");
        assert_eq!(parsed.to, Some("somewhere".into()));
        assert_eq!(parsed.build, ["--locked"]);
        assert_eq!(parse("bundle").unwrap().build, ["--release"]);
        assert_eq!(
            parse("bundle --profile fast").unwrap().build,
            ["--profile=fast"]
        );
        let told = parse("bundle --debug -- --workspace --lib").unwrap();
        assert_eq!(told.build, ["--workspace", "--lib"]);
        for wrong in [
            "bundle --fast",
            "bundle install",
            "bundle --to",
            "--profile",
        ] {
            assert!(parse(wrong).is_err(), "{wrong}");
        }
    }
}

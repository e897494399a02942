#!/usr/bin/env bash
# Passes every test of the repository on a fresh machine.
# Needs a Rust toolchain (rustup installs the rest) and a C linker; nothing else.
set -euo pipefail
cd "$(dirname "$0")/.."

if ! command -v cc >/dev/null 2>&1 && ! command -v gcc >/dev/null 2>&1 && [ "$(uname -s)" = Linux ]; then
  if command -v apt-get >/dev/null 2>&1 && [ "$(id -u)" = 0 ]; then
    apt-get update -qq && apt-get install -y -qq --no-install-recommends gcc libc6-dev
  else
    echo "A C linker is needed. On Debian or Ubuntu: sudo apt-get install gcc libc6-dev" >&2
    exit 1
  fi
fi
if ! command -v cargo >/dev/null 2>&1; then
  echo "Rust is needed: see https://rustup.rs, then run this again." >&2
  exit 1
fi

step() { printf '\n== %s\n' "$*"; }

# The microphone program needs header files to be built, and sound servers of its own to be tried.
if [ "$(uname -s)" = Linux ] && command -v apt-get >/dev/null 2>&1 && [ "$(id -u)" = 0 ]; then
  if ! command -v jackd >/dev/null 2>&1 || ! command -v pulseaudio >/dev/null 2>&1 || ! command -v pkg-config >/dev/null 2>&1 \
    || ! pkg-config --exists alsa jack; then
    (apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends pkg-config \
      libasound2-dev libjack-jackd2-dev jackd2 pulseaudio) >/dev/null 2>&1 || true
  fi
fi
# Every command is told the same packages and features: with others, Cargo would build most libraries once more.
all=(--locked --workspace)
if [ "$(uname -s)" = Linux ] && ! { command -v pkg-config >/dev/null 2>&1 && pkg-config --exists alsa jack; }; then
  live=no
else
  live=yes
  all+=(--features drfm-cli/live)
fi

if cargo fmt --version >/dev/null 2>&1; then
  step "cargo fmt --all --check"
  cargo fmt --all --check
else
  echo "skipped: cargo fmt is not installed (rustup component add rustfmt)"
fi
if cargo clippy --version >/dev/null 2>&1; then
  step "cargo clippy"
  cargo clippy "${all[@]}" --all-targets -- -D warnings
  if [ $live = yes ]; then
    # What most build has no microphone program.
    cargo clippy --locked --workspace --all-targets -- -D warnings
  fi
else
  echo "skipped: cargo clippy is not installed (rustup component add clippy)"
fi
step "cargo doc"
RUSTDOCFLAGS="-D warnings" cargo doc "${all[@]}" --no-deps --quiet
step "cargo test"
# Those of drfm-live come later: any other name in l would be left out.
if ls ./*/tests/l*.rs | grep -v '/live_'; then
  echo "give these tests a name that does not begin with l" >&2
  exit 1
fi
cargo test "${all[@]}" --lib --bins --test '[!l]*'
cargo test "${all[@]}" --doc

step "drfm-live"
if [ $live = no ]; then
  echo "skipped: libasound2-dev, libjack-jackd2-dev and pkg-config are not installed"
else
  # One after the other: they share the processor's patience with callbacks.
  cargo test "${all[@]}" --test 'live_*' -- --nocapture --test-threads 1
fi

# The plugin as users get it: bundled, in hosts.
target=$(cargo metadata --format-version 1 --no-deps --locked | sed 's/.*"target_directory":"\([^"]*\)".*/\1/')
clap="$target/bundled/DRFM Denoiser.clap"
vst3="$target/bundled/DRFM Denoiser.vst3"
step "bundle the plugin"
# As debug build: everything it needs was built for the tests above. Releases are made with: cargo xtask package
cargo build --quiet "${all[@]}" --bins
"$target/debug/drfm-bundler" bundle --debug -- "${all[@]}" --lib
step "the bundle in a CLAP host"
DRFM_CLAP="$clap" cargo test "${all[@]}" --test clap_host -- every_mode a_state garbage parameters

have_python() { python3 -c 'import venv, ensurepip' >/dev/null 2>&1; }
step "the bundle in pedalboard (VST3)"
if ! have_python; then
  echo "skipped: python3 with venv is not installed"
else
  venv="$target/pedalboard-venv"
  if python3 -m venv "$venv" >/dev/null 2>&1 \
    && timeout 180 "$venv/bin/pip" install -q --disable-pip-version-check pedalboard soundfile numpy >/dev/null 2>&1 \
    && "$venv/bin/python" -c 'import pedalboard, soundfile' >/dev/null 2>&1; then
    "$venv/bin/python" tests/plugin/pedalboard_check.py "$vst3" "$target/debug/drfm" tests/fixtures/noisy_guitar.flac
  else
    echo "skipped: pedalboard cannot be installed"
  fi
fi

step "the bundle in Ardour, exported without a screen"
if ! command -v ardour7-lua >/dev/null 2>&1 && command -v apt-get >/dev/null 2>&1 && [ "$(id -u)" = 0 ]; then
  (apt-get update -qq && timeout 300 apt-get install -y -qq --no-install-recommends ardour) >/dev/null 2>&1 || true
fi
if ! command -v ardour7-lua >/dev/null 2>&1; then
  echo "skipped: Ardour 7 is not installed"
elif [ ! -x "$target/pedalboard-venv/bin/python" ]; then
  echo "skipped: python3 with soundfile is not installed"
else
  "$target/pedalboard-venv/bin/python" tests/plugin/ardour_check.py "$vst3" tests/fixtures/noisy_guitar.flac
fi

step "the editor on a screen without people"
if [ "$(uname -s)" != Linux ]; then
  echo "skipped: only on Linux"
else
  if ! command -v xvfb-run >/dev/null 2>&1 && command -v apt-get >/dev/null 2>&1 && [ "$(id -u)" = 0 ]; then
    (apt-get update -qq && apt-get install -y -qq --no-install-recommends xvfb xauth libx11-6 libx11-xcb1 \
      libxkbcommon-x11-0 libegl1 libegl-mesa0 libgl1 libgl1-mesa-dri) >/dev/null 2>&1 || true
  fi
  if command -v xvfb-run >/dev/null 2>&1; then
    # With a simulated mouse, keyboard and file manager; large enough for an editor at twice its size.
    mkdir -p "$target/editor-pictures"
    DRFM_SCREENSHOT="$target/editor.png" DRFM_PICTURES="$target/editor-pictures" xvfb-run -a -s "-screen 0 1920x1300x24" \
      cargo test "${all[@]}" --test editor --test editor_hand -- --nocapture --test-threads 1
    echo "pictures: $target/editor.png and $target/editor-pictures"
  else
    echo "skipped: Xvfb is not installed"
  fi
fi

step "validators"
if command -v clap-validator >/dev/null 2>&1; then
  clap-validator validate "$clap"
else
  echo "clap-validator: skipped: not installed"
fi
if command -v validator >/dev/null 2>&1; then
  validator "$vst3"
else
  echo "validator (Steinberg): skipped: not installed"
fi
if command -v pluginval >/dev/null 2>&1; then
  if command -v xvfb-run >/dev/null 2>&1; then
    xvfb-run -a pluginval --strictness-level 10 --validate "$vst3"
  else
    pluginval --strictness-level 10 --skip-gui-tests --validate "$vst3"
  fi
else
  echo "pluginval: skipped: not installed"
fi

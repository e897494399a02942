"""Tunes other denoisers on files of `train`, in their favour, and compares the tuned ones with ours on `test`.

    compare.py DRFM DATA OUT [tune|guitar|flute|all] [FILES]

DRFM: the program; DATA: the folder with guitar/, flute/ and noise/; OUT: where the tables and choices go. FILES: use
only so many files of each test folder, evenly spread. `run.sh` sets everything up and calls this."""

import json
import os
import shlex
import subprocess
import sys
import tempfile
import time
from itertools import product
from pathlib import Path

drfm, data, out = sys.argv[1], Path(sys.argv[2]), Path(sys.argv[3])
what = sys.argv[4] if len(sys.argv) > 4 else "all"
most_files = int(sys.argv[5]) if len(sys.argv) > 5 else None
here = Path(__file__).resolve().parent

# Every method with the values that are tried for each of its settings.
GRID = {
    "ffmpeg afftdn": ("afftdn", {"told": ["level", "sample"], "nr": [12, 30, 97]}),
    "ffmpeg anlmdn": ("anlmdn", {"s": [300, 1000, 3000], "p": [0.002, 0.004]}),
    "SoX noisered": ("noisered", {"amount": [0.05, 0.1, 0.2, 0.3]}),
    "noisereduce stationary": ("stationary", {"n_fft": [512, 1024, 2048, 4096], "std": [1.0, 1.5]}),
    "noisereduce non-stationary": ("nonstationary", {"n_fft": [1024, 4096], "mult": [1, 2], "prop": [0.5, 1.0]}),
    "RNNoise": ("rnnoise", {"mix": [0.2, 0.4, 0.6, 1.0]}),
    "DeepFilterNet3": ("deepfilter", {"limit": [1, 3, 6, 100]}),
}
# One file of each instrument, two noises, two levels: what fits into some minutes on two cores.
TUNING = {
    "files": ["guitar/train/constructed_2.flac", "flute/train/constructed_2.flac"],
    "noises": ["white", str(data / "noise/fan.flac")],
    "snr": "0,20",
}
# A setting that is better by this much in log-spectral distance than the one with the best SI-SDR gets a row of its own.
LSD_MATTERS_DB = 0.3


def settings(values):
    return [f"{key}={value}" for key, value in values.items()]


def peer(name, method, values, path):
    words = [sys.executable, "-S", str(here / "peer.py"), "ask", path, method, *settings(values)]
    return f"{name}=" + " ".join(map(shlex.quote, words)) + " {in} {noise} {out}"


def evaluate(arguments, peers):
    """The JSON of `drfm eval` with peers (name, method, settings)."""
    with tempfile.TemporaryDirectory() as folder:
        path = f"{folder}/peers"
        environment = dict(os.environ, OMP_NUM_THREADS="1")
        with open(out / "server.log", "a") as log:
            server = subprocess.Popen(
                [sys.executable, str(here / "peer.py"), "serve", path], env=environment, stdout=subprocess.PIPE, stderr=log, text=True)
            try:
                if server.stdout.readline().strip() != "ready":
                    sys.exit(f"the peers cannot be started: see {out / 'server.log'}")
                command = [drfm, "eval", "--json", "--threads", "1", *map(str, arguments)]
                for p in peers:
                    command += ["--peer", peer(*p, path)]
                done = subprocess.run(command, stdout=subprocess.PIPE, text=True)
            finally:
                server.terminate()
                server.wait()
    if done.returncode != 0:
        sys.exit(done.returncode)
    return json.loads(done.stdout)["result"]


def means(result):
    """Mean SI-SDR and log-spectral distance of each method over the cells."""
    cells = result["cells"]
    take = lambda m, key: sum(c["means"][m][key] for c in cells) / len(cells)
    return {
        method["name"]: (take(m, "si_sdr_db"), take(m, "log_spectral_distance_db"))
        for m, method in enumerate(result["methods"])
    }


def tune():
    tried = []
    for name, (method, grid) in GRID.items():
        for values in product(*grid.values()):
            values = dict(zip(grid, values))
            tried.append((f"{name} {' '.join(settings(values))}".replace("=", ":"), name, method, values))
    arguments = ["--no-classical", "--model", "general", "--mode", "instant", "--seconds", 4, "--snr", TUNING["snr"]]
    arguments += ["--clean", *[data / f for f in TUNING["files"]], "--noise", *TUNING["noises"]]
    started = time.time()
    scores = means(evaluate(arguments, [(label, method, values) for label, _, method, values in tried]))
    print(f"Tuning on {len(TUNING['files'])} files of train, {len(TUNING['noises'])} noises, {TUNING['snr']} dB, {time.time() - started:.0f} s")
    print(f"{'noisy input':64} {scores['noisy input'][0]:8.2f} {scores['noisy input'][1]:8.2f}")
    chosen = []
    for name in GRID:
        rows = [(label, method, values, *scores[label]) for label, of, method, values in tried if of == name]
        best = max(rows, key=lambda r: r[3])
        closest = min(rows, key=lambda r: r[4])
        chosen.append((name, *best[1:3]))
        if best[4] - closest[4] > LSD_MATTERS_DB:
            chosen.append((f"{name} (for LSD)", *closest[1:3]))
        for row in rows:
            mark = ("  <- SI-SDR" if row is best else "") + ("  <- LSD" if row is closest else "")
            print(f"{row[0]:64} {row[3]:8.2f} {row[4]:8.2f}{mark}")
    (out / "chosen.json").write_text(json.dumps(chosen, indent=1) + "\n")


def compare(instrument):
    chosen = json.loads((out / "chosen.json").read_text())
    files = sorted((data / instrument / "test").glob("*.flac"))
    if most_files:
        files = files[:: -(-len(files) // most_files)]
    arguments = ["--clean", *files, "--noise", "white", "hum50", data / "noise", "--seconds", 4, "--snr", "0,10,20"]
    arguments += ["--model", instrument, "--mode", "best"]
    result = evaluate(arguments, chosen)
    (out / f"{instrument}.json").write_text(json.dumps(result) + "\n")
    table(instrument, result)


def table(instrument, result):
    kinds = {m["name"]: m["kind"] for m in result["methods"]}
    ours = f"{instrument} best"
    scores = means(result)
    print(f"\n{instrument}/test, {result['cells'][0]['files']} files, learned, mean of {len(result['cells'])} cells: SI-SDR and LSD in dB, seconds of work per second")
    for method in result["methods"]:
        si, lsd = scores[method["name"]]
        print(f"  {method['name']:36} {si:7.2f} {lsd:7.2f} {method['real_time_factor']:8.3f}")
    print(f"{ours} ahead of each peer (mean, cells behind):")
    for margin in result["margins"]:
        if kinds.get(margin["over"]) == "peer":
            print(f"  {margin['over']:36} {margin['by']:7} {margin['mean_db']:+7.2f} dB, behind in {margin['cells_behind']} of {margin['cells']}, worst {margin['worst_db']:+.2f} dB in {margin['worst_cell']}")
    print("cells in which a peer is ahead:")
    numbers = {m["name"]: i for i, m in enumerate(result["methods"])}
    lost = 0
    for cell in result["cells"]:
        for key, sign, label in [("si_sdr_db", 1, "SI-SDR"), ("log_spectral_distance_db", -1, "LSD")]:
            mine = cell["means"][numbers[ours]][key]
            for name, kind in kinds.items():
                theirs = cell["means"][numbers[name]][key]
                if kind == "peer" and sign * (theirs - mine) > 0:
                    lost += 1
                    print(f"  {cell['noise']:16} {cell['level_db']:3.0f} dB  {label:6} {name:36} {theirs:6.2f}, ours {mine:6.2f}")
    if not lost:
        print("  none")


out.mkdir(parents=True, exist_ok=True)
if what in ("tune", "all"):
    tune()
for instrument in ("guitar", "flute"):
    if what in (instrument, "all"):
        compare(instrument)

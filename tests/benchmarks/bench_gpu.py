"""Steps on a GPU beside those on this CPU, beside PyTorch's products there, and beside reading all Gram matrices once.

python tests/benchmarks/bench_gpu.py [--device cuda] [--cells 1950] [--float32]

Also with --device cpu, which shows that it runs. Each number is the sooner of three.
"""

import argparse
import os
import time

import torch

from gdstudy.training.gram import Gram

STEPS = 200


def engine(device, cells, P, dtype):
    """Cells of 2P rows and one output, on XᵀX; the same on each device."""
    random = torch.Generator().manual_seed(0)
    X = torch.randn(cells, 2 * P, P, generator=random, dtype=torch.float64)
    Y, eta = torch.randn(cells, 2 * P, 1, generator=random, dtype=torch.float64), torch.full((cells,), 0.1 / P)
    W0, rows = torch.zeros(cells, P, 1), torch.full((cells,), 2 * P)
    return Gram(*(v.to(device, dtype) for v in (X, Y, W0, eta)), rows.to(device))


def sooner(device, work):
    """Seconds of some work."""
    found = []
    for _ in range(4):  # the first compiles
        began = time.perf_counter()
        work()
        if device.type == "cuda":
            torch.cuda.synchronize(device)
        found.append(time.perf_counter() - began)
    return min(found[1:])


def a_step(device, cells, P, dtype, fast="1"):
    """Seconds of a step of all cells, and where the cells are after all steps: (cells, P, 1)."""
    os.environ["GDSTUDY_FAST"] = fast
    stack = engine(device, cells, P, dtype)
    many, few = (sooner(device, lambda n=n: stack.advance(n)) for n in (STEPS, STEPS // 10))
    return (many - few) / (STEPS - STEPS // 10), stack.solution().cpu().to(torch.float64)


def reading(device, cells, P, dtype):
    """Seconds that the Gram matrices take through the memory of a device, as half of what their copy takes."""
    A = torch.ones(cells, P, P, dtype=dtype, device=device)
    to = torch.empty_like(A)
    return sooner(device, lambda: [to.copy_(A) for _ in range(10)]) / 20


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--device", type=torch.device, default="cuda")
    parser.add_argument("--cells", type=int, default=1950)
    parser.add_argument("--float32", action="store_true")
    asked = parser.parse_args()
    dtype = torch.float32 if asked.float32 else torch.float64
    for P in (20, 60, 120, 256, 400):
        here, W = a_step(asked.device, asked.cells, P, dtype)
        plain, _ = a_step(asked.device, asked.cells, P, dtype, fast="0")
        cpu, of_cpu = a_step(torch.device("cpu"), asked.cells, P, dtype)
        floor, apart = reading(asked.device, asked.cells, P, dtype), (W - of_cpu).norm() / of_cpu.norm()
        print(
            f"{asked.cells} cells, P={P:3}: {1e6 * here:9.1f} us a step; {cpu / here:6.1f} times as fast as this CPU, "
            f"{plain / here:5.1f} times as PyTorch's products there; {here / floor:6.2f} times as long as reading all; "
            f"W {apart:.0e} apart",
            flush=True,
        )


if __name__ == "__main__":
    main()

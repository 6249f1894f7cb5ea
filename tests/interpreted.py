"""Descents by the kernel of `triton_kernel.py`: on a GPU, or by Triton's interpreter, in a process of its own.

Triton looks whether it is to interpret when it is first imported, and then for all of a process.
"""

import copy
import os
from concurrent.futures import ProcessPoolExecutor
from contextlib import suppress
from multiprocessing import get_context

NAMES = ("steps", "W", "gradient_norm", "status")


def interpreter():
    """A process for functions of this module."""
    return ProcessPoolExecutor(1, get_context("spawn"), _begin)


def _begin():
    os.environ.update(TRITON_INTERPRET="1", GDSTUDY_FAST="0")


def knows_numpy():
    """Whether this Triton's interpreter can make a number of NumPy's arrays of one: those of 3.4 and before cannot from
    NumPy 2.4 on, which wants arrays without axes."""
    try:
        norms(1.0, 0)
    except Exception as error:
        if "only 0-dimensional arrays can be converted" in str(error):
            return False
        raise
    return True


class Cut(Exception):
    """What stops a descent after a look."""


class Saver:
    """Keeps a descent whenever it is cut off."""

    def __init__(self):
        self.saved = None

    def due(self):
        return False

    def save(self, snapshot):
        self.saved = copy.deepcopy(snapshot)


def descent(X, Y, checkpoints, device="cpu", limits=(), cut_at=(), **options):
    """[step, {name: array} of NAMES] of each state, and the cell-steps that each call to on_check told.

    X, Y and some options are NumPy's. limits: (module, name, value) for constants of `gram` and `fused`. cut_at: at
    which calls of on_check it is cut off, to go on from what was saved.
    """
    import pytest
    import torch

    from gdstudy import gradient_descent
    from gdstudy.training import fused, gram

    def there(value):
        return torch.from_numpy(value).to(device) if hasattr(value, "__array__") else value

    told, found, saver = [], {}, Saver()

    def check(cell_steps, running):
        told.append(cell_steps)
        if len(told) in cut_at:
            raise Cut

    with pytest.MonkeyPatch.context() as patch:
        if device == "cpu":
            patch.setattr(gram, "fuses", lambda device, n, k: n <= fused._READ)
        assert gram.fuses(torch.device(device), 16, 1)
        for module, name, value in limits:
            patch.setattr({"gram": gram, "fused": fused}[module], name, value)
        options = {name: there(value) for name, value in options.items()}
        for _ in range(len(cut_at) + 1):
            with suppress(Cut):
                for state in gradient_descent(
                    there(X), there(Y), checkpoints, on_check=check, saver=saver if cut_at else None, **options
                ):
                    found[state.step] = {name: getattr(state, name).numpy(force=True) for name in NAMES}
    return list(found.items()), told


def block(n, dtype, cells, limits, device="cpu"):
    """Some of six cells on XXᵀ (n, n), two outputs, with momentum, after up to 10 looks: {name: array} of those cells.

    limits: constants of `fused` by name.
    """
    import numpy as np
    import pytest
    import torch

    from gdstudy.training import fused

    random = np.random.default_rng(n)
    X, right = random.standard_normal((6, n, 2 * n)), random.standard_normal((6, n, 2))
    X[:, : n // 2] *= np.linspace(1, 3, 6)[:, None, None]  # so that cells need more steps and more
    grams = X @ X.swapaxes(1, 2)
    eta = 1 / np.linalg.eigvalsh(grams)[:, -1]
    gram, right, X, eta = (
        torch.from_numpy(a[cells]).to(device=device, dtype=getattr(torch, dtype)) for a in (grams, right, X, eta)
    )
    with pytest.MonkeyPatch.context() as patch:
        for name, value in limits.items():
            patch.setattr(fused, name, value)
        one = fused.FusedBlock(torch.arange(len(X), device=device), gram, right, X, eta, momentum=0.3)
        first = one.gradient_norm()
        seen = one.through([1, 2, *[1] * 8], first, first, 0.15 if n < 20 else 0.25, 10.0)
    arrays = {"steps": seen.steps, "norm": seen.norm, "largest": seen.largest, **one.state()}
    return {name: array.numpy(force=True) for name, array in arrays.items()}


def norm_problem(P):
    """Rows (2, 8, P or 11) of two cells, and the right-hand side (2, 8, 2) of their Gram matrices XXᵀ."""
    import torch

    random = torch.Generator().manual_seed(0)
    return tuple(torch.randn(2, 8, width, generator=random, dtype=torch.float64) for width in (P or 11, 2))


def norms(size, P):
    """‖∇L‖ of the cells of `norm_problem` at W = 0, on XXᵀ or, with P = 0, on XᵀX, and targets of a size: (2,)."""
    import torch

    from gdstudy.training.fused import FusedBlock

    rows, right = norm_problem(P)
    gram, right = rows @ rows.mT, size * right
    X, eta = rows if P else rows[:, :0], torch.full((2,), 0.01, dtype=torch.float64)
    return FusedBlock(torch.arange(2), gram, right, X, eta).gradient_norm().numpy()


def padding(n, P, k, momentum):
    """The largest number beyond a cell's own size in what a block holds after some steps, and within, of Z."""
    import torch

    from gdstudy.training.fused import FusedBlock

    random = torch.Generator().manual_seed(0)
    X = torch.randn(3, n, P, generator=random, dtype=torch.float64)
    Y = torch.randn(3, n, k, generator=random, dtype=torch.float64)
    block = FusedBlock(torch.arange(3), X @ X.mT, Y, X, torch.full((3,), 0.01, dtype=torch.float64), momentum)
    block.advance(5)
    beyond = [block.A[:, n:], block.A[:, :, n:], block.X[:, n:], *(M[:, :, n:] for M in (block.B, block.Z, block.V))]
    return max(float(M.abs().max()) for M in beyond if M.numel()), float(block.state()["Z"].abs().min())

"""Full-batch gradient descent on stacks of cells, by real steps: W ← W − η Xᵀ(XW − Y).

Two engines take the same steps. `Gram` writes the gradient out on XᵀX or, when N < P, on XXᵀ with
W = W₀ + Xᵀα: the span argument of the paper's App. D made code. `Autograd` runs any stacked module through
torch.optim and backward. `descend` decides for either when to look, when a cell is done, and why.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import torch
from torch import Tensor, nn

from gdstudy.arrays import Array, as_tensor, regression_problem
from gdstudy.models import LinearReadout

# Codes of State.status, in this order.
STATUSES = ("running", "converged", "max_steps", "diverged", "stalled")
RUNNING, CONVERGED, MAX_STEPS, DIVERGED, STALLED = range(len(STATUSES))

# Growth of the gradient norm over its start that proves divergence. For a readout it never grows below the
# stable limit; a deep model's grows a lot when it leaves a saddle.
READOUT_DIVERGENCE, MODULE_DIVERGENCE = 2.0, 1e8
# A Gram block this large still stays in cache while many steps are taken on it.
CACHE_BYTES = 4 << 20
# Directions tried before a point with zero gradient is called a minimum.
NUDGES = 32


@dataclass(frozen=True)
class State:
    """Every cell of a stack at one checkpoint; finished cells as they were when they finished.

    Arrays are NumPy or torch, as X was.

    step: the checkpoint t. steps: (...,) steps each cell has taken. W: (..., P, k), or the flattened
    parameters (..., n) of a module. gradient_norm: (...,) ‖∇L‖ relative to its start.
    status: (...,) codes into STATUSES.
    """

    step: int
    steps: Any
    W: Any
    gradient_norm: Any
    status: Any


class Engine(Protocol):
    """Cells in training, each taking the same number of steps at a time."""

    divergence: float

    @property
    def cells(self) -> Tensor: ...

    def advance(self, n_steps: int) -> None: ...
    def gradient_norm(self) -> Tensor: ...
    def solution(self) -> Tensor: ...
    def keep(self, mask: Tensor) -> None: ...
    def is_minimum(self) -> Tensor: ...


class _Block:
    """Cells whose Gram matrices share one padded size n, and so one batched product a step.

    A: (C, n, n) η times the Gram matrix; B: (C, k, n) η times the right-hand side; Z: (C, k, n) the unknown,
    transposed: batched products of rows with A are the faster kernel on a CPU from n of about 20 on.
    """

    def __init__(self, cells: Tensor, X: Tensor, residual: Tensor, eta: Tensor, dual: bool) -> None:
        self.cells, self.X, self.eta, self.dual = cells, X, eta[:, None, None], dual
        gram, right = (X @ X.mT, residual) if dual else (X.mT @ X, X.mT @ residual)
        self.A = (self.eta * gram).contiguous()
        self.B = (self.eta * right).mT.contiguous()
        self.Z = torch.zeros_like(self.B)

    def advance(self, n_steps: int) -> None:
        cells_per_chunk = max(1, CACHE_BYTES // (self.A.element_size() * self.A.shape[-1] ** 2))
        for A, B, Z in zip(*(M.split(cells_per_chunk) for M in (self.A, self.B, self.Z)), strict=True):
            gradient = torch.empty_like(Z)
            for _ in range(n_steps):
                torch.baddbmm(B, Z, A, beta=-1, out=gradient)
                Z.sub_(gradient)

    def gradient(self) -> Tensor:
        """Xᵀ(XW − Y), transposed: (C, k, P)."""
        scaled = torch.baddbmm(self.B, self.Z, self.A, beta=-1) / self.eta
        return scaled @ self.X if self.dual else scaled

    def displacement(self) -> Tensor:
        """W − W₀: (C, P, k)."""
        return (self.Z @ self.X).mT if self.dual else self.Z.mT

    def keep(self, mask: Tensor) -> None:
        for name in ("cells", "X", "eta", "A", "B", "Z"):
            setattr(self, name, getattr(self, name)[mask])


class Gram:
    """Explicit gradients on the smaller Gram matrix of each cell; exact zero rows of X cost nothing.

    X: (C, N, P), Y: (C, N, k), W0: (C, P, k), step_size: (C,), n_rows: (C,) rows that are not padding.
    """

    divergence = READOUT_DIVERGENCE

    def __init__(self, X: Tensor, Y: Tensor, W0: Tensor, step_size: Tensor, n_rows: Tensor) -> None:
        n, P = X.shape[-2:]
        self.W0 = W0
        residual = Y - X @ W0
        # Sizes in steps of 8: few products a step, little padding, and a size that depends on the cell alone.
        padded = torch.where(n_rows >= P, 0, ((n_rows + 7) // 8 * 8).clamp(max=n))
        self.blocks = []
        for size in padded.unique().tolist():
            cells = (padded == size).nonzero().squeeze(-1)
            rows = slice(None) if size == 0 else slice(size)
            block = _Block(cells, X[cells, rows], residual[cells, rows], step_size[cells], dual=size > 0)
            self.blocks.append(block)

    @property
    def cells(self) -> Tensor:
        return torch.cat([block.cells for block in self.blocks])

    def advance(self, n_steps: int) -> None:
        for block in self.blocks:
            block.advance(n_steps)

    def gradient_norm(self) -> Tensor:
        return torch.cat([block.gradient().flatten(1).norm(dim=1) for block in self.blocks])

    def solution(self) -> Tensor:
        return torch.cat([self.W0[block.cells] + block.displacement() for block in self.blocks])

    def keep(self, mask: Tensor) -> None:
        for block, part in zip(self.blocks, mask.split([len(b.cells) for b in self.blocks]), strict=True):
            block.keep(part)
        self.blocks = [b for b in self.blocks if len(b.cells)] or self.blocks[:1]

    def is_minimum(self) -> Tensor:
        # The loss is convex in W: a zero gradient is a minimum.
        return torch.ones(len(self.cells), dtype=torch.bool, device=self.W0.device)


class Autograd:
    """Any stacked module with torch.optim.SGD and backward; the baseline that holds `Gram` to account.

    module: maps X (C, N, P) to (C, N, k); every parameter has the leading axis C. The loss is
    Σ_c η_c ½‖f_c(X_c) − Y_c‖²_F with learning rate 1, which gives each cell its own step size η_c.
    """

    def __init__(self, module: nn.Module, X: Tensor, Y: Tensor, step_size: Tensor) -> None:
        self.module, self.X, self.Y, self.eta = module, X, Y, step_size
        self.cells = torch.arange(len(X), device=X.device)
        self.divergence = READOUT_DIVERGENCE if isinstance(module, LinearReadout) else MODULE_DIVERGENCE
        self.optimizer = torch.optim.SGD(module.parameters(), lr=1.0)

    def losses(self) -> Tensor:
        """½‖f(X) − Y‖²_F of each cell: (C,)."""
        return 0.5 * (self.module(self.X) - self.Y).square().sum((1, 2))

    def _backward(self) -> None:
        self.optimizer.zero_grad()
        with torch.enable_grad():
            (self.eta * self.losses()).sum().backward()

    def advance(self, n_steps: int) -> None:
        for _ in range(n_steps):
            self._backward()
            self.optimizer.step()

    def gradient_norm(self) -> Tensor:
        if not len(self.cells):
            return self.eta
        self._backward()
        scaled = torch.cat([p.grad.flatten(1) for p in self.module.parameters() if p.grad is not None], 1)
        return scaled.norm(dim=1) / self.eta

    def solution(self) -> Tensor:
        parameters = [p.detach() for p in self.module.parameters()]
        return parameters[0].clone() if len(parameters) == 1 else torch.cat([p.flatten(1) for p in parameters], 1)

    def keep(self, mask: Tensor) -> None:
        self.cells, self.X, self.Y, self.eta = (a[mask] for a in (self.cells, self.X, self.Y, self.eta))
        for p in self.module.parameters():
            p.data = p.data[mask].contiguous()
            p.grad = None

    @torch.no_grad()
    def is_minimum(self) -> Tensor:
        """False where a small random nudge lowers the loss: zero gradient, yet no minimum (a saddle)."""
        start, here = [p.clone() for p in self.module.parameters()], self.losses()
        random = torch.Generator(device=self.X.device).manual_seed(0)
        lower = torch.zeros_like(here, dtype=torch.bool)
        for _ in range(NUDGES):
            for p, p0 in zip(self.module.parameters(), start, strict=True):
                nudge = torch.randn(p0.shape, generator=random, dtype=p0.dtype, device=p0.device)
                p.copy_(p0 + 1e-3 * nudge)
            # Beyond rounding of the loss, so that flat directions do not count.
            lower |= self.losses() < here * (1 - 64 * torch.finfo(here.dtype).eps)
        for p, p0 in zip(self.module.parameters(), start, strict=True):
            p.copy_(p0)
        return ~lower


def descend(
    engine: Engine,
    checkpoints: Sequence[int],
    tolerance: float,
    on_check: Callable[[int, int], None] | None = None,
) -> Iterator[State]:
    """Train a stack to the last checkpoint, one State a checkpoint; finished cells leave the stack.

    A cell ends `converged` when ‖∇L‖ ≤ tolerance·‖∇L₀‖, `diverged` when that norm grows beyond what a
    stable step size allows,
    `stalled` when the gradient vanishes away from a minimum, `max_steps` at the last checkpoint.
    Looks at t, t + max(1, t // 64), …: at most 1.6 % late, at a cost that does not show.
    on_check(cell-steps taken, cells still running) is called at each look.
    """
    start = engine.gradient_norm()
    W = engine.solution()
    order = engine.cells
    W, start = W[order.argsort()], start[order.argsort()]
    steps = torch.zeros(len(start), dtype=torch.int64, device=start.device)
    status = torch.full_like(steps, RUNNING)
    gradient = torch.ones_like(start)

    def look(t: int) -> None:
        cells, norm = engine.cells, engine.gradient_norm()
        relative = torch.where(norm == 0, norm, norm / start[cells])
        code = torch.full_like(cells, RUNNING)
        code[relative <= tolerance] = CONVERGED
        code[~(relative <= engine.divergence)] = DIVERGED
        flat = norm == 0
        if bool(flat.any()):
            code[flat & ~engine.is_minimum()] = STALLED
        steps[cells], gradient[cells], status[cells] = t, relative, code
        done = code != RUNNING
        if bool(done.any()):
            W[cells[done]] = engine.solution()[done]
            engine.keep(~done)

    t = 0
    look(t)
    for checkpoint in checkpoints:
        while t < checkpoint and len(engine.cells):
            n_steps = min(checkpoint - t, max(1, t // 64))
            n_cells = len(engine.cells)
            engine.advance(n_steps)
            t += n_steps
            look(t)
            if on_check is not None:
                on_check(n_cells * n_steps, len(engine.cells))
        running = engine.cells
        if len(running):
            W[running] = engine.solution()
            if checkpoint == checkpoints[-1]:
                status[running] = MAX_STEPS
        yield State(checkpoint, steps.clone(), W.clone(), gradient.clone(), status.clone())
        if not len(running):
            return


def largest_eigenvalue(X: Tensor) -> Tensor:
    """σ₁² of each matrix of a stack (..., N, P), through its smaller Gram matrix: (...,)."""
    gram = X @ X.mT if X.shape[-2] < X.shape[-1] else X.mT @ X
    return torch.linalg.eigvalsh(gram)[..., -1]


def log_spaced(steps: int, per_decade: int) -> list[int]:
    """Checkpoints 1 … steps, `per_decade` for each factor of ten (fewer where they coincide), the last included."""
    exponents = np.arange(0, np.log10(steps) * per_decade + 1e-9)
    return sorted({round(10 ** (e / per_decade)) for e in exponents} | {steps})


def gradient_descent(
    X: Array,
    Y: Array,
    checkpoints: Sequence[int],
    step_size: float | str | np.ndarray | Tensor = "auto",
    tolerance: float = 1e-10,
    W0: np.ndarray | Tensor | None = None,
    engine: str = "gram",
    module: nn.Module | None = None,
    n_rows: Tensor | None = None,
    on_check: Callable[[int, int], None] | None = None,
) -> Iterator[State]:
    """Gradient descent W ← W − η Xᵀ(XW − Y) on ½‖XW − Y‖²_F, yielding a State at each checkpoint.

    From W₀ = 0 the limit is the pseudoinverse solution X⁺Y for any 0 < η < 2/σ₁² (paper, App. D); from
    another start it is X⁺Y + (I − X⁺X)W₀.

    X: (..., N, P); Y: (..., N) or (..., N, k); batch axes are cells, trained at once.
    checkpoints: increasing steps t ≥ 1; the last is the most a cell may take.
    step_size: η, "auto" (1/σ₁² of each cell), a number or one per cell (...,), in 1/units of X².
    tolerance: relative gradient norm at which a cell has converged, never below 100 eps of the dtype.
    W0: start, (..., P) or (..., P, k) as Y; default 0. engine: "gram" or "autograd", the same iterates.
    module: any stacked nn.Module from (C, N, P) to (C, N, k) instead of the linear readout; it needs a
    numerical step size, is trained in place by autograd, and State.W is its parameters, flattened.
    n_rows: (...,) rows of each cell that are not zero padding.
    ValueError for a step size ≤ 0, checkpoints that do not increase, or arrays that do not fit.
    """
    x, y, restore = regression_problem(X, Y)
    batch = x.shape[:-2]
    numpy_in = not isinstance(X, Tensor)
    x, y = x.reshape(-1, *x.shape[-2:]), y.reshape(-1, *y.shape[-2:])
    if not checkpoints or checkpoints[0] < 1 or any(b <= a for a, b in zip(checkpoints, checkpoints[1:], strict=False)):
        raise ValueError(f"checkpoints must increase from at least 1; they are {list(checkpoints)[:5]}…")
    if engine not in ("gram", "autograd"):
        raise ValueError(f"engine={engine!r} must be 'gram' or 'autograd'")
    if isinstance(step_size, str):
        if step_size != "auto" or module is not None:
            raise ValueError(f"step_size={step_size!r} must be a number above 0, or 'auto' for a linear readout")
        # X = 0 has no curvature: any step size leaves W where it is.
        eta = 1 / largest_eigenvalue(x).clamp(min=torch.finfo(x.dtype).tiny)
    else:
        eta = as_tensor("step_size", step_size if isinstance(step_size, Tensor) else np.asarray(step_size))
        eta = eta.to(x).expand(batch).reshape(-1)
    if bool((eta <= 0).any()):
        raise ValueError(f"step_size={float(eta.min()):.3g} must be above 0; below 2/σ₁² descent is stable")
    start = x.new_zeros(len(x), x.shape[-1], y.shape[-1])
    if W0 is not None:
        start = start + as_tensor("W0", W0).to(x).reshape(start.shape)
    runner: Engine
    if module is not None or engine == "autograd":
        runner = Autograd(LinearReadout(start) if module is None else module, x, y, eta)
    else:
        rows = torch.full((len(x),), x.shape[-2], device=x.device) if n_rows is None else n_rows.reshape(-1)
        runner = Gram(x, y, start, eta, rows)
    floor = 100 * torch.finfo(x.dtype).eps
    for state in descend(runner, checkpoints, max(tolerance, floor), on_check):
        W = state.W.reshape(*batch, *state.W.shape[1:])
        rest: list[Any] = [v.reshape(batch) for v in (state.steps, state.gradient_norm, state.status)]
        if numpy_in:
            rest = [v.numpy() for v in rest]
        W_out: Any = restore(W) if module is None else (W.numpy() if numpy_in else W)
        yield State(state.step, rest[0], W_out, rest[1], rest[2])

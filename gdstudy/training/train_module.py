"""Training of any stacked torch.nn.Module: many cells at once, each as it would be trained alone."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from typing import Any

import torch
from torch import Tensor, nn
from torch.func import functional_call

from gdstudy.linalg.arrays import Array, as_tensor
from gdstudy.linalg.regression import regression_axes
from gdstudy.training.arguments import check_checkpoints, check_rows, check_threads, check_tolerance
from gdstudy.training.descent import State, descend, full_precision, in_kind
from gdstudy.training.engine import Saver
from gdstudy.training.objectives import Autograd
from gdstudy.training.optimised import optimised
from gdstudy.training.optimizers import is_plain, schedule_of


@torch.inference_mode(False)
def train_module(
    module: nn.Module,
    X: Array,
    Y: Array,
    checkpoints: Any,
    step_size: Any,
    tolerance: float = 1e-10,
    optimizer: str = "gd",
    optimizer_options: Mapping[str, float] | None = None,
    warmup: float = 0.0,
    schedule: str = "constant",
    n_rows: Any = None,
    threads: int | None = None,
    on_check: Callable[[int, int], None] | None = None,
    saver: Saver | None = None,
) -> Iterator[State]:
    """Train a stack of modules on ½‖f(X) − Y‖²_F of each cell, yielding a State at each checkpoint until all are done.

    What is trained is a copy of the cells that are still running. At each yielded state, and at the end, `module` holds
    the weights of all cells in their own shapes; between them it is left alone. A parameter that does not require
    gradients stays as it is.

    module: maps X (C, N, P) to (C, N, k); every parameter has the leading axis C of cells, and a cell's output depends
    on no other cell. X: (..., N, P); Y: (..., N) or (..., N, k); both in the dtype of the parameters, with batch axes
    of C cells in all.
    checkpoints, tolerance, n_rows, threads, on_check, saver: as in `gradient_descent`. State.W holds the parameters of
    each cell, flattened, (..., n); State.distance is NaN, as no limit is known.
    optimizer: "gd", plain descent with a step_size for all or for each cell (...,), or one of torch.optim in lower
    case with optimizer_options as its arguments, and step_size, one number, as its learning rate. Plain descent takes
    any units that the dtype holds, as `gradient_descent`; what torch.optim does, does as there.
    warmup: share of the steps over which the rate rises from 0; schedule: "constant" or "cosine", after it.
    ValueError and TypeError, at the call, for arguments that do not fit or an unknown optimizer or option.
    """
    if not isinstance(module, nn.Module):
        raise TypeError(f"module must be a torch.nn.Module; it is a {type(module).__name__}")
    x, y = as_tensor("X", X, 2), as_tensor("Y", Y, 1)
    batch, vector = regression_axes(x, y)
    y = (y.unsqueeze(-1) if vector else y).to(x.device)
    dtype = torch.promote_types(x.dtype, y.dtype)
    # Of its own: states are computed when they are asked for, whatever is in the caller's arrays by then.
    x = x.to(dtype).expand(*batch, *x.shape[-2:]).reshape(-1, *x.shape[-2:]).clone()
    y = y.to(dtype).expand(*batch, *y.shape[-2:]).reshape(-1, *y.shape[-2:]).clone()
    steps = check_checkpoints(checkpoints)
    floor, threads = check_tolerance(tolerance, dtype), check_threads(threads)
    eta = _step_sizes(step_size, batch, x)
    rows = None if n_rows is None else check_rows(n_rows, x, batch)
    with full_precision(x.device):
        _check_module(module, x, y)
    plain = is_plain(optimizer)
    if plain and optimizer_options:
        raise ValueError(f"optimizer_options={dict(optimizer_options)} have no effect on optimizer={optimizer!r}")
    rate = schedule_of(steps[-1], warmup, schedule)
    if not plain and len(eta.unique()) > 1:
        raise ValueError(f"step_size must be one number for optimizer={optimizer!r}, the learning rate of all cells")
    weight = eta if plain else torch.ones_like(eta)
    with full_precision(x.device):
        objective = _objective(module, x, y, weight, rows)
    engine = optimised(objective, optimizer, eta, optimizer_options or {}, rate, threads)
    return _states(module, descend(engine, steps, floor, on_check, saver=saver), batch, not isinstance(X, Tensor))


@torch.inference_mode(False)
def _states(module: nn.Module, states: Iterator[State], batch: torch.Size, numpy: bool) -> Iterator[State]:
    """The states, in the axes and kind of what was given, with their weights in the module."""
    parameters = list(module.parameters())
    for state in states:
        flat = state.W.reshape(len(state.W), -1)
        for p, part in zip(parameters, flat.split([p[0].numel() for p in parameters], dim=1), strict=True):
            # What was made in inference mode may be written to there only.
            with torch.inference_mode(p.is_inference()), torch.no_grad():
                p.copy_(part.reshape(p.shape))
        W = flat.reshape(*batch, -1)
        yield in_kind(state, W.numpy(force=True) if numpy else W, batch, numpy, state.measure)


def _objective(module: nn.Module, X: Tensor, Y: Tensor, weight: Tensor, n_rows: Tensor | None) -> Autograd:
    """What is trained. Where a module makes no number of zero rows, which no mask takes out of a gradient, the padding
    of a cell repeats its first row."""
    objective = Autograd(module, X, Y, weight, n_rows)
    if objective.present is None:
        return objective
    objective.backward()
    gradients = [p.grad.reshape(len(p), -1) for p in objective.parameters if p.grad is not None]
    lost = ~torch.isfinite(torch.cat(gradients, 1)).all(1)
    if not bool(lost.any()):
        return objective
    filled = torch.where((objective.present == 0) & lost[:, None, None], X[:, :1], X)
    return Autograd(module, filled, Y, weight, n_rows)


def _step_sizes(step_size: Any, batch: torch.Size, X: Tensor) -> Tensor:
    """η of each cell (C,). ValueError unless a number above 0 or one per cell."""
    if isinstance(step_size, str):
        raise ValueError(f"step_size={step_size!r} must be a number above 0, or one per cell: a module has no 'auto'")
    eta = as_tensor("step_size", step_size)
    if bool((eta <= 0).any()):
        raise ValueError(f"step_size={float(eta.min()):.3g} must be above 0")
    held, limits = eta.to(X), torch.finfo(X.dtype)
    if not bool(((held >= limits.tiny) & torch.isfinite(held)).all()):
        raise ValueError(
            f"step_size={step_size} leaves {str(X.dtype)[6:]}, in which the module trains; give other units"
        )
    try:
        return held.expand(batch).reshape(-1)
    except RuntimeError:
        raise ValueError(
            f"step_size must be a number or one per cell {tuple(batch)}; its shape is {tuple(eta.shape)}"
        ) from None


def _check_module(module: nn.Module, X: Tensor, Y: Tensor) -> None:
    """ValueError unless a module is a stack of as many cells as X, of its dtype, that maps X to the shape of Y, each
    cell by itself."""
    parameters = dict(module.named_parameters())
    for name, p in parameters.items():
        if p.dtype in (torch.float16, torch.bfloat16):
            raise ValueError(f"module: parameter {name} is {p.dtype}; modules are trained in float32 or float64")
        if any(step == 0 and size > 1 for step, size in zip(p.stride(), p.shape, strict=True)):
            raise ValueError(f"module: parameter {name} is one number under several indices (expand); .clone() it")
        if p.ndim < 1 or len(p) != len(X) or p.dtype != X.dtype:
            raise ValueError(
                f"module: parameter {name} is {tuple(p.shape)} {p.dtype}; each must be {X.dtype} with a leading axis "
                f"of {len(X)} cells and what one cell has behind it. nn.Linear has none: write a weight (C, P, k)"
            )
    if not any(p.requires_grad for p in parameters.values()):
        raise ValueError("module: it has no parameter that requires gradients, and so nothing to train")
    here = {name: p.detach() for name, p in parameters.items()}
    together = _output(module, here, X)
    if together.shape != Y.shape:
        raise ValueError(f"module: maps X {tuple(X.shape)} to {tuple(together.shape)}, and Y is {tuple(Y.shape)}")
    if not together.requires_grad:
        raise ValueError("module: its output does not depend on a parameter that requires gradients")
    with suppress(RuntimeError):
        # At zero many a module has one output whatever it does; where its parameters may not be others, it stays there.
        nudged = {name: _nudged(p) if p.requires_grad else p.detach() for name, p in parameters.items()}
        elsewhere = _output(module, nudged, X)
        if bool(torch.isfinite(elsewhere).all()):
            here, together = nudged, elsewhere
    if not bool(torch.isfinite(together).all()):
        return  # training will say so
    for cells in ([0], [len(X) - 1], list(range(len(X)))[::-1], list(range(len(X)))):
        try:
            other = _output(module, {name: p[cells] for name, p in here.items()}, X[cells])
        except (RuntimeError, IndexError) as error:
            raise ValueError(f"module: it cannot do without the other cells of a stack: {error}") from None
        if other.shape == together[cells].shape:
            gap = (other - together[cells]).abs().amax()
            if gap <= torch.finfo(X.dtype).eps ** 0.5 * together.abs().amax():
                continue
        raise ValueError(
            "module: a cell alone gives another output than in its stack; it may neither be random nor depend on "
            "other cells, and what differs between cells must be parameters"
        )


def _nudged(p: Tensor) -> Tensor:
    """A parameter a hundredth of its size away, and where it is zero, of its mean size."""
    p, random = p.detach(), torch.Generator(device=p.device).manual_seed(0)
    size = torch.where(p == 0, p.abs().mean() if bool(p.any()) else 0.1, p.abs())
    return p + 0.01 * size * torch.randn(p.shape, generator=random, dtype=p.dtype, device=p.device)


def _output(module: nn.Module, parameters: Mapping[str, Tensor], X: Tensor) -> Tensor:
    """f(X) with these parameters. ValueError where that is no tensor, or changes X or the buffers of the module."""
    kept = {name: b.detach().clone() for name, b in module.named_buffers()}
    own, x = {name: b.clone() for name, b in kept.items()}, X.clone()
    flags = {name: p.requires_grad for name, p in module.named_parameters()}
    trained = {name: p.detach().clone().requires_grad_(flags[name]) for name, p in parameters.items()}
    with torch.enable_grad():
        output = functional_call(module, {**trained, **own}, (x,))
    if not isinstance(output, Tensor):
        raise ValueError(f"module: maps X to a {type(output).__name__}, and not to a tensor (C, N, k)")
    if not torch.equal(x, X):
        raise ValueError("module: its forward pass changes X in place; let it work on a new tensor")
    for name, before in kept.items():
        if not bool(((own[name] == before) | (own[name].isnan() & before.isnan())).all()):
            raise ValueError(f"module: its forward pass changes the buffer {name}; call its .eval(), or do without")
    return output

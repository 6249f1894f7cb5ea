"""The autoencoders of `layered` in JAX: jit, vmap(grad) and scan, with AdamW as torch.optim has it."""

from __future__ import annotations

from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from tests.benchmarks.jax_peers import timed
from tests.benchmarks.layered import LEARNING_RATE, WEIGHT_DECAY, Layered, LayeredStepper

BLOCK = 64  # steps of a scan
BETA1, BETA2, EPS = 0.9, 0.999, 1e-8


def _bottleneck(parameters: Any, X: Any) -> Any:
    A, B = parameters
    return 0.5 * jnp.sum((X @ A @ B - X) ** 2)


def _relu(parameters: Any, X: Any) -> Any:
    W, b = parameters
    return jnp.sum((jax.nn.relu(X @ W.T @ W + b) - X) ** 2) / X.shape[0]


def _adamw(p: Any, g: Any, m: Any, v: Any, t: Any) -> tuple[Any, Any, Any]:
    p = p * (1 - LEARNING_RATE * WEIGHT_DECAY)
    m, v = BETA1 * m + (1 - BETA1) * g, BETA2 * v + (1 - BETA2) * g * g
    size = jnp.sqrt(v) / jnp.sqrt(1 - BETA2**t) + EPS
    return p - LEARNING_RATE / (1 - BETA1**t) * m / size, m, v


@partial(jax.jit, static_argnames=("relu", "n_steps"))
def _scan(state: Any, X: Any, eta: Any, relu: bool, n_steps: int) -> Any:
    gradient = jax.vmap(jax.grad(_relu if relu else _bottleneck))

    def step(state: Any, _: None) -> tuple[Any, None]:
        parameters, first, second, t = state
        gradients = gradient(parameters, X)
        t = t + 1
        if not relu:
            moved = [p - eta[:, None, None] * g for p, g in zip(parameters, gradients, strict=True)]
            return (tuple(moved), first, second, t), None
        moved = [_adamw(*of, t.astype(X.dtype)) for of in zip(parameters, gradients, first, second, strict=True)]
        return (*(tuple(part) for part in zip(*moved, strict=True)), t), None

    return lax.scan(step, state, None, length=n_steps)[0]


def vmap(of: Layered) -> LayeredStepper:
    X, eta = jnp.asarray(of.X), jnp.asarray(of.eta)
    start = tuple(jnp.asarray(a) for a in of.start)
    zeros = tuple(jnp.zeros_like(a) for a in start)
    state = (start, zeros, zeros, jnp.asarray(0))
    seconds = timed(lambda: _scan(state, X, eta, of.relu, BLOCK))

    def advance(n_steps: int) -> None:
        nonlocal state
        for _ in range(n_steps // BLOCK):
            state = _scan(state, X, eta, of.relu, BLOCK)
        if n_steps % BLOCK:
            state = _scan(state, X, eta, of.relu, n_steps % BLOCK)
        jax.block_until_ready(state)

    def weights() -> np.ndarray:
        return np.concatenate([np.asarray(p).reshape(len(p), -1) for p in state[0]], axis=1)

    return LayeredStepper(advance, weights, len(of.X), seconds)

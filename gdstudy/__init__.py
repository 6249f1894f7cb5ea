"""Gradient descent beside its closed form, at and around the interpolation threshold N = P.

The public functions are imported on first use, so that `python -m gdstudy.train --help` does not wait
for torch.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

if TYPE_CHECKING:
    from gdstudy.closed_form import (
        gd_iterate,
        min_norm_solution,
        reduced_rank_solution,
        ridge_solution,
        singular_values,
    )
    from gdstudy.data import load_dataset
    from gdstudy.descent import State, gradient_descent
    from gdstudy.factors import prediction_error_modes
    from gdstudy.modules import train_module
    from gdstudy.status import Status
    from gdstudy.store import load_arrays, load_curves, load_results
    from gdstudy.train import run_study

_HOME = {
    "gd_iterate": "closed_form",
    "min_norm_solution": "closed_form",
    "reduced_rank_solution": "closed_form",
    "ridge_solution": "closed_form",
    "singular_values": "closed_form",
    "State": "descent",
    "Status": "status",
    "train_module": "modules",
    "gradient_descent": "descent",
    "prediction_error_modes": "factors",
    "load_dataset": "data",
    "load_arrays": "store",
    "load_results": "store",
    "load_curves": "store",
    "run_study": "train",
}

__all__ = [
    "State",
    "Status",
    "gd_iterate",
    "gradient_descent",
    "load_arrays",
    "load_curves",
    "load_dataset",
    "load_results",
    "min_norm_solution",
    "prediction_error_modes",
    "reduced_rank_solution",
    "ridge_solution",
    "run_study",
    "singular_values",
    "train_module",
]


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module 'gdstudy' has no attribute {name!r}")
    return getattr(import_module(f"gdstudy.{_HOME[name]}"), name)


def __dir__() -> list[str]:
    return sorted([*globals(), *__all__])

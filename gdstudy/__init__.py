"""Gradient descent beside its closed form, at and around the interpolation threshold N = P.

The house, each wing importing only from those below it (CONTRIBUTING.md):
    commands                          train, figures, diagnosis, estimator
    sweep, views                      batches → store; stored tables → what people look at
    experiment                        the only place where training meets its closed form
    training, closed_form, theory     siblings that never meet
    data; linalg; study               rows; tensors → numbers; what is asked
The public functions are imported on first use, so that `--help` does not wait for torch.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from gdstudy.study.version import __version__ as __version__

if TYPE_CHECKING:
    from gdstudy.closed_form.factors import prediction_error_modes
    from gdstudy.closed_form.iterates import gd_iterate, gd_path
    from gdstudy.closed_form.solutions import min_norm_solution, reduced_rank_solution, ridge_solution, singular_values
    from gdstudy.data.dataset import Dataset
    from gdstudy.data.loading import load_dataset
    from gdstudy.data.sources import register_dataset
    from gdstudy.diagnosis import diagnose
    from gdstudy.estimator import GradientDescentClassifier, GradientDescentRegressor
    from gdstudy.study.config import Study
    from gdstudy.study.status import Status
    from gdstudy.sweep.reading import load_arrays, load_curves, load_results
    from gdstudy.train import resume_study, run_study
    from gdstudy.training.descent import State
    from gdstudy.training.gradient_descent import gradient_descent
    from gdstudy.training.train_module import train_module

_HOME = {
    "GradientDescentClassifier": "estimator",
    "GradientDescentRegressor": "estimator",
    "gd_iterate": "closed_form.iterates",
    "gd_path": "closed_form.iterates",
    "min_norm_solution": "closed_form.solutions",
    "reduced_rank_solution": "closed_form.solutions",
    "ridge_solution": "closed_form.solutions",
    "singular_values": "closed_form.solutions",
    "State": "training.descent",
    "Status": "study.status",
    "train_module": "training.train_module",
    "gradient_descent": "training.gradient_descent",
    "prediction_error_modes": "closed_form.factors",
    "Dataset": "data.dataset",
    "Study": "study.config",
    "load_dataset": "data.loading",
    "diagnose": "diagnosis",
    "register_dataset": "data.sources",
    "resume_study": "train",
    "load_arrays": "sweep.reading",
    "load_results": "sweep.reading",
    "load_curves": "sweep.reading",
    "run_study": "train",
}

__all__ = [
    "Dataset",
    "GradientDescentClassifier",
    "GradientDescentRegressor",
    "State",
    "Status",
    "Study",
    "diagnose",
    "gd_iterate",
    "gd_path",
    "gradient_descent",
    "load_arrays",
    "load_curves",
    "load_dataset",
    "load_results",
    "min_norm_solution",
    "prediction_error_modes",
    "reduced_rank_solution",
    "register_dataset",
    "resume_study",
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

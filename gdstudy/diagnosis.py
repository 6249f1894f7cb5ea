"""`gdstudy diagnose data.csv --target y` and `diagnose(X, y)`: what is wrong with a regression problem, if anything."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from gdstudy.study.console import one_line, prepare, say, tell
from gdstudy.study.errors import StudyError
from gdstudy.study.parser import Parser

if TYPE_CHECKING:
    from torch import Tensor

    from gdstudy.views.diagnosis import Diagnosis

PROG = "gdstudy diagnose"
# Seconds before a command says what it is doing.
_PATIENCE = 2.0
# Whole numbers with so many different values at most, and ten rows each on average, are classes.
_MOST_CLASSES, _ROWS_A_CLASS = 20, 10


def diagnose(
    X: Any,
    y: Any,
    X_test: Any = None,
    y_test: Any = None,
    *,
    intercept: bool = False,
    steps: int = 100_000,
    tolerance: float = 1e-10,
    classes: bool | None = None,
    feature_names: Any = None,
    name: str = "data",
    seed: int = 0,
    on_step: Callable[[str], None] | None = None,
) -> Diagnosis:
    """What the rows of a linear regression problem say about it, without test data: a verdict and a recommendation.

    Leave-one-out errors of X⁺y and of ridge are exact (LAWS of Allen 1974), those of gradient descent are of the t-th
    iterate on all rows but one up to 200 rows, and in 5 folds beyond, also exact. One verdict comes first, in the order
    of `gdstudy.study.verdicts.Verdict`; its thresholds are in `gdstudy.experiment.verdicts`.

    X: (N, P), N ≥ 2; y: (N,) or (N, k): arrays, tensors or data frames, whose column names are used. y may be classes:
    texts, or whole numbers with few values, become one output of 0 and 1 each, and accuracies are said too; classes
    says whether they are. X_test, y_test: rows to measure the same fits on. intercept: fit one, by the means of the
    training rows; else it is tested whether one is missing. steps: how many of gradient descent one is ready to take;
    tolerance: of its gradient, relative to ‖Xᵀy‖. seed: of folds and subsamples. on_step: told what is done next.
    ValueError or TypeError, naming the argument, for NaN, infinite or other values that are no real numbers, shapes
    that do not fit, or fewer than two rows.
    """
    import numpy as np
    import torch

    from gdstudy.experiment.evidence import gather
    from gdstudy.experiment.measured import Units
    from gdstudy.linalg.arrays import whole_number
    from gdstudy.linalg.regression import Regression
    from gdstudy.training.arguments import check_tolerance
    from gdstudy.views.diagnosis import Diagnosis

    budget = whole_number("steps", steps, 1)
    targets, class_names = _targets("y", y, classes)
    problem = Regression.of(X, targets)
    N, P = problem.X.shape[-2:]
    if problem.X.ndim != 2 or problem.Y.ndim != 2:
        raise ValueError(f"X must be (N, P) and y (N,) or (N, k); they are {np.shape(X)} and {np.shape(targets)}")
    if N < 2:
        raise ValueError(f"X has {N} row; leaving rows out takes at least 2")
    names = _names(X, P) if feature_names is None else tuple(map(str, feature_names))
    if len(names) != P:
        raise ValueError(f"feature_names holds {len(names)} names for the {P} columns of X")
    tested = _test_rows(problem, X_test, y_test, classes, class_names)
    with torch.inference_mode():
        evidence = gather(
            problem.X.cpu(),
            problem.Y.cpu(),
            problem.eps,
            bool(intercept),
            budget,
            check_tolerance(tolerance, torch.float64),
            whole_number("seed", seed, 0),
            on_step or (lambda _: None),
        )
    one_hot = problem.k > 1 and bool(((problem.Y != 0).sum(1) == 1).all()) and len(problem.Y.unique()) == 2
    units = Units(int(problem.x_unit), int(problem.y_unit), one_hot)
    class_names = class_names or (tuple(map(str, range(problem.k))) if one_hot else ())
    return Diagnosis(name, names, class_names, evidence, units, *tested)


def _names(X: Any, P: int) -> tuple[str, ...]:
    """Those of a data frame's columns, or x0, x1, …"""
    columns = getattr(X, "columns", None)
    return tuple(f"x{k}" for k in range(P)) if columns is None else tuple(map(str, columns))


def _targets(name: str, y: Any, classes: bool | None, known: tuple[str, ...] = ()) -> tuple[Any, tuple[str, ...]]:
    """y as numbers, and the names of its classes, () where it holds none. known: classes that there are already."""
    import numpy as np

    values = y.numpy(force=True) if hasattr(y, "detach") else np.asarray(y)
    one_column = values.size == len(values) if values.ndim else False
    labels = values.ravel()
    texts = values.dtype.kind in "USb" or (
        values.dtype.kind == "O" and all(isinstance(label, str | bool | np.bool_) for label in labels[:1])
    )
    few = values.dtype.kind in "iu" and len(np.unique(labels)) <= min(_MOST_CLASSES, len(labels) // _ROWS_A_CLASS)
    if classes is False or not one_column or not (classes or texts or few or known):
        return y, ()
    if values.dtype.kind == "O" and any(label is None or label != label for label in labels):
        raise ValueError(f"{name} lacks the class of {sum(v is None or v != v for v in labels)} rows; drop them")
    labels = labels.astype(str) if texts else labels
    found = np.unique(labels)
    words = known or tuple(str(label) for label in found)
    if len(words) > 1000 or not {str(label) for label in found} <= set(words):
        raise ValueError(f"{name} holds {len(found)} different values, which are no classes of the training rows")
    return (np.array([str(label) for label in labels])[:, None] == np.array(words)).astype(np.float64), words


def _test_rows(
    problem: Any, X_test: Any, y_test: Any, classes: bool | None, known: tuple[str, ...]
) -> tuple[Tensor | None, Tensor | None]:
    """Test rows in the units of the problem, (M, P) and (M, k), or None. ValueError where they do not fit it."""
    import torch

    from gdstudy.linalg.arrays import as_tensor
    from gdstudy.linalg.units import times_power_of_two

    if X_test is None and y_test is None:
        return None, None
    if X_test is None or y_test is None:
        raise ValueError("X_test and y_test go together; give both or neither")
    x = as_tensor("X_test", X_test, 2).to(torch.float64).cpu()
    y = as_tensor("y_test", _targets("y_test", y_test, classes, known)[0], 1).to(torch.float64).cpu()
    y = y[:, None] if y.ndim == 1 else y
    shape, wanted = (tuple(x.shape), tuple(y.shape)), (problem.X.shape[1], problem.k)
    if x.ndim != 2 or y.ndim != 2 or len(x) != len(y) or (x.shape[1], y.shape[1]) != wanted:
        raise ValueError(
            f"X_test and y_test must be (M, {wanted[0]}) and (M, {wanted[1]}), as X and y; they are "
            f"{shape[0]} and {shape[1]}"
        )
    return times_power_of_two(x, -problem.x_unit.cpu()), times_power_of_two(y, -problem.y_unit.cpu())


def _progress() -> Callable[[str], None]:
    """Says on standard error what is done next, once the command has run for a while."""
    start = time.perf_counter()

    def on_step(text: str) -> None:
        if (seconds := time.perf_counter() - start) > _PATIENCE:
            tell(f"{PROG}: {seconds:.0f} s, {text} …")

    return on_step


def main(argv: list[str] | None = None) -> int:
    """Exit status: 0 done, 2 something the user can put right (one line on stderr), 130 interrupted."""
    prepare()
    parser = Parser(prog=PROG, description="Say what is wrong with a regression problem, if anything, and what to do.")
    parser.add_argument("file", type=Path, help="the rows: csv, tsv, parquet, feather, npz, …")
    parser.add_argument("--target", help="the column that is predicted, by name")
    parser.add_argument("--features", help="the columns to predict it from, a,b,c; default all other numbers")
    parser.add_argument("--test", type=Path, metavar="FILE", help="rows to measure the fits on, of the same columns")
    parser.add_argument(
        "--intercept", action="store_true", help="fit an intercept; else it is tested if one is missing"
    )
    parser.add_argument("--classes", action="store_true", help="the target is a class, also where it is a number")
    parser.add_argument(
        "--steps", default="100000", help="steps of gradient descent you are ready to take (default 1e5)"
    )
    parser.add_argument("--figure", type=Path, metavar="FILE.png", help="draw the figure there (png, pdf or svg)")
    parser.add_argument("--csv", type=Path, metavar="FILE.csv", help="write the table of errors there")
    try:
        _run(parser.parse_args(argv))
    except KeyboardInterrupt:
        tell(f"{PROG}: interrupted")
        return 130
    except MemoryError as error:
        tell(f"{PROG}: not enough memory ({one_line(error)}); take fewer rows or features")
        return 2
    except (StudyError, OSError, ValueError, TypeError) as error:
        tell(f"{PROG}: {one_line(error)}")
        return 2
    return 0


def _run(options: Any) -> None:
    """Read, diagnose, say it, and write what was asked for."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg

    steps = _whole("--steps", options.steps)
    for option, path in (("--figure", options.figure), ("--csv", options.csv)):
        if path is not None and not path.parent.is_dir():
            raise StudyError(f"{option} {path}: there is no folder {path.parent}; make it first")
    if options.figure is not None and options.figure.suffix not in (".png", ".pdf", ".svg"):
        raise StudyError(f"--figure {options.figure}: must end in .png, .pdf or .svg")
    on_step = _progress()
    on_step("reading")
    X, y, names, classes = _read(options.file, options)
    X_test, y_test = None, None
    if options.test is not None:
        X_test, y_test, other, _ = _read(options.test, options)
        if other != names:
            raise StudyError(f"--test {options.test}: its columns are not those of {options.file}")
    found = diagnose(
        X, y, X_test, y_test, intercept=options.intercept, steps=steps, classes=classes, feature_names=names,
        name=options.file.name, on_step=on_step,
    )  # fmt: skip
    on_step("learning curve and modes")
    say(str(found))
    if options.csv is not None:
        found.to_frame().to_csv(options.csv, index=False)
    if options.figure is not None:
        figure = found.figure()
        FigureCanvasAgg(figure)
        figure.savefig(options.figure)


def _whole(name: str, text: str) -> int:
    """1e5 as 100000. StudyError for what is no whole number above 0."""
    try:
        value = float(text)
    except ValueError:
        value = 0.0
    if not 1 <= value < 1e15 or value != int(value):
        raise StudyError(f"{name}={text}: must be a whole number of at least 1, such as 1e5")
    return int(value)


def _read(path: Path, options: Any) -> tuple[Any, Any, list[str], bool | None]:
    """X, y, the names of the columns of X, and whether y is classes, of a file."""
    import pandas as pd

    frame = pd.read_csv(path)
    target = options.target or "y"
    if target not in frame:
        raise StudyError(f"{path}: has no column {target!r}; name the one that is predicted with --target")
    columns = (
        options.features.split(",") if options.features else [c for c in frame.select_dtypes("number") if c != target]
    )
    return frame[columns], frame[target], list(columns), True if options.classes else None


if __name__ == "__main__":
    sys.exit(main())

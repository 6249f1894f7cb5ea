"""`gdstudy diagnose data.csv --target y` and `diagnose(X, y)`: what is wrong with a regression problem, if anything."""

from __future__ import annotations

from gdstudy.study.ending import exit_with, one_line_until_main

if __name__ == "__main__":
    one_line_until_main("gdstudy diagnose")

import numbers
import re
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from gdstudy.command import run_command
from gdstudy.study.config import kinds
from gdstudy.study.console import one_line, say, tell
from gdstudy.study.errors import StudyError
from gdstudy.study.file_options import FileParser
from gdstudy.study.sources import File, Source
from gdstudy.sweep.folder import write_output

if TYPE_CHECKING:
    from torch import Tensor

    from gdstudy.data.dataset import Dataset
    from gdstudy.experiment.measured import Units
    from gdstudy.linalg.regression import Regression
    from gdstudy.views.diagnosis import Diagnosis

PROG = "gdstudy diagnose"
# Seconds before a command says what it is doing.
_PATIENCE = 2.0
# A key of files, as messages name it; here it is an option.
_KEY = re.compile(rf"(--)?\bfile\.(?=({'|'.join(kinds(File))})\b)")


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
    class_names: Any = None,
    name: str = "data",
    seed: int = 0,
    on_step: Callable[[str], None] | None = None,
    eps: float | None = None,
) -> Diagnosis:
    """What the rows of a linear regression problem say about it, without test data: a verdict and a recommendation.

    Leave-one-out errors of X⁺y and of ridge are exact (Allen 1974), those of gradient descent are of the t-th
    iterate on all rows but one up to 200 rows, and in 5 folds beyond, also exact. One verdict comes first, in the order
    of `gdstudy.study.verdicts.Verdict`; its thresholds are in `gdstudy.experiment.verdicts`.

    X: (N, P), N ≥ 2; y: (N,) or (N, k): arrays, tensors or data frames, whose column names are used. y may be classes:
    texts, or whole numbers of few values, become one output of 0 and 1 each, and accuracies are said too; classes says
    whether they are, class_names what the outputs of a y of 0 and 1 are called. X_test, y_test: rows to measure the
    same fits on. intercept: fit one, by the means of the training rows; else it is tested whether one is missing.
    steps: how many of gradient descent one is ready to take; tolerance: of its gradient, relative to ‖Xᵀy‖. seed: of
    folds and subsamples. on_step: told what is done next. eps: precision of the numbers in X, default of their type.
    ValueError or TypeError, naming the argument, for NaN, infinite or other values that are no real numbers, shapes
    that do not fit, or fewer than two rows.
    """
    import torch

    from gdstudy.data.classes import targets_of
    from gdstudy.experiment.evidence import gather
    from gdstudy.linalg.arrays import whole_number
    from gdstudy.training.arguments import check_tolerance
    from gdstudy.views.diagnosis import Diagnosis

    budget, seed = whole_number("steps", steps, 1), whole_number("seed", seed, 0)
    tolerance = check_tolerance(tolerance, torch.float64)
    targets, found = targets_of("y", y, classes)
    problem = _problem(X, targets)
    problem = problem if eps is None else replace(problem, eps=_precision(eps))
    names = _names(X, problem.X.shape[1]) if feature_names is None else tuple(map(str, feature_names))
    if len(names) != problem.X.shape[1]:
        raise ValueError(f"feature_names holds {len(names)} names for the {problem.X.shape[1]} columns of X")
    units = _units(problem, classes)
    outputs = found or tuple(map(str, range(problem.k) if class_names is None else class_names))
    if len(outputs) != problem.k:
        raise ValueError(f"class_names holds {len(outputs)} names for the {problem.k} outputs of y")
    _check_same_columns(X, X_test)
    tested = _test_rows(problem, X_test, y_test, classes, found)
    rows = problem.X.cpu(), problem.Y.cpu(), problem.eps
    evidence = gather(*rows, bool(intercept), budget, tolerance, seed, on_step or (lambda _: None))
    return Diagnosis(name, names, outputs if units.classes else (), evidence, units, *tested)


def _problem(X: Any, y: Any) -> Regression:
    """Checked. ValueError unless it is one problem of at least two rows."""
    import numpy as np

    from gdstudy.linalg.regression import Regression

    problem = Regression.of(X, y)
    if problem.X.ndim != 2 or problem.Y.ndim != 2:
        raise ValueError(f"X must be (N, P) and y (N,) or (N, k); they are {np.shape(X)} and {np.shape(y)}")
    if len(problem.X) < 2:
        raise ValueError("X has 1 row; leaving rows out takes at least 2")
    return problem


def _units(problem: Regression, classes: bool | None) -> Units:
    """Those of the problem, and whether its targets are classes."""
    from gdstudy.data.classes import are_one_hot
    from gdstudy.experiment.measured import Units
    from gdstudy.linalg.units import times_power_of_two

    Y = times_power_of_two(problem.Y, problem.y_unit).numpy(force=True)
    return Units(int(problem.x_unit), int(problem.y_unit), classes is not False and are_one_hot(Y))


def _names(X: Any, P: int) -> tuple[str, ...]:
    """Those of a data frame's columns, or x0, x1, …"""
    columns = getattr(X, "columns", None)
    return tuple(f"x{k}" for k in range(P)) if columns is None else tuple(map(str, columns))


def _precision(eps: Any) -> float:
    if not (isinstance(eps, numbers.Real) and 0 < float(eps) < 1):
        raise ValueError(f"eps={eps!r} must lie in (0, 1): the precision of the numbers in X, such as 1.2e-7")
    return float(eps)


def _check_same_columns(X: Any, X_test: Any) -> None:
    """ValueError where both are data frames, and the columns of one are not those of the other."""
    ours, theirs = (None if of is None else getattr(of, "columns", None) for of in (X, X_test))
    if ours is not None and theirs is not None and len(ours) == len(theirs):
        for place, (one, other) in enumerate(zip(ours, theirs, strict=True)):
            if str(one) != str(other):  # NaN is a name too
                raise ValueError(
                    f"X_test: column {place} (from 0) is {str(other)[:60]!r} where that of X is {str(one)[:60]!r}; "
                    "give the columns of X, in their order"
                )


def _test_rows(
    problem: Any, X_test: Any, y_test: Any, classes: bool | None, known: tuple[str, ...]
) -> tuple[Tensor | None, Tensor | None]:
    """Test rows in the units of the problem, (M, P) and (M, k), or None. ValueError where they do not fit it."""
    import torch

    from gdstudy.data.classes import targets_of
    from gdstudy.linalg.arrays import as_tensor
    from gdstudy.linalg.units import times_power_of_two

    if X_test is None and y_test is None:
        return None, None
    if X_test is None or y_test is None:
        raise ValueError("X_test and y_test go together; give both or neither")
    x = as_tensor("X_test", X_test, 2).to(torch.float64).cpu()
    classes = bool(known) if classes is None else classes  # whole numbers of few values are what those of y are
    y = as_tensor("y_test", targets_of("y_test", y_test, classes, known)[0], 1).to(torch.float64).cpu()
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
    """Exit status: 0 done, 2 something the user can put right (one line on stderr), 130, 143 or 129 interrupted."""
    return run_command(
        *(PROG, lambda: _command(argv), "take fewer rows or features", (ValueError, TypeError)),
        line=lambda error: _KEY.sub("--", one_line(error)),
    )


def parser() -> FileParser:
    found = FileParser(PROG, "Say what is wrong with a linear regression problem, if anything, and what to do.")
    found.add_argument("data", help="a file (csv, tsv, parquet, feather, npz, …), openml:NAME or a built-in data set")
    found.add_argument("--test", metavar="FILE", help="rows to measure the fits on, of the same columns")
    found.add_argument("--intercept", action="store_true", help="fit one; else it is tested whether one is missing")
    found.add_argument("--steps", default="1e5", help="of gradient descent that you are ready to take (default: 1e5)")
    found.add_argument("--figure", type=Path, metavar="FILE.png", help="draw errors against N, mode and t (or .pdf)")
    found.add_argument("--csv", type=Path, metavar="FILE.csv", help="write the table of errors")
    return found


def _command(argv: list[str] | None) -> None:
    reading = parser()
    options = reading.parse_args(argv)
    entries = [entry for entry in (options.data, options.test) if entry is not None]
    _run(options, [reading.source(options, entry) for entry in entries])


def _run(options: Any, sources: list[Source]) -> None:
    """Read, diagnose, say it, and write what was asked for."""
    steps = _whole("--steps", options.steps)
    for option, path, endings in (("--figure", options.figure, (".png", ".pdf")), ("--csv", options.csv, (".csv",))):
        if path is not None and path.suffix not in endings:
            raise StudyError(f"{option} {path}: must end in {' or '.join(endings)}")
        if path is not None and not path.parent.is_dir():
            raise StudyError(f"{option} {path}: there is no folder {path.parent}; make it first")
    data, *tests = [_read(source) for source in sources]
    on_step = _progress()
    for other in tests:
        fits = set(other.classes) <= set(data.classes) if data.classes else other.Y.shape[1] == data.Y.shape[1]
        if other.columns != data.columns or bool(other.classes) != bool(data.classes) or not fits:
            what = "classes" if other.columns == data.columns else "columns"
            raise StudyError(f"--test {options.test}: its {what} are not those of {options.data}")
    X_test, Y_test = (tests[0].clean(), _outputs_of(tests[0], data.classes)) if tests else (None, None)
    found = diagnose(
        *(data.clean(), data.Y, X_test, Y_test),
        intercept=options.intercept,
        steps=steps,
        feature_names=data.columns or None,
        class_names=data.classes or None,
        name=getattr(options, "file.name") or Path(options.data).name,
        on_step=on_step,
        eps=data.eps,
    )
    on_step("modes and learning curve")
    say(str(found))
    if options.csv is not None:
        write_output(options.csv, found.to_frame().to_csv(index=False).encode())
    if options.figure is not None:
        from gdstudy.views.figures.files import as_files

        _, png, pdf = as_files(found.figure())
        write_output(options.figure, pdf if options.figure.suffix == ".pdf" else png)


def _outputs_of(data: Dataset, classes: tuple[str, ...]) -> Any:
    """Its targets as those of a data set of these classes, of which it may lack some."""
    import numpy as np

    if not classes:
        return data.Y
    Y = np.zeros((len(data.Y), len(classes)))
    Y[:, [classes.index(name) for name in data.classes]] = data.Y
    return Y


def _whole(name: str, text: str) -> int:
    """1e5 as 100000. StudyError for what is no whole number above 0."""
    try:
        value = float(text)
    except ValueError:
        value = 0.0
    if not 1 <= value < 1e15 or value != int(value):
        raise StudyError(f"{name}={text}: must be a whole number of at least 1, such as 1e5")
    return int(value)


def _read(source: Source) -> Dataset:
    """A data set; what is to be said of its rows goes to standard error."""
    from gdstudy.data.loading import load_dataset
    from gdstudy.data.sources import read_source

    if source.format == "named":
        return load_dataset(source.entry)
    reading = read_source(source)
    for note in reading.notes:
        tell(f"{PROG}: {_KEY.sub('--', note)}")
    return reading.data


if __name__ == "__main__":
    exit_with(main)

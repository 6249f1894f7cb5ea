"""What board, figures and terminal all show: medians and quantiles over seeds, from the stored tables."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from gdstudy.experiment.tables import Table

QUANTILES = (0.25, 0.5, 0.75)
# Estimators that are the limit of what is trained, and all that are not trained.
REFERENCES = ("min_norm", "pca", "reduced_rank")
CLOSED_FORMS = (*REFERENCES, "gd_closed_form", "theory")
_INFINITE = 1e306


@dataclass(frozen=True)
class Curve:
    """Median, quartiles and mean over seeds: each (n,), beside x (n,).

    The mean is a second figure only: near N = P the distribution of test errors need not have one.
    """

    x: np.ndarray
    low: np.ndarray
    median: np.ndarray
    high: np.ndarray
    mean: np.ndarray


def select(table: Table, **equal: object) -> Table:
    """The rows in which each named column has the given value."""
    keep = np.ones(len(next(iter(table.values()))), dtype=bool)
    for name, value in equal.items():
        keep &= table[name] == value
    return {name: column[keep] for name, column in table.items()}


def groups(table: Table, *names: str) -> Iterator[tuple[tuple, Table]]:
    """(values of the named columns, their rows) of a loaded table, in the order of the data sets of Fig. 1.

    Rows of a group must lie together, as they do for dataset, model, estimator, ablation, level, n_parameters,
    n_hidden, n_train (in this order) in what the store returns. Groups are views: nothing is copied.
    """
    length = len(next(iter(table.values())))
    if not length:
        return
    change = np.zeros(length - 1, dtype=bool)
    for name in names:
        before, after = table[name][:-1], table[name][1:]
        differs = before != after
        if table[name].dtype.kind == "f":
            differs &= ~(np.isnan(before) & np.isnan(after))
        change |= differs
    edges = [0, *(np.flatnonzero(change) + 1).tolist(), length]
    found = []
    for first, last in zip(edges, edges[1:], strict=False):
        rows = {name: column[first:last] for name, column in table.items()}
        found.append((tuple(rows[name][0].item() for name in names), rows))
    if "dataset" in names:
        place = names.index("dataset")
        found.sort(key=lambda group: _paper_order(group[0][place]))
    yield from found


def _paper_order(dataset: str) -> tuple[bool, int]:
    """The study's own data sets first, then those that only GD was given, each as in Fig. 1."""
    name, _, preprocess = dataset.partition("+")
    return bool(preprocess), DATASETS.index(name) if name in DATASETS else len(DATASETS)


def quantiles(values: np.ndarray) -> np.ndarray:
    """Quartiles over the first axis, (3, ...), as numpy.quantile interpolates them.

    A value that is no number (a diverged cell) counts as infinite, and so does a quartile next to one.
    """
    # Interpolation between infinities is no number, so a value beyond any finite one stands for them.
    bands = np.quantile(np.where(np.isfinite(values), values, _INFINITE), QUANTILES, axis=0)
    return np.where(bands < 1e-6 * _INFINITE, bands, np.inf)


def _unless_diverged(table: Table, value: str) -> np.ndarray:
    """A column, infinite where the cell diverged: its W when it was stopped is no result.

    Singular values belong to the training set and stay as they are.
    """
    if value == "smallest_singular_value":
        return table[value]
    return np.where(table["status"] == "diverged", np.inf, table[value])


def by_size(table: Table, value: str, size: str = "n_train") -> Curve:
    """Quartiles and mean of a column over seeds, for each N (or each P: size="n_parameters").

    A diverged cell counts as infinite.
    """
    sizes, values = np.unique(table[size]), _unless_diverged(table, value)
    parts = [values[table[size] == n] for n in sizes]
    low, median, high = np.stack([quantiles(part) for part in parts], axis=1)
    return Curve(sizes, low, median, high, np.array([part.mean() for part in parts]))


def at_steps(curves: Table, value: str, steps: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Every trained cell at given t: (n_train of each cell (c,), values (c, len(steps))).

    A cell that finished before t stands where it finished: converged, it would not move. One that diverged
    has no value there and counts as infinite. `curves` is ordered by cell and t, as the store returns it.
    """
    first = np.flatnonzero(np.r_[True, np.diff(curves["step"]) <= 0])
    cell = np.repeat(np.arange(len(first)), np.diff(np.r_[first, len(curves["step"])]))
    span = int(max(curves["step"].max(), steps.max())) + 1
    position = cell * span + curves["step"]
    wanted = np.arange(len(first))[:, None] * span + steps
    found = np.maximum(np.searchsorted(position, wanted, side="right") - 1, first[:, None])
    values = _unless_diverged(curves, value)[found]
    return curves["n_train"][first], values


def by_step(curves: Table, value: str) -> Curve:
    """Quartiles of a column over the cells given, for each checkpoint t."""
    # Cells also leave a row at the step they finish; a checkpoint has one from every cell still running.
    steps, rows = np.unique(curves["step"], return_counts=True)
    last = curves["step"][np.r_[np.diff(curves["step"]) <= 0, True]]
    steps = steps[rows == (last[:, None] >= steps).sum(0)]
    _, values = at_steps(curves, value, steps)
    low, median, high = quantiles(values)
    return Curve(steps, low, median, high, values.mean(0))


def representative_sizes(sizes: np.ndarray, n_parameters: int) -> list[int]:
    """The studied N nearest to P/2, P and 2P (in ratio): below, at and above the threshold."""
    available = np.unique(sizes)
    targets = np.array([n_parameters / 2, n_parameters, 2 * n_parameters])
    nearest = [int(available[np.argmin(np.abs(np.log(available / t)))]) for t in targets]
    return sorted(set(nearest))


@dataclass(frozen=True)
class Sweep:
    """Results of one data set and model along N, along P or along the hidden width, the others held.

    size: the swept column; threshold: its value at N = P, or N where the hidden width is swept; rows: unablated closed
    form of what is trained (X⁺y; a bottleneck's best map), or what was trained where there is none; results: every
    estimator and ablation; curves: trained cells at their checkpoints.
    """

    size: str
    threshold: int
    rows: Table
    results: Table
    curves: Table

    @property
    def dataset(self) -> str:
        return str(self.rows["dataset"][0])

    @property
    def model(self) -> str:
        return str(self.rows["model"][0])

    @property
    def reference(self) -> str:
        """The estimator of `rows`."""
        return str(self.rows["estimator"][0])

    @property
    def trained(self) -> Table:
        """Unablated rows of what was trained."""
        return trained_rows(select(self.results, ablation="none"))

    def trained_levels(self, name: str) -> dict[float, Table]:
        """Trained rows of each level of an ablation; none where it was not studied."""
        rows = trained_rows(select(self.results, ablation=name))
        return {level: part for (level,), part in groups(rows, "level")}

    def median(self, table: Table, value: str = "test_mse") -> Curve:
        return by_size(table, value, self.size)

    def at(self, table: Table, size: float, value: str = "test_mse") -> float:
        """Median over seeds at one size, or NaN where it was not studied."""
        here = {name: column[table[self.size] == size] for name, column in table.items()}
        return float(self.median(here, value).median[0]) if len(here[self.size]) else np.nan

    def ablation(self, name: str, strongest: Callable[[np.ndarray], float]) -> Table | None:
        """X⁺y's rows of an ablation at one of its levels, or None where it was not studied."""
        rows = select(self.results, estimator="min_norm", ablation=name)
        if not len(rows["level"]):
            return None
        return rows if np.isnan(rows["level"]).all() else select(rows, level=strongest(rows["level"]))


def trained_rows(results: Table) -> Table:
    """Rows of what was trained, by whatever optimizer."""
    keep = ~np.isin(results["estimator"], CLOSED_FORMS)
    return {name: column[keep] for name, column in results.items()}


def best_by_training(tables: Sequence[Table]) -> Table:
    """For each N and seed, the row with the lowest training loss of tables with the same cells; diverged ones lose."""
    losses = np.nan_to_num(np.stack([_unless_diverged(t, "train_mse") for t in tables]), nan=np.inf)
    best = losses.argmin(0)
    return {name: np.stack([t[name] for t in tables])[best, np.arange(len(best))] for name in tables[0]}


def relative(results: Table) -> Table:
    """The results with `relative_test_mse` and `relative_train_mse`: MSEs over the mean square of the targets.

    For an autoencoder, the share of its inputs that is lost; 1 for an output of 0.
    """
    energy = results["target_mean_square"]
    return results | {f"relative_{name}": results[name] / energy for name in ("test_mse", "train_mse")}


def sweeps(results: Table, curves: Table) -> Iterator[Sweep]:
    """Each data set and model along N at its middle P and, where several P were studied, along P at its middle N.

    Hidden widths are held at the smallest, the one that is also studied at other step sizes; where several were
    studied, there is a sweep of them at the middle N.
    """
    curves_of = dict(groups(curves, "dataset", "model"))
    nothing = {name: column[:0] for name, column in curves.items()}
    for key, table in groups(results, "dataset", "model"):
        trained = curves_of.get(key, nothing)
        held = {name: _middle(np.unique(table[name])) for name in ("n_train", "n_parameters")}
        widths = np.unique(table["n_hidden"][~np.isnan(table["n_hidden"].astype(float))])
        if len(widths):
            held["n_hidden"] = int(widths[0])
        for size in ("n_train", "n_parameters", "n_hidden"):
            if size not in held:
                continue
            others = {name: value for name, value in held.items() if name != size}
            part = select(table, **others)
            rows = _reference(select(part, ablation="none"))
            several = len(np.unique(rows[size])) > 1
            if several or (size == "n_train" and len(np.unique(table["n_parameters"])) == 1):
                threshold = held["n_parameters" if size == "n_train" else "n_train"]
                yield Sweep(size, threshold, rows, part, select(trained, **others))


def _middle(values: np.ndarray) -> int:
    return int(values[np.abs(np.log(values / np.median(values))).argmin()])


def _reference(unablated: Table) -> Table:
    """Rows of the closed form, or of what was trained where there is none."""
    keep = np.isin(unablated["estimator"], REFERENCES)
    return {name: column[keep] for name, column in unablated.items()} if keep.any() else trained_rows(unablated)

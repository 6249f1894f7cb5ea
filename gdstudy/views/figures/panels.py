"""What a panel of linear regression shows: one data set's rows, by estimator and ablation."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

from matplotlib.axes import Axes
from pandas import DataFrame

from gdstudy.experiment.tables import Run
from gdstudy.study.config import Study
from gdstudy.study.estimators import ClosedForm
from gdstudy.study.models import Model
from gdstudy.views.figures.axes import count_ticks, fit_y, log_axes, threshold
from gdstudy.views.figures.curves import draw
from gdstudy.views.figures.labels import main_label, panel_title, training_label
from gdstudy.views.figures.style import CHOSEN, ROUNDING, ROWS
from gdstudy.views.summary import Seen, by_size, closed_forms, groups, select, several
from gdstudy.views.sweeps import main_training, once, parts


@dataclass(frozen=True, eq=False)
class Panel:
    """seen: data set, preprocessing, noise; rows: by estimator and ablation; curves: of the main training."""

    study: Study
    seen: Seen
    model: Model
    P: int
    rows: dict[tuple[str, str], DataFrame]
    curves: DataFrame

    @property
    def exact(self) -> DataFrame:
        """X⁺y, nothing ablated."""
        return self.rows["min_norm", "none"]

    @property
    def who(self) -> str:
        """The main training as it is called."""
        return main_label(self.study)

    @property
    def trainings(self) -> dict[str, DataFrame]:
        """Label → unablated rows of each training these data were given, the main one first."""
        found = {name: self.rows.get((name, "none")) for name in self.study.trained}
        return {training_label(self.study, name): rows for name, rows in found.items() if rows is not None}

    @cached_property
    def beside(self) -> dict[tuple[ClosedForm, float], DataFrame]:
        """Rows of each closed form beside X⁺y, by its level; NaN where it has none."""
        plain = (rows for (_, ablation), rows in self.rows.items() if ablation == "none")
        return {key: rows for table in plain for key, rows in closed_forms(table).items()}

    def title(self) -> str:
        return panel_title(self.seen, self.P)

    def floor(self, share: float) -> float:
        """This share of the smallest test error of X⁺y: what lies below counts as zero."""
        return share * float(self.exact["test_mse"].min())


def against_n(axis: Axes, panel: Panel, ylabel: str, floor: float = 0.0, zero: str = ROUNDING) -> None:
    """Axes, range, threshold and title of a panel whose curves are drawn."""
    log_axes(axis, ROWS, ylabel)
    fit_y(axis, floor, zero)
    threshold(axis, panel.P)
    count_ticks(axis)
    axis.set_title(panel.title())


def draw_chosen(axis: Axes, panel: Panel, band: float = 0.15) -> None:
    """Test errors of the closed forms that choose by themselves: ridge whose λ is chosen by leave-one-out."""
    for (form, _), rows in panel.beside.items():
        if not form.levels:
            draw(axis, by_size(rows, "test_mse"), f"test, {form.label}", CHOSEN, band, linewidth=1.8)


@once
def _all(run: Run) -> list[Panel]:
    found = []
    for (seen, model), (results, curves) in parts(run).items():
        if model.regression:
            rows = dict(groups(results, "estimator", "ablation"))
            P, of = int(results["n_parameters"].iloc[0]), select(curves, estimator=main_training(run.study))
            found.append(Panel(run.study, seen, model, P, rows, of))
    return found


def panels(run: Run, *needed: tuple[str, str], raw: bool = False) -> list[Panel]:
    """Data sets with a linear readout that have all the (estimator, ablation) pairs, in the order of Fig. 1.

    raw: only those as they are, without preprocessing, unless all have one.
    """
    found = [panel for panel in _all(run) if all(pair in panel.rows for pair in [("min_norm", "none"), *needed])]
    plain = [panel for panel in found if panel.seen[1:] == ("none", 0)]
    return plain if raw and plain else found


def trained_panels(run: Run) -> list[Panel]:
    """Those that the main training was given, with its checkpoints."""
    return [panel for panel in panels(run, (main_training(run.study), "none")) if len(panel.curves)]


def swept(found: list[Panel]) -> bool:
    """Some of them were studied at more than one N, which a curve against N needs."""
    return any(several(panel.exact, "n_train") for panel in found)

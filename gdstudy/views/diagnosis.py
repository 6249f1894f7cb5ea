"""What `diagnose` found, to look at: text, tables, a figure."""

from __future__ import annotations

import textwrap
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

import pandas as pd
from torch import Tensor

from gdstudy.experiment.evidence import Evidence
from gdstudy.experiment.measured import Units, fits_table, learning_table, modes_table, one_row_share, path_table
from gdstudy.experiment.verdicts import verdicts
from gdstudy.study.verdicts import OF_THE_REST, Verdict
from gdstudy.views.advice import advice
from gdstudy.views.words import ESTIMATORS, number, steps_of

if TYPE_CHECKING:
    from matplotlib.figure import Figure


_WIDTH = 110
# A row with more of the squared error than this is named apart.
_ONE_ROW = 0.5


@dataclass(frozen=True, eq=False, repr=False)
class Diagnosis:
    """What the training rows say of a regression problem; `print` shows it, `to_frame()` and `figure()` too.

    name: of the data; feature_names: (P,); class_names: of the outputs, or (). All errors are mean squares on rows left
    out, in squared units of y. evidence, units: what was computed, without units.
    """

    name: str
    feature_names: tuple[str, ...]
    class_names: tuple[str, ...]
    evidence: Evidence
    units: Units
    X_test: Tensor | None
    Y_test: Tensor | None

    def __repr__(self) -> str:
        return f"<Diagnosis of {self.name}: {self.verdict}; print it>"

    @cached_property
    def verdicts(self) -> tuple[Verdict, ...]:
        """All that was found, the first to be put right first."""
        return verdicts(self.evidence)

    @property
    def verdict(self) -> Verdict:
        return self.verdicts[0]

    @property
    def recommendation(self) -> str:
        """What to do, with its reason."""
        return advice(self.verdict, self)

    @property
    def n_rows(self) -> int:
        return int(self.evidence.given.X.shape[0])

    @property
    def n_features(self) -> int:
        return int(self.evidence.given.X.shape[1])

    @property
    def threshold(self) -> int:
        """The N up to which X⁺y fits every row: features that are neither zero nor combinations, and the intercept."""
        columns = self.evidence.columns
        return self.n_features - len(columns.dead) - columns.deficit + int(self.evidence.base.intercept)

    @property
    def rank(self) -> int:
        """Of the features, of centred ones where an intercept is fitted or missing."""
        return self.evidence.rank

    @property
    def condition_number(self) -> float:
        """κ = σ₁/σ_R of the same features."""
        return self.evidence.base.condition_number

    @property
    def scaled_condition_number(self) -> float:
        """κ of the same features, each divided by its size."""
        return self.evidence.scaled.condition_number

    @property
    def noise_amplification(self) -> float:
        """Median over rows of the variance of a left-out residual of X⁺y where y is noise of variance 1."""
        return self.evidence.amplification

    @property
    def steps(self) -> int:
        """The steps of gradient descent one is ready to take."""
        return self.evidence.budget

    @property
    def steps_to_limit(self) -> float:
        """Steps until the gradient is at the tolerance, or infinite."""
        return self.evidence.path.to_limit

    @property
    def best_step(self) -> float:
        """t after which gradient descent is best, infinite for X⁺y."""
        return float(self.evidence.fits[self.evidence.base.name, "gd_early"].step or 0)

    @property
    def best_penalty(self) -> float:
        """λ of the best ridge, units of X²."""
        return float(self.units.of(self.evidence.fits[self.evidence.base.name, "ridge_loo"].penalty, x=2))

    def error(self, estimator: str, scaled: bool = False) -> float:
        """MSE on rows left out of an estimator, on what was judged or on it with its features scaled."""
        return float(self.units.of(self.evidence.error(estimator, scaled), y=2))

    @cached_property
    def _fits(self) -> pd.DataFrame:
        return fits_table(self.evidence, self.units, self.X_test, self.Y_test)

    def to_frame(self) -> pd.DataFrame:
        """A row for each preprocessing and estimator (`experiment.measured.fits_table` says of what columns)."""
        return self._fits.copy()

    @cached_property
    def path(self) -> pd.DataFrame:
        """left_out_mse of gradient descent at each t."""
        return path_table(self.evidence, self.units)

    @cached_property
    def modes(self) -> pd.DataFrame:
        """The three factors of Eqn. 1 and the share of each mode in the variance of X⁺y on rows held out."""
        return modes_table(self.evidence, self.units)

    @cached_property
    def learning_curve(self) -> pd.DataFrame:
        """Errors of X⁺y and of the best ridge of n of the rows on others."""
        return learning_table(self.evidence, self.units)

    def figure(self) -> Figure:
        """Errors against N, by mode and against t, as a matplotlib Figure."""
        from gdstudy.views.figures.diagnosis import draw_diagnosis

        tables = (self.learning_curve, self.modes, self.path)
        errors = (self.error("ridge_loo"), self.error("null"))
        return draw_diagnosis(*tables, self.threshold, self.steps, errors, self._title)

    @property
    def _title(self) -> str:
        return f"{self.name}: N = {self.n_rows:,}, P = {self.n_features:,}: {str(self.verdict).replace('_', ' ')}"

    def __str__(self) -> str:
        parts = [self._head(), self._errors()]
        if self.verdict is not Verdict.CONSTANT_TARGET:
            parts += [self._by_mode(), self._descent(), self._learning()]
        parts.append(_paragraph(f"verdict: {self.verdict}. {self.recommendation}"))
        for other in self.verdicts[1:]:
            then = self.verdicts[0] is Verdict.NO_INTERCEPT and other in OF_THE_REST
            parts.append(_paragraph(f"{'with an intercept' if then else 'also'}: {other}. {advice(other, self)}"))
        return "\n".join(parts)

    def _head(self) -> str:
        N, P, at = self.n_rows, self.n_features, self.threshold
        sign = "<" if at > N else "=" if at == N else ">"
        classes = f", {len(self.class_names)} classes" if self.class_names else ""
        less = P + int(self.evidence.base.intercept) - at
        threshold = ("P + 1" if self.evidence.base.intercept else "P") + (f" less {less:,}" if less else "")
        kappa = f"κ = {number(self.condition_number)}, {number(self.scaled_condition_number)} with scaled features"
        return (
            f"{self.name}: N = {N:,} rows, P = {P:,} features{classes}\n"
            f"N {sign} {at:,}, the threshold N = {threshold}; rank {self.rank:,}; "
            + (kappa if self.rank else "no feature varies")
        )

    def _errors(self) -> str:
        """A table of estimators × preprocessings for each of the measures there are."""
        frame = self._fits
        names = list(frame["preprocessing"].unique())
        how = sorted(set(frame["left_out"]))
        descent = "" if len(how) == 1 else ", of GD in 5 folds"
        titles = {
            "left_out_mse": f"MSE on rows left out (leave-one-out{descent}; squared units of y)",
            "left_out_accuracy": "accuracy on them",
        }
        if self.X_test is not None:
            titles |= {"test_mse": f"MSE on {len(self.X_test):,} test rows", "test_accuracy": "accuracy on them"}
        lines = []
        for measure, title in titles.items():
            if frame[measure].isna().all():
                continue
            table = frame.pivot(index="estimator", columns="preprocessing", values=measure)
            lines += ["", title, " " * 22 + "".join(f"{name:>14}" for name in names)]
            for estimator, label in ESTIMATORS.items():
                cells = [table.loc[estimator, name] for name in names]
                label = label.format(steps=f"{self.steps:,}")
                lines.append(f"  {label:<20}" + "".join(f"{'' if pd.isna(c) else number(c):>14}" for c in cells))
            if measure == "left_out_mse":
                lines += self._one_row()
        return "\n".join(lines)

    def _one_row(self) -> list[str]:
        """A remark where one row has most of the error of X⁺y."""
        name = self.evidence.base.name
        share = one_row_share(self.evidence.fits[name, "min_norm"])
        if share <= _ONE_ROW or self.n_rows <= 2:
            return []
        median = self._fits.set_index(["preprocessing", "estimator"]).at[(name, "min_norm"), "left_out_median"]
        return [f"  (X⁺y {name}: {share:.0%} of it is of one row; the median over rows is {number(median)})"]

    def _by_mode(self) -> str:
        modes, bias = self.modes, self.evidence.modes.bias_share
        if modes["share"].isna().all():
            return "\nEqn. 1: the best fit leaves no residuals, from which the variance of X⁺y could be read"
        order = modes["share"].sort_values(ascending=False)
        half = int((order.cumsum() < 0.5).sum()) + 1
        worst = modes.loc[order.index[0]]
        typical = modes.median()
        return (
            f"\nEqn. 1, on rows held out: variance {1 - bias:.0%}, bias {bias:.0%} of the error of X⁺y; "
            f"{half} of {len(modes)} modes carry half of the variance\n"
            f"  the worst, r = {order.index[0] + 1}, {order.iloc[0]:.0%}: σ_r = {number(worst.singular_value)}, "
            f"x·v_r = {number(worst.test_projection)}, u_r·E = {number(worst.residual_projection)} "
            f"(medians {number(typical.singular_value)}, {number(typical.test_projection)}, "
            f"{number(typical.residual_projection)})"
        )

    def _descent(self) -> str:
        limit = f"after {steps_of(self.steps_to_limit)}" if self.steps_to_limit < 1e18 else "beyond any number of steps"
        best = f"after {steps_of(self.best_step)}" if self.best_step < float("inf") else "in its limit, X⁺y"
        return f"\nGD from zero at η = 1/σ₁²: best {best}; gradient at the tolerance {limit}"

    def _learning(self) -> str:
        curve = self.learning_curve
        rows = [("n of the rows", [f"{n:,}" for n in curve["n_train"]])]
        rows += [(ESTIMATORS[name], [number(e, 3) for e in curve[name]]) for name in ("min_norm", "ridge_loo")]
        lines = "\n".join(f"  {label:<20}" + "".join(f"{cell:>10}" for cell in cells) for label, cells in rows)
        return f"\nwhat fewer rows give, on a fifth left out (medians of {self.evidence.learning.n_draws})\n{lines}\n"


def _paragraph(text: str) -> str:
    return textwrap.fill(text, _WIDTH, subsequent_indent="  ")

"""The closed forms of readouts that a study can ask for beside X⁺y, as facts. See `estimators` of a study."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from gdstudy.study.entries import Code

if TYPE_CHECKING:
    from gdstudy.study.config import Study


@dataclass(frozen=True, kw_only=True)
class ClosedForm:
    """solve: the code `(Study, Stack) -> Solutions`, a readout for each level. label: its name in figures and tables.
    levels: the key of a study that holds its levels, `group.key`; empty where it chooses by itself. symbol: what a
    level is called, in text; folder: the same in the name of a folder. example: levels to write. penalises: it has
    a penalty λ. descends: it is gradient descent, at the step size of `gd`."""

    name: str
    solve: Code
    label: str
    levels: str = ""
    symbol: str = ""
    folder: str = ""
    example: str = ""
    penalises: bool = False
    descends: bool = False

    def levels_in(self, study: Study) -> tuple[float | None, ...]:
        """The levels that a study gives it; (None,) for one that needs none."""
        if not self.levels:
            return (None,)
        group, _, key = self.levels.partition(".")
        return tuple(getattr(getattr(study, group), key))

    def named(self, level: float) -> str:
        """A level in a few letters, `λ = 0.01` or `t = 1,000`; the label where there is none."""
        return f"{self.symbol} = {written(level, ',')}" if self.levels else self.label


def written(level: float, separator: str = "") -> str:
    """A level in three digits; whole numbers in all of theirs."""
    return f"{int(level):{separator}}" if level >= 1 and level == int(level) else f"{level:.3g}"


_ROOM = "gdstudy.experiment.regularised:"
CLOSED_FORMS: dict[str, ClosedForm] = {
    form.name: form
    for form in (
        ClosedForm(
            name="ridge",
            solve=f"{_ROOM}ridge",
            label="ridge",
            levels="ridge.levels",
            symbol="λ",
            folder="lambda",
            example="[0.01, 1]",
            penalises=True,
        ),
        ClosedForm(name="ridge_loo", solve=f"{_ROOM}ridge_loo", label="ridge, λ by leave-one-out", penalises=True),
        ClosedForm(
            name="gd_exact",
            solve=f"{_ROOM}gd_exact",
            label="GD, exact",
            levels="gd_exact.steps",
            symbol="t",
            folder="t",
            example="[10, 1000]",
            descends=True,
        ),
    )
}


def asked_for(study: Study) -> list[ClosedForm]:
    """Those of a study, in its order."""
    return [CLOSED_FORMS[name] for name in study.estimators if name in CLOSED_FORMS]

"""Studies with several trainings, as views see them, of runs that were trained in one way."""

from dataclasses import dataclass, replace
from types import SimpleNamespace

import pandas as pd

from gdstudy.study.values import StepSize


@dataclass(frozen=True)
class Training:
    optimizer: str = "gd"
    step_size: StepSize = StepSize("auto")
    steps: int = 100
    restarts: int = 1
    start: str = "own"
    momentum: float = 0.0
    tolerance: float = 1e-10
    init_scale: float = 1e-3
    n_hidden: tuple | None = None
    preprocess: str = "same"

    @property
    def plain(self):
        return self.optimizer == "gd"


def study(run, **trainings):
    """The run's study with these trainings, the first of them the main one."""
    others = {name: vars(training) for name, training in trainings.items() if name != "gd"}
    same = {key: getattr(run.study, key) for key in ("seeds", "n_train", "preprocess", "ablations", "models")}
    return SimpleNamespace(**same, intercept=False, trained=trainings, trainings=others)


def with_second(run, name, **settings):
    """The run with a training beside its own, `gd`, that did the same but for its name and settings."""
    tables = {}
    for table in ("results", "curves"):
        rows = getattr(run, table)
        more = rows[rows["estimator"].isin(["gd", "gd_closed_form"])]
        more = more.assign(estimator=more["estimator"].astype(str).str.replace("gd", name, n=1))
        tables[table] = joined(rows, more)
    own = Training(steps=run.study.gd.steps, step_size=run.study.gd.step_size)
    return replace(run, study=study(run, gd=own, **{name: replace(own, **settings)}), **tables)


def joined(*tables):
    """Tables one under the other, their texts as categories again."""
    rows = pd.concat([table.astype({"estimator": str, "ablation": str}) for table in tables], ignore_index=True)
    return rows.astype({"estimator": "category", "ablation": "category"})

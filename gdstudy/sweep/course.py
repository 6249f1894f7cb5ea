"""How far a batch is that is computed in this process: what is done of it, and what is probably left."""

from __future__ import annotations

import math
from collections.abc import Sequence

from gdstudy.sweep.work import LOOKS, Stage

# How soon it is forgotten how many cells left a training, in ln t; what is taken for known before: so many leave a
# stack of one for each unit of ln t.
_MEMORY, _LEAVE = math.log(4), 0.3
# Standard deviation of ln of what is left, as cells leave, for each unit by which ln t has to grow; the variance of
# what was expected before; a training under way takes so many times more of what it has taken, at least.
_TRUST, _EXPECTED, _MORE = 0.35, 0.8, 0.05
# Not all work is equally fast: variance of ln of the whole time for a share s that is left, s²/(1 − s) times this; less
# where cells take all their steps.
_UNEVEN = {False: 0.3, True: 0.05}


class Course:
    """One batch. `done` and `left()`: its work in multiplications, as `stages` counts it.

    Cells leave a training when they are done. Those that still run at step t are taken to leave as they did of late: of
    R cells R·(t'/t)^(−h) are expected to run at t', where h is the share that left for each unit of ln t. The longer t
    still has to grow, the less that is trusted beside what was expected before.
    """

    def __init__(self, stages: Sequence[Stage]) -> None:
        self._stages, self._at, self.done = stages, 0, 0.0
        # Work of the trainings that are over: as it was, and as it had been expected.
        self._took = self._foretold = 0.0
        self._began = 0.0  # work done before the training under way
        self._running = self._steps = self._t = 0
        self._left = self._passed = 0.0

    @property
    def _stage(self) -> Stage:
        return self._stages[min(self._at, len(self._stages) - 1)]

    def start(self, cells: int, steps: int) -> None:
        """So many cells are about to be trained for at most so many steps."""
        if self._at:
            self._took, self._foretold = self._took + self.done - self._began, self._foretold + self._stage.work
        else:
            self.done = self._stage.work
        self._at, self._began = self._at + 1, self.done
        self._running, self._steps, self._t = cells, steps, 0
        self._left = self._passed = 0.0

    def check(self, cell_steps: int, running: int) -> None:
        """So many cell-steps more, after which so many cells still run."""
        steps, stage, before = cell_steps // self._running, self._stage, max(self._t, 1)
        self._t += steps
        self.done += cell_steps * stage.of_step + steps * stage.call
        self.done += self._running * stage.of_look + stage.looking
        passed = math.log(self._t / before)
        keep = math.exp(-passed / _MEMORY)
        self._passed = keep * self._passed + self._running * passed
        self._left = keep * self._left + self._running - running
        self._running = running

    def left(self) -> float:
        return self.foretold()[0]

    def foretold(self) -> tuple[float, float]:
        """What is left, and the variance of ln of the time that the whole batch takes as it is foretold so."""
        later = sum(stage.work for stage in self._stages[self._at + 1 :])
        # Trainings that are over say by how much those of this batch are longer or shorter than expected.
        longer = (self._took + self._stage.work) / (self._foretold + self._stage.work)
        now, variance = self._of_stage(self._stage.work * longer)
        left = now + later * longer
        whole = self.done + left
        uneven = _UNEVEN[self._stage.fixed] * left**2 / max(self.done * whole, 1e-9)
        return left, uneven + (variance * now**2 + _EXPECTED * (later * longer) ** 2) / whole**2

    def _of_stage(self, expected: float) -> tuple[float, float]:
        """What is left of the training under way, expected to take so much in all, and the variance of ln of it."""
        done = self.done - self._began
        if self._t == 0:
            return expected, _EXPECTED
        if not self._running or self._t >= self._steps:
            return 0.0, 0.0
        passes = math.log(self._steps / self._t)
        seen = self._as_of_late(passes)
        if self._stage.fixed:
            return seen, 0.0
        foretold = max(expected - done, _MORE * done)
        # Of the whole training the one is known the better the less is left, the other always alike.
        late = (_TRUST * passes * seen / (done + seen)) ** 2
        weight = _EXPECTED / (_EXPECTED + late)
        left = math.exp(weight * math.log(seen) + (1 - weight) * math.log(foretold))
        return left, (1 - weight) * _EXPECTED + (_TRUST * passes) ** 2 * weight

    def _as_of_late(self, passes: float) -> float:
        """What is left if cells go on leaving as they do, while ln t grows by so much."""
        R, t = self._running, self._t
        h = 1e-6 if self._stage.fixed else (self._left + _LEAVE) / (self._passed + 1)
        grown = 1 - h if abs(1 - h) > 1e-6 else 1e-6
        steps, looks = R * t * math.expm1(grown * passes) / grown, R * LOOKS * -math.expm1(-h * passes) / h
        last = min(passes, math.log(R) / h + 1)  # when the last cell leaves
        calls = t * math.expm1(last) * self._stage.call + LOOKS * last * self._stage.looking
        return steps * self._stage.of_step + looks * self._stage.of_look + calls

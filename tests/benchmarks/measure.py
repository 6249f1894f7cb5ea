"""What is timed, side by side: A B A B, medians with quartiles, ratios within each round; and that all do the same."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

import numpy as np

AGREEMENT = 1e-10


class Disagreement(Exception):
    """A peer that does not do the same: its time says nothing."""


@dataclass(frozen=True)
class Settings:
    """How long to measure. clock: "wall" or "cpu", of which ratios are. rounds: of A B A B. seconds: of each, at least
    (where steps are many and short)."""

    quick: bool
    clock: str

    def now(self) -> float:
        """Seconds of the clock."""
        return time.perf_counter() if self.clock == "wall" else time.process_time()

    @property
    def rounds(self) -> int:
        return 3 if self.quick else 7

    @property
    def seconds(self) -> float:
        return 0.04 if self.quick else 0.3


@dataclass(frozen=True)
class Contestant:
    """call: what is timed, `units` of what is counted (steps, say). scale: where it does a sample, of which this is the
    whole. sampled: how that is said."""

    call: Callable[[], object]
    units: float = 1.0
    scale: float = 1.0
    sampled: str = ""
    compile_seconds: float | None = None


Spread = tuple[float, float, float]  # median, lower and upper quartile


@dataclass(frozen=True)
class Sample:
    """Seconds a unit, wall and CPU, and how many times as fast as this the first contestant was."""

    wall: Spread
    cpu: Spread
    ratio: Spread


def spread(values: np.ndarray) -> Spread:
    low, median, high = np.quantile(values, [0.25, 0.5, 0.75])
    return float(median), float(low), float(high)


def side_by_side(contestants: Mapping[str, Contestant], settings: Settings, rounds: int = 0) -> dict[str, Sample]:
    """Each in turn, back and forth; the first is what the others are held against."""
    names = list(contestants)
    taken: dict[str, list[tuple[float, float]]] = {name: [] for name in names}
    for number in range(rounds or settings.rounds):
        for name in names if number % 2 == 0 else names[::-1]:
            one = contestants[name]
            wall, cpu = time.perf_counter(), time.process_time()
            one.call()
            wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
            taken[name].append((wall * one.scale / one.units, cpu * one.scale / one.units))
    seconds = {name: np.array(pairs) for name, pairs in taken.items()}
    column = 0 if settings.clock == "wall" else 1
    ours = seconds[names[0]][:, column]
    return {name: Sample(spread(s[:, 0]), spread(s[:, 1]), spread(s[:, column] / ours)) for name, s in seconds.items()}


def steps_that_take(seconds: float, advance: Callable[[int], None]) -> int:
    """A number of steps that takes at least so long, a power of two; what is compiled on the way does not count."""
    n_steps, again = 8, False
    while True:
        began = time.perf_counter()
        advance(n_steps)
        if time.perf_counter() - began < seconds:
            n_steps, again = 2 * n_steps, False
        elif again:
            return n_steps
        else:
            again = True


def check_agreement(ours: np.ndarray, theirs: np.ndarray, who: str) -> None:
    """Disagreement unless every cell's weights (c, P, k) are the same up to AGREEMENT, relative."""
    size = np.linalg.norm(ours, axis=(1, 2))
    gap = float((np.linalg.norm(ours - theirs, axis=(1, 2)) / np.where(size > 0, size, 1)).max())
    if not gap <= AGREEMENT:
        raise Disagreement(f"{who}: other weights than gdstudy after the same steps, by {gap:.1e} of their size")


@dataclass(frozen=True)
class Row:
    """A measurement, as the table and the CSV have it. ratio: how many times as fast as this peer gdstudy is, within
    each round, by the clock that was asked for; wanted: what it should be at least. seconds: of one `unit`."""

    section: str
    what: str
    peer: str
    unit: str = "a step"
    P: int | None = None
    k: int | None = None
    cells: int | None = None
    steps: int | None = None
    seconds_median: float | None = None
    seconds_low: float | None = None
    seconds_high: float | None = None
    cpu_median: float | None = None
    ratio: float | None = None
    ratio_low: float | None = None
    ratio_high: float | None = None
    wanted: float | None = None
    compile_seconds: float | None = None
    slope: float | None = None
    slope_of_flops: float | None = None
    peak_mb: float | None = None
    note: str = ""


def rows(
    base: Row,
    contestants: Mapping[str, Contestant],
    samples: Mapping[str, Sample],
    wanted: Mapping[str, float] | None = None,
) -> list[Row]:
    """A row for each contestant. wanted: its ratio, by the beginning of its name."""
    found = []
    for name, sample in samples.items():
        one, first = contestants[name], not found
        target = next((v for start, v in (wanted or {}).items() if name.startswith(start)), None)
        found.append(
            replace(
                base,
                peer=name,
                seconds_median=sample.wall[0],
                seconds_low=sample.wall[1],
                seconds_high=sample.wall[2],
                cpu_median=sample.cpu[0],
                **({} if first else dict(zip(("ratio", "ratio_low", "ratio_high"), sample.ratio, strict=True))),
                wanted=target,
                compile_seconds=one.compile_seconds,
                note=one.sampled or base.note if first else one.sampled,
            )
        )
    return found

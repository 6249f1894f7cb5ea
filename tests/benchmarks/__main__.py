"""Ratios measured side by side: `python -m tests.benchmarks [--quick] [--only steps,fit,…] [--output FILE.csv]`.

Of each peer, how many times as fast gdstudy is: A B A B in one process, medians with quartiles of the ratios within
each round. That all take the same steps is checked before they are timed. On a busy machine wall time lies: `--clock
cpu --cores 1` takes ratios of CPU seconds on one core.
"""

from __future__ import annotations

import argparse
import csv
import importlib.util
import os
import platform
import sys
import time
from dataclasses import asdict, fields
from importlib.metadata import version
from pathlib import Path
from typing import Any

from gdstudy.study.version import __version__

OUTPUT = Path(__file__).parents[2] / "runs" / "benchmarks.csv"  # where git ignores it
PACKAGES = ("torch", "numpy", "scikit-learn", "jax", "llvmlite")
SLOPE_ERROR = 0.1  # of a slope, by what is measured twice
OF_ONE_SIZE = ("steps", "fit", "certificate", "closed")  # sections that say sizes above their rows
NAMES = ("steps", "fit", "certificate", "iterates", "closed", "autoencoders", "studies", "growth")


def machine() -> list[str]:
    """What this is measured on, in lines."""
    try:
        said = Path("/proc/cpuinfo").read_text().splitlines()
        model = next(line.split(":", 1)[1].strip() for line in said if line.startswith("model name"))
    except (OSError, StopIteration):
        model = platform.processor() or platform.machine()
    found = [f"gdstudy {__version__}", f"Python {platform.python_version()}"]
    found += [f"{name} {version(name)}" if _is_there(name) else f"no {name}" for name in PACKAGES]
    load = f"load average {os.getloadavg()[0]:.1f}" if hasattr(os, "getloadavg") else ""
    return [f"{model}, {_cores()} of {os.cpu_count()} cores, {platform.platform()}, {load}", ", ".join(found)]


def _is_there(package: str) -> bool:
    return importlib.util.find_spec({"scikit-learn": "sklearn"}.get(package, package)) is not None


def _cores() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def shown(row: Any, clock: str) -> str:
    """A line of the table: who, milliseconds of a unit, and how many times as fast gdstudy is."""
    if row.slope is not None:
        line = f"    {'slope':<42}{row.slope:>11.2f}"
        if row.slope_of_flops is not None:
            line += f"  of the flop count {row.slope_of_flops:.2f}, "
            line += "no worse" if row.slope < row.slope_of_flops + SLOPE_ERROR else "WORSE"
        return line + (f"  [{row.note}]" if row.note else "")
    seconds = row.cpu_median if clock == "cpu" and row.cpu_median is not None else row.seconds_median
    line = f"    {row.peer:<42}{_milliseconds(seconds):>11} ms {row.unit}"
    if row.ratio is not None:
        spread = "" if row.ratio_low is None else f" ({row.ratio_low:.3g} to {row.ratio_high:.3g})"
        wanted = (
            "" if row.wanted is None else f"  wanted {row.wanted:.3g}, {'ok' if row.ratio >= row.wanted else 'NOT MET'}"
        )
        line += f"  ratio {row.ratio:.3g}{spread}{wanted}"
    line += f"  compiled in {row.compile_seconds:.1f} s" if row.compile_seconds and row.compile_seconds > 0.1 else ""
    line += f"  {row.peak_mb:.0f} MB at the peak" if row.peak_mb is not None else ""
    return line + (f"  [{row.note}]" if row.note else "")


def _milliseconds(seconds: float) -> str:
    return (
        f"{1e3 * seconds:.4f}" if seconds < 1e-3 else f"{1e3 * seconds:.2f}" if seconds < 1 else f"{1e3 * seconds:.0f}"
    )


def title(row: Any) -> str:
    sizes = [f"{name} = {value}" for name in ("P", "k", "cells", "steps") if (value := getattr(row, name)) is not None]
    return f"{row.section}: {row.what}" + (f" ({', '.join(sizes)})" if sizes and row.section in OF_ONE_SIZE else "")


def duration(seconds: float) -> str:
    return f"{int(seconds) // 60}:{int(seconds) % 60:02}"


def run(asked: argparse.Namespace) -> int:
    # Here, after the cores were chosen: libraries count them when they are imported.
    from tests.benchmarks.measure import Disagreement, Row, Settings
    from tests.benchmarks.sections import SECTIONS

    assert tuple(SECTIONS) == NAMES
    settings = Settings(asked.quick, asked.clock)
    todo = [
        (f"{section}, {part.label}", part.measure, seconds)
        for section in asked.only
        for part in SECTIONS[section]
        if (seconds := part.quick if asked.quick else part.seconds) is not None
    ]
    total = sum(seconds for *_, seconds in todo)
    print(f"about {duration(total)} on two idle cores; ratios of {asked.clock} time\n", flush=True)
    began, done = time.monotonic(), 0.0
    with open(asked.output, "w", newline="") as file:
        file.writelines(f"# {line}\n" for line in machine())
        table = csv.DictWriter(file, [field.name for field in fields(Row)])
        table.writeheader()
        for number, (label, measure, seconds) in enumerate(todo, 1):
            left = (total - done) * ((time.monotonic() - began) / done if done else 1)
            print(f"[{number}/{len(todo)}] {label}; {duration(left)} left in all", file=sys.stderr, flush=True)
            try:
                found = measure(settings)
            except Disagreement as error:
                print(f"tests.benchmarks: {error}", file=sys.stderr)
                return 1
            done += seconds
            for before, row in zip([None, *found], found, strict=False):
                if before is None or title(before) != title(row):
                    print(title(row))
                print(shown(row, asked.clock), flush=True)
                table.writerow({name: _cell(value) for name, value in asdict(row).items()})
            file.flush()
    print(f"\n{duration(time.monotonic() - began)} min; {asked.output}")
    return 0


def _cell(value: Any) -> Any:
    return f"{value:.6g}" if isinstance(value, float) else value


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks", description=__doc__.split("\n\n")[1])
    parser.add_argument("--quick", action="store_true", help="fewer cells, sizes and rounds: under two minutes")
    parser.add_argument("--only", type=lambda text: text.split(","), default=NAMES, help=",".join(NAMES))
    parser.add_argument("--output", type=Path, default=OUTPUT, help="CSV, a row a measurement")
    parser.add_argument("--clock", choices=("wall", "cpu"), default="wall", help="what ratios are of; the CSV has both")
    parser.add_argument("--cores", type=int, help="use so many cores, whatever the machine has")
    asked = parser.parse_args()
    if unknown := set(asked.only) - set(NAMES):
        parser.error(f"--only {', '.join(sorted(unknown))}: sections are {', '.join(NAMES)}")
    if asked.cores and hasattr(os, "sched_setaffinity"):  # before any library counts them
        os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[-asked.cores :])
    print("\n".join(machine()))
    if not _is_there("jax"):
        print("left out: peers in JAX (c, d, and of g); pip install -e '.[bench]'")
    if asked.clock == "wall" and hasattr(os, "getloadavg") and os.getloadavg()[0] > 0.5:
        print("this machine is busy, and its wall time says little: `--clock cpu --cores 1` takes ratios of CPU time")
    return run(asked)


if __name__ == "__main__":
    sys.exit(main())

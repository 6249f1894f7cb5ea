"""A run beside other work: as many busy processes as there are cores, and none, in turns.

Prints wall and CPU seconds, the ratio of the walls (3 at most is wanted; 2 is a fair share of the cores), and how far
off the time left was that the run's own lines said. `python tests/benchmarks/bench_load.py [ROUNDS]`.
"""

import os
import re
import resource
import subprocess
import sys
import tempfile
import time
from contextlib import contextmanager
from pathlib import Path
from statistics import median

RUNS = {
    "linear.yaml, 10 seeds": ["--config", "linear.yaml", "--seeds", "10"],
    "closed forms of paper.yaml": ["--config", "paper.yaml", "--seeds", "20", "--estimators", "[min_norm]"],
}
LINE = re.compile(r"(\d+):(\d+):(\d+) gone, (?:\?|~?(\d+):(\d+):(\d+)) left")
# A line a second, to see more of them.
COMMAND = (
    "import sys; from gdstudy.sweep import progress; progress.PLAIN_LINE_SECONDS = 1.0; "
    "from gdstudy.train import main; sys.exit(main())"
)


@contextmanager
def neighbours(number):
    """So many processes that each keep a core busy."""
    busy = [subprocess.Popen([sys.executable, "-c", "while True: pass"]) for _ in range(number)]
    try:
        yield
    finally:
        for process in busy:
            process.kill()
            process.wait()


def run(options, folder):
    """Wall seconds, CPU seconds, and (seconds gone, seconds said to be left or None) of each line."""
    before, began = resource.getrusage(resource.RUSAGE_CHILDREN), time.monotonic()
    done = subprocess.run(
        [sys.executable, "-c", COMMAND, *options, "--run_dir", str(folder)], capture_output=True, text=True, check=True
    )
    wall, after = time.monotonic() - began, resource.getrusage(resource.RUSAGE_CHILDREN)
    said = []
    for found in LINE.findall(done.stderr):
        h, m, s, *left = found
        said.append((3600 * int(h) + 60 * int(m) + int(s), _seconds(left) if left[0] else None))
    return wall, after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime, said


def _seconds(parts):
    h, m, s = map(int, parts)
    return 3600 * h + 60 * m + s


def errors(said):
    """How many times too long or short, of lines two seconds or more before the last, which is taken for the end."""
    end = said[-1][0] + 1 if said else 0
    return [
        max(left / (end - gone), (end - gone) / max(left, 0.5))
        for gone, left in said
        if left is not None and end - gone >= 2
    ]


def main():
    rounds, cores = int(sys.argv[1]) if len(sys.argv) > 1 else 3, len(os.sched_getaffinity(0))
    print(f"{cores} cores; load average before {os.getloadavg()[0]:.1f}")
    for name, options in RUNS.items():
        walls, off = {0: [], cores: []}, []
        for _ in range(rounds):
            for busy in walls:
                with tempfile.TemporaryDirectory() as parent, neighbours(busy):
                    wall, cpu, said = run(options, Path(parent) / "run")
                walls[busy].append(wall)
                off += errors(said)
                print(f"{name}: {busy} busy neighbours, {wall:.1f} s, of the CPU {cpu:.1f} s")
        print(f"{name}: {median(walls[cores]) / median(walls[0]):.2f} times as long beside {cores} busy processes")
        if off:
            print(f"{name}: time left said {len(off)} times, off by {median(off):.2f} times, at most {max(off):.2f}")


if __name__ == "__main__":
    main()

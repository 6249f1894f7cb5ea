"""How often `diagnose` is right: 60 planted problems of each kind, on the seeds that tests use some of; CPU seconds.

    python tests/benchmarks/bench_diagnosis.py [FIRST_SEED [N_SEEDS]]

Seeds 1000–1009 and 2000–2059 chose the thresholds of `experiment/verdicts.py`. At least 50 of 60 are to be right.
"""

import sys
import time
from collections import Counter
from pathlib import Path

from gdstudy import diagnose

sys.path.insert(0, str(Path(__file__).parents[2]))
from tests.planted import KINDS, planted


def main(first: int = 0, n_seeds: int = 60) -> None:
    for kind in KINDS:
        start, found = time.process_time(), Counter()
        for seed in range(first, first + n_seeds):
            X, y, verdict = planted(kind, seed)
            found[diagnose(X, y).verdict] += 1
        seconds = (time.process_time() - start) / n_seeds
        others = ", ".join(f"{n} {other}" for other, n in found.most_common() if other is not verdict)
        print(f"{kind.__name__:<20}{found[verdict]:>3}/{n_seeds}  {seconds:.3f} s  {others}", flush=True)


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))

"""What a batch of million.yaml takes where two cores compute: two runs side by side, two processes, two Dask workers.

In turns, each stopped after a while. All batches are of one N, for workers take the largest first. Prints medians in
seconds, and their ratios to the two runs side by side, which have a core and a thread each as the others do.
`python tests/benchmarks/bench_workers.py [ROUNDS [SECONDS]]`.
"""

import subprocess
import sys
import tempfile
from pathlib import Path
from statistics import median

import pyarrow.parquet

COMMAND = [sys.executable, "-m", "gdstudy.train", str(Path(__file__).with_name("million.yaml")), "--quiet"]
COMMAND += ["--n_train", "40", "--seeds", "400000", "--threads", "1"]
KINDS = {
    "one run alone": [[]],
    "two runs side by side": [["--shard", "1/2"], ["--shard", "2/2"]],
    "two processes": [["--executor.kind", "processes", "--executor.workers", "2"]],
    "two Dask workers": [["--executor.kind", "dask", "--executor.workers", "2"]],
}


def seconds(options, limit):
    """Of each batch that was stored by then."""
    with tempfile.TemporaryDirectory() as parent:
        folders = [Path(parent) / str(k) for k in range(len(options))]
        started = [
            subprocess.Popen([*COMMAND, *more, "--run_dir", str(folder), "--stop_after", f"{limit}s"], stderr=-3)
            for folder, more in zip(folders, options, strict=True)
        ]
        assert {process.wait() for process in started} == {75}
        parts = [path for folder in folders for path in (folder / "batches").glob("*.results.parquet")]
        return [float(pyarrow.parquet.read_metadata(path).metadata[b"gdstudy.seconds"]) for path in parts]


def main():
    rounds, limit = (*map(int, sys.argv[1:]), *(2, 25)[len(sys.argv) - 1 :])
    found = {name: [] for name in KINDS}
    for _ in range(rounds):
        for name, options in KINDS.items():
            found[name] += seconds(options, limit)
    fair = median(found["two runs side by side"])
    for name, some in found.items():
        print(f"{name:<22} {median(some):.3f} s a batch ({len(some)} batches), {median(some) / fair:.2f} times")


if __name__ == "__main__":
    main()

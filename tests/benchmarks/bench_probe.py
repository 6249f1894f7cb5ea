"""A linear probe on embeddings: P = 768 features, N from 64 to 3072, ten splits, and no training at all.

    python tests/benchmarks/bench_probe.py

One study of X⁺y, ridge by leave-one-out and gradient descent at five t, with its figures and tables; prints seconds,
seconds of CPU and the peak of memory. It should stay below a minute on two idle cores.
"""

import json
import resource
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

from gdstudy.data.dataset import Dataset
from gdstudy.study.config import Study
from gdstudy.study.datasets import DATASETS, DatasetFacts
from gdstudy.study.groups import GDExact

SIZES = [64, 128, 256, 512, 640, 768, 896, 1024, 1536, 3072]


def embeddings():
    """4000 float32 rows whose 768 columns are correlated, and a noisy score of them."""
    random = np.random.default_rng(0)
    mixing = np.linalg.qr(random.standard_normal((768, 768)))[0] * np.arange(1, 769) ** -0.5
    X = (random.standard_normal((4000, 768)) @ mixing).astype(np.float32)
    y = X @ random.standard_normal(768) + random.standard_normal(4000)
    return Dataset(X, y[:, None], "embeddings")


def study(**changes):
    DATASETS["embeddings"] = DatasetFacts(
        name="embeddings", label="Embeddings", load="bench_probe:embeddings", rows=4000, columns=768
    )
    steps = GDExact(steps=[10, 100, 1000, 10_000, 100_000])
    values = {"datasets": ["embeddings"], "n_train": SIZES, "seeds": 10, "gd_exact": steps}
    return Study(**{**values, "estimators": ["min_norm", "ridge_loo", "gd_exact"], **changes})


def main():
    from gdstudy.train import run_study

    changes = json.loads(sys.argv[1]) if len(sys.argv) > 1 else {}
    with tempfile.TemporaryDirectory() as folder:
        began, busy = time.perf_counter(), time.process_time()
        run_study(study(**changes), Path(folder) / "run")
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6
        seconds, cpu = time.perf_counter() - began, time.process_time() - busy
    print(f"{seconds:.0f} s, {cpu:.0f} s of CPU, {peak:.1f} GB at the peak of the process")


if __name__ == "__main__":
    main()

"""Two models by the size of their stacks, which is what STACK_NUMBERS in gdstudy/experiment/plan.py is read from.

python tests/benchmarks/bench_stacks.py
"""

import time
from dataclasses import replace

from gdstudy.experiment import plan
from gdstudy.experiment.driver import run_batch
from gdstudy.study.parser import find_config, read_study
from gdstudy.study.values import Sizes
from gdstudy.sweep.run import load_datasets


def main():
    for config, model, changes in (
        ("superposition", "superposition", {}),
        ("bottleneck_autoencoder", "bottleneck", {"datasets": ["digits"], "seeds": 30, "input_noise": [0]}),
    ):
        study = read_study(find_config(f"{config}.yaml"))
        hidden = Sizes((min(study.n_hidden),))
        study = replace(study, models=[model], n_hidden=hidden, **changes)
        study.gd.steps = 300
        datasets = load_datasets(study)
        for power in range(14, 23, 2):
            plan.STACK_NUMBERS = 1 << power
            batches = plan.plan(study)
            started = time.perf_counter()
            for batch in batches:
                run_batch(study, next(iter(datasets.values())), batch)
            seconds = time.perf_counter() - started
            print(f"{model}, 2^{power} numbers a stack: {len(batches):3} stacks, {seconds:.2f} s", flush=True)


if __name__ == "__main__":
    main()

"""`python -m gdstudy.figures RUN_DIR`: redraw a run's figures from its stored results."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

from gdstudy.study.console import one_line, prepare, say, tell
from gdstudy.study.errors import StudyError
from gdstudy.study.parser import Parser

if TYPE_CHECKING:
    import numpy as np

    from gdstudy.experiment.tables import Run, Tables

PROG = "gdstudy.figures"


def redraw(run_dir: Path, run: Run | None = None) -> dict[str, np.ndarray]:
    """Draw every figure that a run has the data for into figures/*.png and *.pdf.

    run: its tables where they are loaded already. Returns name → (H, W, 3) uint8 pixels. StudyError for a folder that
    is no run, or holds no finished batch.
    """
    from gdstudy.sweep.folder import check_folder, write_whole
    from gdstudy.sweep.store import load_run
    from gdstudy.views.figures import draw_figures

    if run is None:
        check_folder(run_dir)
        run = as_frames(run_dir, load_run(run_dir))  # SHIM
    if run.results.empty:
        raise StudyError(f"{run_dir} holds no finished batch yet; finish it with --resume {run_dir}")
    folder = run_dir / "figures"
    folder.mkdir(exist_ok=True)
    images = {}
    for name, pixels, png, pdf in draw_figures(run):
        images[name] = pixels
        write_whole(folder / f"{name}.png", png)
        write_whole(folder / f"{name}.pdf", pdf)
    return images


def as_frames(run_dir: Path, tables: Tables) -> Run:  # SHIM, until the store returns a Run of DataFrames
    """A run from tables that are dictionaries, whose data sets carry preprocessing and noise in their names."""
    import pandas as pd

    from gdstudy.experiment.tables import Run
    from gdstudy.sweep.store import load_study

    first = ["dataset", "preprocess", "input_noise", "model", "estimator", "ablation", "level"]
    keys = [*first, "n_parameters", "n_hidden", "n_train", "seed", "step"]
    frames = []
    for table in tables:
        names, places = np_unique(table["dataset"])
        parts = [name.split("+") for name in names]
        told = {
            "dataset": [p[0] for p in parts],
            "preprocess": [next((x for x in p[1:] if not x.startswith("noise")), "none") for p in parts],
            "input_noise": [next((float(x[5:]) for x in p[1:] if x.startswith("noise")), 0.0) for p in parts],
        }
        columns = {name: pd.Series(values, dtype=object)[places].to_numpy() for name, values in told.items()}
        frame = pd.DataFrame({**columns, **{name: column for name, column in table.items() if name != "dataset"}})
        frame["input_noise"] = frame["input_noise"].astype(float)
        for name in frame:
            if name in (*first[:2], *first[3:6], "status", "name"):
                frame[name] = frame[name].astype(str).astype("category")
        frame = frame.sort_values(keys, kind="stable", ignore_index=True)
        frames.append(frame[[*keys[:-2], *[c for c in frame if c not in keys[:-2]]]])
    return Run(load_study(run_dir), *frames)


def np_unique(values: np.ndarray) -> tuple[list[str], np.ndarray]:  # SHIM
    import numpy as np

    names, places = np.unique(values, return_inverse=True)
    return names.tolist(), places


def main(argv: list[str] | None = None) -> int:
    """Exit status: 0 done, 2 something the user can put right (one line on stderr)."""
    prepare()
    parser = Parser(prog=PROG, description="Redraw a run's figures from stored results.")
    parser.add_argument("run_dir", type=Path, help="a run's folder, such as runs/linear/20260101-120000")
    try:
        run_dir = parser.parse_args(argv).run_dir
        names = redraw(run_dir)
    except (StudyError, OSError) as error:
        tell(f"{PROG}: {one_line(error)}")
        return 2
    say(f"{len(names)} figures (PNG and PDF) in {run_dir / 'figures'}")
    return 0


if __name__ == "__main__":
    sys.exit(main())

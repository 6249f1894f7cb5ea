"""TensorBoard: one run per estimator, the same tags in each, so that curves overlay in one card.

Written once, at the end, in increasing step: TensorBoard drops what comes out of order.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from torch.utils.tensorboard import SummaryWriter

from gdstudy.summary import Curve, Table, by_size, by_step, representative_sizes, select

SWEEP = ("test_mse", "train_mse", "smallest_singular_value", "distance")
CONVERGENCE = ("distance", "test_mse", "train_mse")
Scalars = Iterator[tuple[str, Curve]]


def write_board(run_dir: Path, config: str, results: Table, curves: Table, images: dict[str, np.ndarray]) -> None:
    """Write <dataset>/<estimator>/events… and, for config and figures, events… of the run itself.

    images: figure name → (H, W, 3) uint8. An earlier board of the same run is replaced.
    """
    for old in run_dir.glob("events.out.tfevents.*"):
        old.unlink()
    with SummaryWriter(str(run_dir)) as writer:
        writer.add_text("config", f"```yaml\n{config}\n```")
        for name, pixels in images.items():
            writer.add_image(name, pixels, dataformats="HWC")
    for dataset in np.unique(results["dataset"]):
        data, data_curves = select(results, dataset=dataset), select(curves, dataset=dataset)
        shutil.rmtree(run_dir / dataset, ignore_errors=True)
        for estimator in np.unique(data["estimator"]):
            rows = select(data, estimator=estimator)
            with SummaryWriter(str(run_dir / dataset / estimator)) as writer:
                for tag, curve in [*_sweep(rows), *_convergence(estimator, rows, data_curves)]:
                    _write_curve(writer, tag, curve)
                _write_hparams(writer, rows)


def _sweep(rows: Table) -> Scalars:
    for value in SWEEP:
        yield f"sweep/{value}", by_size(rows, value)
    if (rows["estimator"] == "gd").all():
        sizes = np.unique(rows["n_train"])
        share = np.array([(rows["status"][rows["n_train"] == n] == "converged").mean() for n in sizes])
        yield "sweep/fraction_converged", Curve(sizes, share, share, share, share)


def _convergence(estimator: str, rows: Table, curves: Table) -> Scalars:
    for n in representative_sizes(rows["n_train"], int(rows["n_parameters"][0])):
        trained = select(curves, n_train=n)
        for value in CONVERGENCE:
            tag = f"convergence/N={n}/{value}"
            if estimator == "gd":
                yield tag, by_step(trained, value)
            elif estimator == "gd_closed_form":
                yield tag, by_step(trained, f"exact_{value}")
            else:
                # A horizontal line: what training tends to.
                limit, steps = by_size(select(rows, n_train=n), value), np.unique(trained["step"])
                yield tag, Curve(steps, *(np.repeat(v, len(steps)) for v in (limit.low, limit.median, limit.high, limit.mean)))


def _write_curve(writer: SummaryWriter, tag: str, curve: Curve) -> None:
    bands = {tag: curve.median}
    if not np.array_equal(curve.low, curve.high):
        bands |= {f"{tag}_q25": curve.low, f"{tag}_q75": curve.high}
    for name, values in bands.items():
        for x, y in zip(curve.x.tolist(), values.tolist(), strict=True):
            if np.isfinite(y):
                writer.add_scalar(name, y, x)


def _write_hparams(writer: SummaryWriter, rows: Table) -> None:
    P = int(rows["n_parameters"][0])
    sizes = representative_sizes(rows["n_train"], P)
    at = by_size(select(rows, n_train=min(sizes, key=lambda n: abs(n - P))), "test_mse")
    keys = ("dataset", "model", "estimator")
    hparams = {key: str(rows[key][0]) for key in keys} | {"n_parameters": P}
    metrics = {"final/test_mse_at_threshold": float(at.median[0])}
    metrics["final/median_distance"] = float(np.nanmedian(rows["distance"]))
    writer.add_hparams(hparams, metrics, run_name=".")

"""What a person must see of a run in a real browser: TensorBoard on loopback, Chromium without a window."""

import json
import subprocess
import sys
import urllib.request
from importlib.util import find_spec

import numpy as np
import pytest
from board_page import (
    PRINTED,
    browser,
    images,
    margin_charts,
    pinned_cards,
    printed,
    tensorboard,
    untick_outliers,
    until,
    why_not,
)
from conftest import small_study, stored

from gdstudy.study.groups import Training
from gdstudy.study.values import Sizes
from gdstudy.views.board import write_board
from gdstudy.views.figures import FIGURES
from gdstudy.views.figures.files import as_files
from gdstudy.views.summary import by_size, select
from gdstudy.views.terminal import report

pytestmark = [pytest.mark.browser, pytest.mark.skipif(bool(why_not()), reason=why_not() or "there is one")]
DATASETS = {"student_teacher": 20, "diabetes": 10}  # and their P


@pytest.fixture(scope="module")
def run_and_folder(tmp_path_factory):
    """A fresh small run at N = 1 … 60 with its board, and two of its figures."""
    folder = tmp_path_factory.mktemp("browser") / "run"
    gd = Training(steps=300, checkpoints_per_decade=3)
    run = stored(small_study(n_train=Sizes(range(1, 61)), seeds=9, batch_cells=540, gd=gd), folder)
    figures = {name: as_files(FIGURES[name](run))[0] for name in ("divergence", "mse_against_n")}
    write_board(folder, {"config": "seeds: 9"}, run, figures)
    return run, folder


@pytest.fixture(scope="module")
def page(run_and_folder):
    """(browser, address of the server, address that the run prints)"""
    run, folder = run_and_folder
    said = report(run, folder)
    options, address = printed(said, folder)
    assert "Ignore outliers" in said
    with tensorboard(folder, *options) as server, browser() as driver:
        yield driver, server, address.replace(PRINTED, server)


def errors_in(driver):
    return [entry["message"] for entry in driver.get_log("browser") if entry["level"] == "SEVERE"]


def test_the_printed_address_pins_the_right_cards_and_the_spike_is_inside(page, run_and_folder):
    driver, _, address = page
    results = run_and_folder[0].results
    driver.get(address)
    errors = ("sweep/test_mse", "sweep/log10_relative_test_mse")
    wanted = {f"{error}/{name}" for error in errors for name in DATASETS}

    def cards():
        return {card["tag"]: card for card in pinned_cards(driver) if card["tag"].startswith("sweep/")}

    loaded = until(cards, lambda found: found.keys() == wanted and all(len(c["runs"]) == 3 for c in found.values()))
    assert loaded.keys() == wanted
    for tag, card in loaded.items():
        dataset = tag.rpartition("/")[2]
        assert sorted(card["runs"]) == [f"{dataset}/{e}" for e in ("gd", "gd_closed_form", "min_norm")]

    def spikes():
        """Tag → the value at N = P as a share of the card's height above its lower edge."""
        found = {}
        for tag, card in cards().items():
            name = tag.rpartition("/")[2]
            rows = select(results, dataset=name, estimator="min_norm")
            at_P = by_size(select(rows, n_train=DATASETS[name]), "test_mse").median[0]
            if "log10" in tag:
                at_P = np.log10(at_P / rows["target_variance"].iloc[0])
            found[tag] = 1 - card["pixel_of"](at_P) / card["height"]
        return found

    # As TensorBoard opens the spike is cut off: what the printed sentence is about.
    assert max(until(spikes, lambda found: min(found.values()) > 1.1).values()) > 1.1
    untick_outliers(driver)
    for place in until(spikes, lambda found: all(0.3 < place < 1 for place in found.values())).values():
        assert 0.3 < place < 1
    assert errors_in(driver) == []


def test_a_margin_chart_overlays_the_estimators_of_each_data_set(page):
    driver, server, _ = page
    driver.get("about:blank")
    driver.get(f"{server}#custom_scalars&_smoothingWeight=0")
    found = until(lambda: margin_charts(driver), lambda charts: [c["bands"] for c in charts] == [3, 3])
    assert [chart["bands"] for chart in found] == [3, 3]
    assert {chart["title"].partition(":")[0] for chart in found} == DATASETS.keys()
    assert not any("missing" in chart["text"].lower() or "mismatch" in chart["text"].lower() for chart in found)
    assert errors_in(driver) == []


def test_images_are_there_with_a_slider_over_training_time(page):
    driver, server, _ = page
    driver.get("about:blank")
    driver.get(f"{server}#images")
    found = until(lambda: images(driver), lambda shown: len(shown) == 3 and all(image["width"] for image in shown))
    assert found[0]["tag"] == "figures/01_divergence"
    assert all(image["width"] > 300 for image in found)
    last = 6  # of t = 1, 3, 10, 32, 100, 300 → slider positions 0 … 5
    assert [image["slider"] for image in found] == [None, None, last - 1]
    assert errors_in(driver) == []


@pytest.mark.skipif(find_spec("gdstudy.views.live") is None, reason="events are written at the end")
def test_events_appear_before_the_run_has_ended(tmp_path):
    """Over TensorBoard's own interface, while the command is still running."""
    folder = tmp_path / "live"
    # Two batches: a short one, and one that would take hours.
    options = ["--datasets", "[diabetes]", "--n_train", "[5, 10]", "--seeds", "2", "--gd.steps", "1e9"]
    options += ["--gd.engine", "autograd", "--batch_cells", "2", "--run_dir", str(folder)]
    command = [sys.executable, "-m", "gdstudy.train", "--config", "linear.yaml", *options]
    study = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        until(lambda: folder.is_dir() or study.poll() is not None)
        with tensorboard(folder, "--reload_interval", "1") as server:

            def tags():
                with urllib.request.urlopen(f"{server}data/plugin/timeseries/tags") as answer:
                    found = json.load(answer)["scalars"]["runTagInfo"].values()
                return {tag.partition("/")[0] for run in found for tag in run}

            found = until(tags, lambda groups: groups & {"sweep", "convergence", "progress"})
            assert study.poll() is None
            assert found & {"sweep", "convergence", "progress"}
    finally:
        study.terminate()
        study.wait()

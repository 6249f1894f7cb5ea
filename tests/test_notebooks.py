"""The notebooks that README links run as they stand, and give the numbers that they show."""

import re
from pathlib import Path

import nbformat
import pytest
from nbclient import NotebookClient

FOLDER = Path(__file__).parents[1] / "runs/reference"


def texts(notebook):
    """What each of its cells printed."""
    cells = (cell for cell in notebook.cells if cell.cell_type == "code")
    return ["".join(output.get("text", "") for output in cell.outputs) for cell in cells]


def numbers(text):
    return [float(number.replace(",", "")) for number in re.findall(r"-?\d[\d,]*\.?\d*(?:e[+-]?\d+)?", text)]


def run(name):
    """A notebook as it is stored, and run again."""
    stored = nbformat.read(FOLDER / name, as_version=4)
    again = nbformat.read(FOLDER / name, as_version=4)
    for cell in again.cells:
        if cell.cell_type == "code":
            cell.outputs = []
    NotebookClient(again, timeout=300, kernel_name="python3").execute()
    return stored, again


def has_picture(notebook):
    return any("image/png" in output.get("data", {}) for cell in notebook.cells for output in cell.get("outputs", []))


def test_the_tutorial_gives_the_numbers_it_shows_and_they_are_the_divergence():
    stored, again = run("tutorial.ipynb")
    for before, now in zip(texts(stored), texts(again), strict=True):
        assert numbers(now) == pytest.approx(numbers(before), rel=0.02, abs=1e-6)
    found = dict(re.findall(r"^(.+?) +median test MSE at N = P: (.*)$", "\n".join(texts(again)), re.M))
    assert float(found.pop("X⁺y")) > 1000
    assert all(float(error) < 30 for error in found.values())
    assert len(found) == 3
    assert has_picture(again)


@pytest.fixture(scope="module")
def own_data():
    return run("own_data.ipynb")


def test_own_data_gives_the_numbers_it_shows(own_data):
    stored, found = map(texts, own_data)
    assert found[0] == stored[0] == "1797 768\n"
    assert "verdict: near_threshold." in stored[1]
    assert "verdict: near_threshold." in found[1]
    for before, now in zip(stored[3:], found[3:], strict=True):
        assert numbers(now) == pytest.approx(numbers(before), rel=0.02)


def test_at_the_threshold_x_pinv_y_fails_and_what_is_stopped_or_penalised_does_not(own_data):
    _, again = own_data
    (row,) = re.findall(r"^768 .*", texts(again)[3], re.M)
    *stopped, exact, ridge = numbers(row)[1:]
    assert exact < 0.7
    assert ridge > 0.95
    assert stopped[2] > 0.95
    assert has_picture(again)

"""The worked example of README's "Your own data" runs as it stands, and says what it says there."""

import re
from pathlib import Path

import nbformat
import pytest
from nbclient import NotebookClient

NOTEBOOK = Path(__file__).parents[1] / "runs/reference/own_data.ipynb"


def texts(notebook):
    """What each of its cells printed."""
    cells = (cell for cell in notebook.cells if cell.cell_type == "code")
    return ["".join(output.get("text", "") for output in cell.outputs) for cell in cells]


def numbers(text):
    return [float(number.replace(",", "")) for number in re.findall(r"-?\d[\d,]*\.?\d*(?:e[+-]?\d+)?", text)]


@pytest.fixture(scope="module")
def executed():
    notebook = nbformat.read(NOTEBOOK, as_version=4)
    for cell in notebook.cells:
        if cell.cell_type == "code":
            cell.outputs = []
    NotebookClient(notebook, timeout=300, kernel_name="python3").execute()
    return notebook


def test_it_gives_the_numbers_it_shows(executed):
    stored, found = texts(nbformat.read(NOTEBOOK, as_version=4)), texts(executed)
    assert found[0] == stored[0] == "1797 768\n"
    assert "verdict: near_threshold." in stored[1]
    assert "verdict: near_threshold." in found[1]
    for before, now in zip(stored[3:], found[3:], strict=True):
        assert numbers(now) == pytest.approx(numbers(before), rel=0.02)


def test_at_the_threshold_x_pinv_y_fails_and_what_is_stopped_or_penalised_does_not(executed):
    (row,) = re.findall(r"^768 .*", texts(executed)[3], re.M)
    *stopped, exact, ridge = numbers(row)[1:]
    assert exact < 0.7
    assert ridge > 0.95
    assert stopped[2] > 0.95
    assert any("image/png" in output.get("data", {}) for cell in executed.cells for output in cell.get("outputs", []))

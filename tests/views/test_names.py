import ast
from pathlib import Path

from gdstudy import study, views
from gdstudy.study.datasets import DATASETS
from gdstudy.study.models import MODELS
from gdstudy.study.optimizers import OPTIMIZERS

KNOWN = {*MODELS, *DATASETS, *OPTIMIZERS} - {"gd"}  # which is a key of a study too


def texts(path):
    return {node.value for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.Constant)}


def test_views_ask_facts_and_know_no_model_data_set_or_optimizer_by_its_name():
    found = {path.name: texts(path) & KNOWN for path in Path(views.__file__).parent.rglob("*.py")}
    assert len(found) > 20
    assert not {name: names for name, names in found.items() if names}
    # Negative control: where the facts are, the names are.
    assert {"bottleneck", "superposition"} <= texts(Path(study.__file__).parent / "models.py") & KNOWN

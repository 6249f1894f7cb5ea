"""The one-way arrows between modules, and README's commands beside CI's."""

import ast
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
# Each module imports only from rows below its own. `train` draws through `figures`, so it stands above it.
ROWS = [
    {"train"},
    {"figures", "report"},
    {"sweep"},
    {"board", "store"},
    {"claims"},
    {"summary"},
    {"experiment"},
    {"modules"},
    {"descent", "closed_form", "factors"},
    {"engines"},
    {"objectives"},
    {"models", "features", "metrics", "theory", "plan"},
    {"spectrum"},
    {"data", "arrays"},
    {"downloads"},
    {"parser", "folder"},
    {"config"},
    {"checks"},
    {"schema", "values", "status", "threads", "terminal"},
]
DEPTH = {module: depth for depth, row in enumerate(ROWS) for module in row}
FILES = {p.stem: [p] for p in (ROOT / "gdstudy").glob("*.py") if p.stem != "__init__"}
FILES |= {p.parent.name: sorted(p.parent.glob("*.py")) for p in (ROOT / "gdstudy").glob("*/__init__.py")}
MODULES = sorted(FILES)


def at_run_time(node):
    """Nodes below this one, without those that only annotations need (`if TYPE_CHECKING:`)."""
    for child in ast.iter_child_nodes(node):
        if not (isinstance(child, ast.If) and isinstance(child.test, ast.Name) and child.test.id == "TYPE_CHECKING"):
            yield child
            yield from at_run_time(child)


def imports(module):
    """Modules that a module imports as it runs; a package's imports of its own parts are its own affair."""
    for node in (node for file in FILES[module] for node in at_run_time(ast.parse(file.read_text()))):
        if isinstance(node, ast.ImportFrom) and node.module == "gdstudy":
            yield from (alias.name for alias in node.names if alias.name in MODULES)
        elif isinstance(node, ast.ImportFrom) and (node.module or "").startswith("gdstudy."):
            yield from {node.module.split(".")[1]} - {module}


@pytest.mark.parametrize("module", MODULES)
def test_each_module_imports_only_from_rows_below_it(module):
    assert module in DEPTH
    assert all(DEPTH[used] > DEPTH[module] for used in imports(module))


def test_only_commands_and_progress_print_and_through_one_room():
    for module in set(MODULES) - {"terminal"}:
        text = "".join(file.read_text() for file in FILES[module])
        assert not re.search(r"\bprint\(|std(out|err)\.write", text), module
        assert module in ("train", "figures", "sweep", "parser") or not re.search(r"\b(say|tell)\(", text), module


def test_readme_and_ci_run_the_same_commands():
    commands = re.findall(r"```bash\n(.*?)```", (ROOT / "README.md").read_text(), re.DOTALL)
    script = (ROOT / ".ci" / "run").read_text()
    assert len(commands) >= 2
    for command in commands[:2]:
        for line in command.strip().splitlines():
            assert line in script.splitlines()

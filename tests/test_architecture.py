"""The house: one-way arrows between wings, and between the rooms of a wing; and README's commands beside CI's."""

import ast
import re
from graphlib import TopologicalSorter
from pathlib import Path

import pytest

from gdstudy.study.datasets import DATASETS
from gdstudy.study.models import MODELS as MODELS_OF_STUDIES
from gdstudy.study.optimizers import OPTIMIZERS

ROOT = Path(__file__).parent.parent
PACKAGE = ROOT / "gdstudy"
# Each wing imports only from rows below its own: siblings never meet. Modules outside a wing are commands.
ROWS = [
    {"commands"},
    {"sweep", "views"},
    {"experiment"},
    {"training", "closed_form", "theory"},
    {"data"},
    {"linalg"},
    {"study"},
]
DEPTH = {wing: depth for depth, row in enumerate(ROWS) for wing in row}


def name_of(path):
    return ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")


def wing(module):
    part = module.split(".")[1] if "." in module else "commands"
    return part if part in DEPTH else "commands"


MODULES = {name_of(path): path for path in PACKAGE.rglob("*.py")}


def at_run_time(node):
    """Nodes below this one, without those that only annotations need (`if TYPE_CHECKING:`)."""
    for child in ast.iter_child_nodes(node):
        if not (isinstance(child, ast.If) and isinstance(child.test, ast.Name) and child.test.id == "TYPE_CHECKING"):
            yield child
            yield from at_run_time(child)


def imports(path):
    """Modules of the package that a module imports as it runs."""
    for node in at_run_time(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom) and (node.module or "").split(".")[0] == "gdstudy":
            below = [f"{node.module}.{alias.name}" for alias in node.names]
            yield from (name if name in MODULES else node.module for name in below)
        elif isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names if alias.name in MODULES)


USES = {module: set(imports(path)) - {module} for module, path in MODULES.items()}


@pytest.mark.parametrize("module", [module for module in MODULES if wing(module) != "commands"])
def test_each_wing_imports_only_from_wings_below_it(module):
    for used in USES[module]:
        assert wing(used) == wing(module) or DEPTH[wing(used)] > DEPTH[wing(module)], used


def test_rooms_form_no_circle():
    order = list(TopologicalSorter(USES).static_order())  # CycleError names one
    assert set(order) == set(MODULES)


def test_every_folder_is_a_wing_that_says_what_it_knows():
    folders = {path.name for path in PACKAGE.iterdir() if (path / "__init__.py").is_file()}
    assert folders == set(DEPTH) - {"commands"}
    for folder in folders:
        module = ast.parse((PACKAGE / folder / "__init__.py").read_text())
        assert len(ast.get_docstring(module).splitlines()) >= 3
        assert all(isinstance(node, ast.ImportFrom | ast.Expr) for node in module.body), folder


def test_study_needs_no_large_library():
    for module, path in MODULES.items():
        if wing(module) == "study":
            text = path.read_text()
            assert not re.search(r"^\s*(import|from) (torch|pandas|sklearn|numpy|scipy)\b", text, re.MULTILINE), module


def lines_of(function):
    """Lines of a function without its docstring."""
    doc = function.body[0] if ast.get_docstring(function) else None
    said = doc.end_lineno - doc.lineno + 1 if doc else 0
    return function.end_lineno - function.lineno + 1 - said


@pytest.mark.parametrize("module", MODULES)
def test_no_room_has_grown_two_jobs(module):
    text = MODULES[module].read_text()
    assert len(text.splitlines()) <= 300
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.FunctionDef):
            assert lines_of(node) <= 50, node.name


def test_the_map_of_the_house_names_every_room():
    text = (ROOT / "CONTRIBUTING.md").read_text()
    house = text[text.index("| wing |") : text.index("## To add")]
    for module, path in MODULES.items():
        if path.stem != "__init__" and module.count(".") == 2:
            assert f"`{path.stem}`" in house or f"`{path.stem}/" in house, module


NAMES = {*MODELS_OF_STUDIES, *DATASETS, *OPTIMIZERS} - {"gd"}  # which is a key of a study too


def names_in(path):
    texts = (node.value for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.Constant))
    return {text for text in texts if isinstance(text, str)} & NAMES


def test_all_code_asks_facts_and_knows_no_model_data_set_or_optimizer_by_its_name():
    for module, path in MODULES.items():
        if wing(module) not in ("study", "data"):  # where the facts are, and the data sets themselves
            assert not names_in(path), module
    # Negative control: where the facts are, the names are.
    assert {"bottleneck", "superposition"} <= names_in(MODULES["gdstudy.study.models"])


def test_only_commands_and_progress_print_and_through_one_room():
    speaking = {"gdstudy.study.options", *(f"gdstudy.sweep.{room}" for room in ("prepare", "run", "progress"))}
    for module in set(MODULES) - {"gdstudy.study.console"}:
        text = MODULES[module].read_text()
        assert not re.search(r"\bprint\(|std(out|err)\.write", text), module
        if wing(module) != "commands" and module not in speaking:
            assert not re.search(r"\b(say|tell)\(", text), module


# What can run code that comes with data, by the name it is called by, and the arguments that make it harmless.
RUNS_CODE = {
    **dict.fromkeys(("eval", "exec", "compile", "__import__", "os.system", "os.popen", "pd.read_pickle"), ()),
    **dict.fromkeys(("pickle.load", "pickle.loads", "joblib.load", "yaml.unsafe_load", "yaml.full_load"), ()),
    **{"torch.load": ("weights_only=True",), "np.load": ("allow_pickle=False",)},
    **dict.fromkeys(("yaml.load", "yaml.load_all"), ("Loader=yaml.SafeLoader",)),
}
FORBIDDEN_MODULES = {"pickle", "cPickle", "dill", "cloudpickle", "shelve", "marshal"}


def dangers(text):
    """What a module's text could run of data: calls and imports."""
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.Call):
            given = {ast.unparse(keyword) for keyword in node.keywords}
            name = ast.unparse(node.func).replace("numpy.", "np.").replace("pandas.", "pd.")
            if name in RUNS_CODE and not (RUNS_CODE[name] and given >= set(RUNS_CODE[name])):
                yield name
            if "shell=True" in given or "allow_pickle=True" in given or "weights_only=False" in given:
                yield f"{name} {given}"
        elif isinstance(node, ast.Import):
            yield from {alias.name.split(".")[0] for alias in node.names} & FORBIDDEN_MODULES
        elif isinstance(node, ast.ImportFrom):
            yield from {(node.module or "").split(".")[0]} & FORBIDDEN_MODULES
            # By its bare name it would not be seen above.
            hidden = {f"{node.module}.{alias.name}" for alias in node.names}
            yield from hidden & {name.replace("np.", "numpy.").replace("pd.", "pandas.") for name in RUNS_CODE}


@pytest.mark.parametrize("module", MODULES)
def test_nothing_that_is_read_can_run_code(module):
    """But scikit-learn's copy of one table, whose every byte is known before it is unpickled."""
    allowed = {"gdstudy.data.downloads": ["joblib.load"]}.get(module, [])
    assert list(dangers(MODULES[module].read_text())) == allowed


@pytest.mark.parametrize(
    "text",
    [
        *("eval('1')", "import pickle", "from pickle import loads", "torch.load(f)", "np.load(f, allow_pickle=True)"),
        *("numpy.load(f)", "yaml.load(f, Loader=yaml.Loader)", "subprocess.run('ls', shell=True)", "os.system('ls')"),
        *("torch.load(f, weights_only=False)", "from joblib import load", "pandas.read_pickle(f)"),
    ],
)
def test_what_could_run_code_would_be_seen(text):
    assert list(dangers(text))


def test_readme_and_ci_run_the_same_commands():
    commands = re.findall(r"```bash\n(.*?)```", (ROOT / "README.md").read_text(), re.DOTALL)
    script = (ROOT / ".ci" / "run").read_text()
    assert len(commands) >= 2
    for command in commands[:2]:
        for line in command.strip().splitlines():
            assert line in script.splitlines()

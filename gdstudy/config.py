"""The schema of a study: every key, its unit, its default and its bounds, said once.

`--help`, error messages and README's table are read from here. Imports neither torch nor scikit-learn.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, NoReturn

import yaml
from jsonargparse import ActionConfigFile, ArgumentParser, set_parsing_settings  # type: ignore[attr-defined]
from jsonargparse.typing import register_type

set_parsing_settings(docstring_parse_attribute_docstrings=True)

# In the order of Fig. 1.
DATASETS = ("student_teacher", "california_housing", "diabetes", "who_life_expectancy", "linear_plus_cosine")
# `linear` has as many features as the data has columns; the others as many as `n_parameters` says.
MODELS = ("linear", "legendre", "random_relu", "random_fourier")
ESTIMATORS = ("min_norm", "gd", "theory")


class StudyError(Exception):
    """What a user can put right: one line that says what, where and what to do."""


class Sizes(tuple):
    """Whole numbers from 1, increasing. Written `1-60`, `5, 10, 20` or `1-40, 50`, or as a YAML list; may be empty."""

    @classmethod
    def parse(cls, value: Any) -> Sizes:
        text = str(value).strip("[] ")
        items: Iterable[Any] = value if isinstance(value, list | tuple) else text.split(",") if text else ()
        sizes: set[int] = set()
        for item in items:
            match = re.fullmatch(r"\s*(\d+)\s*(?:-\s*(\d+)\s*)?", str(item))
            if not match:
                raise ValueError(f"{value!r} is no list of sizes; write 1-60 or [5, 10, 20]")
            first, last = int(match[1]), int(match[2] or match[1])
            if not 1 <= first <= last:
                raise ValueError(f"{item!r} must count up from at least 1, as in 1-60")
            sizes.update(range(first, last + 1))
        return cls(sorted(sizes))

    def __str__(self) -> str:
        starts = [n for n in self if n - 1 not in self]
        ends = [n for n in self if n + 1 not in self]
        return ", ".join(f"{a}" if a == b else f"{a}-{b}" for a, b in zip(starts, ends, strict=True))

    __repr__ = __str__


class Levels(tuple):
    """Levels of an ablation: numbers from 0, increasing. A YAML list, or `0.1, 1, 10`; may be empty."""

    @classmethod
    def parse(cls, value: Any) -> Levels:
        text = str(value).strip("[] ")
        items = value if isinstance(value, list | tuple) else text.split(",") if text else ()
        try:
            numbers = sorted({float(item) for item in items})
        except (TypeError, ValueError):
            raise ValueError(f"{value!r} is no list of numbers; write [0.1, 1, 10], or [] for none") from None
        if any(not 0 <= number < float("inf") for number in numbers):
            raise ValueError(f"{value!r} must hold finite numbers of at least 0")
        return cls(numbers)

    def __str__(self) -> str:
        return ", ".join(f"{number:g}" for number in self)

    __repr__ = __str__


class StepSize(str):
    """`auto` or a number above 0."""

    @classmethod
    def parse(cls, value: Any) -> StepSize:
        try:
            good = value == "auto" or 0 < float(value) < float("inf")
        except (TypeError, ValueError):
            good = False
        if not good:
            raise ValueError(f"{value!r} must be `auto` (1/σ₁² of each cell) or a number above 0")
        return cls(value)

    @property
    def value(self) -> float | str:
        return "auto" if self == "auto" else float(self)


register_type(Sizes, serializer=str, deserializer=Sizes.parse)
register_type(Levels, serializer=str, deserializer=Levels.parse)
register_type(StepSize, serializer=str, deserializer=StepSize.parse)


@dataclass
class GradientDescent:
    """Full-batch gradient descent from W = 0 on ½‖φ(X)W − Y‖²_F."""

    steps: int = 100_000
    """Most steps a cell may take, at least 1."""
    step_size: StepSize = StepSize("auto")
    """η in W ← W − η Xᵀ(XW − Y), in 1/units of X²; stable below 2/σ₁². `auto`: 1/σ₁² of each cell."""
    tolerance: float = 1e-10
    """A cell has converged when ‖∇L‖ falls below this share of its start, in (0, 1); at least 100 eps of dtype."""
    checkpoints_per_decade: int = 10
    """Log-spaced measurements for each factor of ten in steps, 1 to 100."""
    engine: Literal["gram", "autograd"] = "gram"
    """`gram`: explicit gradients on XᵀX or XXᵀ; `autograd`: torch.optim and backward. The same iterates."""
    preprocess: Literal["same", "none", "center", "standardize"] = "same"
    """What to train on: the study's preprocessing, or its own, beside the closed form of the same data. GD needs
    about κ² steps, and raw κ reaches 10⁹."""
    ablations: list[str] = field(default_factory=list)
    """Ablations of the study that are also trained, each at all its levels."""


@dataclass
class Ablations:
    """What to take out of X⁺y's problem, one factor of Eqn. 1 at a time. An empty list leaves an ablation out."""

    singular_value_cutoff: Levels = Levels()
    """Modes of the training features with σ below this are removed; absolute, units of X."""
    leading_modes: Sizes = Sizes()
    """Test features are projected on so many leading modes of the training features."""
    leading_modes_of: dict[str, Sizes] = field(default_factory=dict)
    """Other numbers of modes for single data sets, such as {student_teacher: [5, 10, 20]}."""
    no_residuals: bool = False
    """Targets are replaced by Xβ*, with β* fitted on all rows."""
    adversarial_test: Levels = Levels()
    """Test rows are moved by this times v_R, the weakest direction of the training features; units of X."""
    adversarial_train: Levels = Levels()
    """Training targets are moved by this times u_R, the weakest left direction; units of y."""

    def levels(self, dataset: str) -> list[tuple[str, float | None]]:
        """(ablation, level) pairs of a data set, in the order of the schema."""
        name = dataset.partition("+")[0]
        pairs: list[tuple[str, float | None]] = [("singular_value_cutoff", x) for x in self.singular_value_cutoff]
        pairs += [("leading_modes", m) for m in self.leading_modes_of.get(name, self.leading_modes)]
        pairs += [("no_residuals", None)] if self.no_residuals else []
        pairs += [("adversarial_test", x) for x in self.adversarial_test]
        pairs += [("adversarial_train", x) for x in self.adversarial_train]
        return pairs


# Keys of Ablations that name one.
ABLATIONS = ("singular_value_cutoff", "leading_modes", "no_residuals", "adversarial_test", "adversarial_train")


@dataclass
class Study:
    """A study: data sets × models × numbers of parameters × training sizes × seeds."""

    datasets: list[str] = field(default_factory=lambda: ["student_teacher", "diabetes"])
    """Data sets: student_teacher (P = 20), california_housing (P = 8), diabetes (P = 10), who_life_expectancy
    (P = 17), linear_plus_cosine (one input, for legendre)."""
    preprocess: Literal["none", "center", "standardize"] = "none"
    """Columns as they are; minus their means; or also over their standard deviation (statistics of all rows)."""
    models: list[str] = field(default_factory=lambda: ["linear"])
    """Zero-initialised readouts on features φ(x): linear (x itself), legendre (polynomials of degree 1 … P),
    random_relu, random_fourier (drawn anew for each seed)."""
    n_train: Sizes = Sizes(range(1, 61))
    """Training-set sizes N in rows, such as 1-60 or [5, 10, 20]; each below the rows of every data set."""
    n_parameters: Sizes = Sizes()
    """Numbers of features P of legendre, random_relu and random_fourier; linear has the columns of the data."""
    seeds: int = 50
    """Number of random splits for each N, at least 1: seeds 0, 1, …"""
    estimators: list[str] = field(default_factory=lambda: ["min_norm", "gd"])
    """min_norm (X⁺y, always), gd (trained, beside its exact iterate), theory (exact expected risk, where the data
    has one)."""
    ablations: Ablations = field(default_factory=Ablations)
    """Ablations."""
    gd: GradientDescent = field(default_factory=GradientDescent)
    """Gradient descent."""
    dtype: Literal["float64", "float32"] = "float64"
    """Precision of training and closed forms; errors are always summed in float64."""
    device: str = "cpu"
    """Where to train: cpu, cuda, cuda:1, …"""
    batch_cells: int = 1000
    """Cells trained as one stack and stored together, at least 1; what a killed run loses at most."""

    def __post_init__(self) -> None:
        self._convert()
        for key, names, known in (
            ("datasets", self.datasets, DATASETS),
            ("models", self.models, MODELS),
            ("estimators", self.estimators, ESTIMATORS),
            ("gd.ablations", self.gd.ablations, ABLATIONS),
            ("ablations.leading_modes_of", list(self.ablations.leading_modes_of), DATASETS),
        ):
            if not names and key in ("datasets", "models"):
                raise StudyError(f"{key}=[] is empty; name at least one of: {', '.join(known)}")
            for name in names:
                if name not in known:
                    raise StudyError(f"{key}: unknown {name!r}{_suggestion(name, known)}; known: {', '.join(known)}")
            if len(set(names)) < len(names):
                raise StudyError(f"{key}={names} names one twice; keep one")
        if not self.n_train:
            raise StudyError("n_train=[] is empty; give sizes such as 1-60 or [5, 10, 20]")
        for key, value, low, high in (
            ("seeds", self.seeds, 1, 10**6),
            ("batch_cells", self.batch_cells, 1, 10**6),
            ("gd.steps", self.gd.steps, 1, 10**12),
            ("gd.checkpoints_per_decade", self.gd.checkpoints_per_decade, 1, 100),
        ):
            if not low <= value <= high:
                raise StudyError(f"{key}={value} must lie in {low} … {high}")
        if not 0 < self.gd.tolerance < 1:
            raise StudyError(f"gd.tolerance={self.gd.tolerance:g} must lie in (0, 1)")
        if not re.fullmatch(r"cpu|cuda(:\d+)?", self.device):
            raise StudyError(f"device={self.device!r} must be cpu, cuda or cuda:<number>")
        self._check_combinations()

    def _convert(self) -> None:
        """Plain lists and numbers, from YAML or Python, become their types."""
        kinds: list[tuple[Any, str, Any]] = [(self, "n_train", Sizes), (self, "n_parameters", Sizes)]
        kinds += [(self.gd, "step_size", StepSize), (self.ablations, "leading_modes", Sizes)]
        kinds += [(self.ablations, key, Levels) for key in ABLATIONS if key not in ("leading_modes", "no_residuals")]
        for owner, key, kind in kinds:
            try:
                setattr(owner, key, kind.parse(getattr(owner, key)))
            except ValueError as error:
                group = {id(self): "", id(self.gd): "gd.", id(self.ablations): "ablations."}[id(owner)]
                raise StudyError(f"{group}{key}: {error}") from None
        try:
            modes = {name: Sizes.parse(value) for name, value in self.ablations.leading_modes_of.items()}
        except ValueError as error:
            raise StudyError(f"ablations.leading_modes_of: {error}") from None
        self.ablations.leading_modes_of = modes

    def _check_combinations(self) -> None:
        if "min_norm" not in self.estimators:
            raise StudyError(f"estimators={self.estimators} must include min_norm, what the others are compared with")
        wide = [model for model in self.models if model != "linear"]
        if wide and not self.n_parameters:
            raise StudyError(f"models: {wide[0]} needs n_parameters, its numbers of features P, such as 1-200")
        if self.n_parameters and not wide:
            raise StudyError(f"n_parameters={self.n_parameters} has no effect: linear has the columns of the data")
        for name in self.datasets:
            # Legendre polynomials are a basis on [−1, 1], which standardised inputs leave.
            scaled = "standardize" in (self.preprocess, self.gd.preprocess)
            if "legendre" in self.models and (name != "linear_plus_cosine" or scaled):
                raise StudyError(
                    f"models: legendre needs one input in [−1, 1]; use datasets: [linear_plus_cosine] without "
                    f"standardizing (here {name}, preprocess={self.preprocess}, gd.preprocess={self.gd.preprocess})"
                )
        studied = {ablation for name in self.datasets for ablation, _ in self.ablations.levels(name)}
        for ablation in self.gd.ablations:
            if ablation not in studied:
                raise StudyError(f"gd.ablations: {ablation} has no levels in `ablations`; give it some there")


def _suggestion(word: str, known: Iterable[str]) -> str:
    close = difflib.get_close_matches(word, list(known), n=1)
    return f" (did you mean {close[0]}?)" if close else ""


class _ConfigFile(ActionConfigFile):
    """`--config linear.yaml` also finds ./configs/linear.yaml and the studies that come with the package."""

    def __call__(self, parser: Any, namespace: Any, values: Any, option_string: str | None = None) -> None:
        path = find_config(values)
        check_yaml(path)
        super().__call__(parser, namespace, str(path), option_string)


class StudyParser(ArgumentParser):
    """The parser of a study's keys, with every complaint as one line that names the key."""

    def error(self, message: str, ex: Exception | None = None) -> NoReturn:
        raise StudyError(self.one_line(message))

    def one_line(self, message: str) -> str:
        text = " ".join(message.split())
        keys = [k for action in self._actions for k in [action.dest] if k and k != "help"]
        if found := re.search(r"Parser key \"([^\"]+)\": (.*)", text):
            key, text = found[1], found[2]
            if wrong := re.search(r"Expected an? (.*?)\. Got value: (.*)", text):
                kind = wrong[1].replace("typing.", "").replace("<class '", "").replace("'>", "")
                text = f"{wrong[2]!r} is not allowed; expected {kind}"
            return f"{key}: {re.sub(r'^Not of type [^:]*: ', '', text)}"
        if found := re.search(r"(?:[Uu]nrecognized arguments: --|accept option '|[Kk]ey '|Option ')([\w.]+)", text):
            key = found[1]
            if group := re.search(r"Group '([\w.]+)' does not", text):
                key = f"{group[1]}.{key}"
            return f"unknown key {key!r}{_suggestion(key, keys)}; --help lists every key"
        return text


def find_config(name: str | Path) -> Path:
    """A config file by path, or by bare name in ./configs/ or among the studies that come with the package."""
    package = Path(__file__).parent
    places = [
        Path(name),
        Path("configs") / name,
        package / "configs" / name,
        package.parent / "configs" / name,
    ]
    for path in places:
        if path.is_file():
            return path
    shipped = sorted({p.name for place in places[1:] for p in place.parent.glob("*.yaml")})
    raise StudyError(
        f"config {str(name)!r} is no file here or in configs/{_suggestion(str(name), shipped)}; "
        f"known studies: {', '.join(shipped) or 'none'}"
    )


def check_yaml(path: Path) -> None:
    """StudyError with file and line unless `path` holds a YAML mapping."""
    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
    except yaml.MarkedYAMLError as error:
        line = error.problem_mark.line + 1 if error.problem_mark else 1
        raise StudyError(f"{path}, line {line}: not valid YAML: {error.problem}") from None
    except (UnicodeDecodeError, yaml.YAMLError) as error:
        raise StudyError(f"{path}: not valid YAML: {' '.join(str(error).split())}") from None
    if not isinstance(content, dict):
        raise StudyError(f"{path}, line 1: must be a mapping of keys to values, such as `seeds: 50`")


def study_parser(prog: str, description: str) -> StudyParser:
    parser = StudyParser(prog=prog, description=description, allow_abbrev=False)
    parser.add_argument(
        "--config", action=_ConfigFile, help="The study, a YAML file; bare names are found in configs/."
    )
    parser.add_class_arguments(Study)
    return parser


def read_study(path: str | Path) -> Study:
    """The study in a YAML file. StudyError, naming the file, for anything that does not fit the schema."""
    parser = study_parser("gdstudy", "")
    try:
        return build(parser.parse_args(["--config", str(path)]))
    except StudyError as error:
        raise StudyError(str(error) if str(path) in str(error) else f"{path}: {error}") from None


_GROUPS = {"gd": GradientDescent, "ablations": Ablations}


def build(namespace: Any) -> Study:
    """The checked Study of parsed arguments."""
    values = {key: namespace[key] for key in Study.__dataclass_fields__ if key not in _GROUPS}
    groups = {key: kind(**namespace[key].as_dict()) for key, kind in _GROUPS.items()}
    return Study(**values, **groups)


def as_dict(study: Study) -> dict[str, Any]:
    """Plain values, in the order of the schema; `read_study` of its YAML gives the study back."""
    return {key: _plain(getattr(study, key)) for key in Study.__dataclass_fields__}


def _plain(value: Any) -> Any:
    if type(value) in _GROUPS.values():
        return {key: _plain(getattr(value, key)) for key in type(value).__dataclass_fields__}
    if isinstance(value, dict):
        return {key: _plain(item) for key, item in value.items()}
    if isinstance(value, Levels):
        return list(value)
    return str(value) if isinstance(value, Sizes | StepSize) else value


def as_yaml(study: Study) -> str:
    return yaml.safe_dump(as_dict(study), sort_keys=False, allow_unicode=True, default_flow_style=None)

"""The schema of a study: every key, its unit, its default and its bounds, said once.

`--help` and error messages are read from here. Imports neither torch nor scikit-learn.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, fields, replace
from functools import cache
from typing import Any, Literal, get_origin, get_type_hints

from gdstudy.study.checks import check, check_training_names
from gdstudy.study.datasets import DatasetFacts
from gdstudy.study.errors import StudyError, shown, suggestion
from gdstudy.study.groups import GROUPS, Ablations, Executor, GDExact, Ridge, Synthetic, Training
from gdstudy.study.models import MODELS
from gdstudy.study.seeds import Seeds
from gdstudy.study.sources import File, Source, facts_of, keys_of, source_of
from gdstudy.study.values import Levels, Memory, Sizes, Threads, convert


@dataclass
class Study:
    """A study: data sets × models × numbers of parameters × training sizes × seeds."""

    datasets: list[str] = field(default_factory=lambda: ["student_teacher", "diabetes"])
    """Data sets: student_teacher (P = 20), california_housing (P = 8), diabetes (P = 10), who_life_expectancy
    (P = 17), linear_plus_cosine (one input, for legendre), digits (8×8 pixels in [0, 1]; y: one of ten classes);
    for autoencoders also isotropic (Σ = I), power_law (Σ = diag 1/i) and sparse_features (rows of length 1). Your own:
    paths of files (.csv, .tsv, also .gz; .parquet, .feather, .npz, .npy, .pt, .safetensors) and openml:NAME."""
    file: File = field(default_factory=File)
    """How files are read."""
    files: dict[str, dict[str, Any]] = field(default_factory=dict)
    """Single files by their path, as in `datasets`, each with the keys of `file` in which it differs, such as
    {clinic.csv: {target: outcome}}."""
    synthetic: Synthetic = field(default_factory=Synthetic)
    """Synthetic data sets."""
    input_noise: Levels = Levels((0.0,))
    """Standard deviations of Gaussian noise that autoencoders see on their inputs (training and test, drawn for each
    seed) while their target stays clean; units of X. 0: none."""
    preprocess: Literal["none", "center", "standardize", "center_train", "standardize_train"] = "none"
    """none: columns as they are, targets not centred. center: columns and targets minus their means over all rows.
    standardize: columns then over their standard deviation too. center_train, standardize_train: the same by each
    cell's training rows, so that nothing is known of test rows; for linear, and the threshold is N = P + 1, since the
    mean is fitted too. Errors are in units of y always: a prediction has the mean added back."""
    intercept: bool = False
    """Give features a last column of ones, [φ(x), 1], trained as the others; no ridge penalises it. Tables then count
    P + 1 parameters, and the threshold is N = P + 1; legendre has degree 0 as well. false: no constant, as in the
    paper: targets whose mean is not 0 then need `preprocess`."""
    models: list[str] = field(default_factory=lambda: ["linear"])
    """Zero-initialised readouts of y on features φ(x): linear (x itself), legendre (polynomials of degree 1 … P),
    random_relu, random_fourier, random_tanh, mirrored_relu (random, drawn for each seed). <any of these but
    legendre>_autoencoder: the same with x as its target. bottleneck, bottleneck_aligned, bottleneck_zero: two linear
    layers, D → n_hidden → D, by their start. superposition, superposition_zero: x̂ = ReLU(WᵀWx + b)."""
    n_train: Sizes = Sizes(range(1, 61))
    """Training-set sizes N in rows, such as 1-60 or [5, 10, 20]; each below the rows of every data set."""
    n_parameters: Sizes = Sizes()
    """Numbers of features P of legendre and the random maps; linear has the columns of the data."""
    n_hidden: Sizes = Sizes()
    """Widths of the hidden layer of bottleneck and superposition."""
    seeds: Seeds = Seeds(range(50))
    """Random splits for each N: how many, at least 1 (50: seeds 0, 1, …, 49), or which, such as 100-199 or [3, 7].
    Pictures are of the first one."""
    estimators: list[str] = field(default_factory=lambda: ["min_norm", "gd"])
    """min_norm (the closed form, always: X⁺Y, for a bottleneck `pca` or, with input noise, `reduced_rank`), gd
    (the training of that name), theory (exact expected risk, where the data has one); of readouts also ridge (at
    ridge.levels), ridge_loo (its λ by exact leave-one-out in each cell) and gd_exact (descent at gd_exact.steps,
    without taking them). `trainings` are all trained."""
    ablations: Ablations = field(default_factory=Ablations)
    """Ablations."""
    ridge: Ridge = field(default_factory=Ridge)
    """Ridge regression."""
    gd_exact: GDExact = field(default_factory=GDExact)
    """Exact gradient descent."""
    gd: Training = field(default_factory=Training)
    """The training `gd`, and the defaults of all others."""
    trainings: dict[str, dict[str, Any]] = field(default_factory=dict)
    """More trainings by name, each with the keys of `gd` in which it differs, such as {adam: {optimizer: adam,
    step_size: 0.01}}. The name is its estimator in tables and figures."""
    device: str = "cpu"
    """Where to train: cpu, cuda, cuda:1, …; auto: on a GPU if one is here and, timed for a moment on each, saves more
    than its start costs; shards that begin apart decide for themselves. A run keeps what it began on."""
    threads: Threads = Threads("auto")
    """Threads: `auto` or so many. `auto` is one of PyTorch's for small cells, more while that is measured to be faster;
    for machine code, whose threads do not wait for each other, all; in a worker one."""
    batch_cells: int = 1000
    """Cells trained as one stack and stored together, at least 1; what a killed run computes again at most, with
    workers in each of them."""
    save_every: float = 3.0
    """Minutes after which a batch that is under way is saved again, so that a killed run goes on from there with the
    same numbers; 0: at each look."""
    memory: Memory = Memory("2GB")
    """Most that a batch may take, such as 500MB or 8GB (10⁶ and 10⁹ bytes), at least 100MB: larger batches are divided.
    Each worker has one at a time. The same on every machine, as the digits of a cell can depend on its batch."""
    executor: Executor = field(default_factory=Executor)
    """Where batches are computed."""
    csv_rows: int = 1_000_000
    """Most rows of which results.csv is written; 0 for never. More are read in Python with `load_results`, and
    summary.csv has their medians and quartiles."""
    fingerprints: dict[str, dict[str, Any]] = field(default_factory=dict)
    """Written by a run: what each data set of your own held (sha256, rows, columns, outputs, classes). Data that hold
    something else now are refused."""

    def __post_init__(self) -> None:
        _convert(self)
        for group, kind in GROUPS.items():
            if not isinstance(value := getattr(self, group), kind):
                raise StudyError(f"{group}: {shown(value)} is not allowed; give a {kind.__name__}(…)")
            _convert(value, f"{group}.")
        check_training_names(self.trainings)
        for mapping, kind in (("trainings", Training), ("files", File)):
            for name, differs in (of := getattr(self, mapping)).items():
                group = f"{mapping}.{name}."
                refuse_unknown(differs, kind, group)
                of[name] = {key: _converted(kinds(kind)[key], x, group + key) for key, x in differs.items()}
        check(self)

    @property
    def trained(self) -> dict[str, Training]:
        """What is trained, by the name of its estimator."""
        found = {"gd": self.gd} if "gd" in self.estimators else {}
        return found | {name: self._training(differs) for name, differs in self.trainings.items()}

    def _training(self, differs: Mapping[str, Any]) -> Training:
        changes = dict(differs)
        if changes.get("optimizer", self.gd.optimizer) != self.gd.optimizer:
            # Those of gd are another optimizer's.
            changes = {"optimizer_options": {}, "momentum": 0.0, **changes}
        return replace(self.gd, **changes)

    @property
    def sources(self) -> list[Source]:
        """What the entries of `datasets` mean, in their order."""
        return [source_of(entry, keys_of(self, entry)) for entry in self.datasets]

    @property
    def names(self) -> list[str]:
        """The names of the data sets, as in tables: of a file its own."""
        return [source.name for source in self.sources]

    def facts(self, name: str) -> DatasetFacts:
        """What is known of one of its data sets: of a file its sizes only once it was read."""
        return facts_of(self, name)

    def hidden_sizes(self, model: str) -> tuple[int | None, ...]:
        """The widths of a model's hidden layer that are studied; (None,) for a readout, which has none."""
        return tuple(self.n_hidden) if MODELS[model].layered else (None,)


# Keys that say how a run is computed or shown, and not what it is: they may differ when it is resumed.
HOW: tuple[str, ...] = ("executor", "csv_rows", "save_every")
# Keys by what they are about, as --help lists them; those of groups have headings of their own.
TOPICS = {
    "data": ("datasets", "files", "input_noise", "preprocess", "intercept", "fingerprints"),
    "models and sizes": ("models", "n_train", "n_parameters", "n_hidden", "seeds"),
    "what is fitted": ("estimators", "trainings"),
    "how it is computed and kept": ("device", "threads", "batch_cells", "save_every", "memory", "csv_rows"),
}
# Keys in which a run can grow.
GROWS = ("n_train", "n_parameters", "n_hidden", "seeds")


@cache
def kinds(kind: Any) -> dict[str, Any]:
    """Key → type of its value, of a study or of a group of its keys, in the order of the schema."""
    hints = get_type_hints(kind)
    return {key.name: hints[key.name] for key in fields(kind)}


# Keys whose values are mappings of names, any of which may be an option of its own.
MAPPINGS = (
    "trainings",
    *(f"{group}.{key}" for group, kind in GROUPS.items() for key, of in kinds(kind).items() if get_origin(of) is dict),
)


@cache
def every_key() -> tuple[str, ...]:
    """Every key of a study, those of groups as `group.key`."""
    single = [key for key in kinds(Study) if key not in GROUPS]
    return (*single, *(f"{group}.{key}" for group, kind in GROUPS.items() for key in kinds(kind)))


# Keys of earlier versions, and what to write now.
_MOVED = {
    "dtype": "each training has its own; write gd.dtype",
    "ablations.learning_rate": "a step size is a training; write it as trainings: {slow: {step_size: 0.001}}",
    "ablations.restarts": "they are a training; write it as trainings: {best_of_3: {restarts: 3}}",
}


def unknown_key(name: str, known: Iterable[str] = ()) -> StudyError:
    """What to say of a key that is none, or no longer. known: default, every key of a study."""
    if name in _MOVED:
        return StudyError(f"{name} is no key any more: {_MOVED[name]}")
    if name in every_key():  # a flat key in a file
        group, _, key = name.partition(".")
        return StudyError(f"unknown key {shown(name)}; in a file write {key} below {group}, as {group}: {{{key}: …}}")
    known = list(known or every_key())
    inside = [key for key in known if key.endswith(f".{name}")]
    close = f" (did you mean {inside[0]}?)" if inside else suggestion(name, known)
    return StudyError(f"unknown key {shown(name)}{close}; --help lists every key")


def refuse_unknown(values: Mapping[Any, Any], kind: type, group: str = "") -> None:
    """StudyError for the first key that a group of keys does not have."""
    for key in values:
        if key not in kinds(kind):
            raise unknown_key(f"{group}{key}", [f"{group}{known}" for known in kinds(kind)] if group else ())


def _convert(owner: Any, group: str = "") -> None:
    """Values as people write them, in YAML or Python, become those of their type. StudyError names the key."""
    for key, kind in kinds(owner.__class__).items():
        if kind not in list(GROUPS.values()):
            setattr(owner, key, _converted(kind, getattr(owner, key), f"{group}{key}"))


def _converted(kind: Any, value: Any, key: str) -> Any:
    try:
        return convert(kind, value)
    except ValueError as error:
        raise StudyError(f"{key}: {error}") from None

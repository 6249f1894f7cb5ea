"""The schema of a study: every key, its unit, its default and its bounds, said once.

`--help`, error messages and README's table are read from here. Imports neither torch nor scikit-learn.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable
from dataclasses import dataclass, field, fields
from functools import cache
from typing import Any, Literal, get_origin, get_type_hints

from gdstudy.values import Levels, Sizes, StepSize, Threads, convert, shown

# In the order of Fig. 1.
DATASETS = (
    *("student_teacher", "california_housing", "diabetes", "who_life_expectancy", "linear_plus_cosine"),
    *("digits", "isotropic", "power_law", "sparse_features"),
)
# Rows and columns of those whose sizes are not the study's.
SHAPES = {
    "student_teacher": (1000, 20),
    "california_housing": (20640, 8),
    "diabetes": (442, 10),
    "who_life_expectancy": (1649, 17),
    "linear_plus_cosine": (1000, 1),
    "digits": (1797, 64),
}
# These have inputs and no y: an autoencoder's data.
INPUTS_ONLY = ("isotropic", "power_law", "sparse_features")

# Readouts, linear in what is trained. An autoencoder's target is its input x; the others' is y.
FEATURE_MAPS = ("linear", "legendre", "random_relu", "random_fourier", "random_tanh", "mirrored_relu")
READOUT_AUTOENCODERS = tuple(f"{name}_autoencoder" for name in FEATURE_MAPS if name != "legendre")
# Autoencoders that are not linear in what is trained, by their start: small (or Xavier's), aligned, zero.
BOTTLENECKS = ("bottleneck", "bottleneck_aligned", "bottleneck_zero")
SUPERPOSITIONS = ("superposition", "superposition_zero")
ZERO_STARTS = ("bottleneck_zero", "superposition_zero")
NONLINEAR = (*BOTTLENECKS, *SUPERPOSITIONS)
AUTOENCODERS = (*READOUT_AUTOENCODERS, *NONLINEAR)
MODELS = (*FEATURE_MAPS, *AUTOENCODERS)
# These have as many parameters P as the data has columns; the others as many as `n_parameters` says.
AS_WIDE_AS_DATA = ("linear", "linear_autoencoder", *NONLINEAR)

ESTIMATORS = ("min_norm", "gd", "theory")
# What torch.optim calls them, in lower case; `gd` is plain gradient descent, a step size of its own for each cell.
# Those that treat every number by itself: in a stack they do to a cell what they do to it alone.
OPTIMIZERS = ("gd", "sgd", "adam", "adamw", "adamax", "nadam", "radam", "rmsprop", "adagrad", "adadelta", "rprop")


class StudyError(Exception):
    """What a user can put right: one line that says what, where and what to do."""


# A study of more cells is planned as several. Numbers of a synthetic data set, dense or (mostly zeros) sparse, and the
# inputs of a sparse one.
MOST_CELLS, MOST_NUMBERS, MOST_SPARSE_NUMBERS, MOST_INPUTS = 10**7, 10**8, 4 * 10**9, 10**5


@dataclass
class GradientDescent:
    """Full-batch training; of readouts, gradient descent from W = 0 on ½‖φ(X)W − Y‖²_F."""

    steps: int = 100_000
    """Most steps a cell may take, at least 1."""
    step_size: StepSize = StepSize("auto")
    """η in W ← W − η Xᵀ(XW − Y), in 1/units of X²; stable below 2/σ₁². `auto`: 1/σ₁² of each cell; for a bottleneck
    half its limit at the optimum, 1/(2σ₁²) or less. With another optimizer: its learning rate, a number."""
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
    optimizer: str = "gd"
    """gd, or one of torch.optim for bottleneck and superposition, which then names the estimator."""
    optimizer_options: dict[str, float] = field(default_factory=dict)
    """More arguments of the torch.optim class, such as {weight_decay: 0.01}."""
    warmup: float = 0.0
    """Share of the steps over which the step size rises from 0, in [0, 1); for bottleneck and superposition."""
    schedule: Literal["constant", "cosine"] = "constant"
    """The step size after the warm-up: constant, or falling to 0 at the last step as half a cosine."""
    init_scale: float = 1e-3
    """Start of a bottleneck: standard deviation of its weights, projected on the row space; for bottleneck_aligned
    the square root of each mode's strength. Superposition starts from Xavier's uniform weights."""


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
    learning_rate: Levels = Levels()
    """Step sizes that bottleneck and superposition are trained with as well, at the smallest n_hidden."""
    restarts: Sizes = Sizes()
    """Bottleneck and superposition at the smallest n_hidden, the best of so many starts by its training loss."""

    def levels(self, dataset: str) -> list[tuple[str, float | None]]:
        """(ablation, level) pairs of a data set, in the order of the schema."""
        name = dataset.partition("+")[0]
        pairs: list[tuple[str, float | None]] = [("singular_value_cutoff", x) for x in self.singular_value_cutoff]
        pairs += [("leading_modes", m) for m in self.leading_modes_of.get(name, self.leading_modes)]
        pairs += [("no_residuals", None)] if self.no_residuals else []
        pairs += [("adversarial_test", x) for x in self.adversarial_test]
        pairs += [("adversarial_train", x) for x in self.adversarial_train]
        return pairs

    def trainings(self) -> list[tuple[str, float | None]]:
        """(ablation, level) pairs that change how a model is trained, not its data."""
        pairs: list[tuple[str, float | None]] = [("learning_rate", x) for x in self.learning_rate]
        return pairs + [("restarts", k) for k in self.restarts]


# Keys of Ablations that name one, of the data.
ABLATIONS = ("singular_value_cutoff", "leading_modes", "no_residuals", "adversarial_test", "adversarial_train")


@dataclass
class Synthetic:
    """The sizes of the data sets isotropic, power_law and sparse_features."""

    n_inputs: int = 16
    """Columns D, at least 1."""
    n_rows: int = 5000
    """Rows in all, training and test, at least 2."""
    p_nonzero: float = 0.05
    """sparse_features: probability that an entry is not zero, in (0, 1]."""


@dataclass
class Study:
    """A study: data sets × models × numbers of parameters × training sizes × seeds."""

    datasets: list[str] = field(default_factory=lambda: ["student_teacher", "diabetes"])
    """Data sets: student_teacher (P = 20), california_housing (P = 8), diabetes (P = 10), who_life_expectancy
    (P = 17), linear_plus_cosine (one input, for legendre), digits (8×8 pixels in [0, 1]; y: one of ten classes);
    for autoencoders also isotropic (Σ = I), power_law (Σ = diag 1/i) and sparse_features (rows of length 1)."""
    synthetic: Synthetic = field(default_factory=Synthetic)
    """Synthetic data sets."""
    input_noise: Levels = Levels((0.0,))
    """Standard deviations of Gaussian noise that autoencoders see on their inputs (training and test, drawn for each
    seed) while their target stays clean; units of X. 0: none."""
    preprocess: Literal["none", "center", "standardize"] = "none"
    """Columns as they are; minus their means; or also over their standard deviation (statistics of all rows)."""
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
    seeds: int = 50
    """Number of random splits for each N, at least 1: seeds 0, 1, …"""
    estimators: list[str] = field(default_factory=lambda: ["min_norm", "gd"])
    """min_norm (the closed form, always: X⁺Y, for a bottleneck `pca` or, with input noise, `reduced_rank`), gd
    (trained, beside its exact iterate where there is one), theory (exact expected risk, where the data has one)."""
    ablations: Ablations = field(default_factory=Ablations)
    """Ablations."""
    gd: GradientDescent = field(default_factory=GradientDescent)
    """Gradient descent."""
    dtype: Literal["float64", "float32"] = "float64"
    """Precision of training. Closed forms, exact iterates and errors are always computed in float64."""
    device: str = "cpu"
    """Where to train: cpu, cuda, cuda:1, …"""
    threads: Threads = Threads("auto")
    """Threads of PyTorch: `auto` (one for small cells, more while that is measured to be faster) or so many."""
    batch_cells: int = 1000
    """Cells trained as one stack and stored together, at least 1; what a killed run loses at most."""

    def __post_init__(self) -> None:
        _convert(self)
        for group, kind in GROUPS.items():
            if not isinstance(value := getattr(self, group), kind):
                raise StudyError(f"{group}: {shown(value)} is not allowed; give a {kind.__name__}(…)")
            _convert(value, f"{group}.")
        self._check_names()
        self._check_bounds()
        self._check_combinations()
        self._check_rows()
        self._check_cells()

    def _check_names(self) -> None:
        for key, names, known in (
            ("datasets", self.datasets, DATASETS),
            ("models", self.models, MODELS),
            ("estimators", self.estimators, ESTIMATORS),
            ("gd.ablations", self.gd.ablations, ABLATIONS),
            ("gd.optimizer", [self.gd.optimizer], OPTIMIZERS),
            ("ablations.leading_modes_of", list(self.ablations.leading_modes_of), DATASETS),
        ):
            if not names and key in ("datasets", "models"):
                raise StudyError(f"{key}=[] is empty; name at least one of: {', '.join(known)}")
            for name in names:
                if name not in known:
                    close = suggestion(name, known)
                    raise StudyError(f"{key}: unknown {shown(name)}{close}; known: {', '.join(known)}")
            if len(set(names)) < len(names):
                raise StudyError(f"{key}={shown(names)} names one twice; keep one")
        if not re.fullmatch(r"cpu|cuda(:\d{1,3})?", self.device):
            raise StudyError(f"device={shown(self.device)} must be cpu, cuda or cuda:<number>")

    def _check_bounds(self) -> None:
        if not self.n_train:
            raise StudyError("n_train=[] is empty; give sizes such as 1-60 or [5, 10, 20]")
        for key, value, low, high in (
            ("seeds", self.seeds, 1, 10**6),
            ("batch_cells", self.batch_cells, 1, 10**6),
            ("gd.steps", self.gd.steps, 1, 10**12),
            ("gd.checkpoints_per_decade", self.gd.checkpoints_per_decade, 1, 100),
            ("synthetic.n_inputs", self.synthetic.n_inputs, 1, 10**6),
            ("synthetic.n_rows", self.synthetic.n_rows, 2, 10**7),
        ):
            if not low <= value <= high:
                raise StudyError(f"{key}={value} must lie in {low} … {high}")
        if not 0 < self.gd.tolerance < 1:
            raise StudyError(f"gd.tolerance={self.gd.tolerance:g} must lie in (0, 1)")
        for key, share, good, bounds in (
            ("gd.warmup", self.gd.warmup, 0 <= self.gd.warmup < 1, "[0, 1)"),
            ("synthetic.p_nonzero", self.synthetic.p_nonzero, 0 < self.synthetic.p_nonzero <= 1, "(0, 1]"),
            ("gd.init_scale", self.gd.init_scale, 1e-12 <= self.gd.init_scale <= 1, "1e-12 … 1"),
        ):
            if not good:
                raise StudyError(f"{key}={share:g} must lie in {bounds}")
        if self.synthetic.p_nonzero * self.synthetic.n_inputs < 1e-3:
            raise StudyError(
                f"synthetic.p_nonzero={self.synthetic.p_nonzero:g} leaves nearly every row of "
                f"{self.synthetic.n_inputs} inputs empty; raise it to at least {1e-3 / self.synthetic.n_inputs:g}"
            )

    def _check_cells(self) -> None:
        """What no machine holds is refused before anything is computed."""
        widths = sum(
            len(self.hidden_sizes(model)) * (1 if model in AS_WIDE_AS_DATA else len(self.n_parameters))
            for model in self.models
        )
        cells = len(self.datasets) * len(self.input_noise) * widths * len(self.n_train) * self.seeds
        if cells > MOST_CELLS:
            raise StudyError(
                f"the study has {cells:,} cells, more than {MOST_CELLS:,}; lower seeds, or give n_train a stride"
            )

    def _check_rows(self) -> None:
        """The data sets have the rows and columns that the study asks for."""
        sizes = self.synthetic
        for name in set(self.datasets) & set(INPUTS_ONLY):
            most = MOST_SPARSE_NUMBERS if name == "sparse_features" else MOST_NUMBERS
            # Sparse rows are drawn a thousand at a time.
            if sizes.n_rows * sizes.n_inputs > most or (most == MOST_SPARSE_NUMBERS and sizes.n_inputs > MOST_INPUTS):
                raise StudyError(
                    f"synthetic.n_rows={sizes.n_rows} × n_inputs={sizes.n_inputs} is too large for {name}: at most "
                    f"{most:.0e} numbers and {MOST_INPUTS:.0e} inputs"
                )
        for name in self.datasets:
            rows, columns = SHAPES.get(name, (sizes.n_rows, sizes.n_inputs))
            if max(self.n_train) >= rows:
                more = ", or raise synthetic.n_rows" if name in INPUTS_ONLY else ""
                raise StudyError(
                    f"n_train={max(self.n_train)} is too many for {name}: it has {rows} rows, and at least one is for "
                    f"testing; use at most {rows - 1}{more}"
                )
            if self.n_hidden and max(self.n_hidden) > columns:
                raise StudyError(
                    f"n_hidden={max(self.n_hidden)} is no bottleneck for {name}: it has {columns} columns; use at most "
                    "as many"
                )

    def _check_combinations(self) -> None:
        if "min_norm" not in self.estimators:
            raise StudyError(f"estimators={self.estimators} must include min_norm, what the others are compared with")
        wide = [model for model in self.models if model not in AS_WIDE_AS_DATA]
        if wide and not self.n_parameters:
            raise StudyError(f"models: {wide[0]} needs n_parameters, its numbers of features P, such as 1-200")
        if self.n_parameters and not wide:
            raise StudyError(
                f"n_parameters={self.n_parameters} has no effect: {self.models[0]} has the columns of the data"
            )
        self._check_targets()
        self._check_nonlinear()
        for name in self.datasets:
            # Legendre polynomials are a basis on [−1, 1], which standardised inputs leave.
            scaled = "standardize" in (self.preprocess, self.gd.preprocess)
            if "legendre" in self.models and (name != "linear_plus_cosine" or scaled):
                raise StudyError(
                    f"models: legendre needs one input in [−1, 1]; use datasets: [linear_plus_cosine] without "
                    f"standardizing (here {name}, preprocess={self.preprocess}, gd.preprocess={self.gd.preprocess})"
                )
        for key in ("singular_value_cutoff", "adversarial_test", "adversarial_train", "learning_rate"):
            levels = getattr(self.ablations, key)
            if len({f"{level:.3g}" for level in levels}) < len(levels):
                raise StudyError(f"ablations.{key}={levels} must differ in their first three digits")
        studied = {ablation for name in self.datasets for ablation, _ in self.ablations.levels(name)}
        for ablation in self.gd.ablations:
            if ablation not in studied:
                raise StudyError(f"gd.ablations: {ablation} has no levels in `ablations`; give it some there")

    def _check_targets(self) -> None:
        """Data sets without y, and noise on inputs, are for autoencoders."""
        of_y = [model for model in self.models if model not in AUTOENCODERS]
        for name in self.datasets:
            if name in INPUTS_ONLY and of_y:
                raise StudyError(
                    f"datasets: {name} has no y for {of_y[0]}; use an autoencoder, {_listed(AUTOENCODERS)}"
                )
        if not self.input_noise:
            raise StudyError("input_noise=[] is empty; write [0] for none")
        unseen = of_y or [model for model in self.models if model in SUPERPOSITIONS]
        if any(self.input_noise) and unseen:
            others = _listed([model for model in AUTOENCODERS if model not in SUPERPOSITIONS])
            raise StudyError(f"input_noise={self.input_noise} has no effect on {unseen[0]}; it is for {others}")

    def _check_nonlinear(self) -> None:
        """What only models that are not linear in their parameters have, and what they lack."""
        nonlinear = [model for model in self.models if model in NONLINEAR]
        readouts = [model for model in self.models if model not in NONLINEAR]
        if nonlinear and not self.n_hidden:
            raise StudyError(f"models: {nonlinear[0]} needs n_hidden, the widths of its hidden layer, such as [2, 4]")
        plain = GradientDescent()
        needs = [("n_hidden", str(self.n_hidden))] if self.n_hidden else []
        needs += [
            (f"ablations.{name}", f"{level:g}") for name, level in self.ablations.trainings() if level is not None
        ]
        for key in ("optimizer", "optimizer_options", "warmup", "schedule"):
            if (value := getattr(self.gd, key)) != getattr(plain, key):
                needs.append((f"gd.{key}", str(value)))
        if needs and readouts:
            key, value = needs[0]
            raise StudyError(
                f"{key}={value} does not go with {readouts[0]}; it is for {_listed(NONLINEAR)}, in a study of their own"
            )
        if not nonlinear:
            return
        if any(not 1e-30 <= rate <= 1e30 for rate in self.ablations.learning_rate):
            raise StudyError(f"ablations.learning_rate={self.ablations.learning_rate} must lie in 1e-30 … 1e30")
        least = max(self.gd.tolerance, 100 * (2.0**-52 if self.dtype == "float64" else 2.0**-23))
        if least > 0.1 * self.gd.init_scale and any(model in BOTTLENECKS for model in nonlinear):
            raise StudyError(
                f"gd.init_scale={self.gd.init_scale:g} must be at least ten times {least:.2g} (gd.tolerance, 100 eps "
                f"of {self.dtype}): else a saddle that is passed on the way counts as converged"
            )
        if "gd" not in self.estimators and any(model in SUPERPOSITIONS for model in nonlinear):
            raise StudyError(f"estimators={self.estimators} leaves superposition nothing to do: it is trained; add gd")
        if self.gd.optimizer == "gd" and self.gd.optimizer_options:
            raise StudyError(f"gd.optimizer_options={self.gd.optimizer_options} has no effect on optimizer gd")
        automatic = self.gd.optimizer == "gd" and all(model in BOTTLENECKS for model in nonlinear)
        if self.gd.step_size.value == "auto" and not automatic:
            what = nonlinear[-1] if self.gd.optimizer == "gd" else self.gd.optimizer
            raise StudyError(f"gd.step_size=auto is not known for {what}; give a number, such as 0.01")
        for name in self.datasets:
            if levels := self.ablations.levels(name):
                raise StudyError(f"ablations.{levels[0][0]} is defined for readouts, not for {nonlinear[0]}")

    def hidden_sizes(self, model: str) -> tuple[int | None, ...]:
        """The widths of a model's hidden layer that are studied; (None,) for a readout, which has none."""
        return tuple(self.n_hidden) if model in NONLINEAR else (None,)


GROUPS: dict[str, type] = {"synthetic": Synthetic, "ablations": Ablations, "gd": GradientDescent}


@cache
def kinds(kind: Any) -> dict[str, Any]:
    """Key → type of its value, of a study or of a group of its keys, in the order of the schema."""
    hints = get_type_hints(kind)
    return {key.name: hints[key.name] for key in fields(kind)}


# Keys whose values are mappings of names, any of which may be an option of its own.
MAPPINGS = tuple(
    f"{group}.{key}" for group, kind in GROUPS.items() for key, of in kinds(kind).items() if get_origin(of) is dict
)


def _convert(owner: Any, group: str = "") -> None:
    """Values as people write them, in YAML or Python, become those of their type. StudyError names the key."""
    for key, kind in kinds(owner.__class__).items():
        if kind in list(GROUPS.values()):
            continue
        try:
            setattr(owner, key, convert(kind, getattr(owner, key)))
        except ValueError as error:
            raise StudyError(f"{group}{key}: {error}") from None


def _listed(names: Iterable[str]) -> str:
    return ", ".join(names)


def suggestion(word: str, known: Iterable[str]) -> str:
    close = difflib.get_close_matches(word, list(known), n=1)
    return f" (did you mean {close[0]}?)" if close else ""

"""The schema of a study: every key, its unit, its default and its bounds, said once.

`--help`, error messages and README's table are read from here. Imports neither torch nor scikit-learn.
"""

from __future__ import annotations

from dataclasses import dataclass, field, fields
from functools import cache
from typing import Any, Literal, get_origin, get_type_hints

from gdstudy.study.checks import check
from gdstudy.study.schema import NONLINEAR, StudyError
from gdstudy.study.values import Levels, Sizes, StepSize, Threads, convert, shown


@dataclass
class GradientDescent:
    """Full-batch training; of readouts, gradient descent from W = 0 on ½‖φ(X)W − Y‖²_F."""

    steps: int = 100_000
    """Most steps a cell may take, at least 1."""
    step_size: StepSize = StepSize("auto")
    """η in W ← W − η Xᵀ(XW − Y), in 1/units of X²; stable below 2/σ₁². `auto`: 1/σ₁² of each cell; for a bottleneck
    half its limit at the optimum, 1/(2σ₁²) or less. With another optimizer: its learning rate, a number."""
    tolerance: float = 1e-10
    """A cell has converged when ‖∇L‖ is at most this share of the largest it had, in (0, 1); at least 100 eps of dtype.
    That is said of the gradient: `distance` says how far W still is."""
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
        check(self)

    @property
    def trained(self) -> dict[str, GradientDescent]:  # SHIM
        """The trainings by the name of their estimator; the first is the main one."""
        return {self.gd.optimizer: self.gd}

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

"""The groups of a study's keys: how cells are trained, what is taken out, sizes of synthetic data. See `config`."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from gdstudy.study.ablations import ABLATIONS
from gdstudy.study.optimizers import OPTIMIZERS
from gdstudy.study.sources import File
from gdstudy.study.values import Levels, Sizes, StepSize, Threads


@dataclass
class Training:
    """How cells are trained. Of readouts, plain gradient descent from W = 0 on ½‖φ(X)W − Y‖²_F."""

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
    dtype: Literal["float64", "float32"] = "float64"
    """Precision of training. Closed forms, exact iterates and errors are always computed in float64."""
    engine: Literal["gram", "autograd"] = "gram"
    """`gram`: explicit gradients on XᵀX or XXᵀ; `autograd`: torch.optim and backward. The same iterates."""
    preprocess: Literal["same", "none", "center", "standardize", "center_train", "standardize_train"] = "same"
    """What to train on: the study's preprocessing, or its own, beside the closed form of the same data. GD needs
    about κ² steps, and raw κ reaches 10⁹."""
    ablations: list[str] = field(default_factory=list)
    """Ablations of the study that are also trained, each at all its levels."""
    optimizer: str = "gd"
    """gd, plain gradient descent; heavy_ball, the same with momentum; or one of torch.optim, which takes all its steps;
    those that scale each number by itself, as adam, leave the row space of X."""
    momentum: float = 0.0
    """β of heavy_ball, W ← W − η∇L + β(W − W before), in (0, 1); stable below η = 2(1 + β)/σ₁²."""
    optimizer_options: dict[str, float] = field(default_factory=dict)
    """More arguments of the torch.optim class, such as {weight_decay: 0.01}."""
    warmup: float = 0.0
    """Share of the steps over which the step size rises from 0, in [0, 1)."""
    schedule: Literal["constant", "cosine"] = "constant"
    """The step size after the warm-up: constant, or falling as half a cosine, which is 0 just after the last step."""
    start: Literal["own", "gaussian"] = "own"
    """Where it starts: `own`, as the model does, a readout at zero; `gaussian`, a readout at random weights of size
    init_scale, keeping what X does not see of them: its limit is X⁺Y + (I − X⁺X)W₀."""
    init_scale: float = 1e-3
    """Start of a bottleneck: standard deviation of its weights, projected on the row space; for bottleneck_aligned
    the square root of each mode's strength. Superposition starts from Xavier's uniform weights."""
    restarts: int = 1
    """Random starts of models whose layers are trained; each cell keeps the one with the lowest training loss."""
    n_hidden: Sizes = Sizes()
    """Hidden widths that are trained; none: all of the study's."""

    @property
    def plain(self) -> bool:
        """Gradient descent at one constant step size: what is known exactly of its limit and iterates holds."""
        return OPTIMIZERS[self.optimizer].plain and not self.warmup and self.schedule == "constant"


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
        pairs: list[tuple[str, float | None]] = []
        for name, ablation in ABLATIONS.items():
            levels = getattr(self, f"{name}_of", {}).get(dataset, getattr(self, name))
            pairs += [(name, level) for level in levels] if ablation.has_levels else [(name, None)] if levels else []
        return pairs


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
class Ridge:
    """Ridge regression, W = (XᵀX + λI)⁻¹XᵀY: the estimator `ridge`."""

    levels: Levels = Levels()
    """Its penalties λ, such as [0.01, 1]; units of X², or see `relative`. 0: X⁺Y."""
    relative: bool = False
    """Levels are shares of σ₁²/N of each cell, its largest mean square along a direction: λ = level · σ₁²/N."""


@dataclass
class GDExact:
    """What gradient descent from zero gives after t steps, without taking them: the estimator `gd_exact`, whose step
    size is gd.step_size."""

    steps: Sizes = Sizes()
    """Numbers of steps t, such as [10, 1000]; at least 1."""


@dataclass
class Executor:
    """Where batches are computed. Tables are the same, value for value: what a batch holds does not depend on it."""

    kind: Literal["in_process", "processes", "dask"] = "in_process"
    """in_process: one batch after the other; processes: of this machine, one thread each; dask: the workers of a Dask
    scheduler, on any machines (needs the extra `dask`: `pip install -e '.[dask]'`)."""
    workers: Threads = Threads("auto")
    """Number of processes, or of local Dask workers; auto: one a core, or one a GPU where `device` is cuda."""
    scheduler: str = ""
    """Address of a running Dask scheduler, such as tcp://10.0.0.1:8786; none: workers of this machine are started."""


# Key of a study → what its group of keys is.
GROUPS: dict[str, type] = {
    "synthetic": Synthetic,
    "file": File,
    "ablations": Ablations,
    "ridge": Ridge,
    "gd_exact": GDExact,
    "gd": Training,
    "executor": Executor,
}

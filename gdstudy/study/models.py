"""The models a study can ask for, as facts. All other code asks these facts; none compares a model's name."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal

from gdstudy.study.entries import Code

# Estimators that are the limit of what is trained.
REFERENCES = ("min_norm", "pca", "reduced_rank")


@dataclass(frozen=True, kw_only=True)
class Model:
    """What is known of a model before anything is loaded.

    label: its name in figures. target: what its output is to be, y or the input x itself (an autoencoder).
    cells: the code that computes its cells (a `Cells` of `experiment`).
    features: the frozen map φ(x, P, seed) under a trained readout, or none for x itself; random: drawn for each seed.
    width: what P is, the columns of the data or `n_parameters`. layered: its layers are trained and have a hidden
    width, `n_hidden`; else it is a readout, linear in what is trained.
    start: of the layers: zero; small and random; aligned with the data's components; Xavier's uniform weights.
    reference: its closed form has the estimator `min_norm` (X⁺Y), `reduced_rank` (the best map of its rank, `pca`
    without noise), or there is none. has_threshold: its test error is asked about at N = P.
    realises: with enough features it gives its target back exactly, whatever the inputs.
    inputs: what it can take: any, or one input in the interval [−1, 1].
    on_rows: a step goes through its rows, and not through second moments. automatic: `step_size: auto` is known for it.
    """

    name: str
    label: str
    cells: Code = "gdstudy.experiment.readouts:Readouts"
    target: Literal["y", "x"] = "y"
    features: Code | None = None
    random: bool = False
    width: Literal["data", "n_parameters"] = "data"
    layered: bool = False
    start: Literal["zero", "small", "aligned", "xavier"] = "zero"
    reference: Literal["min_norm", "reduced_rank", "none"] = "min_norm"
    has_threshold: bool = True
    realises: bool = False
    inputs: Literal["any", "interval"] = "any"
    on_rows: bool = False
    automatic: bool = True

    @property
    def autoencoder(self) -> bool:
        return self.target == "x"

    @property
    def plain(self) -> bool:
        """Its features are the columns of the data."""
        return self.features is None and not self.layered

    @property
    def regression(self) -> bool:
        """Plain linear regression: what is said of a model without a name."""
        return self.plain and not self.autoencoder

    @property
    def stalls(self) -> bool:
        """It starts at a saddle of its loss, where each layer's gradient is a product with the other, zero."""
        return self.layered and self.start == "zero"

    @property
    def draws_start(self) -> bool:
        """Its layers start from random weights, of which there are others."""
        return self.layered and self.start in ("small", "xavier")

    @property
    def has_regimes(self) -> bool:
        """It is asked between which N it is worst, having no threshold that says so (and not at a saddle)."""
        return not self.has_threshold and not self.stalls

    @property
    def sees_noise(self) -> bool:
        """It has inputs beside its target, which noise can be put on."""
        return self.autoencoder and self.reference != "none"


_FEATURES = "gdstudy.data.features:"
_READOUTS = (
    Model(name="linear", label="linear"),
    Model(name="legendre", label="Legendre", features=f"{_FEATURES}legendre", width="n_parameters", inputs="interval"),
    *(
        Model(name=name, label=label, features=f"{_FEATURES}{name}", random=True, width="n_parameters")
        for name, label in (
            ("random_relu", "random ReLU"),
            ("random_fourier", "random Fourier"),
            ("random_tanh", "random tanh"),
            ("mirrored_relu", "mirrored ReLU (control)"),
        )
    ),
)
_AUTOENCODERS = tuple(
    replace(
        model,
        name=f"{model.name}_autoencoder",
        target="x",
        # relu(z) − relu(−z) = z: in pairs a, −a the features express any linear map.
        realises=model.plain or model.name == "mirrored_relu",
    )
    for model in _READOUTS
    if model.inputs == "any"
)
_BOTTLENECK = Model(
    name="bottleneck",
    label="bottleneck",
    cells="gdstudy.experiment.bottleneck:Bottlenecks",
    target="x",
    layered=True,
    start="small",
    reference="reduced_rank",
)
_SUPERPOSITION = Model(
    name="superposition",
    label="superposition",
    cells="gdstudy.experiment.superposition:Superpositions",
    target="x",
    layered=True,
    start="xavier",
    reference="none",
    has_threshold=False,
    on_rows=True,
    automatic=False,
)
MODELS: dict[str, Model] = {
    model.name: model
    for model in (
        *_READOUTS,
        *_AUTOENCODERS,
        _BOTTLENECK,
        replace(_BOTTLENECK, name="bottleneck_aligned", start="aligned"),
        replace(_BOTTLENECK, name="bottleneck_zero", start="zero"),
        _SUPERPOSITION,
        replace(_SUPERPOSITION, name="superposition_zero", start="zero"),
    )
}

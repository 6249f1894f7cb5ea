"""Every column of a run's tables, once: kind, unit, label, meaning. The store reads them here, and who reads tables."""

from __future__ import annotations

from dataclasses import dataclass
from math import inf, nan
from typing import Literal

Kind = Literal["text", "whole", "real", "array"]


@dataclass(frozen=True)
class Column:
    """kind: a text is a name out of few; whole numbers and reals may be empty; an array is of single precision.
    unit: empty where there is none. label: what axes and headings call it. meaning: one sentence. worst: what a cell
    that diverged counts as, and one that has none; NaN where they do not count. before: known of a cell before it is
    trained, and no other where it diverged."""

    name: str
    kind: Kind
    unit: str
    label: str
    meaning: str
    worst: float = inf
    before: bool = False


_Y2, _PER_X2 = "squared units of Y", "1 / squared units of X"
_CELL = (
    Column("dataset", "text", "", "data set", "The data set alone, without what was done to it."),
    Column("preprocess", "text", "", "preprocessing", "What was done to its columns, such as none or center."),
    Column("input_noise", "real", "units of X", "input noise σ", "Deviation of the noise added to inputs; 0 for none."),
    Column("model", "text", "", "model", "What maps inputs to outputs: a readout on features, or trained layers."),
    Column("estimator", "text", "", "estimator", "How the weights were found: trained, by a closed form, or a theory."),
    Column("ablation", "text", "", "ablation", "What was taken from the problem or changed in its training, or none."),
    Column(
        "level", "real", "", "level", "Strength of the ablation, in its unit; λ of ridge as written; t of gd_exact."
    ),
    Column("n_train", "whole", "rows", "N", "Number of training rows N."),
    Column("n_parameters", "whole", "rows of W", "P", "Parameters P of an output, a constant's too; threshold N = P."),
    Column("n_hidden", "whole", "units", "hidden width", "Width of the hidden layer; empty for readouts."),
    Column("seed", "whole", "", "seed", "Number of the random split and draws; empty for an expectation over them."),
)
_STEP = Column("step", "whole", "steps", "t", "Training steps taken, or t of gd_exact; empty for other closed forms.")
_ERRORS = (
    Column("train_mse", "real", _Y2, "train MSE", "Mean squared error over training rows and outputs."),
    Column("test_mse", "real", _Y2, "test MSE", "Mean squared error over all other rows and outputs."),
    Column("distance", "real", "", "‖W − limit‖ / ‖limit‖", "Distance of W to the limit of its training, relative."),
    Column("weight_norm", "real", "units of W", "‖W‖", "Frobenius norm of W."),
    Column("row_space_leak", "real", "", "row-space leak", "Share of W outside the row space of X."),
)
_STATUS = Column("status", "text", "", "status", "Why training stopped, or closed_form.")
_TEST_ACCURACY = Column(
    "test_accuracy",
    "real",
    "",
    "test accuracy",
    "Share of all other rows put in their class; else empty.",
    0,
)
_RESULTS = (
    Column(
        "smallest_singular_value",
        "real",
        "units of X",
        "smallest non-zero σ",
        "Smallest non-zero σ of the features.",
        before=True,
    ),
    Column(
        "condition_number",
        "real",
        "",
        "κ",
        "Largest over smallest nonzero singular value of the features.",
        before=True,
    ),
    Column("rank", "whole", "", "R", "Rank of the training features; a training mean is one more.", before=True),
    _STATUS,
    Column(
        "target_mean_square",
        "real",
        _Y2,
        "mean Y²",
        "Mean square of all targets, the MSE of an output of 0.",
        before=True,
    ),
    Column(
        "target_variance",
        "real",
        _Y2,
        "var Y",
        "Variance of all targets, the MSE of their means as outputs.",
        before=True,
    ),
    Column("step_size", "real", _PER_X2, "η", "Step size of the training.", before=True),
    Column("step_size_limit", "real", _PER_X2, "largest stable η", "Bound below which descent is stable.", before=True),
    Column("gradient_norm", "real", "", "‖∇L‖", "Norm of the gradient where training stopped."),
    Column(
        "slowest_singular_value",
        "real",
        "units of X",
        "slowest σ",
        "Smallest σ whose mode is not learnt yet.",
        worst=nan,
    ),
    Column(
        "slowest_error_share",
        "real",
        "",
        "share of the slowest mode",
        "Its share of the squared way to the limit.",
        worst=nan,
    ),
    Column("steps_to_tolerance", "real", "steps", "steps left", "Steps until the gradient meets the tolerance."),
    Column("variance_mean_of_squares", "real", _Y2, "variance", "Mean (x·X⁺E)² over test rows (Eqn. 1)."),
    Column("bias_mean_of_squares", "real", _Y2, "bias²", "Mean (x·(X⁺X − I)β*)² over test rows (Eqn. 1)."),
    Column("bias_square_of_mean", "real", _Y2, "(mean bias)²", "Square of the bias's mean over test rows."),
    Column("worst_mode_share", "real", "", "share of the worst mode", "Largest share of one mode in the variance."),
    Column(
        "mode_sum_error", "real", "", "left by the modes", "What modes and bias leave of the error ŷ − y*, relative."
    ),
    Column("rounding", "real", "units of Y", "rounding", "What rounding alone can make of a prediction of X⁺Y."),
    Column("penalty", "real", "squared units of X", "λ", "Penalty of ridge regression; for ridge_loo the chosen one."),
    Column("loo_mse", "real", _Y2, "leave-one-out MSE", "Mean squared error over training rows left out one by one."),
    Column("precision", "real", "", "eps", "Machine epsilon of the type that was trained in.", before=True),
    Column(
        "data_point_dimension",
        "real",
        "",
        "data point dimension",
        "Share of the solution that a data point has.",
    ),
    Column("feature_dimension", "real", "", "feature dimension", "Share of the solution that a feature has."),
    Column("train_accuracy", "real", "", "train accuracy", "Share of training rows put in their class; else empty.", 0),
    _TEST_ACCURACY,
)
_CURVES = (
    Column(
        "exact_train_mse",
        "real",
        _Y2,
        "exact train MSE",
        "Train MSE of the exact iterate at the same t.",
    ),
    Column("exact_test_mse", "real", _Y2, "exact test MSE", "Test MSE of the exact iterate at the same t."),
    Column("exact_distance", "real", "", "exact distance", "Distance of the exact iterate at the same t to its limit."),
    Column("deviation", "real", "", "deviation", "Distance of W to the exact iterate at the same t, relative."),
    _STATUS,
    _TEST_ACCURACY,
    Column("exact_test_accuracy", "real", "", "exact test accuracy", "That of the exact iterate at the same t.", 0),
)
_ARRAYS = (
    Column("name", "text", "", "name", "What the array is, such as outputs or mode_strengths."),
    Column("value", "array", "", "value", "The array, of the study's first seed."),
)

TABLES: dict[str, tuple[Column, ...]] = {
    "results": (*_CELL, _STEP, *_ERRORS, *_RESULTS),
    "curves": (*_CELL, _STEP, *_ERRORS, *_CURVES),
    "arrays": (*_CELL, _STEP, *_ARRAYS),
}
# Rows of a loaded table lie in this order of their values.
ORDER = (
    *("dataset", "preprocess", "input_noise", "model", "estimator", "ablation", "level"),
    *("n_parameters", "n_hidden", "n_train", "seed", "step"),
)

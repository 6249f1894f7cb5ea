"""The names that the keys of a study know, in the order they are shown, and what is said of others."""

from __future__ import annotations

from gdstudy.study.errors import StudyError as StudyError
from gdstudy.study.errors import listed as listed
from gdstudy.study.errors import suggestion as suggestion

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

# Keys of Ablations that name one, of the data.
ABLATIONS = ("singular_value_cutoff", "leading_modes", "no_residuals", "adversarial_test", "adversarial_train")

# A study of more cells is planned as several. Numbers of a synthetic data set, dense or (mostly zeros) sparse, and the
# inputs of a sparse one.
MOST_CELLS, MOST_NUMBERS, MOST_SPARSE_NUMBERS, MOST_INPUTS = 10**7, 10**8, 4 * 10**9, 10**5

"""The facts of models: each can be found, and what is said of it is so."""

import numpy as np
import pytest

from gdstudy.data.features import feature_map
from gdstudy.study.entries import code
from gdstudy.study.models import MODELS

POINTS = np.random.default_rng(0).uniform(-1, 1, (40, 3))


def inputs(model):
    return POINTS[:, :1] if model.inputs == "interval" else POINTS


def test_each_model_is_filed_under_its_name_and_no_label_names_two_maps():
    assert all(model.name == name for name, model in MODELS.items())
    maps = [model.label for model in MODELS.values() if not model.layered and not model.autoencoder]
    assert len(set(maps)) == len(maps)


@pytest.mark.parametrize("name", MODELS)
def test_the_code_of_each_model_is_there(name):
    model = MODELS[name]
    cells = code(model.cells)
    assert callable(cells.closed_form)
    assert callable(cells.task)
    assert model.features is None or callable(code(model.features))
    # Layers have a width of their own; a map of its own needs one, and is not trained.
    assert not (model.layered and model.features)
    assert (model.width == "n_parameters") == (model.features is not None)


@pytest.mark.parametrize("name", [name for name, model in MODELS.items() if not model.layered])
def test_a_random_map_is_one_whose_features_change_with_the_seed(name):
    model, X = MODELS[name], inputs(MODELS[name])
    first, other = (feature_map(model, X, 4, seed) for seed in (0, 1))
    assert (np.abs(first - other).max() > 0.1) == model.random
    assert model.plain == (first is X)


@pytest.mark.parametrize("name", [name for name, model in MODELS.items() if not model.layered])
def test_a_map_realises_its_target_only_if_wide_features_give_the_inputs_back(name):
    """An autoencoder with enough features, fitted on half of the rows, on the other half. Of y nothing is promised."""
    model, X = MODELS[name], inputs(MODELS[name])
    features = feature_map(model, X, 12, 0)
    W = np.linalg.pinv(features[:20], rcond=1e-10) @ X[:20]
    assert (np.abs(features[20:] @ W - X[20:]).max() < 1e-8) == (model.realises or name in ("linear", "mirrored_relu",
        "legendre"))  # fmt: skip
    assert not model.realises or model.autoencoder


@pytest.mark.parametrize("name", MODELS)
def test_what_stalls_starts_at_zero_and_what_has_no_closed_form_is_trained_by_a_step_size_of_its_own(name):
    model = MODELS[name]
    assert model.stalls == (model.layered and model.start == "zero")
    assert model.start == "zero" or model.layered
    assert model.automatic == (model.reference != "none")
    assert model.sees_noise <= model.autoencoder
    assert not model.layered or model.autoencoder

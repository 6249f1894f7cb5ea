"""A data set by name, under a preprocessing and with noisy inputs."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from gdstudy.data.dataset import Dataset
from gdstudy.data.sources import read_source
from gdstudy.study.config import Study
from gdstudy.study.datasets import DATASETS, PREPROCESSES
from gdstudy.study.entries import code
from gdstudy.study.groups import Synthetic
from gdstudy.study.sources import File, format_of


def load_dataset(
    name: str,
    preprocess: str = "none",
    input_noise: float = 0.0,
    synthetic: Synthetic | None = None,
    file: File | None = None,
    data: Dataset | None = None,
) -> Dataset:
    """A data set by name, all rows.

    name: a key of `DATASETS`. `california_housing` and `who_life_expectancy` are downloaded at first use,
    with a checksum, to GDSTUDY_DATA_HOME; scikit-learn's own copy of the first, in SCIKIT_LEARN_DATA, does as well.
    preprocess, with statistics of all rows:
      none         raw features and targets, as in the paper
      center       columns of X and Y minus their means, which stands in for an intercept
      standardize  center, then columns of X divided by their standard deviation (a constant column stays 0)
      center_train, standardize_train
                   the same here; a study then takes means and deviations of each cell's training rows, of which those
                   of all rows cancel up to rounding: no cell knows anything of its test rows
    input_noise: standard deviation of what Dataset.inputs adds, units of the preprocessed X. synthetic: sizes of
    the data sets whose sizes are the study's, default 5000 rows of 16 columns.
    name may also be a file's path, or openml:NAME: file: how it is read. data: what it holds, where that was read.
    ValueError, listing what there is, for an unknown name or preprocessing, or a negative noise. StudyError for a
    file that cannot be downloaded or is damaged.
    """
    if data is None and name not in DATASETS and format_of(name) == "named":
        raise ValueError(f"unknown data set {name!r}; known: {', '.join(DATASETS)}")
    if preprocess not in PREPROCESSES:
        raise ValueError(f"unknown preprocess {preprocess!r}; known: {', '.join(PREPROCESSES)}")
    if not 0 <= input_noise < np.inf:
        raise ValueError(f"input_noise={input_noise} is a standard deviation and cannot be negative")
    data = _loaded(name, synthetic or Synthetic(), file or File()) if data is None else data
    if PREPROCESSES[preprocess].centres:
        X, X_mean = data.clean(), _means(data.clean())
        X = X - X_mean
        if PREPROCESSES[preprocess].scales:
            unit = 2.0 ** (np.frexp(np.abs(X).max(0))[1] - 1)  # exact; no square leaves float64 then
            X, X_mean = X / unit, X_mean / unit
            scale = np.where((deviation := X.std(0)) > 0, deviation, 1)
            X, X_mean = X / scale, X_mean / scale
        mean = _means(data.Y)
        data = replace(data, X=X, Y=data.Y - mean, X_mean=X_mean, Y_mean=mean, law=None, covariance=None)
    return replace(data, preprocess=preprocess, input_noise=input_noise)


def _means(values: np.ndarray) -> np.ndarray:
    """Of each column. That of equal numbers is that number, which their sum over N misses by rounding."""
    return np.where(values.min(0) == values.max(0), values[0], values.mean(0))


def _loaded(name: str, synthetic: Synthetic, file: File) -> Dataset:
    """All rows as they are."""
    facts = DATASETS.get(name)
    if facts is None or facts.external or facts.load is None:
        (source,) = Study(datasets=[name], file=file).sources
        return read_source(source).data
    loaded: Dataset = code(facts.load)(synthetic) if facts.synthetic else code(facts.load)()
    return loaded

"""Real data sets, as their publishers made them."""

from __future__ import annotations

import csv
import io

import numpy as np

from gdstudy.data.dataset import Dataset
from gdstudy.data.downloads import housing_table, who_table
from gdstudy.data.shipped import diabetes_table, digits_table

# Names as they stand in the file, spaces included.
WHO_FEATURES = (
    *("Adult Mortality", "infant deaths", "Alcohol", "percentage expenditure", "Hepatitis B", "Measles ", " BMI "),
    *("under-five deaths ", "Polio", "Total expenditure", "Diphtheria ", " HIV/AIDS", "GDP", "Population"),
    *(" thinness  1-19 years", " thinness 5-9 years", "Schooling"),
)
WHO_TARGET = "Life expectancy "


def california_housing() -> Dataset:
    """20640 districts of California, 8 features, median house value in 100,000 $ (Pace & Barry 1997).

    Features and target as scikit-learn's fetch_california_housing makes them from the census table.
    """
    table = housing_table()
    target, X = table[:, 0] / 100_000, table[:, 1:].copy("F")  # as there: sums over rows to the same digit
    X[:, 2:4] /= X[:, 5:6]  # rooms and bedrooms a household
    X[:, 5] = X[:, 4] / X[:, 5]  # people a household
    return Dataset(X, target[:, None], "california_housing")


def diabetes() -> Dataset:
    """442 patients, 10 features centred and scaled by scikit-learn, disease progression uncentred (Efron 2004)."""
    X, y = diabetes_table()
    return Dataset(X, y[:, None], "diabetes")


def who_life_expectancy() -> Dataset:
    """1649 country-years without missing values, 17 features, life expectancy in years (WHO; Kaggle, K. Rajarshi)."""
    table = csv.DictReader(io.StringIO(who_table(), newline=""))
    complete = [row for row in table if all(row.values())]
    X = np.array([[float(row[name]) for name in WHO_FEATURES] for row in complete])
    return Dataset(X, np.array([[float(row[WHO_TARGET])] for row in complete]), "who_life_expectancy")


def digits() -> Dataset:
    """1797 handwritten digits of 8×8 pixels, divided by 16 to lie in [0, 1]; y: one column a class (Alpaydin 1998)."""
    X, y = digits_table()
    return Dataset(X / 16, np.eye(10)[y], "digits", classes=tuple("0123456789"))

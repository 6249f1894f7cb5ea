"""The paper's experiment one cell at a time, as one would write it down: what the stacks are held against.

NumPy and scikit-learn only; nothing here comes from gdstudy.
"""

import numpy as np
from sklearn.metrics import mean_squared_error
from sklearn.model_selection import train_test_split


def test_errors(X, y, n_train, seed, levels, beta):
    """{(ablation, level): test MSE of X⁺y} of one split; X (n, P), y (n, 1), beta (P, 1) fitted on all rows."""
    X_train, X_test, y_train, y_test = train_test_split(X, y, random_state=seed, test_size=len(X) - n_train)
    U, s, Vt = np.linalg.svd(X_train, full_matrices=False)
    keep = s > max(n_train, X.shape[1]) * np.finfo(float).eps * s[0]
    U, s, Vt = U[:, keep], s[keep], Vt[keep]
    if U[:, -1] @ y_train[:, 0] < 0:  # the sign that an SVD leaves open
        U[:, -1], Vt[-1] = -U[:, -1], -Vt[-1]
    W = Vt.T @ (U.T @ y_train / s[:, None])
    errors = {}
    for ablation, level in levels:
        if ablation == "none":
            error = mean_squared_error(y_test, X_test @ W)
        elif ablation == "singular_value_cutoff":
            large = s >= level
            error = mean_squared_error(y_test, X_test @ (Vt[large].T @ (U[:, large].T @ y_train / s[large, None])))
        elif ablation == "leading_modes":
            V = Vt[: int(level)].T
            error = mean_squared_error(y_test, X_test @ V @ V.T @ W)
        elif ablation == "no_residuals":
            W_linear = Vt.T @ (U.T @ (X_train @ beta) / s[:, None])
            error = mean_squared_error(X_test @ beta, X_test @ W_linear)
        elif ablation == "adversarial_test":
            error = mean_squared_error(y_test, (X_test + level * Vt[-1]) @ W)
        elif ablation == "adversarial_train":
            W_moved = Vt.T @ (U.T @ (y_train + level * U[:, -1:]) / s[:, None])
            error = mean_squared_error(y_test, X_test @ W_moved)
        errors[ablation, level] = error
    return errors


test_errors.__test__ = False  # a name, not a test

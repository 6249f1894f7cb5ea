"""Solutions of small regression problems in 100-digit arithmetic."""

import mpmath
import numpy as np

mpmath.mp.dps = 100


def many_digits(A):
    return mpmath.matrix(np.asarray(A, dtype=np.float64).tolist())


def as_array(A):
    return np.array(A.tolist(), dtype=np.float64)


class Truth:
    """Solutions of (X, Y) in 100 digits. X: (N, P) of full rank; else factors A (N, r), C (r, P), X = AC exactly."""

    def __init__(self, X, Y, factors=None):
        self.X, self.Y = many_digits(X), many_digits(Y)
        N, P = self.X.rows, self.X.cols
        A, C = (many_digits(f) for f in factors) if factors else (None, None)
        if A is None:
            A, C = (self.X, mpmath.eye(P)) if N >= P else (mpmath.eye(N), self.X)
        # An orthonormal basis of the row space is not needed: X⁺ = Cᵀ(CCᵀ)⁻¹(AᵀA)⁻¹Aᵀ.
        self.pinv = C.T * mpmath.inverse(C * C.T) * mpmath.inverse(A.T * A) * A.T
        self.gram, self.right = self.X.T * self.X, self.X.T * self.Y

    def min_norm(self):
        return as_array(self.pinv * self.Y)

    def ridge(self, lam):
        return as_array(mpmath.inverse(self.gram + mpmath.mpf(lam) * mpmath.eye(self.gram.rows)) * self.right)

    def iterate(self, eta, t):
        """W_t = η Σ_{s<t} (I − ηXᵀX)ˢ XᵀY, by doubling."""
        M, S, step = (f(self.gram.rows) for f in (mpmath.eye, mpmath.zeros, mpmath.eye))
        step = step - mpmath.mpf(eta) * self.gram
        for bit in bin(int(t))[2:]:
            S, M = S + M * S, M * M
            if bit == "1":
                S, M = S + M, M * step
        return as_array(mpmath.mpf(eta) * S * self.right)

"""NIST's Statistical Reference Datasets for linear regression (https://www.itl.nist.gov/div898/strd/lls/lls.shtml).

Data and certified coefficients are NIST's, computed there in 500 digits. A digit is a digit of the worst coefficient:
−log₁₀ of its relative error, at most 15.
"""

import numpy as np
import pytest

from gdstudy import gd_iterate, gradient_descent, min_norm_solution, ridge_solution, singular_values

NORRIS = np.array(
    [
        *[(0.2, 0.1), (337.4, 338.8), (118.2, 118.1), (884.6, 888.0), (10.1, 9.2), (226.5, 228.1), (666.3, 668.5)],
        *[(996.3, 998.5), (448.6, 449.1), (777.0, 778.9), (558.2, 559.2), (0.4, 0.3), (0.6, 0.1), (775.5, 778.1)],
        *[(666.9, 668.8), (338.0, 339.3), (447.5, 448.9), (11.6, 10.8), (556.0, 557.7), (228.1, 228.3), (995.8, 998.0)],
        *[(887.6, 888.8), (120.2, 119.6), (0.3, 0.3), (0.3, 0.6), (556.8, 557.6), (339.1, 339.3), (887.2, 888.0)],
        *[(999.0, 998.5), (779.0, 778.9), (11.1, 10.2), (118.3, 117.6), (229.2, 228.9), (669.1, 668.4), (448.9, 449.2)],
        (0.5, 0.2),
    ]
)
# Loads of 150,000, 300,000, …, 3,000,000, twice.
PONTIUS = np.array(
    [
        *[0.11019, 0.21956, 0.32949, 0.43899, 0.54803, 0.65694, 0.76562, 0.87487, 0.98292, 1.09146],
        *[1.20001, 1.30822, 1.41599, 1.52399, 1.63194, 1.73947, 1.84646, 1.95392, 2.06128, 2.16844],
        *[0.11052, 0.22018, 0.32939, 0.43886, 0.54798, 0.65739, 0.76596, 0.87474, 0.98300, 1.09150],
        *[1.20004, 1.30818, 1.41613, 1.52408, 1.63159, 1.73965, 1.84696, 1.95445, 2.06177, 2.16829],
    ]
)
# Total employment, GNP deflator, GNP, unemployed, armed forces, population, year.
LONGLEY = np.array(
    [
        *[(60323, 83.0, 234289, 2356, 1590, 107608, 1947), (61122, 88.5, 259426, 2325, 1456, 108632, 1948)],
        *[(60171, 88.2, 258054, 3682, 1616, 109773, 1949), (61187, 89.5, 284599, 3351, 1650, 110929, 1950)],
        *[(63221, 96.2, 328975, 2099, 3099, 112075, 1951), (63639, 98.1, 346999, 1932, 3594, 113270, 1952)],
        *[(64989, 99.0, 365385, 1870, 3547, 115094, 1953), (63761, 100.0, 363112, 3578, 3350, 116219, 1954)],
        *[(66019, 101.2, 397469, 2904, 3048, 117388, 1955), (67857, 104.6, 419180, 2822, 2857, 118734, 1956)],
        *[(68169, 108.4, 442769, 2936, 2798, 120445, 1957), (66513, 110.8, 444546, 4681, 2637, 121950, 1958)],
        *[(68655, 112.6, 482704, 3813, 2552, 123366, 1959), (69564, 114.2, 502601, 3931, 2514, 125368, 1960)],
        *[(69331, 115.7, 518173, 4806, 2572, 127852, 1961), (70551, 116.9, 554894, 4007, 2827, 130081, 1962)],
    ]
)
FILIP_Y = np.array(
    [
        *[
            0.8116,
            0.9072,
            0.9052,
            0.9039,
            0.8053,
            0.8377,
            0.8667,
            0.8809,
            0.7975,
            0.8162,
            0.8515,
            0.8766,
            0.8885,
            0.8859,
        ],
        *[
            0.8959,
            0.8913,
            0.8959,
            0.8971,
            0.9021,
            0.9090,
            0.9139,
            0.9199,
            0.8692,
            0.8872,
            0.8900,
            0.8910,
            0.8977,
            0.9035,
        ],
        *[
            0.9078,
            0.7675,
            0.7705,
            0.7713,
            0.7736,
            0.7775,
            0.7841,
            0.7971,
            0.8329,
            0.8641,
            0.8804,
            0.7668,
            0.7633,
            0.7678,
        ],
        *[
            0.7697,
            0.7700,
            0.7749,
            0.7796,
            0.7897,
            0.8131,
            0.8498,
            0.8741,
            0.8061,
            0.8460,
            0.8751,
            0.8856,
            0.8919,
            0.8934,
        ],
        *[
            0.8940,
            0.8957,
            0.9047,
            0.9129,
            0.9209,
            0.9219,
            0.7739,
            0.7681,
            0.7665,
            0.7703,
            0.7702,
            0.7761,
            0.7809,
            0.7961,
        ],
        *[0.8253, 0.8602, 0.8809, 0.8301, 0.8664, 0.8834, 0.8898, 0.8964, 0.8963, 0.9074, 0.9119, 0.9228],
    ]
)
FILIP_X = np.array(
    [
        *[
            -6.860120914,
            -4.324130045,
            -4.358625055,
            -4.358426747,
            -6.955852379,
            -6.661145254,
            -6.355462942,
            -6.118102026,
        ],
        *[
            -7.115148017,
            -6.815308569,
            -6.519993057,
            -6.204119983,
            -5.853871964,
            -6.109523091,
            -5.79832982,
            -5.482672118,
        ],
        *[
            -5.171791386,
            -4.851705903,
            -4.517126416,
            -4.143573228,
            -3.709075441,
            -3.499489089,
            -6.300769497,
            -5.953504836,
        ],
        *[
            -5.642065153,
            -5.031376979,
            -4.680685696,
            -4.329846955,
            -3.928486195,
            -8.56735134,
            -8.363211311,
            -8.107682739,
        ],
        *[
            -7.823908741,
            -7.522878745,
            -7.218819279,
            -6.920818754,
            -6.628932138,
            -6.323946875,
            -5.991399828,
            -8.781464495,
        ],
        *[
            -8.663140179,
            -8.473531488,
            -8.247337057,
            -7.971428747,
            -7.676129393,
            -7.352812702,
            -7.072065318,
            -6.774174009,
        ],
        *[
            -6.478861916,
            -6.159517513,
            -6.835647144,
            -6.53165267,
            -6.224098421,
            -5.910094889,
            -5.598599459,
            -5.290645224,
        ],
        *[-4.974284616, -4.64454848, -4.290560426, -3.885055584, -3.408378962, -3.13200249, -8.726767166, -8.66695597],
        *[
            -8.511026475,
            -8.165388579,
            -7.886056648,
            -7.588043762,
            -7.283412422,
            -6.995678626,
            -6.691862621,
            -6.392544977,
        ],
        *[
            -6.067374056,
            -6.684029655,
            -6.378719832,
            -6.065855188,
            -5.752272167,
            -5.132414673,
            -4.811352704,
            -4.098269308,
        ],
        *[-3.66174277, -3.2644011],
    ]
)
FILIP = [
    *[-1467.48961422980, -2772.17959193342, -2316.37108160893, -1127.97394098372, -354.478233703349, -75.1242017393757],
    *[-10.8753180355343, -1.06221498588947, -0.670191154593408e-01, -0.246781078275479e-02, -0.402962525080404e-04],
]


def powers(x, degree):
    return np.vander(np.asarray(x, dtype=float), degree + 1, increasing=True)


def wampler(number):
    """x = 0 … 20, a polynomial of degree 5, exact (1, 2) or with residuals of growing size (3, 4, 5)."""
    x = np.arange(21.0)
    certified = np.ones(6) if number != 2 else 10.0 ** -np.arange(6)
    exact = powers(x, 5) @ certified
    residuals = np.array(
        [759, -2048, 2048, -2048, 2523, -2048, 2048, -2048, 1838, -2048, 2048, -2048, 1838, -2048, 2048]
    )
    residuals = np.r_[residuals, -2048, 2523, -2048, 2048, -2048, 759]
    return powers(x, 5), np.round(exact, 5) + residuals * {3: 1, 4: 100, 5: 10_000}.get(number, 0), certified


SETS = {
    "Norris": (powers(NORRIS[:, 0], 1), NORRIS[:, 1], [-0.262323073774029, 1.00211681802045]),
    "Pontius": (
        powers(np.tile(np.arange(1, 21) * 150_000, 2), 2),
        PONTIUS,
        [0.673565789473684e-03, 0.732059160401003e-06, -0.316081871345029e-14],
    ),
    "NoInt1": (np.arange(60.0, 71)[:, None], np.arange(130.0, 141), [2.07438016528926]),
    "NoInt2": (np.array([[4.0], [5.0], [6.0]]), np.array([3.0, 4.0, 4.0]), [0.727272727272727]),
    "Longley": (
        np.c_[np.ones(16), LONGLEY[:, 1:]],
        LONGLEY[:, 0],
        [
            *[-3482258.63459582, 15.0618722713733, -0.358191792925910e-01, -2.02022980381683, -1.03322686717359],
            *[-0.511041056535807e-01, 1829.15146461355],
        ],
    ),
    **{f"Wampler{number}": wampler(number) for number in (1, 2, 3, 4, 5)},
}


def digits(found, certified):
    errors = np.abs(np.asarray(found) / np.asarray(certified) - 1)
    return float(min(15, -np.log10(max(errors.max(), 1e-16))))


@pytest.mark.parametrize("name", SETS)
def test_as_many_certified_digits_as_numpy(name):
    X, y, certified = SETS[name]
    found, theirs = min_norm_solution(X, y), np.linalg.lstsq(X, y, rcond=None)[0]
    assert int(singular_values(X).rank) == X.shape[1]
    assert digits(found, certified) >= digits(theirs, certified) - 0.5
    assert digits(found, certified) > 5
    # The other forms have it as their limit.
    np.testing.assert_array_equal(ridge_solution(X, y, 0), found)
    np.testing.assert_array_equal(gd_iterate(X, y, 1 / np.linalg.norm(X, 2) ** 2, None), found)


def test_the_data_are_those_that_were_certified():
    """Normal equations in exact arithmetic: the certified coefficients solve them to all their digits."""
    from fractions import Fraction

    for name, (X, y, certified) in {**SETS, "Filip": (powers(FILIP_X, 10), FILIP_Y, FILIP)}.items():
        rows = [[Fraction(repr(float(v))) for v in row] for row in np.c_[X, y]]
        if name == "Filip":  # powers of the numbers as they are written
            rows = [
                [Fraction(repr(float(x))) ** k for k in range(11)] + [Fraction(repr(float(v)))]
                for x, v in zip(FILIP_X, y, strict=True)
            ]
        P = len(certified)
        gram = [[sum(row[i] * row[j] for row in rows) for j in range(P + 1)] for i in range(P)]
        for i in range(P):  # Gauss and Jordan
            gram[i] = [v / gram[i][i] for v in gram[i]]
            for j in set(range(P)) - {i}:
                gram[j] = [a - gram[j][i] * b for a, b in zip(gram[j], gram[i], strict=True)]
        assert digits([float(row[-1]) for row in gram], certified) > 13, name


def test_filip_loses_its_eleventh_mode_unless_it_is_asked_for():
    X, y = powers(FILIP_X, 10), FILIP_Y
    assert int(singular_values(X).rank) == np.linalg.lstsq(X, y, rcond=None)[2] == 10
    assert int(singular_values(X, rtol=0).rank) == 11
    assert digits(min_norm_solution(X, y, rtol=0), FILIP) > 5
    assert digits(min_norm_solution(X, y), FILIP) < 1


def test_descent_on_norris_is_as_right_as_it_says():
    X, y, certified = SETS["Norris"]
    scaled = X / np.abs(X).max(0)
    for state in gradient_descent(scaled, y, [10, 100, 1000], tolerance=1e-14):
        W = state.W / np.abs(X).max(0)
        exact = np.array(certified) * np.abs(X).max(0)
        assert float(state.distance) == pytest.approx(
            np.linalg.norm(state.W - exact) / np.linalg.norm(exact), rel=1e-6, abs=1e-12
        )
    assert digits(W, certified) > 8

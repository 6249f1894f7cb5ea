"""`diagnose`: right on problems with one known thing wrong, honest on all others; and the command."""

import dataclasses
import re
import subprocess
import sys
import time

import numpy as np
import pandas as pd
import pytest
import torch
from sklearn.datasets import load_diabetes

from gdstudy import diagnose, gradient_descent
from gdstudy.diagnosis import main
from gdstudy.study.verdicts import Verdict
from tests import planted as kinds
from tests.planted import planted


def problem(N=40, P=6, noise=0.1, seed=0):
    random = np.random.default_rng(seed)
    X = random.standard_normal((N, P))
    return X, X @ random.standard_normal(P) + noise * random.standard_normal(N)


@pytest.mark.parametrize("P", [15, 19, 20])
def test_at_the_threshold_nothing_is_amplified_without_noise(P):
    X, _ = problem(N=20, P=P)
    exact, noisy = (X.sum(1) + noise * np.random.default_rng(1).standard_normal(20) for noise in (0, 1))
    found = diagnose(X, exact)
    assert found.noise_amplification > 3
    assert Verdict.NEAR_THRESHOLD not in found.verdicts or P == 20  # where a row left out is one too few
    assert diagnose(X, noisy).verdict is Verdict.NEAR_THRESHOLD


def rows_of(found):
    return found.to_frame().set_index(["preprocessing", "estimator"])


@pytest.mark.parametrize("N", [10, 60, 442])
def test_raw_diabetes_lacks_an_intercept(N):
    X, y = load_diabetes(return_X_y=True)
    rows = np.random.RandomState(0).permutation(442)[-N:]
    found = diagnose(X[rows], y[rows])
    assert found.verdict is Verdict.NO_INTERCEPT
    assert "add an intercept" in found.recommendation.lower()
    with_one = diagnose(X[rows], y[rows], intercept=True)
    assert Verdict.NO_INTERCEPT not in with_one.verdicts
    assert with_one.verdicts == found.verdicts[1:]
    # Without that test it would read as no signal.
    ridge, null = (rows_of(found).loc[("as given", name)].left_out_mse for name in ("ridge_loo", "null"))
    assert ridge > 0.7 * null


def test_a_constant_column_is_an_intercept():
    X, y = problem()
    assert diagnose(X, y + 50).verdict is Verdict.NO_INTERCEPT
    assert Verdict.NO_INTERCEPT not in diagnose(np.c_[X, np.ones(40)], y + 50).verdicts


def test_errors_of_fits_are_those_by_hand():
    X, y = problem(N=30, P=8, noise=0.5)
    found = diagnose(X[:22], y[:22], X[22:], y[22:], steps=50)
    table = rows_of(found)
    x, t = X[:22], y[:22]
    *_, last = gradient_descent(x, t, checkpoints=[50], tolerance=0)
    penalty = table.loc[("as given", "ridge_loo")].penalty
    fits = {
        "null": np.zeros(8),
        "min_norm": np.linalg.lstsq(x, t)[0],
        "ridge_loo": np.linalg.solve(x.T @ x + penalty * np.eye(8), x.T @ t),
        "gd": last.W,
    }
    assert penalty == pytest.approx(found.best_penalty)
    for name, W in fits.items():
        row = table.loc[("as given", name)]
        assert row.test_mse == pytest.approx(np.square(y[22:] - X[22:] @ W).mean(), rel=1e-6)
        assert row.weight_norm == pytest.approx(np.linalg.norm(W), rel=1e-6)
    for i, rest in ((i, np.arange(22) != i) for i in (0, 7)):
        W = np.linalg.lstsq(x[rest], t[rest])[0]
        left_out = found.evidence.fits["as given", "min_norm"].left_out[i] * 2.0**found.units.y
        assert float(left_out) == pytest.approx(t[i] - x[i] @ W, rel=1e-8)
    assert set(table["left_out"]) == {"leave-one-out"}


def test_an_intercept_is_left_out_too():
    X, y = problem(N=25, P=4)
    table = rows_of(diagnose(X + 3, y + 7, intercept=True))
    errors = []
    for i in range(25):
        rest = np.arange(25) != i
        W, *_ = np.linalg.lstsq(np.c_[np.ones(24), X[rest]], y[rest])
        errors.append(y[i] - W @ [1, *X[i]])
    assert table.loc[("intercept", "min_norm")].left_out_mse == pytest.approx(np.square(errors).mean(), rel=1e-8)
    means = [y[i] - np.delete(y, i).mean() for i in range(25)]
    assert table.loc[("intercept", "null")].left_out_mse == pytest.approx(np.square(means).mean(), rel=1e-8)


def test_real_steps_reach_the_limit_when_it_is_said():
    X, y = problem(N=12, P=9)
    found = diagnose(X, y, tolerance=1e-6)
    limit = int(found.steps_to_limit)
    before, after = gradient_descent(X, y, checkpoints=[limit - 1, limit + 1], tolerance=1e-6)
    assert str(before.status) == "running"
    assert str(after.status) == "converged"


def test_the_answer_does_not_depend_on_units():
    X, y, _ = planted(kinds.near_threshold, 1)
    one, other = diagnose(X, y), diagnose(X * 2.0**300, y * 2.0**-200)
    assert one.verdicts == other.verdicts
    assert other.error("ridge_loo") == pytest.approx(one.error("ridge_loo") * 2.0**-400, rel=1e-9)
    assert other.best_penalty == pytest.approx(one.best_penalty * 2.0**600, rel=1e-9)
    assert other.best_step == one.best_step


def test_float32_and_tensors_read_the_same():
    X, y, verdict = planted(kinds.duplicates, 0)
    for other in (X.astype("float32"), torch.from_numpy(X), torch.from_numpy(X).float()):
        found = diagnose(other, torch.from_numpy(y).to(torch.float32))
        assert found.verdict is verdict
        assert found.error("ridge_loo") == pytest.approx(diagnose(X, y).error("ridge_loo"), rel=1e-4)


def test_features_are_called_as_in_the_data_frame():
    X, y, _ = planted(kinds.dead, 0)
    frame = pd.DataFrame(X, columns=[f"gene {k}" for k in range(X.shape[1])])
    first = frame.columns[int(np.flatnonzero(~X.any(0))[0])]
    assert first in diagnose(frame, pd.Series(y)).recommendation
    assert first in diagnose(X, y, feature_names=frame.columns).recommendation


def combined(offset, dtype=np.float64, N=60):
    """Three features of which the last is a combination of the others, far from zero."""
    random = np.random.default_rng(0)
    a, b = random.standard_normal((2, N)) * 10 + np.array([[offset], [offset / 2]])
    X = np.stack([a, b, 0.3 * a + 0.7 * b], 1).astype(dtype)
    return X, a - b + random.standard_normal(N)


@pytest.mark.parametrize(("offset", "dtype"), [(0, "f8"), (1e4, "f8"), (1e6, "f8"), (0, "f4"), (2e3, "f4")])
def test_what_rounding_makes_of_a_combination_is_no_mode_however_far_features_are_from_zero(offset, dtype):
    found = diagnose(*combined(offset, dtype), intercept=True)
    assert found.evidence.rank == 2
    assert found.verdict is Verdict.REDUNDANT_FEATURES
    assert found.evidence.base.condition_number < 10
    assert len(found.evidence.modes.shares) == 3
    assert found.evidence.modes.shares[-1] == 0
    fits, path = found.evidence.fits, found.evidence.path
    np.testing.assert_allclose(path.errors[-1], fits["intercept", "min_norm"].error, rtol=1e-4)
    X, y = combined(offset, dtype)
    X[:, 2] += 0.1 * np.random.default_rng(1).standard_normal(60).astype(dtype)  # control: a mode of its own
    assert diagnose(X, y, intercept=True).evidence.rank == 3


def test_a_file_of_single_precision_is_diagnosed_as_its_arrays_are(tmp_path, capsys):
    X, y = combined(0, np.float32)
    np.savez(tmp_path / "single.npz", X=X, y=y)
    assert main([str(tmp_path / "single.npz"), "--intercept"]) == 0
    assert str(diagnose(X, y, intercept=True, name="single.npz", feature_names="012")) in capsys.readouterr().out
    np.savez(tmp_path / "double.npz", X=X.astype(np.float64), y=y)  # control: the same numbers, said to be exact
    assert main([str(tmp_path / "double.npz"), "--intercept"]) == 0
    assert "combination" not in capsys.readouterr().out


def test_classes_are_outputs_of_zero_and_one():
    X, score = problem(N=90)
    labels = np.digitize(score, [-1, 1])
    names = np.array(["low", "middle", "top"])[labels]
    by_name, by_number, one_hot = (diagnose(X, y) for y in (names, labels, np.eye(3)[labels]))
    assert by_name.class_names == ("low", "middle", "top")
    assert by_number.class_names == one_hot.class_names == ("0", "1", "2")
    assert "accuracy" in str(by_name)
    for other in (by_number, one_hot):
        pd.testing.assert_frame_equal(by_name.to_frame(), other.to_frame())
    assert rows_of(by_name).loc[("intercept", "ridge_loo")].left_out_accuracy > 0.6
    as_number = diagnose(X, labels, classes=False)
    assert as_number.class_names == ()
    assert as_number.to_frame()["left_out_accuracy"].isna().all()
    assert diagnose(X, np.where(score > 0, 1.0, 3.0), classes=True).class_names == ("1", "3")


def test_test_rows_are_classes_where_the_training_rows_are():
    """Counts of many values, of which the test rows hold few."""
    X, score = problem(N=300)
    counts = np.round(20 * score).astype(int)
    few = np.isin(counts, np.unique(counts)[len(np.unique(counts)) // 2 :][:2])
    X_test, y_test = np.repeat(X[few], 20, 0), np.repeat(counts[few], 20)
    assert len(np.unique(y_test)) == 2  # which alone would be taken for classes
    assert diagnose(X_test, y_test).class_names
    found = diagnose(X, counts, X_test, y_test)
    assert found.class_names == ()
    by_hand = np.square(y_test - X_test @ np.linalg.lstsq(X, counts)[0]).mean()
    assert rows_of(found).loc[("as given", "min_norm")].test_mse == pytest.approx(by_hand)


def test_descent_and_the_pseudoinverse_count_the_same_modes_in_half_precision():
    """A mode of σ₁/3000, which float16 cannot tell from rounding and float32 can."""
    random = np.random.default_rng(0)
    Q, _ = np.linalg.qr(random.standard_normal((40, 3)))
    X = (Q * [30, 20, 0.01]).astype(np.float16)
    y = X[:, 0] + X[:, 1] + random.standard_normal(40).astype(np.float16)
    found = diagnose(X, y, steps=10**15)
    fits, path = found.evidence.fits, found.evidence.path
    assert found.evidence.rank == 2
    np.testing.assert_allclose(path.errors[-1], fits["as given", "min_norm"].error, rtol=1e-6)
    single = diagnose(X.astype(np.float32), y, steps=10**15).evidence  # control
    assert single.rank == 3
    np.testing.assert_allclose(single.path.errors[-1], single.fits["as given", "min_norm"].error, rtol=1e-6)


def test_test_rows_of_classes():
    X, score = problem(N=90)
    names = np.where(score > 0, "yes", "no")
    table = rows_of(diagnose(X[:60], names[:60], X[60:], names[60:], intercept=True))
    assert table.loc[("intercept", "ridge_loo")].test_accuracy > 0.9
    with pytest.raises(ValueError, match="class 'maybe'"):
        diagnose(X[:60], names[:60], X[60:], np.array(["maybe"] * 30))


def test_a_class_that_is_missing_is_named_as_y():
    X, score = problem(N=90)
    names = pd.Series(np.where(score > 0, "yes", "no"), dtype="string")
    for lacking in (names.mask(np.arange(90) % 9 == 0), names.mask(np.arange(90) == 1).astype(object)):
        with pytest.raises(ValueError, match=r"y lacks the class of \d+ rows; leave them out"):
            diagnose(X, lacking)
    for of in (np.where(score > 0, "yes", "no"), (score > 0).astype(int), score):
        with pytest.raises(ValueError, match="y has 2 masked entries"):
            diagnose(X, np.ma.masked_array(of, mask=np.arange(90) < 2))
    with pytest.raises(ValueError, match="y must be texts or whole numbers for classes=True"):
        diagnose(X, score, classes=True)


def test_a_test_file_may_lack_a_class(tmp_path, capsys):
    X, score = problem(N=120)
    frame = pd.DataFrame(X, columns=[f"x{k}" for k in range(X.shape[1])])
    frame["y"] = np.array(["low", "middle", "top"])[np.digitize(score, [-1, 1])]
    frame[:90].to_csv(tmp_path / "train.csv", index=False)
    frame[90:][frame["y"][90:] != "low"].to_csv(tmp_path / "test.csv", index=False)
    table = tmp_path / "table.csv"
    assert main([str(tmp_path / "train.csv"), "--test", str(tmp_path / "test.csv"), "--csv", str(table)]) == 0
    by_hand = frame[90:][frame["y"][90:] != "low"]
    expected = diagnose(X[:90], frame["y"][:90], by_hand[frame.columns[:-1]].to_numpy(), by_hand["y"]).to_frame()
    np.testing.assert_allclose(pd.read_csv(table)["test_accuracy"], expected["test_accuracy"])
    frame[90:].assign(y=np.where(score[90:] > 0, "low", "else")).to_csv(tmp_path / "other.csv", index=False)
    assert main([str(tmp_path / "train.csv"), "--test", str(tmp_path / "other.csv")]) == 2
    assert "its classes are not those of" in capsys.readouterr().err


SMALLEST = {
    "two rows": lambda X, y: (X[:2], y[:2]),
    "two rows of one feature": lambda X, y: (X[:2, :1], y[:2]),
    "one feature": lambda X, y: (X[:, :1], y),
    "no feature varies": lambda X, y: (np.ones((40, 3)), y),
    "zero features": lambda X, y: (np.zeros((40, 3)), y),
    "rows that are copies": lambda X, y: (np.r_[X, X], np.r_[y, y]),
    "an exact fit": lambda X, y: (X, X.sum(1)),
    "an exact fit below the threshold": lambda X, y: (X[:4], X[:4].sum(1)),
    "many outputs": lambda X, y: (X, np.stack([y, -y, y**2], 1)),
    "one category": lambda X, y: (X, np.array(["a"] * 40)),
}


@pytest.mark.parametrize("intercept", [False, True])
@pytest.mark.parametrize("name", SMALLEST)
def test_it_has_something_to_say_of_anything(name, intercept):
    X, y = SMALLEST[name](*problem())
    found = diagnose(X, y, intercept=intercept)
    assert str(found.verdict) in str(found)
    assert "nan" not in str(found)
    assert len(found.figure().axes) == 4
    assert found.to_frame()["left_out_mse"].notna().all()


def test_a_constant_target_is_said():
    X, _ = problem()
    for value in (0, 3.5):
        found = diagnose(X, np.full(40, value))
        assert found.verdicts == (Verdict.CONSTANT_TARGET,)
        assert f"{value:g}" in found.recommendation


def named(X):
    return pd.DataFrame(X, columns=[*"abcdef"])


def bad_inputs():
    X, y = problem()
    hole = X.copy()
    hole[3, 2] = np.nan
    return {
        "X holds 1 NaN": (hole, y),
        "Y holds 1 NaN": (X, np.r_[y[1:], np.inf]),
        "X has 1 row": (X[:1], y[:1]),
        "X must be": (X[None], y[None]),
        "go together": (X, y, X),
        r"must be \(M, 6\)": (X, y, X[:, :2], y),
        "must hold real numbers": (pd.DataFrame({"a": ["x"] * 40}), y),
        "same N": (X, y[:-1]),
        r"column 0 \(from 0\) is 'f' where that of X is 'a'": (named(X), y, named(X)[[*"fbcdea"]], y),
        "lacks the class of 1 rows": (X, np.array(["a", None] + ["b"] * 38, dtype=object)),
    }


@pytest.mark.parametrize("message", bad_inputs())
def test_what_is_no_regression_problem_is_refused(message):
    with pytest.raises(ValueError, match=message):
        diagnose(*bad_inputs()[message])


@pytest.mark.parametrize(
    "options",
    [
        *({"steps": 0}, {"tolerance": 2}, {"feature_names": ["a"]}, {"class_names": ["a", "b"]}, {"seed": -1}),
        *({"eps": np.nan}, {"eps": 0.0}, {"eps": 1.0}, {"eps": "fine"}),
    ],
)
def test_options_that_cannot_be_are_refused(options):
    with pytest.raises(ValueError, match=next(iter(options))):
        diagnose(*problem(), **options)


def test_modes_carry_the_error_as_eqn_1_says():
    modes = diagnose(*problem(N=25, P=20, noise=1)).modes
    assert modes["share"].sum() == pytest.approx(1)
    assert modes["singular_value"].is_monotonic_decreasing
    assert modes["share"].iloc[-4:].sum() > 0.5
    far = diagnose(*problem(N=400, P=20, noise=1)).modes
    assert far["share"].iloc[-4:].sum() < 0.5


def test_the_learning_curve_peaks_at_the_threshold():
    X, y = problem(N=100, P=20, noise=1)
    found = diagnose(X, y)
    curve = found.learning_curve.set_index("n_train")
    assert curve["min_norm"].idxmax() in (18, 19, 20, 21, 22)
    assert curve["ridge_loo"].max() < curve["min_norm"].max() / 3
    assert curve.index.max() <= 80
    assert found.threshold == 20


def test_the_same_seed_says_the_same():
    X, y = problem(N=300)
    assert str(diagnose(X, y)) == str(diagnose(X, y))
    assert str(diagnose(X, y, seed=1)) != str(diagnose(X, y))
    assert set(diagnose(X, y).to_frame()["left_out"]) == {"leave-one-out", "5 folds"}


def test_what_it_is_doing_is_told_and_nothing_printed(capsys):
    told = []
    diagnose(*problem(), on_step=told.append)
    assert len(told) >= 3
    assert capsys.readouterr() == ("", "")


# The command


@pytest.fixture
def file(tmp_path):
    X, y = problem(N=60)
    frame = pd.DataFrame(X, columns=list("abcdef")).assign(outcome=y + 30)
    frame.iloc[:45].to_csv(tmp_path / "mine.csv", index=False)
    frame.iloc[45:].to_csv(tmp_path / "other.csv", index=False)
    return tmp_path / "mine.csv"


def test_a_file_is_diagnosed(file, capsys):
    figure, table = file.with_name("d.png"), file.with_name("d.csv")
    options = ["--target", "outcome", "--test", file.with_name("other.csv"), "--figure", figure, "--csv", table]
    assert main([str(option) for option in (file, *options)]) == 0
    text = capsys.readouterr().out
    assert text.startswith("mine.csv: N = 45 rows, P = 6 features")
    assert "verdict: no_intercept." in text
    assert "also: nothing_to_do" not in text  # which would contradict it
    assert "on 15 test rows" in text
    assert figure.read_bytes().startswith(b"\x89PNG")
    errors = pd.read_csv(table).set_index(["preprocessing", "estimator"])["test_mse"]
    assert errors[("intercept", "min_norm")] < 0.1 * errors[("as given", "min_norm")]
    options = ["--name", "probe", "--intercept", "--features", "[a, c]", "--steps", "1e3"]
    assert main([str(file), "--target", "outcome", *options]) == 0
    text = capsys.readouterr().out
    assert text.startswith("probe: ")
    assert "P = 2 features" in text
    assert "GD, 1,000 steps" in text


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--target", "outcom"], "did you mean outcome"),
        (["--target", "Outcome"], "did you mean outcome"),
        ([], "which column is y? Name it in --target"),
        (["--target", "outcome", "--figure", "d.gif"], "must end in .png or .pdf"),
        (["--target", "outcome", "--csv", "nowhere/d.csv"], "no folder nowhere"),
        (["--target", "outcome", "--steps", "none"], "--steps=none"),
        (["--target", "outcome", "--tset", "x"], "--tset x (did you mean --test?)"),
        (["--target", "outcome", "--nothing_like_it=3"], "unrecognized arguments: --nothing_like_it=3\n"),
        (["--target", "outcome", ""], "unrecognized arguments"),
        (["--target", "outcome", "--test", "gone.csv"], "gone.csv"),
    ],
)
def test_what_is_wrong_with_a_command_is_one_line(options, said, file, capsys):
    assert main([str(file), *options]) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith("gdstudy diagnose: ")
    assert said in err
    assert len(err.splitlines()) == 1


def test_test_rows_of_other_columns_are_refused(file, capsys):
    pd.read_csv(file).drop(columns="b").to_csv(file.with_name("fewer.csv"), index=False)
    assert main([str(file), "--target", "outcome", "--test", str(file.with_name("fewer.csv"))]) == 2
    assert "its columns are not those of" in capsys.readouterr().err


def test_a_built_in_data_set_and_a_name_that_is_none(capsys):
    assert main(["diabetes", "--intercept"]) == 0
    assert "N = 442 rows" in capsys.readouterr().out
    assert main(["diabets"]) == 2
    assert "diabetes" in capsys.readouterr().err


def test_long_work_is_told_on_standard_error(file, capsys, monkeypatch):
    monkeypatch.setattr("gdstudy.diagnosis._PATIENCE", 0.0)
    assert main([str(file), "--target", "outcome"]) == 0
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) >= 4
    assert all(re.fullmatch(r"gdstudy diagnose: \d+ s, .* …", line) for line in lines)


def test_help_needs_no_torch():
    code = (
        "import sys; from gdstudy.__main__ import main\n"
        "try: main(['diagnose', '--help'])\n"
        "except SystemExit: pass\n"
        "assert not {'torch', 'pandas', 'sklearn', 'matplotlib'} & set(sys.modules)"
    )
    start = time.perf_counter()
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "--target" in done.stdout
    assert time.perf_counter() - start < 5  # .2 s on an idle machine


def test_every_verdict_has_a_sentence_a_remedy_and_a_recommendation():
    from gdstudy.views.advice import _REASONS

    assert set(_REASONS) == set(Verdict)
    assert all(verdict.meaning and verdict.remedy for verdict in Verdict)
    assert dataclasses.is_dataclass(type(diagnose(*problem())))


def test_where_no_residuals_are_left_no_mode_is_blamed_for_rounding():
    X, _ = problem(N=30)
    found = diagnose(X, X.sum(1))
    assert found.modes["share"].isna().all()
    assert "no residuals" in str(found)


def test_the_best_step_is_the_same_in_text_table_and_path():
    found = diagnose(*problem(N=30, noise=1))
    (best,) = found.path[found.path["best"]]["step"]
    assert best == found.best_step == rows_of(found).loc[("as given", "gd_early")].step
    assert found.path["left_out_mse"].min() == pytest.approx(found.error("gd_early"), rel=2e-3)


def test_notes_and_errors_name_the_options_of_this_command(tmp_path, capsys):
    (tmp_path / "a.csv").write_text("x,site,y\n" + "".join(f"{k},{'uv'[k % 2]},{k * k % 7}\n" for k in range(12)))
    assert main([str(tmp_path / "a.csv")]) == 0
    assert "(--categories=one_hot keeps them)" in capsys.readouterr().err
    assert main([str(tmp_path / "a.csv"), "--file.target", "y"]) == 2
    assert "----" not in capsys.readouterr().err


@pytest.mark.parametrize("scale", [1e5, 1e8])
def test_features_too_small_to_count_are_of_unequal_scales(scale):
    """In float32 a column 10⁸ times smaller than another is no mode beside it, and then κ is 1."""
    random = np.random.RandomState(0)
    X = random.randn(100, 3)
    y = X.sum(1) + 0.1 * random.randn(100)
    found = diagnose((X * [scale, 1, 1]).astype("f4"), y)
    assert found.verdict is Verdict.UNEQUAL_SCALES
    assert ("modes that count: 1 → 3" in str(found)) == (scale == 1e8)
    assert found.error("min_norm", scaled=True) < 0.05


@pytest.mark.parametrize("small", [1e-20, 1e-170, 1e-300])
def test_no_column_is_too_small_to_be_scaled(small):
    X, _ = problem(60, 3)
    y = X.sum(1) + 0.1 * np.random.default_rng(1).standard_normal(60)
    found = diagnose(X * [1, 1, small], y)
    assert found.verdict is Verdict.UNEQUAL_SCALES
    assert Verdict.REDUNDANT_FEATURES not in found.verdicts


def test_targets_of_bfloat16_are_numbers():
    X, y = (torch.from_numpy(values) for values in problem())
    rounded = y.bfloat16()
    assert diagnose(X, rounded).error("min_norm") == diagnose(X, rounded.double()).error("min_norm")


@pytest.mark.parametrize("unit", [1e-170, 1e170])
def test_near_the_threshold_targets_of_any_units_are_described(unit):
    X, y = problem(22, 20, noise=1.0)
    texts = (" ".join(str(diagnose(X, scale * y)).split()) for scale in (1, unit))
    one, other = (re.search(r"[\d.]+ times as much as the best fit", text)[0] for text in texts)
    assert one == other


def test_targets_whose_squares_leave_float64_have_their_shares():
    random = np.random.default_rng(0)
    X = random.standard_normal((40, 3))
    y = X[:, 0] + 2 * random.standard_normal(40)
    plain, tiny = (diagnose(X, scale * y) for scale in (1.0, 2.0**-1000))
    assert tiny.verdicts == plain.verdicts
    assert tiny.recommendation.partition("leaves")[2] == plain.recommendation.partition("leaves")[2] != ""
    assert repr(plain).startswith("<Diagnosis of data: ")

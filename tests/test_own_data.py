"""One's own data from the first line to the last: YAML or Python in, a run that resumes with the same data out."""

import re
import warnings

import numpy as np
import pandas as pd
import pytest
import yaml
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

import gdstudy
from gdstudy import Dataset, Study, load_curves, load_results, register_dataset, resume_study, run_study
from gdstudy.experiment.plan import plan
from gdstudy.study.datasets import DATASETS
from gdstudy.study.errors import StudyError
from gdstudy.study.parser import read_study
from gdstudy.sweep.reading import load_run
from gdstudy.sweep.run import resolved
from gdstudy.train import main
from gdstudy.views.figures.accuracies import accuracy

SMALL = {"n_train": [8], "seeds": 2, "estimators": ["min_norm"]}
KEYS = {"n_train": [2, 4, 8], "seeds": 2, "gd": {"steps": 200, "checkpoints_per_decade": 2}}
random = np.random.default_rng(0)
X = random.standard_normal((40, 4))
y = X @ np.arange(4.0) + 0.3 * random.standard_normal(40)


@pytest.fixture(autouse=True)
def _in_an_empty_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    np.savez("probe.npz", X=X, y=y)
    clinic = pd.DataFrame(X, columns=list("abcd")).assign(site=["u", "v"] * 20, outcome=np.where(y > 0, "ill", "well"))
    clinic.loc[5, "b"] = np.nan
    clinic.to_csv("clinic.csv", index=False, sep=";")
    study = {"datasets": ["probe.npz", "clinic.csv"], "files": {"clinic.csv": {"target": "outcome"}}, **KEYS}
    (tmp_path / "own.yaml").write_text(yaml.safe_dump(study))


@pytest.fixture
def registered():
    """Names that a test registers are gone afterwards."""
    before = dict(DATASETS)
    yield
    for name in set(DATASETS) - set(before):
        del DATASETS[name]


def tags(folder):
    events = EventAccumulator(str(folder))
    events.Reload()
    return set(events.Tags()["scalars"])


def test_files_are_studied_as_any_other_data(tmp_path, capsys):
    assert main(["--config", "own.yaml", "--run_dir", "mine"]) == 0
    out, err = capsys.readouterr()
    assert "clinic.csv: left out 1 of 40 rows, which lack a value (most in column 'b')" in err
    assert "clinic.csv: left out 1 column of texts: site (file.categories=one_hot keeps them)" in err
    assert re.search(r"clinic  \(P = 4; .*\n +N +converged +test MSE, X⁺y +accuracy, X⁺y +GD +accuracy", out)
    assert re.search(r"probe  \(P = 4; .*\n +N +converged +test MSE, X⁺y +GD +GD − X⁺y +distance", out)
    rows = load_results("mine")
    assert set(rows["dataset"]) == {"probe", "clinic"}
    shares = rows[rows["dataset"] == "clinic"][["train_accuracy", "test_accuracy"]]
    assert shares.notna().all(axis=None)
    assert shares.to_numpy().min() >= 0
    assert shares.to_numpy().max() <= 1
    assert rows[rows["dataset"] == "probe"][["train_accuracy", "test_accuracy"]].isna().all(axis=None)
    checkpoints = load_curves("mine")
    assert (
        checkpoints.loc[checkpoints["dataset"] == "clinic", ["test_accuracy", "exact_test_accuracy"]]
        .notna()
        .all(axis=None)
    )
    assert {"sweep/test_accuracy/clinic", "sweep/train_accuracy/clinic"} <= tags("mine/clinic/min_norm")
    assert "convergence/test_accuracy/clinic" in tags("mine/clinic/gd_closed_form")
    for estimator in ("gd", "gd_closed_form", "min_norm"):
        assert not [tag for tag in tags(f"mine/probe/{estimator}") if "accuracy" in tag]
    assert (tmp_path / "mine/figures/accuracy.png").is_file()
    assert "train_accuracy,test_accuracy" in (tmp_path / "mine/results.csv").read_text().partition("\n")[0]
    prints = read_study("mine/config.yaml").fingerprints
    assert (prints["probe"]["rows"], prints["clinic"]["rows"]) == (40, 39)
    assert (prints["clinic"]["columns"], prints["clinic"]["classes"]) == (["a", "b", "c", "d"], ["ill", "well"])


def test_a_run_goes_on_with_the_same_data_only(capsys):
    assert (
        main(["--config", "own.yaml", "--run_dir", "mine", "--quiet", "--estimators", "[min_norm]", "--n_train", "8"])
        == 0
    )
    assert main(["--resume", "mine", "--quiet"]) == 0
    np.savez("probe.npz", X=X[:-1], y=y[:-1])
    capsys.readouterr()
    for command in (["--resume", "mine"], ["--config", "mine/config.yaml", "--run_dir", "other"]):
        assert main(command) == 2
        err = capsys.readouterr().err
        assert err.count("\n") == 1
        assert "probe.npz is not what it was when the run began: rows 39 instead of 40; put it back" in err
    np.savez("probe.npz", X=X, y=y + 1)
    assert main(["--resume", "mine"]) == 2
    assert "when the run began: sha256 " in capsys.readouterr().err
    # What was computed is still there to be looked at, without the data.
    from gdstudy.figures import main as figures

    assert figures(["mine"]) == 0


def test_a_study_is_resolved_by_reading_its_files_and_printed_without(tmp_path, capsys):
    (tmp_path / "probe.npz").unlink()
    assert main(["--config", "own.yaml", "--print_config"]) == 0
    study = read_study("own.yaml")
    assert yaml.safe_load(capsys.readouterr().out)["datasets"] == study.datasets
    assert study.names == ["probe", "clinic"]
    assert (study.facts("probe").rows, study.facts("probe").external) == (None, True)
    with pytest.raises(StudyError, match=r"probe.npz: No such file or directory \(looked in "):
        resolved(study)
    with pytest.raises(StudyError, match="probe: its columns are not known before it was read"):
        plan(study)
    np.savez("probe.npz", X=X, y=y)
    found, read = resolved(study)
    assert (found.facts("probe").rows, found.facts("probe").columns, found.facts("probe").classes) == (40, 4, 0)
    assert (found.facts("clinic").columns, found.facts("clinic").classes) == (4, 2)
    assert read["probe"].X.shape == (40, 4)
    assert resolved(found)[0] == found


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--n_train", "40"], "n_train=40 is too many for probe: it has 40 rows"),
        (["--n_train", "39"], "n_train=39 is too many for clinic: it has 39 rows"),
        (["--files", "{clinic.csv: {target: none}}"], "datasets: clinic has no y for linear; use an autoencoder"),
        (["--models", "bottleneck", "--n_hidden", "5"], "n_hidden=5 is no bottleneck for probe: it has 4 columns"),
        (["--models", "legendre", "--n_parameters", "5"], "models: legendre needs one input in [−1, 1]"),
    ],
)
def test_what_does_not_fit_the_data_is_said_once_they_are_read(options, said, tmp_path, capsys):
    before = sorted(tmp_path.rglob("*"))
    assert main(["--config", "own.yaml", *options, "--quiet"]) == 2
    assert said in capsys.readouterr().err
    assert sorted(tmp_path.rglob("*")) == before


def test_inputs_without_y_are_for_autoencoders():
    np.save("inputs.npy", X)
    keys = {**SMALL, "datasets": ["inputs.npy"], "file": {"target": "none"}, "models": ["linear_autoencoder"]}
    rows = load_results(run_study(keys, "mine"))
    assert set(rows["n_parameters"]) == {4}
    assert rows["test_accuracy"].isna().all()


def test_a_practitioners_script():
    """Ten lines: features and labels in memory, the answer as a table."""
    features = np.maximum(random.standard_normal((90, 12)), 0)
    labels = np.array(["cat", "dog", "eel"])[(features @ random.standard_normal((12, 3))).argmax(1)]

    probe = gdstudy.Dataset(features, labels, name="probe")
    run = gdstudy.run_study({"n_train": "4-40/4", "seeds": 3, "gd": {"steps": 500}}, "runs/probe", datasets=[probe])
    rows = gdstudy.load_results(run)
    closed = rows[rows["estimator"] == "min_norm"].groupby("n_train")["test_accuracy"].median()
    trained = rows[rows["estimator"] == "gd"].groupby("n_train")["test_accuracy"].median()

    assert list(closed.index) == list(range(4, 41, 4))
    assert closed[40] > 0.6 > closed[12]
    assert trained[12] >= closed[12]


def test_data_from_python_stand_beside_those_of_the_study_and_resume_with_the_same():
    probe = Dataset(pd.DataFrame(X, columns=list("abcd")), pd.Series(y), name="mine")
    study = Study(datasets=["diabetes"], **SMALL)
    run = run_study(study, "mine", datasets=[probe])
    assert set(load_results(run)["dataset"]) == {"diabetes", "mine"}
    assert read_study("mine/config.yaml").fingerprints["mine"]["columns"] == ["a", "b", "c", "d"]
    assert resume_study(run, datasets=[probe]) == run
    with pytest.raises(StudyError, match=r"mine is not what it was when the run began: sha256"):
        resume_study(run, datasets=[Dataset(pd.DataFrame(X, columns=list("abcd")), y + 1, "mine")])
    with pytest.raises(StudyError, match=r"the data of mine came from Python and are not here; there, resume with"):
        resume_study(run)


def test_from_the_command_line_data_of_python_are_missed_in_one_line(capsys):
    run_study(SMALL, "mine", datasets=[Dataset(X, y, "probe")])
    assert main(["--resume", "mine"]) == 2
    err = capsys.readouterr().err
    assert err.count("\n") == 1
    assert "the data of probe came from Python and are not here" in err


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("diabetes", "is built in"),
        ("figures", "is taken"),
        ("a/b", "cannot name a folder"),
        ("", "cannot name"),
        ("..", "cannot"),
    ],
)
def test_names_of_ones_own_data_can_name_folders(name, said):
    for call in (
        lambda: run_study(KEYS, datasets=[Dataset(X, y, name)]),
        lambda: register_dataset(name, lambda: (X, y)),
    ):
        with pytest.raises(StudyError, match=said) as error:
            call()
        assert "\n" not in str(error.value)


def test_two_of_one_name_are_refused():
    with pytest.raises(StudyError, match="two are called 'probe'"):
        run_study(KEYS, datasets=[Dataset(X, y, "probe"), Dataset(X, y, "probe")])
    with pytest.raises(StudyError, match="are both called 'probe'"):
        run_study({**KEYS, "datasets": ["probe.npz"]}, datasets=[Dataset(X, y, "probe")])


def test_a_registered_name_is_a_data_set_of_studies(registered):
    calls = []

    def loader():
        calls.append(1)
        return X, y

    register_dataset("probe", loader, label="Our probe")
    run = run_study(Study(datasets=["probe"], **SMALL), "mine")
    assert len(calls) == 1
    assert set(load_results(run)["n_parameters"]) == {4}
    assert gdstudy.load_dataset("probe").X.shape == (40, 4)
    assert resume_study(run) == run
    register_dataset("probe", lambda: (X, y * 2))
    with pytest.raises(StudyError, match="probe is not what it was when the run began"):
        resume_study(run)
    del DATASETS["probe"]  # as in another process
    assert len(load_results(run)) == 2
    with pytest.raises(StudyError, match="came from Python and are not here"):
        resume_study(run)
    with pytest.raises(TypeError, match="unknown fact 'rows'"):
        register_dataset("probe", loader, rows=3)
    with pytest.raises(TypeError, match="loader must be a function"):
        register_dataset("probe", X)


def test_files_can_be_loaded_by_themselves():
    data = gdstudy.load_dataset("probe.npz", "standardize")
    np.testing.assert_allclose(data.X.std(0), 1)
    assert (data.name, data.preprocess) == ("probe", "standardize")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        clinic = gdstudy.load_dataset("clinic.csv", "center", file=gdstudy.study.sources.File(target="outcome"))
    assert clinic.classes == ("ill", "well")
    np.testing.assert_allclose(clinic.Y.mean(0), 0, atol=1e-15)
    labels = pd.read_csv("clinic.csv", sep=";").dropna()["outcome"]
    assert [clinic.classes[k] for k in clinic.labels] == list(labels)


@pytest.mark.parametrize("keys", [{"preprocess": "center"}, {"preprocess": "standardize_train"}, {"intercept": True}])
def test_centred_classes_are_told_apart_as_outputs_of_0_and_1_again(keys):
    """What was taken from the targets is added before outputs are compared: a constant output says the common class."""
    labels = np.array(["rare"] * 4 + ["common"] * 36)
    rows = load_results(
        run_study({**SMALL, **keys, "n_train": [20]}, "mine", datasets=[Dataset(X + 9, labels, "mine")])
    )
    assert rows["test_accuracy"].min() > 0.7


def test_one_data_set_will_do_and_what_is_none_is_refused(tmp_path):
    run = run_study(SMALL, tmp_path / "one", datasets=Dataset(X, y, name="mine"))
    assert set(load_results(run)["dataset"]) == {"mine"}
    with pytest.raises(StudyError, match="a tuple is no data set; give Dataset"):
        run_study(SMALL, datasets=[(X, y)])
    assert repr(Dataset(X, y, name="mine")) == "Dataset(name='mine', X: (40, 4), Y: (40, 1))"


def test_numbers_with_commas_are_asked_about_and_not_lost(tmp_path, capsys):
    pd.DataFrame({"a": X[:, 0], "b": X[:, 1], "y": y}).to_csv("commas.csv", index=False, sep=";", decimal=",")
    arguments = ["--config", "linear.yaml", "--datasets", "[commas.csv]", "--n_train", "8", "--seeds", "1"]
    (tmp_path / "linear.yaml").write_text("gd: {steps: 10}")
    assert main(arguments) == 2
    assert "column 'a', row 1: numbers have commas, such as " in capsys.readouterr().err
    assert main([*arguments, "--file.decimal", ",", "--run_dir", "mine", "--quiet"]) == 0
    assert set(load_results("mine")["n_parameters"]) == {2}


def test_what_names_each_row_is_no_category(tmp_path, capsys):
    frame = pd.DataFrame(X, columns=list("abcd")).assign(who=[f"p{k}" for k in range(40)], site=["u", "v"] * 20, y=y)
    frame.to_csv("names.csv", index=False)
    (tmp_path / "own2.yaml").write_text("datasets: [names.csv]\nfile: {categories: one_hot}\nn_train: [8]\nseeds: 1\n")
    assert main(["--config", "own2.yaml", "--run_dir", "names", "--estimators", "[min_norm]"]) == 0
    assert "left out 1 column of texts that differ from row to row: who" in capsys.readouterr().err
    assert set(load_results("names")["n_parameters"]) == {6}


def test_accuracies_of_what_is_asked_for_beside_x_pinv_y(tmp_path, capsys):
    keys = "datasets: [clinic.csv]\nfile: {target: outcome}\nn_train: [2, 4, 8]\nseeds: 2\n"
    (tmp_path / "beside.yaml").write_text(
        f"{keys}estimators: [min_norm, ridge_loo, gd_exact]\ngd_exact: {{steps: [5]}}\n"
    )
    assert main(["--config", "beside.yaml", "--run_dir", "beside"]) == 0
    assert re.search(r"accuracy, X⁺y +ridge_loo +accuracy +t = 5 +accuracy\n", capsys.readouterr().out)
    axis = accuracy(load_run(tmp_path / "beside")).axes[0]
    labels = [line.get_label() for line in axis.lines]
    assert {"GD, exact, t = 5", "ridge, λ by leave-one-out", "t = ∞, X⁺y"} <= set(labels)
    assert load_results("beside")["test_accuracy"].notna().all()

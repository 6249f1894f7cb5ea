"""report.html: self-contained, safe whoever made the run, and with the numbers of the tables."""

import base64
import hashlib
import json
import re
import sys
import zlib
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from stand_in import joined

from gdstudy.experiment.tables import Run
from gdstudy.study.config import Study
from gdstudy.study.groups import Training
from gdstudy.study.parser import read_study
from gdstudy.sweep.reading import load_run
from gdstudy.views.claims import decide
from gdstudy.views.html import comparison_page, contents, run_page
from gdstudy.views.html.comparison import Named, paired
from gdstudy.views.html.described import described, question
from gdstudy.views.html.embedded import encoded
from gdstudy.views.quartiles import summarised
from gdstudy.views.summary import measured, select

CONFIGS = sorted((Path(__file__).parents[2] / "configs").glob("*.yaml"))
LOADING = {"src", "srcset", "data", "poster", "background", "action", "formaction", "xlink:href"}
HOSTILE = "</script><img src=x onerror=alert(1)>\"'&"


class Page(HTMLParser):
    """A page as a browser takes it apart. tags: (name, attributes); scripts: their texts by id; text: all other."""

    def __init__(self, content):
        super().__init__()
        self.tags, self.scripts, self.text, self._inside = [], {}, "", None
        self.feed(content.decode())

    def handle_starttag(self, tag, attributes):
        self.tags.append((tag, dict(attributes)))
        self._inside = tag

    def handle_endtag(self, tag):
        self._inside = None

    def handle_data(self, text):
        if self._inside == "script":
            self.scripts[self.tags[-1][1].get("id", "")] = text
        elif self._inside != "style":
            self.text += text

    @property
    def data(self):
        return json.loads(self.scripts["data"])

    def table(self):
        columns = {
            c["name"]: pd.Categorical.from_codes(c["values"], c["words"]) if "words" in c else c["values"]
            for c in self.data["table"]["columns"]
        }
        return pd.DataFrame(columns)

    def outside(self):
        """What it would load from elsewhere, or run from an attribute."""
        for tag, attributes in self.tags:
            for name, value in attributes.items():
                loads = name in LOADING or (name == "href" and tag != "a")
                if (loads and not (value or "").startswith("data:")) or name.startswith("on"):
                    yield tag, name, value


def page_of(run, name="small"):
    return run_page(name, run, summarised(run), decide(run), {})


@pytest.fixture(scope="module")
def run(run_dir):
    return load_run(run_dir)


@pytest.fixture(scope="module")
def content(run):
    return page_of(run)


@pytest.fixture(scope="module")
def page(content):
    return Page(content)


@pytest.mark.parametrize(
    "spoil", ["", '<script src="https://cdn.example/x.js"></script>', "<img src=//x>", "<p onclick=x>"]
)
def test_a_page_loads_nothing(content, spoil):
    outside = list(Page(content.replace(b"</main>", spoil.encode() + b"</main>")).outside())
    assert bool(outside) == bool(spoil)
    assert not re.search(r"url\(|@import", content.decode().split("</style>")[0])


def test_the_policy_lets_a_browser_run_these_scripts_alone_and_load_nothing(page):
    (policy,) = (a["content"] for tag, a in page.tags if a.get("http-equiv") == "Content-Security-Policy")
    rules = dict(rule.split(" ", 1) for rule in policy.split("; "))
    assert rules["default-src"] == "'none'"
    library = zlib.decompress(base64.b64decode(page.scripts["plotly"])).decode()
    prints = [base64.b64encode(hashlib.sha256(code.encode()).digest()).decode() for code in (page.scripts[""], library)]
    assert rules["script-src"] == " ".join(f"'sha256-{each}'" for each in prints)
    assert "plotly.js" in library[:100]
    # Negative control: one letter more is another script.
    other = hashlib.sha256((page.scripts[""] + " ").encode()).digest()
    assert base64.b64encode(other).decode() not in rules["script-src"]


def renamed(table, hostile):
    return table.assign(dataset=table["dataset"].cat.rename_categories({"diabetes": hostile}))


def test_what_a_run_says_is_text_and_never_markup(run, page):
    study = replace(run.study)
    study.executor = replace(study.executor, scheduler=HOSTILE)
    tables = [renamed(table, HOSTILE) for table in (run.results, run.curves, run.arrays)]
    strange = Run(study, *tables, made_by={HOSTILE: [HOSTILE]})
    made = page_of(strange, name=HOSTILE)
    found = Page(made)
    assert [tag for tag, _ in found.tags if tag in ("script", "img")] == ["script"] * 3
    assert not list(found.outside())
    assert found.text.count("onerror=alert(1)") >= 5  # shown as it was written
    assert HOSTILE in json.dumps(found.data["table"]["columns"][0]["words"]).replace('\\"', '"')
    # Negative control: unescaped it would be an image.
    assert list(Page(made.replace(b"&lt;img", b"<img")).outside())


def test_the_table_of_a_page_has_the_medians_of_the_run(run, page):
    found = page.table()
    results = run.results.assign(test_mse=measured(run.results, "test_mse"))
    keys = ["dataset", "estimator", "n_train"]
    medians, means = (getattr(results.groupby(keys, observed=True)["test_mse"], how)() for how in ("median", "mean"))
    shown = found.set_index(keys)["test_mse_median"].astype(float)
    assert len(shown) == len(medians)
    expected = medians.reindex(shown.index).to_numpy()
    assert shown.to_numpy() == pytest.approx(expected, rel=6e-4)  # four digits
    assert shown.to_numpy() != pytest.approx(means.reindex(shown.index).to_numpy(), rel=6e-4)


def test_the_slider_over_t_has_the_medians_of_the_cells_at_t(run, page):
    (sweep,) = (one for one in page.data["sweeps"] if one["rows"]["dataset"] == "student_teacher")
    (training,) = sweep["trainings"]
    curves = select(run.curves, dataset="student_teacher", estimator="gd")
    assert training["steps"][-1] == curves["step"].max()
    for k in (0, len(training["steps"]) // 2, len(training["steps"]) - 1):
        for j, n in enumerate(training["sizes"]):
            before = curves[(curves["n_train"] == n) & (curves["step"] <= training["steps"][k])]
            expected = before.groupby("seed")["test_mse"].last().median()
            assert training["test"][k][j] == pytest.approx(expected, rel=6e-4)
    threshold = training["sizes"].index(20)
    assert training["test"][0][threshold] != pytest.approx(training["test"][-1][threshold], rel=0.1)


def test_sizes_of_ten_thousand_are_found_in_the_table_of_a_page(run):
    """To the digit: 12,288 features are no 12,290."""
    larger = {n: {"n_parameters": getattr(run, n)["n_parameters"] + 12_268} for n in ("results", "curves", "arrays")}
    found = Page(page_of(replace(run, **{name: getattr(run, name).assign(**more) for name, more in larger.items()})))
    shown = found.table()
    for sweep in found.data["sweeps"]:
        assert sweep["rows"]["n_parameters"] in (12_278, 12_288)
        assert (shown["n_parameters"].astype(int) == sweep["rows"]["n_parameters"]).any()


def test_what_a_page_leaves_out_of_its_charts_is_said_and_is_of_no_chart_first(run, monkeypatch):
    apart = run.results.assign(n_parameters=run.results["n_parameters"] + 1)  # no sweep is of these
    both = replace(run, results=pd.concat([apart, run.results], ignore_index=True))
    found = Page(page_of(both))
    assert "are left out of this page" not in found.text
    charted = len(Page(page_of(run)).table())
    monkeypatch.setattr(sys.modules["gdstudy.views.html.run_page"], "_MOST_ROWS", charted)
    cut = page_of(both)
    kept = Page(cut).table()
    assert len(kept) == charted
    of_n = [sweep["rows"]["n_parameters"] for sweep in Page(cut).data["sweeps"] if sweep["size"] == "n_train"]
    assert len(of_n) == 2
    for P in of_n:  # all of what its chart shows
        shown, stored = (table[table["n_parameters"].astype(int) == P] for table in (kept, summarised(both)))
        assert len(shown) == len(stored)
    assert f"{len(summarised(both)) - charted} medians, of ablations first, are left out of this page" in Page(cut).text


def test_filter_factors_are_of_singular_values_that_the_run_has(run, page):
    (sweep,) = (one for one in page.data["sweeps"] if one["rows"]["dataset"] == "diabetes")
    factors, rows = sweep["trainings"][0]["filter"], select(run.results, dataset="diabetes", estimator="gd", n_train=10)
    j = sweep["trainings"][0]["sizes"].index(10)
    assert factors["eta"][j] == pytest.approx(rows["step_size"].median(), rel=6e-4)
    assert factors["smallest"][1][j] == pytest.approx(rows["smallest_singular_value"].median(), rel=6e-4)
    largest = (rows["smallest_singular_value"] * rows["condition_number"]).median()
    assert factors["largest"][1][j] == pytest.approx(largest, rel=6e-4)
    # At η = 1/σ₁² of each cell, the strongest mode is learnt at once.
    assert factors["eta"][j] * factors["largest"][1][j] ** 2 == pytest.approx(1, rel=0.1)


def test_a_page_reads_well_without_its_script(run, content, page):
    rows = select(run.results, dataset="student_teacher", estimator="min_norm", n_train=20)
    assert contents.number(rows["test_mse"].median()) in page.text
    for claim in decide(run):
        assert contents.number(claim.number, ".3g") in page.text
    for words in ("N = 20 = P", "its gradient norm fell to the tolerance", "η = 1/σ₁²", "torch", "6 of 6", "Schaeffer"):
        assert words in page.text, words
    assert "batches" in page.text
    assert len(content) < 6e6


def test_a_page_holds_as_many_figures_as_fit(run):
    shown, left_out = contents.pictures({"divergence": b"x" * 10, "bias": b"x" * 3_000_000, "strange": b"x"})
    assert [picture.name for picture in shown] == ["divergence"]
    assert left_out == ["bias"]


@pytest.mark.parametrize("path", CONFIGS, ids=lambda path: path.stem)
def test_every_study_is_said_in_words(path):
    study = read_study(path)
    said = dict(described(study, 1234))
    assert question(study).endswith("?")
    assert "1,234" in said["Sizes"]
    assert {f"Training {name}" for name in study.trained} <= said.keys()
    assert all(words.endswith(".") and "None" not in words for words in said.values())


def test_numbers_in_a_page_are_json_that_ends_no_script():
    given = {"a": np.array([[1.23456, np.nan], [np.inf, 0.0]]), "b": "</script>", "c": np.arange(3), "d": None}
    text = encoded(given)
    assert "<" not in text
    assert json.loads(text) == {"a": [[1.235, None], [np.inf, 0]], "b": "</script>", "c": [0, 1, 2], "d": None}


def cells(**columns):
    rows = {"dataset": "x", "preprocess": "none", "input_noise": 0.0, "model": "linear", "estimator": "min_norm"}
    rows |= {
        "ablation": "none",
        "level": np.nan,
        "n_parameters": 3,
        "n_hidden": np.nan,
        "n_train": 5,
        "status": "closed_form",
    }
    return pd.DataFrame(rows | columns)


def test_two_runs_are_compared_cell_by_cell():
    a = cells(seed=[0, 1, 2, 3], test_mse=[1.0, 10.0, 100.0, 7.0])
    b = cells(seed=[2, 1, 0, 9], test_mse=[50.0, 20.0, 2.0, 1e9])
    (row,) = paired(a, b).itertuples()
    assert (row.cells, row.a, row.b, row.ratio) == (3, 10.0, 20.0, 2.0)
    assert row.lower == pytest.approx(1 / 3)
    # Negative control: medians over all cells of each would say otherwise.
    assert b["test_mse"].median() / a["test_mse"].median() != pytest.approx(2.0)
    rounded = paired(a, a.assign(test_mse=a["test_mse"] * (1 - 1e-14)))
    assert rounded["lower"].item() == 0
    diverged = paired(a.assign(status="diverged"), b.assign(status="diverged"))
    assert (diverged["ratio"] == 1).all()


def test_a_run_beside_itself_and_beside_another(run):
    study = replace(run.study, gd=replace(run.study.gd, steps=77))
    worse = run.results.assign(test_mse=run.results["test_mse"] * np.where(run.results["estimator"] == "gd", 3, 1))
    other = Run(study, worse, run.curves, run.arrays, made_by={"torch": ["another"]})
    here = Named("one", run)
    same, differs = (
        Page(comparison_page(here, here)),
        Page(comparison_page(here, Named(HOSTILE, other))),
    )
    assert "the two studies are the same" in same.text
    assert "gd.steps" not in same.text
    assert "gd.steps" in differs.text
    assert "77" in differs.text
    assert "another" in differs.text
    assert "onerror=alert(1)" in differs.text
    assert [tag for tag, _ in differs.tags if tag == "script"] == ["script"] * 3
    for page, ratio in ((same, 1), (differs, 3)):
        assert not list(page.outside())
        table = page.table()
        assert set(table.loc[table["estimator"] == "gd", "ratio"]) == {ratio}
        assert set(table.loc[table["estimator"] == "min_norm", "ratio"]) == {1}
    (pair, *_) = differs.data["pairs"]
    assert [line["run"] for line in pair["lines"]] == ["A", "A", "B", "B"]


def test_runs_without_anything_in_common_are_said_so(run):
    other = replace(run, results=renamed(select(run.results, dataset="diabetes"), "another"))
    here = replace(run, results=select(run.results, dataset="student_teacher"))
    page = Page(comparison_page(Named("one", here), Named("two", other)))
    assert "no data set, model and sizes in common" in page.text
    assert page.table().empty


def test_almost_all_of_the_cells_are_not_called_all_of_them():
    ended = ["converged"] * 996 + ["max_steps"] * 4
    assert contents._ended(pd.DataFrame({"status": ended})) == ">99% converged, <1% max steps"
    assert contents._ended(pd.DataFrame({"status": ended[:10]})) == "100% converged"  # control


@pytest.mark.parametrize(
    ("seeds", "said"), [(1, "1 random split each (seed 0)"), ([7], "1 random split each (seed 7)")]
)
def test_a_study_of_one_seed_names_it(seeds, said):
    assert said in dict(described(Study(seeds=seeds), 5))["Sizes"]


@pytest.mark.parametrize(
    ("changes", "heads"), [({}, True), ({"start": "gaussian"}, False), ({"dtype": "float32"}, True)]
)
def test_training_is_said_to_head_for_x_pinv_y_where_it_does(changes, heads):
    said = dict(described(Study(gd=Training(steps=50, **changes)), 5))["Closed forms"]
    assert ("which training heads for" in said) == heads


def test_the_only_level_of_a_table_is_named(run):
    results = run.results.copy()
    ridge = results[results["estimator"] == "min_norm"].assign(estimator="ridge", level=0.5)
    several = replace(run, results=joined(results, ridge))
    table = Page(page_of(several)).table()
    assert set(table["level"].dropna()) == {0.5}
    assert "level" not in Page(page_of(run)).table()  # control

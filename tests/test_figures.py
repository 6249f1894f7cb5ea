import shutil

import pytest

from gdstudy import figures, load_curves, load_results


@pytest.mark.parametrize("name", sorted(figures.FIGURES))
def test_each_figure_has_a_panel_a_data_set_with_labelled_log_axes(name, run_dir):
    figure = figures.FIGURES[name](load_results(run_dir), load_curves(run_dir))
    assert [a.get_title() for a in figure.axes] == ["diabetes (P = 10)", "student_teacher (P = 20)"]
    for axis in figure.axes:
        assert (axis.get_xscale(), axis.get_yscale()) == ("log", "log")
        assert "(" in axis.get_xlabel()
        assert "(" in axis.get_ylabel()
        assert len(axis.lines) >= 4


def test_figures_are_redrawn_from_the_store_without_training(run_dir, tmp_path, monkeypatch, capsys):
    copy = tmp_path / "copy"
    shutil.copytree(run_dir, copy)
    shutil.rmtree(copy / "figures")
    monkeypatch.setattr("gdstudy.experiment.gradient_descent", None)
    assert figures.main([str(copy)]) == 0
    assert len(list((copy / "figures").glob("*.png"))) == len(list((copy / "figures").glob("*.pdf"))) == 3
    assert "3 figures" in capsys.readouterr().out


def test_a_folder_that_is_no_run_is_one_line(tmp_path, capsys):
    assert figures.main([str(tmp_path)]) == 2
    assert capsys.readouterr().err.count("\n") == 1

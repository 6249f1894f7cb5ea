"""What the shell completes."""

import shutil
import subprocess

import pytest

from gdstudy.completion import SHELLS, main


@pytest.fixture(scope="module")
def script():
    def of(shell, capsys):
        assert main([shell]) == 0
        return capsys.readouterr().out

    return of


def completed(script, *words):
    """What bash offers for the last of these words."""
    ask = f"COMP_WORDS=({' '.join(words)}); COMP_CWORD={len(words) - 1}; _shtab_gdstudy gdstudy {words[-1]} {words[-2]}"
    done = subprocess.run(
        ["bash", "-c", f'{script}\n{ask}\nprintf "%s\\n" "${{COMPREPLY[@]}}"'], capture_output=True, text=True
    )
    return done.stdout.split()


@pytest.mark.skipif(shutil.which("bash") is None, reason="there is no bash here")
def test_commands_options_and_studies_are_completed(script, capsys):
    text = script("bash", capsys)
    assert completed(text, "gdstudy", "tr") == ["train"]
    assert completed(text, "gdstudy", "train", "--gd.st") == ["--gd.steps", "--gd.step_size", "--gd.start"]
    assert completed(text, "gdstudy", "train", "pap") == ["paper.yaml"]
    assert "--target" in completed(text, "gdstudy", "diagnose", "--")
    assert completed(text, "gdstudy", "train", "--no_such") == []


@pytest.mark.parametrize("shell", SHELLS)
def test_every_shell_has_a_script(shell, script, capsys):
    assert "gd.step_size" in script(shell, capsys).replace("\\", "")


def test_names_that_a_shell_would_read_are_left_out(script, capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "configs").mkdir()
    for name in ("mine.yaml", "$(touch it).yaml", "a b.yaml", "q'uote.yaml", "`touch it`.yaml"):
        (tmp_path / "configs" / name).write_text("# a study\n")
    text = script("bash", capsys)
    assert "mine.yaml" in text
    assert "touch" not in text
    assert "uote" not in text
    assert completed(text, "gdstudy", "train", "mi") == ["mine.yaml"]
    assert not (tmp_path / "it").exists()


def test_another_shell_is_one_line(capsys):
    assert main(["fish"]) == 2
    assert "fish" in capsys.readouterr().err

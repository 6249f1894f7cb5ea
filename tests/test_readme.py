"""README and the pages it links: their links lead somewhere, their commands are commands, their Python runs."""

import re
import shlex
from pathlib import Path

import pytest
import readme_numbers
import yaml

from gdstudy.__main__ import COMMANDS, main
from gdstudy.study.parser import known_configs
from gdstudy.study.version import __version__

ROOT = Path(__file__).parents[1]
PAGES = {str(path.relative_to(ROOT)): path.read_text() for path in sorted(ROOT.glob("[a-z]*/README.md"))}
PAGES["README.md"] = (ROOT / "README.md").read_text()


def commands(text):
    """The command lines of a page, without their remarks."""
    lines = re.findall(r"^    (\S.*)$", text, re.MULTILINE)
    for block in re.findall(r"```bash\n(.*?)```", text, re.DOTALL):
        lines += [part for line in block.splitlines() for part in line.split(" && ")]
    for line in lines:
        line = re.sub(r"\s+#.*", "", line)
        if line.startswith(("gdstudy ", "python -m gdstudy.")):
            yield line


def slug(heading):
    return re.sub(r"[^\w\- ]", "", heading.lower()).strip().replace(" ", "-")


@pytest.mark.parametrize("page", PAGES)
def test_every_link_leads_to_a_file_and_a_heading_that_are_there(page):
    links = re.findall(r"\]\((?!https?:)([^)]+)\)", PAGES[page])
    assert links
    for link in links:
        name, _, heading = link.partition("#")
        target = (ROOT / page).parent / name if name else ROOT / page
        assert target.exists(), link
        if heading:
            headings = re.findall(r"^#+ (.*)$", target.read_text(), re.MULTILINE)
            assert heading in map(slug, headings), link


@pytest.mark.parametrize("page", PAGES)
def test_every_command_is_one(page, capsys, tmp_path, monkeypatch):
    """What trains is asked for its resolved study, and of others the help: each key, value and name is known."""
    monkeypatch.chdir(ROOT)
    for line in commands(PAGES[page]):
        words = shlex.split(line)
        words = words[1:] if words[0] == "gdstudy" else [words[2].removeprefix("gdstudy."), *words[3:]]
        if not words:
            continue
        name = words[0]
        assert name in COMMANDS, line
        resumes = name in ("resume", "extend") or {"--resume", "--extend"} & set(words)
        own = any(path in line for path in (".npz", ".csv"))  # files of the reader's
        if name == "train" and not resumes and not own:
            assert main([*words, "--print_config"]) == 0, (line, capsys.readouterr().err)
        elif not resumes:
            with pytest.raises(SystemExit) as ended:
                main([name, "--help"])
            assert ended.value.code == 0
        capsys.readouterr()


def test_the_list_of_studies_is_whole():
    for name in known_configs():
        stem = name.removesuffix(".yaml")
        short = stem.removesuffix("autoencoder").rstrip("_")
        assert name in PAGES["README.md"] or f"`{short}_…`" in PAGES["README.md"] or stem == "superposition_paper", name
        assert name in PAGES["configs/README.md"], name


def test_another_number_in_the_table_is_found():
    shown = readme_numbers.rows(PAGES["README.md"])
    assert len(shown) == 6
    assert readme_numbers.differences(shown, shown) == []
    for place in range(3):
        other = {key: list(numbers) for key, numbers in shown.items()}
        other["diabetes", "10 = P"][place] *= 1.2
        assert len(readme_numbers.differences(shown, other)) == 1


def test_the_citation_is_of_this_version():
    assert yaml.safe_load((ROOT / "CITATION.cff").read_text())["version"] == __version__


def test_a_wrong_command_is_found(capsys):
    assert main(["train", "linear.yaml", "--sedes", "3", "--print_config"]) == 2


def test_the_python_of_the_front_page_runs_as_it_stands(capsys):
    (code,) = re.findall(r"```python\n(.*?)```", PAGES["README.md"], re.DOTALL)
    exec(compile(code, "README.md", "exec"), {})
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].startswith("10 running ")
    found = [line.split() for line in lines[:-1]]
    assert found[-1][1] in ("converged", "max_steps")
    assert float(found[-1][2]) < float(found[0][2])  # how far from X⁺y, relative and
    assert float(found[-1][3]) < float(found[0][3])  # in units of W

"""From YAML files and options to a checked Study, and back to YAML. Imports neither torch nor scikit-learn."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any, NoReturn

import yaml
from jsonargparse import ActionConfigFile, ArgumentParser, set_parsing_settings  # type: ignore[attr-defined]

from gdstudy.config import (
    Ablations,
    GradientDescent,
    Levels,
    Sizes,
    StepSize,
    Study,
    StudyError,
    Synthetic,
    suggestion,
)

set_parsing_settings(docstring_parse_attribute_docstrings=True)


class _ConfigFile(ActionConfigFile):
    """`--config linear.yaml` also finds ./configs/linear.yaml and the studies that come with the package."""

    def __call__(self, parser: Any, namespace: Any, values: Any, option_string: str | None = None) -> None:
        path = find_config(values)
        check_yaml(path)
        super().__call__(parser, namespace, str(path), option_string)


class StudyParser(ArgumentParser):
    """The parser of a study's keys, with every complaint as one line that names the key."""

    def error(self, message: str, ex: Exception | None = None) -> NoReturn:
        raise StudyError(self.one_line(message))

    def one_line(self, message: str) -> str:
        text = " ".join(message.split())
        keys = [k for action in self._actions for k in [action.dest] if k and k != "help"]
        if found := re.search(r"Parser key \"([^\"]+)\": (.*)", text):
            key, text = found[1], found[2]
            if wrong := re.search(r"Expected an? (.*?)\. Got value: (.*)", text):
                kind = wrong[1].replace("typing.", "").replace("<class '", "").replace("'>", "")
                text = f"{wrong[2]!r} is not allowed; expected {kind}"
            return f"{key}: {re.sub(r'^Not of type [^:]*: ', '', text)}"
        if found := re.search(r"(?:[Uu]nrecognized arguments: --|accept option '|[Kk]ey '|Option ')([\w.]+)", text):
            key = found[1]
            if group := re.search(r"Group '([\w.]+)' does not", text):
                key = f"{group[1]}.{key}"
            return f"unknown key {key!r}{suggestion(key, keys)}; --help lists every key"
        return text


def find_config(name: str | Path) -> Path:
    """A config file by path, or by bare name in ./configs/ or among the studies that come with the package."""
    package = Path(__file__).parent
    places = [
        Path(name),
        Path("configs") / name,
        package / "configs" / name,
        package.parent / "configs" / name,
    ]
    for path in places:
        if path.is_file():
            return path
    shipped = sorted({p.name for place in places[1:] for p in place.parent.glob("*.yaml")})
    raise StudyError(
        f"config {str(name)!r} is no file here or in configs/{suggestion(str(name), shipped)}; "
        f"known studies: {', '.join(shipped) or 'none'}"
    )


def check_yaml(path: Path) -> None:
    """StudyError with file and line unless `path` holds a YAML mapping."""
    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
    except yaml.MarkedYAMLError as error:
        line = error.problem_mark.line + 1 if error.problem_mark else 1
        raise StudyError(f"{path}, line {line}: not valid YAML: {error.problem}") from None
    except (UnicodeDecodeError, yaml.YAMLError) as error:
        raise StudyError(f"{path}: not valid YAML: {' '.join(str(error).split())}") from None
    if not isinstance(content, dict):
        raise StudyError(f"{path}, line 1: must be a mapping of keys to values, such as `seeds: 50`")


def study_parser(prog: str, description: str) -> StudyParser:
    parser = StudyParser(prog=prog, description=description, allow_abbrev=False)
    parser.add_argument(
        "--config", action=_ConfigFile, help="The study, a YAML file; bare names are found in configs/."
    )
    parser.add_class_arguments(Study)
    return parser


def read_study(path: str | Path) -> Study:
    """The study in a YAML file. StudyError, naming the file, for anything that does not fit the schema."""
    parser = study_parser("gdstudy", "")
    try:
        return build(parser.parse_args(["--config", str(path)]))
    except StudyError as error:
        raise StudyError(str(error) if str(path) in str(error) else f"{path}: {error}") from None


_GROUPS = {"gd": GradientDescent, "ablations": Ablations, "synthetic": Synthetic}


def build(namespace: Any) -> Study:
    """The checked Study of parsed arguments."""
    values = {key: namespace[key] for key in Study.__dataclass_fields__ if key not in _GROUPS}
    groups = {key: kind(**namespace[key].as_dict()) for key, kind in _GROUPS.items()}
    return Study(**values, **groups)


def as_dict(study: Study) -> dict[str, Any]:
    """Plain values, in the order of the schema; `read_study` of its YAML gives the study back."""
    return {key: _plain(getattr(study, key)) for key in Study.__dataclass_fields__}


def _plain(value: Any) -> Any:
    if type(value) in _GROUPS.values():
        return {key: _plain(getattr(value, key)) for key in type(value).__dataclass_fields__}
    if isinstance(value, dict):
        return {key: _plain(item) for key, item in value.items()}
    if isinstance(value, Levels):
        return list(value)
    return str(value) if isinstance(value, Sizes | StepSize) else value


def as_yaml(study: Study) -> str:
    return yaml.safe_dump(as_dict(study), sort_keys=False, allow_unicode=True, default_flow_style=None)

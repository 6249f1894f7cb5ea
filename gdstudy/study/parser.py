"""From YAML to a checked Study, and back. Imports neither torch nor scikit-learn."""

from __future__ import annotations

import copy
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from gdstudy.study.config import Study, kinds, refuse_unknown
from gdstudy.study.console import one_line
from gdstudy.study.errors import StudyError, shown, suggestion
from gdstudy.study.groups import GROUPS
from gdstudy.study.seeds import Seeds
from gdstudy.study.values import Columns, Levels, Sizes, Texts

# A study is a page of text; what is larger or deeper was not written by hand.
MOST_BYTES, MOST_DEEP = 1 << 16, 8
_PACKAGE = Path(__file__).parent.parent
_FOLDERS = (Path("configs"), _PACKAGE / "configs", _PACKAGE.parent / "configs")


class _Loader(yaml.SafeLoader):
    """Plain YAML of texts, numbers, lists and mappings: no tags, no aliases, no key twice, nothing deep. Numbers as
    people write them (YAML 1.2): 1e5 is a number, 010 is ten, 1:30 and `yes` are texts."""

    depth = 0

    def compose_node(self, parent: Any, index: Any) -> Any:
        event = self.peek_event()
        if isinstance(event, yaml.AliasEvent) or getattr(event, "anchor", None):
            raise yaml.MarkedYAMLError(None, None, "anchors and aliases are not allowed", event.start_mark)
        if getattr(event, "tag", None):
            raise yaml.MarkedYAMLError(None, None, f"tags such as {event.tag} are not allowed", event.start_mark)
        if self.depth > MOST_DEEP:
            raise yaml.MarkedYAMLError(None, None, "nested too deep", event.start_mark)
        self.depth += 1
        node = super().compose_node(parent, index)
        self.depth -= 1
        return node

    def construct_mapping(self, node: Any, deep: bool = False) -> dict[Any, Any]:
        seen: set[str] = set()
        for key in (key for key, _ in node.value if isinstance(key, yaml.ScalarNode)):
            if key.value in seen:
                raise yaml.MarkedYAMLError(None, None, f"the key {shown(key.value)} stands twice", key.start_mark)
            seen.add(key.value)
        for key, value in node.value:
            if isinstance(key, yaml.ScalarNode) and key.value == "missing_values":
                _keep_numbers_as_written(value)
        return super().construct_mapping(node, deep)


def _keep_numbers_as_written(node: Any) -> None:
    """Those of a list, or one, are texts: 000 is not 0."""
    for item in node.value if isinstance(node, yaml.SequenceNode) else (node,):
        if item.tag in ("tag:yaml.org,2002:int", "tag:yaml.org,2002:float"):
            item.tag = "tag:yaml.org,2002:str"


class _Dumper(yaml.SafeDumper):
    """Quotes every text that the loader would take for something else."""


_Loader.yaml_implicit_resolvers = {}
for _tag, _pattern, _first in (
    ("null", r"(~|null|Null|NULL|)", ["~", "n", "N", ""]),
    ("bool", r"(true|True|TRUE|false|False|FALSE)", list("tTfF")),
    ("int", r"[-+]?[0-9]{1,300}", list("-+0123456789")),
    ("float", r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?", list("-+0123456789.")),
):
    _Loader.add_implicit_resolver(f"tag:yaml.org,2002:{_tag}", re.compile(f"^{_pattern}$"), _first)
    _Dumper.add_implicit_resolver(f"tag:yaml.org,2002:{_tag}", re.compile(f"^{_pattern}$"), _first)
_Loader.add_constructor("tag:yaml.org,2002:int", lambda loader, node: int(node.value))
_Loader.add_constructor("tag:yaml.org,2002:float", lambda loader, node: float(node.value))


def _load(text: str, as_written: bool = False) -> Any:
    """What plain YAML says; as_written: numbers as texts. yaml.YAMLError for anything else."""
    try:
        loader = _Loader(text)
        try:
            node = loader.get_single_node()
            if node is not None and as_written:
                _keep_numbers_as_written(node)
            return None if node is None else loader.construct_document(node)
        finally:
            loader.dispose()
    except (ValueError, OverflowError) as error:  # a character or a YAML version that is none
        raise yaml.YAMLError(one_line(error)) from None


def read_yaml(path: Path, content: bytes | None = None) -> dict[str, Any]:
    """The mapping in a YAML file, or in this content of it. StudyError with file and line for anything else."""
    try:
        if content is None:
            with path.open("rb") as file:
                content = file.read(MOST_BYTES + 1)
        if len(content) > MOST_BYTES:
            raise StudyError(f"{path}: is larger than {MOST_BYTES >> 10} KiB, which no study is")
        values = _load(content.decode("utf-8-sig"))
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        raise StudyError(f"{path}, line {mark.line + 1 if mark else 1}: not valid YAML: {error.problem}") from None
    except UnicodeDecodeError as error:
        line = error.object[: error.start].count(b"\n") + 1
        raise StudyError(f"{path}, line {line}: not valid YAML: no UTF-8 text") from None
    except yaml.YAMLError as error:
        raise StudyError(f"{path}: not valid YAML: {' '.join(str(error).split())}") from None
    if not isinstance(values, dict):
        raise StudyError(f"{path}, line 1: must be a mapping of keys to values, such as `seeds: 50`")
    return values


def find_config(name: str | Path) -> Path:
    """A config file by path, or by bare name in ./configs/ or among the studies that come with the package."""
    names = [Path(name), *([] if Path(name).suffix else [Path(f"{name}.yaml")])]
    for path in (folder / found for found in names for folder in (Path(), *_FOLDERS)):
        if path.is_file():
            return path
    shipped = sorted({path.name for folder in _FOLDERS for path in folder.glob("*.yaml")})
    raise StudyError(
        f"config {shown(str(name))} is no file here or in configs/{suggestion(str(name), shipped)}; "
        f"known studies: {', '.join(shipped) or 'none'}"
    )


def known_configs() -> dict[str, str]:
    """File name → first line of each study in ./configs/ and of those that come with the package, by name."""
    paths = (path for folder in reversed(_FOLDERS) for path in folder.glob("*.yaml"))
    found = {path.name: path for path in paths if re.fullmatch(r"\w[\w.-]*", path.name)}  # shells read them too
    titles = {}
    for name, path in sorted(found.items()):
        with path.open("rb") as file:
            line = file.readline(MOST_BYTES).decode("utf-8-sig", "replace")
        titles[name] = line.removeprefix("#").strip() if line.startswith("#") else ""
    return titles


def read_study(path: str | Path) -> Study:
    """The study in a YAML file. StudyError, naming the file, for anything that does not fit the schema."""
    found = find_config(path)
    try:
        return study_of(read_yaml(found))
    except StudyError as error:
        raise StudyError(str(error) if str(found) in str(error) else f"{found}: {error}") from None


def study_of(values: Mapping[str, Any]) -> Study:
    """The checked study of a mapping of keys to values, groups of keys as mappings of their own."""
    refuse_unknown(values, Study)
    for group, kind in GROUPS.items():
        if group in values:
            refuse_unknown(mapping(group, values[group]), kind, f"{group}.")
    return Study(**{key: GROUPS[key](**value) if key in GROUPS else value for key, value in values.items()})


def as_dict(study: Study) -> dict[str, Any]:
    """Plain values, in the order of the schema; `study_of` of them gives the study back."""
    return {key: _plain(getattr(study, key)) for key in kinds(Study)}


def _plain(value: Any) -> Any:
    if type(value) in GROUPS.values():
        return {key: _plain(getattr(value, key)) for key in kinds(value.__class__)}
    if isinstance(value, dict):
        return {key: _plain(item) for key, item in value.items()}
    if isinstance(value, Seeds):
        return value.written
    if isinstance(value, Levels | Columns | Texts):
        return list(value)
    return str(value) if isinstance(value, Sizes | str) else value


def as_yaml(study: Study, short: bool = False) -> str:
    """short: without what is so by default."""
    values, defaults = as_dict(study), as_dict(Study())
    if short:
        for group in GROUPS:
            values[group] = {key: value for key, value in values[group].items() if value != defaults[group][key]}
        values = {key: value for key, value in values.items() if value != ({} if key in GROUPS else defaults[key])}
    return yaml.dump(values, Dumper=_Dumper, sort_keys=False, allow_unicode=True, default_flow_style=None)


def changed(values: dict[str, Any], changes: Mapping[str, Any]) -> dict[str, Any]:
    """The values of a study with those of single keys, `group.key` or `group.key.name`, put in their place."""
    values = copy.deepcopy(values)
    for key, value in changes.items():
        *groups, name = key.split(".") if key.startswith("trainings.") else key.split(".", 2)
        inside = values
        for depth, group in enumerate(groups):
            inside = mapping(".".join(groups[: depth + 1]), inside.setdefault(group, {}))
        inside[name] = value
    return values


def mapping(key: str, value: Any) -> dict[str, Any]:
    """The value, or StudyError where it is no mapping."""
    if isinstance(value, dict):
        return value
    what = "is blank" if value is None else f"{shown(value)} is not allowed"
    raise StudyError(f"{key}: {what}; give a mapping of keys to values, or leave it out")


def read_option(key: str, text: str) -> Any:
    """The value that the text of an option gives, read as in a YAML file; a sign alone as it is (a separator)."""
    if len(text) == 1 and not text.isalnum() and text != "~":
        return text
    try:
        return _load(text, as_written=key.endswith(".missing_values"))
    except yaml.YAMLError as error:
        problem = getattr(error, "problem", None) or "no text"
        raise StudyError(f"{key}: {shown(text)} is not valid YAML: {problem}") from None

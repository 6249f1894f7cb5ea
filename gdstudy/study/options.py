"""The options of commands: every key of a study, with its unit and default. Imports neither torch nor scikit-learn."""

from __future__ import annotations

import argparse
import ast
import inspect
import textwrap
from collections.abc import Iterator, Sequence
from functools import cache
from typing import Any, Literal, NoReturn, get_args, get_origin

import yaml

from gdstudy.study.config import MAPPINGS, TOPICS, Study, every_key, kinds, unknown_key
from gdstudy.study.console import one_line, say
from gdstudy.study.errors import StudyError, shown, suggestion
from gdstudy.study.groups import GROUPS
from gdstudy.study.parser import as_dict, changed, find_config, read_option, read_yaml, study_of
from gdstudy.study.seeds import Seeds
from gdstudy.study.values import Columns, Levels, Sizes, Texts


class Parser(argparse.ArgumentParser):
    """The options of a command: every complaint one line, every print to a stream that may be anything."""

    def __init__(self, prog: str, **options: Any) -> None:
        """prog: gdstudy.<command>, as lines of the command begin; usage has it as it is typed."""
        super().__init__(prog=prog.replace(".", " "), **options)

    def error(self, message: str) -> NoReturn:
        unknown = message.removeprefix("unrecognized arguments: ")
        close = (
            "" if unknown == message else suggestion(unknown.split(" ")[0].split("=")[0], self._option_string_actions)
        )
        raise StudyError(one_line(message) + close)

    def _print_message(self, message: str, file: Any = None) -> None:
        say(message, end="")


class StudyParser(Parser):
    """The options of a command that takes a study: every key of its YAML."""

    def __init__(self, prog: str, description: str) -> None:
        usage = "%(prog)s STUDY.yaml [--KEY VALUE …]"
        super().__init__(prog=prog, usage=usage, description=description, allow_abbrev=False)
        told = "The study, a YAML file; bare names are found in configs/. `--config` itself may be left out."
        self.add_argument("--config", metavar="FILE", help=told)
        topic = {key: topic for topic, keys in TOPICS.items() for key in keys}
        groups: dict[str, Any] = {}
        for key, default, text in every_option():
            name, _, last = key.rpartition(".")
            if (group := name or topic[key]) not in groups:
                groups[group] = self.add_argument_group(group, inspect.getdoc(GROUPS[name]) if name else None)
            said = f"{text} (default: {default})".replace("%", "%%")
            kind = kinds(GROUPS[name] if name else Study)[last]
            groups[group].add_argument(f"--{key}", dest=key, metavar=_metavar(kind), help=said)

    def read(self, arguments: Sequence[str]) -> tuple[argparse.Namespace, dict[str, Any]]:
        """The other options of the command, and key → value of those of the study."""
        rest: list[str] = []
        changes: dict[str, Any] = {}
        of_trainings: dict[str, Any] = {}  # single keys, put in after `--trainings` as a whole
        pending = iter(arguments)
        for argument in pending:
            name, equals, text = argument.removeprefix("--").partition("=")
            if argument.startswith("--") and any(name.startswith(f"{mapping}.") for mapping in MAPPINGS):
                # One name of a mapping: --gd.optimizer_options.eps 1e-6, --trainings.adam.step_size 0.01
                kept = of_trainings if name.startswith("trainings.") else changes
                kept[name] = read_option(name, text if equals else next(pending, ""))
            else:
                rest.append(argument)
        options, unknown = self.parse_known_args(rest)
        words = [word for word in unknown if not word.startswith("-")]
        goes_on = any(getattr(options, name, None) is not None for name in ("resume", "extend"))
        if options.config is None and words and not goes_on:  # as people write it: train linear.yaml
            options.config = next((word for word in words if word.endswith((".yaml", ".yml"))), words[0])
            unknown.remove(options.config)
        for word in (word for word in unknown if word.startswith("--")):
            others = [option[2:] for action in self._actions for option in action.option_strings if option[:2] == "--"]
            raise unknown_key(word[2:].partition("=")[0], others)
        if unknown:
            hint = "options are written --key value, and lists '[a, b]'"
            raise StudyError(f"unexpected {shown(unknown[0])}; {hint}")
        for key in every_key():
            if (given := vars(options).pop(key)) is not None:
                changes[key] = read_option(key, given)
        return options, changes | of_trainings

    def study(self, arguments: Sequence[str]) -> tuple[argparse.Namespace, Study | None]:
        """The other options of the command, and the study of its --config as the options change it, if any."""
        options, changes = self.read(arguments)
        if options.config is None:
            return options, None
        return options, study_of(changed(read_yaml(find_config(options.config)), changes))


def _metavar(kind: Any) -> str:
    """What an option takes, in a word."""
    if get_origin(kind) is Literal:
        return "|".join(get_args(kind))
    name: dict[Any, str] = {
        **{Seeds: "SEEDS", Sizes: "SIZES", Levels: "NUMBERS", Columns: "COLUMNS", Texts: "TEXTS"},
        **{bool: "true|false", int: "NUMBER", float: "NUMBER", str: "TEXT", list: "LIST", dict: "MAPPING"},
    }
    return name.get(get_origin(kind) or kind, "VALUE")


def every_option() -> Iterator[tuple[str, Any, str]]:
    """(key, default as it is written, text) of each key of a study, those of groups as `group.key`."""
    defaults = as_dict(Study())
    for key, text in _texts(Study).items():
        if key not in GROUPS:
            yield key, _written(defaults[key]), text
    for group, kind in GROUPS.items():
        for key, text in _texts(kind).items():
            yield f"{group}.{key}", _written(defaults[group][key]), text


def _written(value: Any) -> str:
    """A default as one would write it."""
    if isinstance(value, list | dict):
        return yaml.safe_dump(value, default_flow_style=True, allow_unicode=True).strip()
    if isinstance(value, bool):
        return str(value).lower()
    return f"{value:g}" if isinstance(value, float) else str(value) or "[]"


@cache
def _texts(kind: type) -> dict[str, str]:
    """The text below each field of a dataclass."""
    (definition,) = ast.parse(textwrap.dedent(inspect.getsource(kind))).body
    assert isinstance(definition, ast.ClassDef)
    texts = {}
    for field, text in zip(definition.body, definition.body[1:], strict=False):
        if isinstance(field, ast.AnnAssign) and isinstance(text, ast.Expr) and isinstance(text.value, ast.Constant):
            texts[ast.unparse(field.target)] = " ".join(str(text.value.value).split())
    return texts

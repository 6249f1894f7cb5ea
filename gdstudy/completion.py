"""`python -m gdstudy.completion bash`: a script with which the shell completes commands, options and files."""

from __future__ import annotations

from gdstudy.study.ending import exit_with, one_line_until_main

if __name__ == "__main__":
    one_line_until_main("gdstudy.completion")

import argparse
from importlib import import_module

from gdstudy.__main__ import COMMANDS, MODULES, OF_TRAIN
from gdstudy.command import run_command
from gdstudy.study.console import say
from gdstudy.study.options import Parser
from gdstudy.study.parser import known_configs

PROG, SHELLS = "gdstudy.completion", ("bash", "zsh", "tcsh")
# Arguments that are paths.
_FOLDERS = ("run_dir", "run_dirs", "new_dir", "folder", "other", "resume", "extend")
_FILES = ("config", "data", "test", "figure", "csv", "output")


def main(argv: list[str] | None = None) -> int:
    """Exit status: see `run_command`."""
    return run_command(PROG, lambda: _command(argv))


def parser() -> Parser:
    found = Parser(prog=PROG, description='Print a script for your shell; in bash: eval "$(gdstudy completion bash)"')
    found.add_argument("shell", choices=SHELLS)
    return found


def _command(argv: list[str] | None) -> None:
    import shtab

    say(shtab.complete(_whole(), parser().parse_args(argv).shell), end="")


def _whole() -> argparse.ArgumentParser:
    """All commands with their options as one parser, which argparse itself never sees a command line of."""
    import shtab

    whole = argparse.ArgumentParser(prog="gdstudy")
    whole.add_argument("--version", action="store_true")
    commands = whole.add_subparsers()
    for name, text in COMMANDS.items():
        module = import_module(f"gdstudy.{'train' if name in OF_TRAIN else MODULES.get(name, name)}")
        own = commands.add_parser(name, help=text, parents=[module.parser()], add_help=False)
        if name == "train":
            own.add_argument("study", nargs="?", choices=list(known_configs()))
        elif name in OF_TRAIN:
            own.add_argument("run_dir")
        for action in own._actions:
            if "|" in str(action.metavar):  # --gd.dtype float64|float32
                action.choices = str(action.metavar).split("|")
            if action.dest in _FOLDERS:
                action.complete = shtab.DIRECTORY  # type: ignore[attr-defined]
            elif action.dest in _FILES:
                action.complete = shtab.FILE  # type: ignore[attr-defined]
    return whole


if __name__ == "__main__":
    exit_with(main)

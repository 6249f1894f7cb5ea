"""`gdstudy COMMAND …`: the commands of the package, each also as `python -m gdstudy.<command>`."""

from __future__ import annotations

from gdstudy.study.ending import exit_with, one_line_until_main

if __name__ == "__main__":
    one_line_until_main("gdstudy")

import sys
from importlib import import_module

from gdstudy.study.console import prepare, say, tell
from gdstudy.study.errors import StudyError, suggestion
from gdstudy.study.version import __version__

COMMANDS = {
    "train": "run a study, beside its closed form: gdstudy train linear.yaml",
    "resume": "finish what is missing of a run: gdstudy resume RUN_DIR",
    "extend": "add seeds or sizes to a run: gdstudy extend RUN_DIR --seeds 100",
    "merge": "make one run of shards, or of runs with other seeds: gdstudy merge NEW_DIR RUN_DIR…",
    "runs": "list runs: how far each is, what it found, its size: gdstudy runs",
    "figures": "redraw a run's figures: gdstudy figures RUN_DIR",
    "report": "make a run's page, or compare two runs: gdstudy report RUN_DIR [RUN_DIR]",
    "diagnose": "say what is wrong with your own data, if anything: gdstudy diagnose data.csv --target y",
    "completion": 'complete commands and options with Tab: eval "$(gdstudy completion bash)" (or zsh, tcsh)',
}
# Where a command is not the module of its name: a function of the package has it.
MODULES = {"diagnose": "diagnosis"}
# Commands that are an option of train, and what may stand beside it.
_HOW = "[--stop_after TIME] [--executor.KEY VALUE …] [--csv_rows N] [--save_every MINUTES] [--quiet]"
_SIZES = "--n_train SIZES, --n_parameters SIZES or --n_hidden SIZES"
OF_TRAIN = {
    "resume": f"gdstudy resume RUN_DIR [--shard K/N] {_HOW}",
    "extend": f"gdstudy extend RUN_DIR --seeds SEEDS {_HOW}\n\nor {_SIZES}: all that it is to have, with those it has",
}


def main(argv: list[str] | None = None) -> int:
    """Exit status of the command; 2 where there is none of that name."""
    prepare()
    try:
        return _command(*((sys.argv[1:] if argv is None else argv) or ["--help"]))
    except StudyError as error:
        tell(f"gdstudy: {error}")
        return 2


def _command(name: str, *rest: str) -> int:
    if name in ("-h", "--help"):
        say(_help())
        return 0
    if name == "--version":
        say(f"gdstudy {__version__}")
        return 0
    if name not in COMMANDS:
        study = f"; to run a study: gdstudy train {name[:60]}" if name.endswith((".yaml", ".yml")) else ""
        known = f"{suggestion(name[:60], COMMANDS)}; known: {', '.join(COMMANDS)}"
        tell(f"gdstudy: unknown command {name[:60]!r}{study or known}")
        return 2
    if name in OF_TRAIN:
        if not rest or rest[0] in ("-h", "--help"):
            say(f"usage: {OF_TRAIN[name]}\n\n{COMMANDS[name]}; `gdstudy train --help` says what each option is")
            return 0 if rest else 2
        if rest[0].startswith("-"):
            raise StudyError(f"{name}: name the run's folder first: gdstudy {name} RUN_DIR {rest[0][:60]} …")
        name, rest = "train", (f"--{name}", *rest)
    return int(import_module(f"gdstudy.{MODULES.get(name, name)}").main(list(rest)))


def _help() -> str:
    """Commands, and the studies that come with the package, a line each."""
    from gdstudy.study.parser import known_configs

    try:
        studies = known_configs()
    except (OSError, StudyError):
        studies = {}
    width = max(map(len, [*COMMANDS, *studies]))
    lines = ["usage: gdstudy COMMAND …; `gdstudy COMMAND --help` says more", "", "commands"]
    lines += [f"  {command:<{width}}  {text}" for command, text in COMMANDS.items()]
    lines += ["", "studies, for `gdstudy train`", *(f"  {name:<{width}}  {text}" for name, text in studies.items())]
    return "\n".join(lines)


def command() -> None:
    """The console script."""
    one_line_until_main("gdstudy")
    exit_with(main)


if __name__ == "__main__":
    command()

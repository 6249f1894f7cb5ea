"""`gdstudy COMMAND …`: the commands of the package, each also as `python -m gdstudy.<command>`."""

from __future__ import annotations

from gdstudy.study.ending import exit_with, one_line_until_main

if __name__ == "__main__":
    one_line_until_main("gdstudy")

import sys
from importlib import import_module

from gdstudy.study.console import prepare, say, tell
from gdstudy.study.version import __version__

COMMANDS = {
    "train": "run a study, beside its closed form: gdstudy train --config linear.yaml",
    "resume": "finish what is missing of a run: gdstudy resume RUN_DIR",
    "extend": "add seeds or sizes to a run: gdstudy extend RUN_DIR --seeds 100",
    "merge": "make one run of shards, or of runs with other seeds: gdstudy merge NEW_DIR RUN_DIR…",
    "figures": "redraw a run's figures: gdstudy figures RUN_DIR",
    "report": "make a run's page, or compare two runs: gdstudy report RUN_DIR [RUN_DIR]",
    "diagnose": "say what is wrong with your own data, if anything: gdstudy diagnose data.csv --target y",
}
# Where a command is not the module of its name: a function of the package has it.
_MODULES = {"diagnose": "diagnosis"}


def main(argv: list[str] | None = None) -> int:
    """Exit status of the command; 2 where there is none of that name."""
    prepare()
    name, *rest = (sys.argv[1:] if argv is None else argv) or ["--help"]
    if name in ("-h", "--help"):
        lines = [f"  {command:<10}{text}" for command, text in COMMANDS.items()]
        say("\n".join(["usage: gdstudy COMMAND …; `gdstudy COMMAND --help` says more", *lines]))
        return 0
    if name == "--version":
        say(f"gdstudy {__version__}")
        return 0
    if name not in COMMANDS:
        tell(f"gdstudy: unknown command {name[:60]!r}; known: {', '.join(COMMANDS)}")
        return 2
    if name in ("resume", "extend"):
        if not rest or rest[0] in ("-h", "--help"):
            say(f"usage: gdstudy {name} RUN_DIR [--quiet]\n\n{COMMANDS[name]}")
            return 0 if rest else 2
        name, rest = "train", [f"--{name}", *rest]
    return int(import_module(f"gdstudy.{_MODULES.get(name, name)}").main(rest))


def command() -> None:
    """The console script."""
    one_line_until_main("gdstudy")
    exit_with(main)


if __name__ == "__main__":
    command()

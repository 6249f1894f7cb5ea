"""The options of a command that reads one data set, and no study."""

from __future__ import annotations

import argparse

from gdstudy.study.options import Parser, every_option
from gdstudy.study.parser import read_option, study_of
from gdstudy.study.sources import Source, format_of

_GROUP = "file."


class FileParser(Parser):
    """Every key of `file` as an option, without its group: --target, --features, …"""

    def __init__(self, prog: str, description: str) -> None:
        super().__init__(prog=prog, description=description, allow_abbrev=False)
        for key, default, text in every_option():
            if key.startswith(_GROUP):
                said = f"{text} (default: {default})".replace("%", "%%")
                self.add_argument(f"--{key.removeprefix(_GROUP)}", dest=key, metavar="VALUE", help=said)

    def source(self, options: argparse.Namespace, entry: str) -> Source:
        """What an entry of `datasets` means under these options. StudyError for none, or for options it cannot have."""
        given = {key: text for key, text in vars(options).items() if key.startswith(_GROUP) and text is not None}
        # Nothing is filed under the name of a file here, so that any will do.
        keys = {} if format_of(entry) == "named" else {"name": "data"}
        keys |= {key.removeprefix(_GROUP): read_option(key, text) for key, text in given.items()}
        return study_of({"datasets": [entry], "file": keys}).sources[0]

"""The works that claims stand on: references.bib, a strict subset of BibTeX, and how they are cited."""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cache
from pathlib import Path

_FIELD = r"  \w+ = \{[^{}\n]*\},\n"
_ENTRY = re.compile(rf"@\w+\{{(?P<key>[\w-]+),\n(?P<fields>(?:{_FIELD})+)\}}\n+|%.*\n+|\n+")


@dataclass(frozen=True)
class Work:
    """authors: family and first names. venue: where it was published."""

    authors: tuple[tuple[str, str], ...]
    title: str
    venue: str
    year: str
    url: str

    @property
    def short(self) -> str:
        """Who and when: `Baldi & Hornik 1989`, `Hastie et al. 2022`."""
        families = [family for family, _ in self.authors]
        who = f"{families[0]} et al." if len(families) > 2 else " & ".join(families)
        return f"{who} {self.year}"


def read_works(text: str) -> dict[str, Work]:
    """Key → work of a .bib file whose entries have one `name = {value},` a line, without braces inside, and comments.

    ValueError with the line where anything else stands.
    """
    works, place = {}, 0
    while place < len(text):
        found = _ENTRY.match(text, place)
        if found is None:
            line = text.count("\n", 0, place) + 1
            raise ValueError(f"references.bib, line {line}: not an entry of `name = {{value}},` lines")
        if key := found["key"]:
            fields = dict(re.findall(r"(\w+) = \{(.*)\}", found["fields"]))
            venue = fields.get("journal") or fields["booktitle"]
            names = [name.partition(", ") for name in fields["author"].split(" and ")]
            authors = tuple((family, first) for family, _, first in names)
            works[key] = Work(authors, fields["title"], venue, fields["year"], fields["url"])
        place = found.end()
    return works


@cache
def works() -> dict[str, Work]:
    return read_works(Path(__file__).with_name("references.bib").read_text("utf-8"))


def cited(key: str) -> str:
    """A work in a few words; a letter tells works of the same authors and year apart."""
    short = works()[key].short
    alike = [other for other, work in works().items() if work.short == short]
    return short + ("abcdefgh"[alike.index(key)] if len(alike) > 1 else "")


def reference(key: str) -> str:
    """A work in full, as a list of references shows it in Markdown."""
    work = works()[key]
    authors = ", ".join(f"{first} {family}" for family, first in work.authors)
    return f"{cited(key)}: {authors}. *{work.title}*. {work.venue}, {work.year}. <{work.url}>"

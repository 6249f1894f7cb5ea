"""The laws a study can be held to, as facts: exact expected test errors, each of one kind of data and model."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from gdstudy.study.entries import Code


@dataclass(frozen=True, kw_only=True)
class Law:
    """target: of the plain model it is about, y or x. risk: the code `(dataset, n_train (n,), P) -> (n,)` test MSEs, NaN
    where none is known, or None for data it says nothing of. source: a key of `references.bib`."""

    name: str
    risk: Code
    source: str
    target: Literal["y", "x"] = "y"


LAWS: dict[str, Law] = {
    law.name: law
    for law in (
        Law(name="gaussian", risk="gdstudy.theory.hastie:of_least_squares", source="hastie2022"),
        Law(name="denoising", risk="gdstudy.theory.denoising:of_autoencoder", source="hastie2022", target="x"),
    )
}

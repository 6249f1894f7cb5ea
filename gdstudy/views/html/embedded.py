"""How a page is put together: templates that escape all they are given, numbers as JSON, Plotly, and a policy by which
a browser runs these scripts alone and asks nobody for anything."""

from __future__ import annotations

import base64
import hashlib
import json
import zlib
from collections.abc import Mapping
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup
from pandas import DataFrame

from gdstudy.study.version import __version__

_HERE = Path(__file__).parent
_DIGITS = "%.4g"  # as the closing table of a run
_SCRIPTS = ("start.js", "table.js")  # of every page, before its own


def page(template: str, script: str, data: Mapping[str, Any], **words: Any) -> bytes:
    """A whole page. template, script: files of this folder. data: what the script draws, see `encoded`; words: what the
    template says, all of it escaped."""
    code = "\n".join((_HERE / name).read_text("utf-8") for name in (*_SCRIPTS, script))
    library, of_library = plotly()
    return (
        _environment()
        .get_template(template)
        .render(
            policy=f"default-src 'none'; img-src data: blob:; style-src 'unsafe-inline'; base-uri 'none'; "
            f"form-action 'none'; script-src '{_fingerprint(code)}' '{of_library}'",
            style=Markup((_HERE / "page.css").read_text("utf-8")),
            script=Markup(code),
            library=library,
            data=Markup(encoded(data)),
            version=__version__,
            **words,
        )
        .encode()
    )


@cache
def _environment() -> Environment:
    return Environment(
        loader=FileSystemLoader(_HERE),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )


@cache
def plotly() -> tuple[str, str]:
    """Plotly.js, deflated, in base64, which takes 40 % of its size, and its fingerprint. The package itself, which
    takes a while to import, is not needed."""
    spec = find_spec("plotly")
    assert spec is not None
    assert spec.origin is not None
    code = (Path(spec.origin).parent / "package_data" / "plotly.min.js").read_text("utf-8")
    return base64.b64encode(zlib.compress(code.encode(), 6)).decode(), _fingerprint(code)


def _fingerprint(script: str) -> str:
    """What a policy knows a script by."""
    return f"sha256-{base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()}"


def picture(png: bytes) -> str:
    """An image as an address that holds all of it."""
    return f"data:image/png;base64,{base64.b64encode(png).decode()}"


def encoded(value: Any) -> str:
    """JSON that can stand in a page. Arrays have four digits; NaN is null, and infinity a number too large."""
    return _json(value).replace("&", "\\u0026").replace("<", "\\u003c").replace(">", "\\u003e")


def _json(value: Any) -> str:
    if isinstance(value, np.ndarray):
        if value.ndim > 1:
            return f"[{','.join(map(_json, value))}]"
        return f"[{','.join(_whole(value) if value.dtype.kind in 'iu' else _reals(value))}]"
    if isinstance(value, Mapping):
        return f"{{{','.join(f'{json.dumps(str(key))}:{_json(item)}' for key, item in value.items())}}}"
    if isinstance(value, list | tuple):
        return f"[{','.join(map(_json, value))}]"
    if isinstance(value, float):
        return _reals(np.array([value]))[0]
    return json.dumps(value)


def _whole(values: np.ndarray) -> list[str]:
    return [str(value) for value in values.tolist()]


def _reals(values: np.ndarray) -> list[str]:
    special = {"nan": "null", "inf": "1e999", "-inf": "-1e999"}
    return [special.get(text := _DIGITS % value, text) for value in values.tolist()]


def table_data(table: DataFrame, labels: Mapping[str, tuple[str, str]]) -> dict[str, Any]:
    """A table to sort and filter. labels: column → its heading, with its unit, and its meaning; in this order."""
    columns = []
    for name, (label, meaning) in labels.items():
        column: dict[str, Any] = {"name": name, "label": label, "meaning": meaning}
        if table[name].dtype.kind in "if":
            columns.append({**column, "values": table[name].to_numpy()})
        else:
            texts = table[name].astype("category").cat
            columns.append({**column, "words": list(map(str, texts.categories)), "values": texts.codes.to_numpy()})
    return {"columns": columns, "rows": len(table)}

"""Tables of named columns: CSV and TSV, Parquet, Feather → a DataFrame. Read by pandas and pyarrow."""

from __future__ import annotations

import io
import json
import re
import warnings
from contextlib import suppress
from typing import Any

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from gdstudy.data.guards import LARGEST, check_size, explained, unpacked
from gdstudy.data.pages import unpacked_size
from gdstudy.study.errors import StudyError
from gdstudy.study.sources import File, suffix_of

# A table, and names of columns: that hold neither numbers nor texts, and that pandas wrote to name its rows.
Read = tuple[pd.DataFrame, list[str], list[str]]
_MOST_NOTED = 1 << 22  # bytes of what pandas notes beside a table


def read_text(where: str, content: bytes, keys: File) -> Read:
    """A CSV or TSV file, also packed, as pandas reads it under the keys."""
    suffix = suffix_of(where)
    content = unpacked(where, content) if suffix.endswith(".gz") else content
    if keys.encoding != "utf-16" and b"\0" in content:
        line = content[: content.index(b"\0")].count(b"\n") + 1
        raise StudyError(f"{where}, line {line}: is no text (it holds a zero byte)")
    sep = keys.sep or _separator(where, content, keys)
    check_size(where, 1, content[: 1 << 26].lstrip().partition(b"\n")[0].count(sep.encode()) + 1)
    options: dict[str, Any] = {
        "sep": sep,
        "encoding": "utf-8-sig" if keys.encoding == "utf-8" else keys.encoding,
        "index_col": False,
    }
    try:
        first = _parsed(content, header=None, nrows=1, dtype=str, keep_default_na=False, **options).iloc[0].tolist()
        check_size(where, content.count(b"\n") + 1, len(first))
        values = [_is_number(text) or text.strip() in ("", *keys.missing_values) for text in first]
        # pandas writes the names of its rows first, calls them nothing, and columns without names by their places.
        by_pandas = not first[0].strip() and first[1:] == [str(k) for k in range(len(first) - 1)]
        named = keys.header == "true" or (keys.header == "auto" and (by_pandas or not all(values)))
        names = [name.strip() for name in first] if named else [str(k) for k in range(len(first))]
        options |= {"thousands": keys.thousands or None, "decimal": keys.decimal}
        options["na_values"] = list(keys.missing_values)
        frame = _parsed(content, header=0 if named else None, names=range(len(first)), **options)
    except UnicodeError as error:
        raise StudyError(_undecoded(where, content, keys, error)) from None
    except pd.errors.ParserError as error:
        raise StudyError(f"{where}{_ragged(str(error))}") from None
    except pd.errors.ParserWarning:
        raise StudyError(f"{where}: rows have more fields than the first line, {len(first)}; check sep") from None
    except pd.errors.EmptyDataError:
        raise StudyError(f"{where}: holds no table") from None
    return frame.set_axis(names, axis=1), [], [""] if named and names.count("") == 1 and not names[0] else []


def _parsed(content: bytes, **options: Any) -> pd.DataFrame:
    with warnings.catch_warnings():
        warnings.simplefilter("error", pd.errors.ParserWarning)
        return pd.read_csv(io.BytesIO(content), engine="c", low_memory=False, **options)  # else types differ by chunk


def _separator(where: str, content: bytes, keys: File) -> str:
    """A tab in .tsv; in .csv a comma, or what the first line has in its place."""
    if suffix_of(where).startswith(".tsv"):
        return "\t"
    line = content[: 1 << 20].decode(keys.encoding, "ignore").lstrip("\ufeff\r\n").partition("\n")[0]
    others = [sep for sep in (";", "\t", "|") if sep in line]
    return others[0] if others and ("," not in line or keys.decimal == ",") else ","


def _is_number(text: str) -> bool:
    try:
        float(text.replace(",", "."))
    except ValueError:
        return False
    return True


def _undecoded(where: str, content: bytes, keys: File, error: UnicodeError) -> str:
    start = error.start if isinstance(error, UnicodeDecodeError) else 0
    try:  # pandas counts from where it was in its own buffer
        content.decode(keys.encoding)
    except UnicodeDecodeError as exact:
        start = exact.start
    line = content[:start].count(b"\n") + 1
    return f"{where}, line {line}: is no {keys.encoding} text; file.encoding names another, such as latin-1"


def _ragged(said: str) -> str:
    if match := re.search(r"Expected (\d+) fields in line (\d+), saw (\d+)", said):
        return f", line {match[2]}: has {match[3]} fields where the first has {match[1]}; check it, or file.sep"
    return f": cannot be read as text ({said.rpartition('C error: ')[2].strip()})"


def read_parquet(where: str, content: bytes, keys: File) -> Read:
    """A Parquet file. Texts stay as their distinct ones; columns that hold neither numbers nor texts are not read."""
    with explained(where, "no Parquet file, or damaged"):
        source = pa.BufferReader(content)
        schema = pq.read_schema(source)
        texts = [field.name for field in schema if _is_text(field.type)]
        file = pq.ParquetFile(pa.BufferReader(content), read_dictionary=texts)
        about = file.metadata
        check_size(where, about.num_rows, len(schema))
        read = [k for k, field in enumerate(schema) if is_flat(field.type)]
        stored = unpacked_size(io.BytesIO(content), len(content))
        if stored > LARGEST:
            raise StudyError(f"{where}: holds {stored:,} bytes, more than {LARGEST:,}; keep fewer rows")
        table = file.read(columns=[schema.field(k).name for k in read])
        return as_read(table, schema)


def as_read(table: pa.Table, schema: pa.Schema) -> Read:
    """What pandas takes a table for, by its columns alone, whatever pandas noted beside them."""
    frame, names = table.replace_schema_metadata(None).to_pandas(), set(table.schema.names)
    return frame, [name for name in schema.names if name not in names], _index_of(schema)


def _index_of(schema: pa.Schema) -> list[str]:
    """The columns that were the index of a DataFrame, as pandas noted; none where that is not what it writes."""
    noted = (schema.metadata or {}).get(b"pandas", b"")
    with suppress(ValueError, RecursionError):
        found = json.loads(noted[:_MOST_NOTED])
        columns = found.get("index_columns") if isinstance(found, dict) else None
        if isinstance(columns, list):
            return [name for name in columns if isinstance(name, str) and name in schema.names]
    return []


def _is_text(kind: pa.DataType) -> bool:
    return pa.types.is_string(kind) or pa.types.is_large_string(kind)


def is_flat(kind: pa.DataType) -> bool:
    """Numbers, true and false, texts, and categories of them."""
    if pa.types.is_dictionary(kind):
        kind = kind.value_type
    numbers = pa.types.is_integer(kind) or pa.types.is_floating(kind) or pa.types.is_boolean(kind)
    return numbers or pa.types.is_decimal(kind) or pa.types.is_null(kind) or _is_text(kind)

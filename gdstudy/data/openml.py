"""Data sets of OpenML, through scikit-learn: downloaded once, checked by OpenML's own checksum."""

from __future__ import annotations

import socket
import warnings
from dataclasses import replace
from typing import Any
from urllib.error import HTTPError

from gdstudy.data.columns import Table
from gdstudy.data.downloads import data_home
from gdstudy.data.reading import Reading, as_dataset, content_sha256
from gdstudy.study.console import one_line
from gdstudy.study.errors import StudyError
from gdstudy.study.sources import OPENML, Source
from gdstudy.study.values import Columns

_TIMEOUT = 30.0  # seconds without an answer


def read_openml(source: Source) -> Reading:
    """`openml:NAME`, `openml:NAME@VERSION` or `openml:NUMBER`; y is its own target unless the keys say another.

    Kept in GDSTUDY_DATA_HOME. StudyError where there is none of that name, or no network.
    """
    assert source.keys is not None
    found = _fetched(source.entry)
    keys, target = source.keys, Columns(map(str, found.target_names or ()))
    if not keys.target and target:
        keys = replace(keys, target=target)
    reading = as_dataset(Table(source.entry, found.frame, None, {}), keys, source.name)
    return replace(reading, fingerprint={"sha256": content_sha256(reading.data), **reading.fingerprint})


def _fetched(entry: str) -> Any:
    from sklearn.datasets import fetch_openml

    name, _, version = entry.removeprefix(OPENML).partition("@")
    which = (
        {"data_id": int(name)} if name.isdigit() else {"name": name, "version": int(version) if version else "active"}
    )
    home, waits = data_home(), socket.getdefaulttimeout()
    try:
        socket.setdefaulttimeout(_TIMEOUT)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return fetch_openml(**which, as_frame=True, parser="auto", data_home=str(home), n_retries=1, delay=0.1)
    except HTTPError as error:
        raise StudyError(f"{entry}: OpenML has none of that name, or no answer ({one_line(error)[:80]})") from None
    except OSError as error:
        raise StudyError(
            f"{entry}: cannot be downloaded ({type(error).__name__}: {one_line(error)[:80]}); once it was, it is kept "
            f"in {home} (GDSTUDY_DATA_HOME)"
        ) from None
    except ValueError as error:  # unknown, sparse, or damaged
        raise StudyError(f"{entry}: {one_line(error)[:200]}") from None
    finally:
        socket.setdefaulttimeout(waits)

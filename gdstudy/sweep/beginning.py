"""How a run's folder comes to be: made aside and renamed, so that it is a whole run from its first name on."""

from __future__ import annotations

import errno
import os
import re
import secrets
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

from gdstudy.study.config import Study
from gdstudy.study.console import typed
from gdstudy.study.errors import StudyError
from gdstudy.study.parser import as_yaml, read_study
from gdstudy.study.seeds import Shard
from gdstudy.sweep.folder import (
    BATCHES,
    CONFIG,
    LOCKS,
    PART,
    STUDY,
    check_folder,
    clear_remains,
    flush_to_disk,
    is_blank,
    is_old,
    is_unused,
    rename,
    write_whole,
)
from gdstudy.sweep.generations import check_joins, generations, sizes_of
from gdstudy.sweep.identity import has_study
from gdstudy.sweep.lock import hold
from gdstudy.sweep.store import Store

# Bytes of a start's hidden name are at most these letters' and those of its token.
_LETTERS, _TOKEN = 60, 16
# How often a start begins once more that another has taken for what a killed one left.
_ONCE_MORE = 20


class Taken(StudyError):
    """A folder that holds something, or in which another start was faster."""


def begin(run_dir: Path, study: Study, made_by: Mapping[str, str], shard: Shard | None = None) -> Store:
    """A new run in a folder that is not there or unused, held from before it has its name.

    Wherever this is cut off, the folder holds a whole run or is unused. What earlier starts left of themselves is
    removed. Taken where it holds something; OSError where it cannot be written, and then nothing is left of it.
    """
    clear_starts(run_dir)
    check_unused(run_dir)
    there = run_dir.exists()  # then it may be a mount, a link or where one is: it stays, and its content is renamed
    home = run_dir if there else run_dir.parent
    made = [path for path in (home, *home.parents) if not path.exists()]
    part, store = None, None
    try:
        home.mkdir(parents=True, exist_ok=True)
        store = _aside(home, run_dir, study, made_by, shard)
        part = store.run_dir
        flush_to_disk(part)
        _give_name(part, run_dir, there)
        flush_to_disk(home)
        store.moved(run_dir)
        restore_config(run_dir)  # which another start may have taken for what a killed one left
        return store
    except BaseException:
        if part is not None:  # before it is let go
            _remove(part)
        if store is not None:
            store.close()
        for path in made:
            with suppress(OSError):
                path.rmdir()
        raise


def _aside(home: Path, run_dir: Path, study: Study, made_by: Mapping[str, str], shard: Shard | None) -> Store:
    """A new run under a hidden name, held; nothing is left of it where that fails.

    Until it is held another start may take it for what a killed one left, hold it for a moment, and remove it.
    """
    for more in range(_ONCE_MORE, -1, -1):
        part = home / f"{_prefix(run_dir)}{secrets.token_hex(_TOKEN // 2)}{PART}"
        try:
            part.mkdir()
            return Store(part, study, made_by, shard)
        except BaseException as error:
            taken = isinstance(error, StudyError) or (isinstance(error, OSError) and not part.exists())
            _remove(part)
            if not (taken and more):
                raise
    raise AssertionError


def join(run_dir: Path, study: Study, made_by: Mapping[str, str], shard: Shard) -> Store:
    """A shard of a run that another shard has begun. StudyError where it is of another study.

    Nothing is said of a config.yaml that is not there: it may be about to get its name.
    """
    check_folder(run_dir)
    check_joins(run_dir, study)
    store = Store(run_dir, study, made_by, shard)
    try:
        restore_config(run_dir)
    except BaseException:
        store.close()
        raise
    return store


def check_unused(run_dir: Path) -> None:
    """Taken where a folder holds something; StudyError where it is none."""
    if run_dir.exists() and not run_dir.is_dir():
        raise StudyError(f"--run_dir {run_dir} is a file; name a new folder")
    if run_dir.exists() and not is_unused(run_dir, _starts_of(run_dir)):
        if is_old(run_dir):
            raise Taken(f"--run_dir {run_dir} holds a run of gdstudy 0.1; name a new folder")
        hint = f"finish it with --resume {typed(run_dir)}, or " if (run_dir / BATCHES).is_dir() else ""
        raise Taken(f"--run_dir {run_dir} is not empty; {hint}name a new folder")


def _give_name(part: Path, run_dir: Path, there: bool) -> None:
    """The one rename that makes a run."""
    try:
        if not there:
            rename(part, run_dir)
            return
        if (run_dir / BATCHES).is_dir():
            _clear_old_start(run_dir)
        rename(part / BATCHES, run_dir / BATCHES)  # from here on a run; its config.yaml can be made from it
        with suppress(FileNotFoundError):  # no part has batches any more, so that another start may remove it
            rename(part / CONFIG, run_dir / CONFIG)
            part.rmdir()
    except OSError as error:
        if error.errno not in (errno.ENOTEMPTY, errno.EEXIST):
            raise
        raise Taken(f"--run_dir {run_dir}: another start was faster; name a new folder") from None


def _clear_old_start(run_dir: Path) -> None:
    """Remove what a start of an earlier version left. Taken where it is a run by now, or somebody's."""
    try:
        held = hold(run_dir)
    except StudyError as error:
        raise Taken(str(error)) from None
    try:  # nobody else holds it before it is gone
        clear_remains(run_dir / BATCHES)
        check_unused(run_dir)
        _remove(run_dir, itself=False)
    finally:
        held.release()


def _prefix(run_dir: Path) -> str:
    return f".{run_dir.name[:_LETTERS]}."


def _starts_of(run_dir: Path) -> re.Pattern[str]:
    """The hidden names under which a run is begun."""
    return re.compile(re.escape(_prefix(run_dir)) + rf"[0-9a-f]{{{_TOKEN}}}" + re.escape(PART))


def clear_starts(run_dir: Path) -> None:
    """Remove what killed starts of a run have left beside its folder or in it, unless somebody holds them."""
    name = _starts_of(run_dir)
    for home in (run_dir.parent, run_dir):
        with suppress(OSError):
            for path in [path for path in home.iterdir() if name.fullmatch(path.name)]:
                if path.is_dir() and not path.is_symlink():
                    _remove_unheld(path)


def _remove_unheld(part: Path) -> None:
    with suppress(StudyError):
        held = hold(part) if (part / BATCHES).is_dir() else None
        try:  # nobody else holds it before it is gone
            clear_remains(part)
            _remove(part)
        finally:
            if held is not None:
                held.release()


def _remove(part: Path, itself: bool = True) -> None:
    """Remove what a start has written, and nothing else."""
    batches = part / BATCHES
    with suppress(OSError):
        (part / CONFIG).unlink(missing_ok=True)
        for path in list(batches.iterdir()) if batches.is_dir() else []:
            if path.name == STUDY or LOCKS.fullmatch(path.name):
                path.unlink(missing_ok=True)
        if batches.is_dir():
            batches.rmdir()
        if itself:
            os.rmdir(part)


def study_to_resume(run_dir: Path) -> Study:
    """The study of a run as its config.yaml says, or the store where that is lost. StudyError where there is none."""
    config, stored = run_dir / CONFIG, not is_old(run_dir) and has_study(run_dir)
    if not is_old(run_dir) and (not (run_dir / BATCHES).is_dir() or (is_blank(config) and not stored)):
        raise StudyError(f"--resume {typed(run_dir)}: no run is there ({CONFIG} and {BATCHES}/); give a run's folder")
    if not stored:
        return read_study(config)
    *before, now = generations(run_dir)
    study = now if is_blank(config) else read_study(config)
    # Of a run that was killed as it grew, config.yaml may be older.
    return replace(study, **sizes_of(now)) if sizes_of(study) in map(sizes_of, before) else study


def restore_config(run_dir: Path) -> str | None:
    """Write config.yaml anew from the store where it is lost; what is to be said then. For who holds the run."""
    clear_starts(run_dir)
    if not is_blank(run_dir / CONFIG):
        return None
    study = generations(run_dir)[-1]
    write_whole(run_dir / CONFIG, f"# from {BATCHES}/{STUDY}\n{as_yaml(study)}".encode(), flush=True)
    return f"{run_dir / CONFIG} was lost; it is written anew from {BATCHES}/{STUDY}"

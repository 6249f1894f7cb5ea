"""Which study a run is of: `batches/study.yaml`, which never changes and says whether it is whole."""

from __future__ import annotations

import hashlib
from pathlib import Path

from gdstudy.study.config import Study
from gdstudy.study.console import typed
from gdstudy.study.errors import StudyError
from gdstudy.study.parser import MOST_BYTES, as_yaml, read_yaml, study_of
from gdstudy.sweep.folder import BATCHES, CONFIG, STUDY, check_run
from gdstudy.sweep.parts import Damaged, open_part, part_numbers, part_path

_SEAL = b"# sha256: "


def sealed_study(study: Study) -> bytes:
    """What study.yaml holds: the study, and in its last line the checksum of all before it."""
    return seal(as_yaml(study).encode())


def seal(text: bytes) -> bytes:
    """A text with its checksum, which makes damage seen; it proves nothing of who wrote it."""
    return text + _SEAL + hashlib.sha256(text).hexdigest().encode() + b"\n"


def is_sealed(content: bytes) -> bool:
    """Whether a text is as it was sealed."""
    return content.rpartition(_SEAL)[2] == identity_of(content).encode() + b"\n"


def identity_of(content: bytes) -> str:
    """What tells a study from any other: the checksum of its text in study.yaml."""
    text, seal, rest = content.rpartition(_SEAL)
    return hashlib.sha256(text if seal else rest).hexdigest()


def identity(run_dir: Path) -> str:
    """What tells the study of a run from any other. StudyError where there is none, or where it is damaged."""
    return identity_of(_whole_content(run_dir))


def stored_study(run_dir: Path) -> Study:
    """The study as it was when the run began. StudyError where there is none, or where it is damaged."""
    path, content = run_dir / BATCHES / STUDY, _whole_content(run_dir)
    try:
        return study_of(read_yaml(path, content))
    except StudyError as error:
        raise StudyError(str(error) if str(path) in str(error) else f"{path}: {error}") from None


def has_study(run_dir: Path) -> bool:
    """Whether there is a study.yaml that is as it was written. StudyError where it is no file."""
    path = run_dir / BATCHES / STUDY
    return path.exists() and _is_whole(check_run(run_dir), beginning(path))


def beginning(path: Path) -> bytes:
    """All of a file that is a study, the beginning of a larger one, which is none."""
    with path.open("rb") as file:
        return file.read(MOST_BYTES + 1)


def _whole_content(run_dir: Path) -> bytes:
    batches = check_run(run_dir)
    content = beginning(batches / STUDY)
    if not _is_whole(batches, content):
        raise StudyError(
            f"{batches / STUDY}: damaged (its checksum is another); --resume {typed(run_dir)} restores it from {CONFIG}"
        )
    return content


def _is_whole(batches: Path, content: bytes) -> bool:
    """Whether this content of study.yaml is as it was written. That of version 0.3 has no seal: its parts say so."""
    if _SEAL in content:
        return is_sealed(content)
    for number in part_numbers(batches):
        try:
            part = open_part(part_path(batches, number, "results"), "results")
        except Damaged:
            continue
        return part.facts.get("study") == identity_of(content)
    return False

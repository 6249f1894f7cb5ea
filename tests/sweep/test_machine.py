"""What is asked of the machine."""

import ctypes
import re
import subprocess

import pytest

from gdstudy.sweep import machine


@pytest.mark.parametrize("begun_by_dask", [True, False])
def test_freed_pages_are_kept_where_dask_would_have_them_given_back(begun_by_dask, monkeypatch):
    asked = []

    class Library:
        def mallopt(self, option, size):
            asked.append((option, size))

    monkeypatch.setattr(ctypes, "CDLL", lambda name: Library())
    monkeypatch.delenv("MALLOC_TRIM_THRESHOLD_", raising=False)
    if begun_by_dask:
        monkeypatch.setenv("MALLOC_TRIM_THRESHOLD_", "65536")
    machine.keep_freed_pages.__wrapped__()
    assert {option for option, _ in asked} == ({-1, -3} if begun_by_dask else set())  # M_TRIM_, M_MMAP_THRESHOLD
    assert all(size > 1 << 20 for _, size in asked)


def windows(name):
    raise TypeError("a name is wanted")


@pytest.mark.parametrize("library", [lambda name: object(), windows])
def test_another_c_library_is_left_as_it_is(library, monkeypatch):
    """An error here would fail every batch of a worker."""
    monkeypatch.setenv("MALLOC_TRIM_THRESHOLD_", "65536")
    monkeypatch.setattr(ctypes, "CDLL", library)
    assert machine.keep_freed_pages.__wrapped__() is None


def test_the_revision_is_that_of_the_package_and_of_no_repository_around_it(tmp_path, monkeypatch):
    package = tmp_path / "site-packages" / "machine.py"
    package.parent.mkdir()
    package.touch()
    author = ["-c", "user.name=A", "-c", "user.email=a@b"]
    for command in (["init", "-q"], [*author, "commit", "-q", "--allow-empty", "-m", "My paper"]):
        subprocess.run(["git", "-C", str(tmp_path), *command], check=True)
    monkeypatch.setattr(machine, "__file__", str(package))
    assert machine._revision() == "none"
    subprocess.run(["git", "-C", str(tmp_path), "add", "."], check=True)
    subprocess.run(["git", "-C", str(tmp_path), *author, "commit", "-q", "-m", "It is mine"], check=True)
    assert re.fullmatch("[0-9a-f]{7,}", machine._revision())

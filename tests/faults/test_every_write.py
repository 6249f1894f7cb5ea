"""Wherever a run is cut off or the disk is full, it is resumed to what it would have been; see `suite.py`."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

KILLS = os.environ.get("GDSTUDY_KILLS", "5")  # at random times


def suite(home, mode, share, of):
    """{k: what was wrong} and the number of points."""
    done = subprocess.run(
        [sys.executable, str(Path(__file__).with_name("suite.py")), str(home), mode, str(share), str(of)],
        env={**os.environ, **{f"{name}_NUM_THREADS": "1" for name in ("OMP", "OPENBLAS", "MKL")}},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout.splitlines()[-1])
    return found["wrong"], found["points"]


# Of each file half, all under another name, and all in its place are left in turn: every fifth has all three of some.
@pytest.mark.parametrize("share", range(5) if int(KILLS) > 10 else [0])
def test_a_run_killed_at_any_write_is_resumed_to_the_same(share, tmp_path):
    wrong, points = suite(tmp_path, "killed", share, 5)
    assert wrong == {}
    assert points > 90


@pytest.mark.parametrize(("mode", "of"), [("killed_as_it_resumes", 23), ("full", 41), ("asked_to_end", 53)])
def test_so_is_one_that_is_cut_off_otherwise(mode, of, tmp_path):
    """full: every write fails from some point on, in one line, exit status 2. asked_to_end: SIGTERM at some point."""
    wrong, points = suite(tmp_path, mode, 1, of)
    assert wrong == {}
    assert points > 30


def test_a_run_killed_at_random_times_is_resumed_to_the_same(tmp_path):
    assert suite(tmp_path, "killed_at_random", 1, KILLS) == ({}, int(KILLS))


@pytest.mark.parametrize(
    ("mode", "share", "of", "said"),
    [("begun_in_place", 2, 100, "no whole run"), ("events_kept", 70, 100, "events differ")],
)
def test_writes_that_are_not_whole_are_found(mode, share, of, said, tmp_path):
    """Control."""
    wrong, _ = suite(tmp_path, mode, share, of)
    assert said in str(wrong)

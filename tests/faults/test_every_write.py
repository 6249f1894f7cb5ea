"""Wherever a run is cut off or the disk is full, it is resumed to what it would have been; see `suite.py`."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

KILLS = os.environ.get("GDSTUDY_KILLS", "5")  # at random times


def suite(home, *modes):
    """{mode: {k: what was wrong}} and {mode: the number of points} of (mode, share, of)."""
    done = subprocess.run(
        [sys.executable, str(Path(__file__).with_name("suite.py")), str(home), *(",".join(map(str, m)) for m in modes)],
        env={**os.environ, **{f"{name}_NUM_THREADS": "1" for name in ("OMP", "OPENBLAS", "MKL")}},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout.splitlines()[-1])
    return tuple({mode: of[name] for mode, of in found.items()} for name in ("wrong", "points"))


# Of each file half, all under another name, and all in its place are left in turn: every eighth has all three of some.
# full: every write fails from some point on, in one line, exit status 2. asked_to_end: SIGTERM at some point.
EVERY = {"killed": 8, "killed_as_it_resumes": 32, "full": 53, "asked_to_end": 67}


@pytest.mark.parametrize("share", range(8) if int(KILLS) > 10 else [0])
def test_a_run_that_is_cut_off_at_any_write_is_resumed_to_the_same(share, tmp_path):
    wrong, points = suite(
        tmp_path, *((mode, share if mode == "killed" else 1 + share, of) for mode, of in EVERY.items())
    )
    assert wrong == {mode: {} for mode in EVERY}
    assert min(points.values()) > 30
    assert points["killed"] > 90


def test_a_run_killed_at_random_times_is_resumed_to_the_same(tmp_path):
    assert suite(tmp_path, ("killed_at_random", 1, KILLS)) == (
        {"killed_at_random": {}},
        {"killed_at_random": int(KILLS)},
    )


def test_writes_that_are_not_whole_are_found(tmp_path):
    """Control."""
    wrong, _ = suite(tmp_path, ("begun_in_place", 2, 100), ("events_kept", 70, 100))
    assert "no whole run" in str(wrong["begun_in_place"])
    assert "events differ" in str(wrong["events_kept"])

"""What a command spares as it begins and ends."""

import subprocess
import sys

import pytest

CODE = """
import atexit, gc, sys
from gdstudy.study.ending import exit_with, one_line_until_main
class Garbage:
    def __init__(self):
        self.own = self
    def __del__(self):
        print("found", flush=True)
one_line_until_main("command")
print(gc.get_threshold()[0] > 10_000, gc.isenabled())
atexit.register(print, "atexit")
Garbage()
{end}
"""


@pytest.mark.parametrize(
    ("end", "said"),
    [
        ("exit_with(lambda: 3)", ["atexit"]),
        ("sys.exit(3)", ["atexit", "found"]),
        ("sys.modules['triton'] = sys; exit_with(lambda: 3)", ["atexit", "found"]),
    ],
)
def test_a_command_ends_without_a_search_for_garbage_and_with_all_else(end, said):
    ran = subprocess.run([sys.executable, "-c", CODE.format(end=end)], capture_output=True, text=True)
    assert ran.stdout.split("\n")[:-1] == ["True True", *said]
    assert ran.returncode == 3

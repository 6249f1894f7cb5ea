"""Files that grow write to themselves alone: not through links, nor to what has a second name somewhere else."""

import os

import numpy as np
import pytest

from gdstudy.views.events import Events
from gdstudy.views.growing import Growing, append
from gdstudy.views.summary import Curve


def some(steps):
    """Events of one tag at these steps."""
    events, x = Events(begins=False), np.array(steps)
    events.add_curves([("sweep/test_mse/diabetes", Curve(x, *[x * 1.0] * 4))])
    return events


@pytest.fixture
def victim(tmp_path):
    path = tmp_path / "victim"
    path.write_bytes(b"somebody else's")
    return path


LINKS = {
    "a link": lambda path, victim: path.symlink_to(victim),
    "a second name": lambda path, victim: os.link(victim, path),
}


@pytest.mark.parametrize("kind", LINKS)
def test_what_is_put_in_the_place_of_a_file_is_not_written_to(kind, tmp_path, victim):
    growing, folder = Growing(), tmp_path / "run"
    growing.add(folder, some([1, 2]))
    (path,) = folder.iterdir()
    path.unlink()
    LINKS[kind](path, victim)
    with pytest.raises(FileNotFoundError):
        growing.add(folder, some([3]))
    with pytest.raises(FileNotFoundError):
        append(path, b"more")
    assert victim.read_bytes() == b"somebody else's"


@pytest.mark.parametrize("kind", LINKS)
def test_it_is_not_completed_either(kind, tmp_path, victim):
    growing, folder = Growing(), tmp_path / "run"
    growing.add(folder, some([1]))
    (path,) = folder.iterdir()
    path.unlink()
    LINKS[kind](path, victim)
    assert growing.finish(folder, some([1, 2])) is None
    assert victim.read_bytes() == b"somebody else's"


@pytest.mark.parametrize("kind", LINKS)
def test_what_an_earlier_process_seems_to_have_left_is_emptied_only_if_it_is_a_file_of_the_run(kind, tmp_path, victim):
    folder = tmp_path / "run"
    folder.mkdir()
    own, other = folder / "events.out.tfevents.1.own", folder / "events.out.tfevents.1.other"
    own.write_bytes(b"half a record")
    LINKS[kind](other, victim)
    Growing().add(folder, some([1]))
    assert own.read_bytes() == b""
    assert victim.read_bytes() == b"somebody else's"
    assert not os.path.lexists(other)


def test_a_file_of_the_run_grows(tmp_path):
    growing = Growing()
    growing.add(tmp_path, some([1]))
    growing.add(tmp_path, some([2]))
    (path,) = tmp_path.iterdir()
    assert growing.after(tmp_path, "sweep/test_mse/diabetes") == 2
    assert growing.finish(tmp_path, some([1, 2, 3])) == path

"""The machine: memory that is free, and the versions of what computes."""

from __future__ import annotations

import ctypes
import os
import platform
import subprocess
from contextlib import suppress
from functools import cache
from importlib.metadata import version
from pathlib import Path

from gdstudy.study.config import Study
from gdstudy.training.kernel import available

_MEMINFO, _CGROUP = Path("/proc/meminfo"), Path("/sys/fs/cgroup")
_TRIM_THRESHOLD, _MMAP_THRESHOLD = -1, -3  # of glibc's malloc.h


def available_memory() -> int | None:
    """Bytes that are free for this process, within the limit of its container; None where the system does not say."""
    found = []
    with suppress(OSError, ValueError, IndexError):
        line = next(line for line in _MEMINFO.read_text().splitlines() if line.startswith("MemAvailable:"))
        found.append(1024 * int(line.split()[1]))
    with suppress(OSError, ValueError):  # `max` where there is no limit
        limit, used = (int((_CGROUP / f"memory.{name}").read_text()) for name in ("max", "current"))
        found.append(limit - used)
    if not found:
        with suppress(OSError, ValueError, AttributeError):
            found.append(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_AVPHYS_PAGES"))
    return max(0, min(found)) if found else None


def n_cores() -> int:
    """Cores that this process may use."""
    try:
        return len(os.sched_getaffinity(0))
    except AttributeError:  # not on this system
        return os.cpu_count() or 1


@cache
def keep_freed_pages() -> None:
    """Have glibc keep some of what is freed for what is allocated next, where a process was begun with
    MALLOC_TRIM_THRESHOLD_, as Dask begins its workers.

    It says that free memory goes back to the system at once, and ends glibc's own adjustment by the sizes it sees. Each
    larger array is then made of pages that the system clears anew, and a batch takes 1.2 times as long
    (`bench_workers`). These numbers are where that adjustment ends.
    """
    if "MALLOC_TRIM_THRESHOLD_" in os.environ:
        with suppress(OSError, AttributeError, TypeError):  # another C library, or Windows
            for option, size in ((_MMAP_THRESHOLD, 32 << 20), (_TRIM_THRESHOLD, 64 << 20)):
                ctypes.CDLL(None).mallopt(option, size)


def provenance(study: Study, gdstudy: str) -> dict[str, str]:
    """What computes: versions and machine, as config.yaml and every batch say. gdstudy: its version."""
    return {
        "gdstudy": gdstudy,
        "git revision": _revision(),
        "Python": platform.python_version(),
        **{package: version(package) for package in ("torch", "numpy", "scikit-learn")},
        "llvmlite": version("llvmlite") if available() else "none",
        "platform": f"{platform.platform()}, {os.cpu_count()} CPUs",
        "device": study.device,
        "threads": str(study.threads),
    }


def _revision() -> str:
    """Of the git repository that the package is of, or none: it may be installed within that of somebody's paper."""
    here = Path(__file__)
    git = ["git", "-C", str(here.parent)]
    try:
        if subprocess.run([*git, "ls-files", "--error-unmatch", here.name], capture_output=True).returncode:
            return "none"
        said = subprocess.run([*git, "describe", "--always", "--dirty"], capture_output=True, text=True).stdout.strip()
        return said or "none"
    except OSError:
        return "none"

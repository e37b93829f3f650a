"""What a result was made on: versions, machine and threads, stored beside every row."""

import os
import platform
from functools import cache
from importlib import metadata
from pathlib import Path

from harness.support.version import __version__

THREADS = 1
"""Of a worker."""


def harness_version() -> str:
    """The version of the harness that is running."""
    return __version__


@cache  # a look into the installed packages, and every row asks
def numpy_version() -> str:
    """The installed version of NumPy."""
    return metadata.version("numpy")


@cache
def machine() -> dict[str, str]:
    """Python, operating system, processor, cores, and the threads that a worker may use."""
    return {
        "Python": platform.python_version(),
        "system": f"{platform.system()} {platform.machine()}",
        "processor": _processor(),
        "cores": str(os.cpu_count()),
        "threads a worker": str(THREADS),
    }


def _processor() -> str:
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.is_file():
        for line in cpuinfo.read_text(encoding="utf-8", errors="replace").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or "unknown"

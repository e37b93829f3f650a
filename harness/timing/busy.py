"""Whether a machine is quiet enough to time anything on it."""

import os


def cores() -> int:
    """The cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def busy_with(load: float, cores: int) -> str:
    """`the machine is busy: a load of 8.7 on 2 cores`, or nothing: `load` is how many processes want to run."""
    if load <= cores:
        return ""
    return f"the machine is busy: a load of {load:.1f} on {cores} core{'s' if cores > 1 else ''}"

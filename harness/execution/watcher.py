"""Ends what a killed run would leave behind: its workers, their children, and its temporary folder.

A process of its own, which outlives the run by a moment. It is started as a script, so it imports the standard library
only, and neither `site` nor the harness: `python -I -S watcher.py FOLDER`. On standard input it is told of the groups
of processes, `12` for one that has begun and `-12` for one that has ended; the end of the input is the end of the run.
"""

import contextlib
import os
import shutil
import signal
import sys
import time

_GRACE = 0.5  # seconds: a tracker of shared memory, which an adapter may have started, removes what it tracks, and goes
_TRIES = 50  # a process that is just being killed may still write into the folder


def end_group(leader: int) -> None:
    """Kill a process that leads a group, and then all others of its group."""
    with contextlib.suppress(ProcessLookupError):
        os.kill(leader, signal.SIGKILL)
    with contextlib.suppress(ProcessLookupError, PermissionError):  # macOS: no permission where only zombies are left
        os.killpg(leader, signal.SIGTERM)
        end = time.monotonic() + _GRACE
        while time.monotonic() < end:
            time.sleep(0.01)
            os.killpg(leader, 0)
        os.killpg(leader, signal.SIGKILL)


def remove_folder(folder: str) -> None:
    """Remove it and everything in it; what cannot be removed stays."""
    for _ in range(_TRIES):
        shutil.rmtree(folder, ignore_errors=True)
        if not os.path.exists(folder):  # noqa: PTH110 (pathlib takes longer to import than all the rest)
            return
        time.sleep(0.1)


def main() -> None:
    """Listen until the run has ended."""
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):  # whoever sends them to all means the run
        signal.signal(number, signal.SIG_IGN)
    leaders: set[int] = set()
    for line in sys.stdin:
        leader = int(line)
        if leader > 0:
            leaders.add(leader)
        else:
            leaders.discard(-leader)
    for leader in leaders:
        end_group(leader)
    remove_folder(sys.argv[1])


if __name__ == "__main__":
    main()

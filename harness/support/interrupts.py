"""Ctrl-C, and the signals that mean the same: heard from the first moment on, and never at a wrong one."""

import os
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any

INTERRUPTED = 130  # the exit code; what shells report for a process that Ctrl-C has ended

_ENDING = [number for name in ("SIGINT", "SIGTERM", "SIGHUP") if (number := getattr(signal, name, None)) is not None]

_PATIENCE = 5.0  # seconds that a command has to end in good order; a signal after them ends it at once
_LATER = 0.02  # seconds
_LONGEST_IMPORT = 3.0  # seconds that an interrupt waits for the end of an import: some never end

# what is raised in a finalizer or a callback is only printed, and what is raised in an import may leave half a module
_UNTOUCHABLE = (
    "<frozen importlib._bootstrap>",
    "<frozen importlib._bootstrap_external>",
    "weakref.py",
    "_weakrefset.py",
)


def hear() -> None:
    """From now on Ctrl-C, SIGTERM and SIGHUP raise `KeyboardInterrupt`, once; what is ignored already stays ignored.

    In an import it comes when the import is over. Further signals are ignored, or, where nothing has ended after some
    seconds, end the process at once; the watcher of its workers then cleans up.
    """
    handler = _Handler()
    for number in _ENDING:
        if signal.getsignal(number) is not signal.SIG_IGN:
            signal.signal(number, handler)


def hear_no_more() -> None:
    """The command has ended; nothing is to be interrupted any more."""
    _forget_the_later_one()
    for number in _ENDING:
        signal.signal(number, signal.SIG_IGN)


class _Handler:
    def __init__(self) -> None:
        self.first: float | None = None
        self.heard: float | None = None  # when it was put off for the first time

    def __call__(self, number: int, frame: FrameType | None) -> None:
        if self.first is not None:
            if number != getattr(signal, "SIGALRM", None) and time.monotonic() - self.first > _PATIENCE:
                os._exit(INTERRUPTED)
            return
        now = time.monotonic()
        self.heard = now if self.heard is None else self.heard
        if hasattr(signal, "setitimer") and now - self.heard < _LONGEST_IMPORT and _is_untouchable(frame):
            signal.signal(signal.SIGALRM, self)
            signal.setitimer(signal.ITIMER_REAL, _LATER)
            return
        self.first = now
        _forget_the_later_one()
        raise KeyboardInterrupt


def _forget_the_later_one() -> None:
    # an alarm that still runs when the interpreter has given its handlers back would kill the process
    if hasattr(signal, "setitimer"):
        signal.setitimer(signal.ITIMER_REAL, 0)


def _is_untouchable(frame: FrameType | None) -> bool:
    while frame is not None:
        code = frame.f_code
        if code.co_filename.endswith(_UNTOUCHABLE) or code.co_name == "__del__":
            return True
        frame = frame.f_back
    return False


@contextmanager
def interrupts_wait() -> Iterator[None]:
    """What would raise `KeyboardInterrupt` takes effect after this block: an end in good order is not broken off."""
    came: list[int] = []
    before: dict[int, Any] = {}
    try:
        for number in _ENDING:
            if callable(signal.getsignal(number)):
                before[number] = signal.signal(number, lambda number, _frame: came.append(number))
    except ValueError:  # not the main thread: Python raises no interrupt here
        before = {}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
        if came:
            signal.raise_signal(came[0])

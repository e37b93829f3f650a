"""What a worker process does, until it is ended: it takes a function with its arguments, and answers with its result.

The other side is in `harness.execution.processes`.
"""

import ctypes
import os
import pickle
import signal
import sys

from harness.execution.processes import Channel, Raised
from harness.support.errors import NotInstalled, RequestError, describe, plain_text

_PR_SET_PDEATHSIG = 1  # <sys/prctl.h>

_CROSSING = (RequestError, NotInstalled)  # exceptions that mean something to whoever asked

channel: Channel
"""To the process that started this one."""


def main(parent: int) -> None:
    """Serve the process `parent` until it hangs up."""
    global channel
    _end_with(parent)
    channel = _own_channel()
    channel.say_ready()
    while True:
        try:
            asked = channel.receive_pickled()
        except EOFError:
            os._exit(0)
        channel.send_pickled(_answer(asked))


def _end_with(parent: int) -> None:
    """On Linux the kernel ends this process with its parent, also while C code holds the interpreter's lock.

    Elsewhere the watcher does, which has to be told of it first.
    """
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
        if os.getppid() != parent:  # it has ended before
            os._exit(1)


def _own_channel() -> Channel:
    """The pipes of standard input and output, which from now on lead nowhere: frameworks write to them from C++."""
    ends = os.dup(0), os.dup(1)
    nowhere = os.open(os.devnull, os.O_RDWR)
    sys.stdout.flush()
    for number in (0, 1, 2):
        os.dup2(nowhere, number)
    os.close(nowhere)
    if hasattr(os, "register_at_fork"):  # a child that lives on must not keep them open

        def close() -> None:
            for end in ends:
                os.close(end)

        os.register_at_fork(after_in_child=close)
    return Channel(os.fdopen(ends[0], "rb"), os.fdopen(ends[1], "wb"))


def _answer(asked: bytes) -> bytes:
    """What came out of a call, `(result, exception)`, pickled: whatever it raises, or gives, there is an answer."""
    try:
        function, args = pickle.loads(asked)
        return pickle.dumps((function(*args), None), pickle.HIGHEST_PROTOCOL)
    except BaseException as error:
        return pickle.dumps((None, _crossing(error)))


def _crossing(error: BaseException) -> Exception:
    """What the other side is told: of an adapter's exception, which may be of any type and size, one line."""
    for kind in _CROSSING:
        if type(error) is kind:
            return kind(plain_text(error, 1000))
    try:
        return Raised(describe(error))
    except Exception:
        return Raised(f"{plain_text(type(error).__name__)}: nothing more can be said of it")

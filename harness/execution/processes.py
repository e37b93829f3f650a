"""One worker process: started with pinned threads, asked one thing after another, ended with all its children.

Every wait has an end: a timer kills a process that does not answer in time, and a process that is dead ends every
read and write. It is started by `subprocess`, in a session of its own, so that no Ctrl-C of a terminal reaches it;
messages go through its standard input and output. What it and its children write as temporary files lies in a folder
of its own. Where the run itself is killed, `harness.execution.watcher` ends its processes and removes the folder.
"""

import contextlib
import os
import pickle
import secrets
import signal
import struct
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

from harness.execution import watcher
from harness.support.errors import RequestError, Told

_READY = b"\0the worker of the harness is ready\n"  # before it there may be chatter of whatever `site` imports
_MOST_CHATTER = 1 << 16
_LENGTH = struct.Struct("<Q")
_MOST_WATCHERS = 100  # where none can live, there is none
_DEATH_SECONDS = 10.0  # a process whose output has ended has so long to be dead
_CODE = "import sys; sys.path[:] = {path!r}; from harness.execution.child import main; main({parent})"

# what a process does to itself; all others come from outside: from the kernel when memory is short, or from a person
_OWN_SIGNALS = {
    getattr(signal, name, None) for name in ("SIGSEGV", "SIGABRT", "SIGBUS", "SIGFPE", "SIGILL", "SIGTRAP", "SIGSYS")
}


class Died(Told):
    """The process ended before it gave an answer: `code` as `subprocess` has it, None where it only hung up.

    `begun` says whether it can have begun with what it was asked, `times` how many processes in a row ended so.
    """

    def __init__(self, code: int | None, begun: bool = True, times: int = 1) -> None:
        how = "it hung up" if code is None else f"signal {-code}" if code < 0 else f"exit code {code}"
        super().__init__(f"the worker process died {f'{times} times ' if times > 1 else ''}({how})")
        self.code, self.begun = code, begun

    @property
    def was_killed(self) -> bool:
        """Whether it ended by a signal that it did not raise itself."""
        return self.code is not None and self.code < 0 and -self.code not in _OWN_SIGNALS


class Raised(Told):
    """A call raised an exception. It stayed in its process; the text has its type, message and place."""


class Channel:
    """Messages through two pipes, each pickled behind its length."""

    def __init__(self, incoming: IO[bytes], outgoing: IO[bytes]) -> None:
        self.incoming, self.outgoing = incoming, outgoing

    def send(self, message: object) -> None:
        """Write one message. Raises `OSError` where nobody reads, and what pickling raises."""
        self.send_pickled(pickle.dumps(message, pickle.HIGHEST_PROTOCOL))

    def send_pickled(self, payload: bytes) -> None:
        """The same with a message that is pickled already."""
        self.outgoing.write(_LENGTH.pack(len(payload)))
        self.outgoing.write(payload)
        self.outgoing.flush()

    def receive(self) -> Any:
        """The next message. Raises `EOFError` where there is none, and what unpickling raises."""
        return pickle.loads(self.receive_pickled())

    def receive_pickled(self) -> bytes:
        """The next message, still pickled. Raises `EOFError` where there is none."""
        return self._read(*_LENGTH.unpack(self._read(_LENGTH.size)))

    def say_ready(self) -> None:
        """What the other side waits for in `wait_until_ready`."""
        self.outgoing.write(_READY)
        self.outgoing.flush()

    def wait_until_ready(self) -> None:
        """Pass over all that is no message. Raises `EOFError` where nothing else comes."""
        while not (line := self.incoming.readline(_MOST_CHATTER)).endswith(_READY):
            if not line:
                raise EOFError

    def _read(self, count: int) -> bytes:
        data = self.incoming.read(count)
        if len(data) < count:
            raise EOFError
        return data


class Home:
    """The temporary folder of all processes of a run, and the watcher that ends them should the run be killed."""

    def __init__(self) -> None:
        self.leaders: set[int] = set()
        self._lock = threading.Lock()
        self._made = 0
        self._closed = False
        self._guard = threading.Thread(target=self._replace_watchers, daemon=True)
        try:
            self.path = Path(tempfile.gettempdir()) / f"harness-{secrets.token_hex(8)}"
            if os.name == "posix":  # elsewhere there are no groups of processes, and nobody to end them
                self.watcher = self._watch()  # before there is anything that could be left behind
                self._guard.start()
            self.path.mkdir(mode=0o700)
        except OSError as error:
            told = f"no temporary folder can be made: {error.strerror or error}"
            raise RequestError(f"{told}; set TMPDIR to a folder that can be written") from None

    def folder(self) -> Path:
        """A new folder for one process."""
        with self._lock:
            self._made += 1
            path = self.path / str(self._made)
        path.mkdir()
        return path

    def note(self, leader: int, alive: bool) -> None:
        """Tell the watcher that a process has begun or ended."""
        with self._lock:
            (self.leaders.add if alive else self.leaders.discard)(leader)
            if os.name == "posix":
                _tell(self.watcher, [leader if alive else -leader])

    def close(self) -> None:
        """Remove the folder. All processes have ended."""
        watcher.remove_folder(str(self.path))
        with self._lock:
            self._closed = True
        if os.name == "posix":
            with contextlib.suppress(OSError):
                self.watcher.stdin.close()  # type: ignore[union-attr]
            self._guard.join(_DEATH_SECONDS)
            self.watcher.kill()  # if it is still there: somebody has stopped it

    def _watch(self) -> "subprocess.Popen[bytes]":
        command = [sys.executable, "-I", "-S", watcher.__file__, str(self.path)]
        nowhere = subprocess.DEVNULL
        started = subprocess.Popen(
            command, bufsize=0, stdin=subprocess.PIPE, stdout=nowhere, stderr=nowhere, start_new_session=True
        )
        _tell(started, sorted(self.leaders))
        return started

    def _replace_watchers(self) -> None:
        """A thread: whoever kills the watcher gets another one."""
        for _ in range(_MOST_WATCHERS):
            self.watcher.wait()
            with self._lock, contextlib.suppress(OSError):
                if self._closed:
                    return
                self.watcher = self._watch()


def _tell(listener: "subprocess.Popen[bytes]", leaders: list[int]) -> None:
    """Write to a watcher; one that is dead has another soon, which is told of all that there are."""
    with contextlib.suppress(OSError):
        listener.stdin.write("".join(f"{leader}\n" for leader in leaders).encode())  # type: ignore[union-attr]


class Process:
    """A worker process, which leads a group: whatever it starts, ends with it."""

    def __init__(self, home: Home, environment: Mapping[str, str]) -> None:
        self.home, self.folder = home, home.folder()
        self._begun = True
        temporary = dict.fromkeys(("TMPDIR", "TEMP", "TMP"), str(self.folder))
        self._process = subprocess.Popen(
            [sys.executable, "-c", _CODE.format(path=sys.path, parent=os.getpid())],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            env={**os.environ, **environment, **temporary},
            start_new_session=True,
        )
        home.note(self._process.pid, alive=True)
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self.channel = Channel(self._process.stdout, self._process.stdin)

    def wait_until_ready(self, seconds: float) -> None:
        """Wait until it has started. Raises `TimeoutError` or `Died`; then it has to be ended."""
        with self._mortal(seconds):
            self.channel.wait_until_ready()

    def ask(self, function: Callable[..., Any], *args: Any, seconds: float | None = None) -> Any:
        """The result of `function(*args)` there. Raises what may cross (see `harness.execution.child`), or `Raised`.

        Raises `TimeoutError` after so many seconds, or `Died`; then the process has to be ended.
        """
        message = pickle.dumps((function, args), pickle.HIGHEST_PROTOCOL)
        begun = time.monotonic()
        answer = self.exchange(message, seconds)
        if seconds is not None and time.monotonic() - begun > seconds:
            raise TimeoutError
        try:
            result, error = pickle.loads(answer)
        except Exception as fault:
            raise Raised(f"its answer cannot be read: {type(fault).__name__}") from None
        if error is not None:
            raise error
        return result

    def exchange(self, message: bytes, seconds: float | None = None) -> bytes:
        """Send a pickled message and wait for the next one. Raises `TimeoutError` or `Died`."""
        self._begun = False
        with self._mortal(seconds):
            self.channel.send_pickled(message)
            self._begun = True
            return self.channel.receive_pickled()

    @contextmanager
    def _mortal(self, seconds: float | None) -> Iterator[None]:
        """Inside, reads and writes end: when the time is over, or the process."""
        late = threading.Event()

        def end() -> None:
            late.set()
            self._kill()

        timer = threading.Timer(min(seconds or 0.0, threading.TIMEOUT_MAX), end)
        timer.daemon = True
        if seconds is not None:
            timer.start()
        try:
            yield
        except (EOFError, OSError, ValueError):  # ValueError: somebody has closed the pipe
            code = self._code()
            if late.is_set():
                raise TimeoutError from None
            raise Died(code, self._begun) from None
        finally:
            timer.cancel()

    def _code(self) -> int | None:
        try:
            return self._process.wait(_DEATH_SECONDS)
        except subprocess.TimeoutExpired:
            return None

    def _kill(self) -> None:
        if os.name == "posix":
            watcher.end_group(self._process.pid)
        else:
            self._process.kill()

    def end(self) -> None:
        """End it and its children, and remove its folder."""
        self._kill()
        self._code()
        for pipe in (self.channel.incoming, self.channel.outgoing):
            with contextlib.suppress(OSError):
                pipe.close()
        watcher.remove_folder(str(self.folder))
        self.home.note(self._process.pid, alive=False)

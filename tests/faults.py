"""Adapters that fail in the ways that real ones fail; what a trial does is told by its momentum."""

import os
import re
import signal
import subprocess
import sys
import tempfile
import threading
import time
from dataclasses import replace
from pathlib import Path

import numpy as np

from backends.numpy.trainer import NumpyTrainer
from harness.contract import Diverged
from harness.reference.trainer import Reference
from tests.mutants_of_stacks import CorrectStack

FINE, RAISE, EXIT, SEGFAULT, HANG, OVERFLOW, REFUSE, SKIP = 0.0, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.8
QUIT, KILLED, SPOIL, HALF, NO_FILES, OTHER_SHAPE, NO_NUMBERS, NO_TEXT, MUCH_TEXT, LEAVE = (
    *(0.11, 0.12, 0.13, 0.14, 0.15, 0.16, 0.17, 0.18, 0.19, 0.21),
)


class Faulty(Reference):
    name = "faulty"

    @classmethod
    def unsupported(cls, config):
        refused = {
            REFUSE: "this backend has no such momentum",
            NO_TEXT: {"of": "no\0type"},
            MUCH_TEXT: "x\ud800" * 2**20,
        }
        return refused.get(config.value("momentum"))

    def weights(self):
        if self.config.value("momentum") == OTHER_SHAPE:
            return tuple({"W": layer["W"][:-1], "b": layer["b"]} for layer in super().weights())
        if self.config.value("momentum") == NO_NUMBERS:
            return tuple({key: value.astype(str) for key, value in layer.items()} for layer in super().weights())
        return super().weights()

    def train(self, X, y, batches, after_epoch):
        print("chatter that nobody asked for", flush=True)
        fault = self.config.value("momentum")
        if fault == RAISE:
            raise RuntimeError("the framework\nfell over")
        if fault == EXIT:
            os._exit(3)
        if fault == SEGFAULT:
            os.kill(os.getpid(), signal.SIGSEGV)
        if fault == HANG:
            time.sleep(600)
        if fault == SKIP:
            after_epoch(1)
            return
        if fault == OVERFLOW:
            raise Diverged("weights are not finite")
        if fault == QUIT:
            os._exit(0)
        if fault == KILLED:
            os.kill(os.getpid(), signal.SIGKILL)
        if fault == SPOIL:
            np.isfinite = None
        if fault == HALF:
            raise_half_a_character()
        if fault == NO_FILES:
            raise_without_file_descriptors()
        if fault == LEAVE:
            sys.exit("no more of this")
        super().train(X, y, batches, after_epoch)


class SupportsNothing(Reference):
    name = "nothing"

    @classmethod
    def unsupported(cls, config):
        return "not today"


def threads_in_use():
    """What the numerical libraries of this process say about their threads."""
    import numpy  # noqa: F401
    import threadpoolctl

    return [library["num_threads"] for library in threadpoolctl.threadpool_info()]


def torch_threads():
    import torch

    return torch.get_num_threads()


class Slow(Reference):
    """Takes its time, so that a run can be killed in the middle."""

    name = "slow"

    def train(self, X, y, batches, after_epoch):
        time.sleep(0.2)
        super().train(X, y, batches, after_epoch)


class FaultyStack(CorrectStack):
    """Trains stacks, and one member with a fault takes all of them with it."""

    name = "faulty-stack"

    def build_stack(self, configs, start):
        super().build_stack(configs, start)
        self.configs = configs

    def train_stack(self, X, y, batches, after_epoch):
        present = {config.value("momentum") for config in self.configs}
        if RAISE in present:
            raise RuntimeError("one of these cannot be trained")
        if EXIT in present:
            os._exit(3)
        if HANG in present:
            time.sleep(600)
        if OVERFLOW in present:
            raise Diverged("weights are not finite")
        super().train_stack(X, y, batches, after_epoch)


class DyingStack(NumpyTrainer):
    """A stack that dies by a signal, so many times; a trial alone does not."""

    name = "dying-stack"

    def build_stack(self, configs, start):
        super().build_stack(configs, start)
        self.size = len(configs)

    def train_stack(self, X, y, batches, after_epoch):
        if self.size > 1:
            die(Path(os.environ["DYING_FOLDER"]), int(os.environ["DYING_SIGNAL"]), int(os.environ["DYING_TIMES"]))
        super().train_stack(X, y, batches, after_epoch)


class OnlyThrees(CorrectStack):
    """Compiles, so to say: knows stacks of three only."""

    name = "threes"
    compiles = True

    def build_stack(self, configs, start):
        if len(configs) != 3:
            raise RuntimeError(f"a stack of {len(configs)}")
        super().build_stack(configs, start)


# -- functions that a lane is asked to call


def die(folder, number, times=10**9):
    """Die by a signal, so many times; each leaves a file in the folder. Then give how often this was called."""
    called = len(list(folder.iterdir())) + 1
    (folder / str(called)).touch()
    if called <= times:
        os.kill(os.getpid(), number)
        time.sleep(60)  # a signal may take its time
    return called


def die_soon():
    """Die a moment after the call has ended."""
    threading.Timer(0.3, os._exit, (3,)).start()
    return os.getpid()


def dataset_of(key):
    """A dataset as this process has it, and how its inputs lie: in Fortran's order, writable, and where."""
    from harness.execution import worker

    data = worker._datasets[key]
    base = data.X
    while isinstance(base, np.ndarray):
        base = base.base
    return replace(data, X=np.array(data.X)), data.X.flags.f_contiguous, data.X.flags.writeable, type(base).__name__


def hang_up():
    os.closerange(3, 1000)
    time.sleep(600)


def fork_and_die(path):
    """Leave a child behind that knows nothing of it."""
    child = os.fork()
    if child == 0:
        time.sleep(600)
    path.write_text(str(child))
    os._exit(5)


def leave_files_and_children():
    """Two children that do not end by themselves, one of them deaf to SIGTERM, and a temporary file."""
    fd, _ = tempfile.mkstemp()
    os.write(fd, b"left")
    deaf = "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); time.sleep(600)"
    children = [subprocess.Popen([sys.executable, "-S", "-c", code]) for code in ("import time; time.sleep(600)", deaf)]
    return [child.pid for child in children]


def burn_in_c(path):
    """Hold the interpreter's lock for ever."""
    path.touch()
    re.match(r"(a+)+$", "a" * 64 + "b")


def spoil_numpy():
    np.isfinite = None
    raise RuntimeError("after that")


def isfinite(value):
    return bool(np.isfinite(value))


def raise_half_a_character():
    raise ValueError("half a \ud800 and\n\0an\x1b end")


def raise_a_megabyte():
    raise ValueError("x" * 2**20)


class NoText(Exception):
    def __str__(self):
        raise RuntimeError("no text")


def raise_what_has_no_text():
    raise NoText


def raise_what_cannot_be_pickled():
    class Local(Exception):
        def __init__(self, where, lock):
            super().__init__(where)
            self.lock = lock

    raise Local("of a function", threading.Lock())


def leave():
    sys.exit(0)


def give_what_cannot_be_pickled():
    return lambda: None


class Unreadable:
    def __reduce__(self):
        return divmod, (1, 0)


def give_what_cannot_be_read():
    return Unreadable()


def raise_without_file_descriptors():
    held = []
    while True:
        held.append(os.open(os.devnull, os.O_RDONLY))

"""What a timed process does: it imports one framework, then answers one request after another.

A slice is the unit of all that is steady: some epochs (as many for every backend) or predictions, after one that is not
counted where epochs are short, since another process has just used the caches. `train` is called once a repeat: between
two slices it waits inside `after_epoch`, where the contract has the device finished, so what a framework does at the
start of a training is in no epoch's time. With each slice goes whether the kernel took the processor away meanwhile.
"""

import gc
import itertools
import math
import os
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from harness.contract import Diverged, Trainer
from harness.data.prepared import Part
from harness.draws.generators import native_seed
from harness.execution import child
from harness.execution.processes import Channel
from harness.execution.worker import initialize
from harness.registry import load_trainer
from harness.support.errors import describe
from harness.timing.cases import Case
from harness.training.floor import train_reference
from harness.training.parity import deviation, judge
from harness.training.trial import is_finite

try:
    import resource
except ImportError:  # not on Windows
    resource = None  # type: ignore[assignment]

SLICE_SECONDS = (
    0.0015  # at least; on a busy machine a process that was asleep gets about 3 ms before another one's turn
)
_GEMM, _GEMMS = 512, 200  # rows and columns of the matrices of the peak, and how many products


@dataclass(frozen=True)
class Slice:
    """Seconds of one epoch or prediction, and whether the processor was this process's own all the time."""

    seconds: float
    undisturbed: bool


class Moment:
    """When a slice began."""

    def __init__(self) -> None:
        self.switches = _switches()
        self.seconds = time.perf_counter()

    def slice(self, count: int) -> Slice:
        """What has passed since then, in which `count` equal things were done."""
        seconds = time.perf_counter() - self.seconds
        return Slice(seconds / count, _switches() == self.switches)


def _switches() -> int:
    """How often the kernel has taken the processor away from a thread of this process; 0 where nobody counts."""
    return 0 if resource is None else resource.getrusage(resource.RUSAGE_SELF).ru_nivcsw


def serve(trainer: str) -> None:
    """Answer requests `(name, arguments)` with `(status, value)` until the parent hangs up."""
    channel = child.channel
    initialize({})
    twins = itertools.count(1)
    tasks: dict[str, Callable[..., tuple[str, Any]]] = {
        "parity": parity,
        "start": lambda found, case: ("ok", start(found, case, next(twins))),
        "calibrate": lambda found, case: ("ok", calibrate(found, case)),
        "steady": lambda *arguments: ("ok", steady(channel, *arguments)),
        "native_start": lambda found, case: ("ok", native_start(found, case)),
        "native_fit": lambda found, case, epochs: ("ok", native_fit(found, case, epochs)),
    }
    while True:
        try:
            name, arguments = channel.receive()
        except EOFError:
            return
        try:
            answer = ("ok", peak(*arguments)) if name == "peak" else tasks[name](load_trainer(trainer), *arguments)
        except NotImplementedError as error:
            answer = "unsupported", str(error)
        except Exception as error:
            answer = "crashed", describe(error)
        channel.send(answer)


def peak(dtype: str) -> float:
    """The most floating-point operations a second that a product of two matrices reaches in NumPy's BLAS."""
    rng = np.random.default_rng(0)
    a, b = (rng.standard_normal((_GEMM, _GEMM)).astype(dtype) for _ in range(2))
    out = a @ b
    shortest = math.inf
    for core in range(_GEMMS):
        time.sleep(SLICE_SECONDS)  # whoever has slept gets a whole turn
        move_to_core(core)
        before = time.perf_counter()
        np.matmul(a, b, out=out)
        shortest = min(shortest, time.perf_counter() - before)
    return 2 * _GEMM**3 / shortest


def parity(trainer_class: type[Trainer], case: Case) -> tuple[str, Any]:
    """A few steps against the reference: the verdict as a status, and the reason where it is not "agrees"."""
    reason = trainer_class.refuses(case.config())
    if reason is not None:
        return "unsupported", reason
    (X, y), batches = case.data(), case.few_steps()
    config, begin = case.config(len(batches)), case.start()
    reference = train_reference(config, begin, batches, Part(X, y, np.arange(len(y))))
    trainer = trainer_class(config, begin)
    try:
        trainer.train(X, y, batches, lambda epoch: False)
        weights = trainer.weights() if is_finite(trainer.weights()) else None
    except Diverged:
        weights = None
    apart = deviation(weights, reference.weights)
    verdict = judge("ok", apart, reference.floor, case.dtype)
    told = f"deviation {apart if apart is None else f'{apart:.1e}'}, floor {reference.floor:.1e}"
    return ("ok", told) if verdict == "agrees" else (verdict, f"after a few steps: {told}")


def start(trainer_class: type[Trainer], case: Case, twin: int) -> tuple[float, float]:
    """Seconds to build a trainer, and to its first step done: tracing and compiling included."""
    (X, y), config, begin, batches = case.data(), case.config(twin=twin), case.start(), case.one_step()
    gc.collect()
    before = time.perf_counter()
    trainer = trainer_class(config, begin)
    built = time.perf_counter()
    trainer.train(X, y, batches, lambda epoch: False)
    trainer.weights()
    return built - before, time.perf_counter() - built


def calibrate(trainer_class: type[Trainer], case: Case) -> float:
    """Seconds of an epoch, roughly."""
    X, y = case.data()
    ends: list[float] = []

    def after_epoch(epoch: int) -> bool:
        ends.append(time.perf_counter())
        return False

    trainer_class(case.config(epochs=5), case.start()).train(X, y, case.batches(5), after_epoch)
    return float(min(np.diff(ends)))


def steady(channel: Channel, trainer_class: type[Trainer], case: Case, epochs: int, slices: int, core: int) -> str:
    """Train, a slice of so many epochs whenever the parent asks for one (of at most `slices`), until it says stop.

    Where in memory arrays happen to lie makes some percent, for as long as they lie there. So each repeat has a new
    trainer and new arrays, moved by a random distance. Source: Mytkowicz et al., "Producing Wrong Data Without Doing
    Anything Obviously Wrong!", 2009.
    """
    length = 1 + slices * (epochs + 1)  # one of them is not counted
    rng = np.random.default_rng()
    moved = [np.empty(size, np.uint8) for size in rng.integers(1, 2**16, size=32)]
    X, y = (array.copy() for array in case.data())
    trainer = trainer_class(case.config(epochs=length), case.start())
    trainer.train(X, y, case.batches(length), Slices(trainer, X, epochs, core, channel))
    del moved  # until here they have to lie where they are
    return "stopped"


class Slices:
    """The `after_epoch` that holds a training still between slices."""

    def __init__(self, trainer: Trainer, X: np.ndarray, epochs: int, core: int, channel: Channel) -> None:
        self.trainer = trainer
        self.X = X
        self.epochs = epochs
        self.core = core
        self.channel = channel
        self.left = -1  # the first epoch compiles: no slice
        self.begun = Moment()

    def __call__(self, epoch: int) -> bool:
        """Count; at the end of a slice tell its seconds an epoch, and wait for what comes next."""
        if self.left > 0:
            self.left -= 1
            if self.left == self.epochs:  # that was the one that does not count
                self.begun = Moment()
            if self.left > 0:
                return False
        if self.left == 0:
            self.trainer.weights()  # a device that works on in the background has to finish
            self.channel.send(("ok", self.begun.slice(self.epochs)))
        elif self.left < 0:
            self.channel.send(("ok", "ready"))
        return self._wait()

    def _wait(self) -> bool:
        while True:
            asked = self.channel.receive()
            move_to_core(self.core)
            if asked == "epoch":
                self.left = self.epochs + 1 if self.epochs > 1 else 1  # a long one fills the caches in passing
                self.begun = Moment()
                return False
            if asked == "stop":
                return True
            self.channel.send(("ok", predict(self.trainer, self.X)))


def move_to_core(number: int) -> None:
    """Go on there, and be free to leave.

    Of two cores one may be slower for seconds, because of what its neighbours do. So in each repeat all backends
    begin their slices on the same one.
    """
    if hasattr(os, "sched_setaffinity"):  # on Linux
        allowed = os.sched_getaffinity(0)
        os.sched_setaffinity(0, {sorted(allowed)[number % len(allowed)]})
        os.sched_setaffinity(0, allowed)


def predict(trainer: Trainer, X: np.ndarray) -> Slice:
    """Predictions of all rows."""
    trainer.logits(X)
    begun, done = Moment(), 0
    while not done or time.perf_counter() - begun.seconds < SLICE_SECONDS:
        trainer.logits(X)
        done += 1
    return begun.slice(done)


def native_start(trainer_class: type[Trainer], case: Case) -> tuple[float, float]:
    """Seconds to make a trainer, and of a native fit to one batch: a native `fit` builds the network itself."""
    X, y = case.data()
    gc.collect()
    before = time.perf_counter()
    trainer = trainer_class(case.config(), None)
    built = time.perf_counter()
    trainer.fit_native(X[: case.batch_size], y[: case.batch_size], native_seed(case.seed, 0))
    trainer.weights()
    return built - before, time.perf_counter() - built


def native_fit(trainer_class: type[Trainer], case: Case, epochs: int) -> tuple[float, int, float]:
    """Seconds of a whole native fit, the epochs that it ran, and seconds of a prediction of all rows."""
    X, y = case.data()
    gc.collect()
    trainer = trainer_class(case.config(epochs), None)
    before = time.perf_counter()
    run = trainer.fit_native(X, y, native_seed(case.seed, 0)).epochs_run
    trainer.weights()
    seconds = time.perf_counter() - before
    return seconds, run, predict(trainer, X).seconds

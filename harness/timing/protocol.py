"""The protocol of a benchmark: parity first, then timings that alternate between the backends in random order.

A repeat has up to twenty rounds; in each of them every backend runs one slice of a few milliseconds (see
`harness/timing/work.py`), in an order drawn anew. A slice during which the kernel gave the processor to somebody else
does not count and is run again, so a neighbour's job costs time, not truth. The repeat's timing is the median of those
that count, after each was divided by the pace of its round: what slows the machine down for a while slows all backends
down, and is no difference between them.
"""

import math
import statistics
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field, fields, replace

import numpy as np

from harness.timing.cases import Case
from harness.timing.contender import Contender, Failed, import_seconds
from harness.timing.work import SLICE_SECONDS, Slice

PHASES = ("import", "build", "first_step", "epoch", "predict")
"""What is timed, apart from each other; `first_step` holds tracing and compiling."""

REPEAT_SECONDS = 0.1  # of slices in one repeat, but at least FEWEST_ROUNDS of them and at most MOST_ROUNDS
FEWEST_ROUNDS, MOST_ROUNDS = 3, 20
TRIES = 3  # how many slices may be run for one that counts

STEADY = ("epoch", "predict")
"""Those that are timed by slices."""

_FIT_SECONDS = 0.15  # of the epochs whose time is the difference of two native fits
_FIT_EPOCHS = (8, 400)
_REPEAT_SECONDS, _FITS = 1.0, 5  # of pairs of native fits in one repeat, and how many of them at most


@dataclass(frozen=True)
class Measurement:
    """One timing, or the reason why there is none: `status` is then not "ok", and `phase` and `repeat` are empty.

    Of the sizes, `import` has none. `parity` tells what the gate saw; native mode has its own start and batches and no
    gate. `gflops` is what the matrix products of an epoch need (in 1e9 operations), `peak` the most that NumPy's BLAS
    reached in this run with these threads and this dtype (in 1e9 operations a second).
    """

    backend: str
    mode: str
    threads: int
    dtype: str
    width: int | None = None
    depth: int | None = None
    batch_size: int | None = None
    rows: int | None = None
    status: str = "ok"
    reason: str = ""
    parity: str = ""
    phase: str = ""
    repeat: int | None = None
    seconds: float | None = None
    gflops: float | None = None
    peak: float | None = None


COLUMNS = tuple(column.name for column in fields(Measurement))


@dataclass
class Series:
    """What one backend gave for one case: phase -> one timing a repeat."""

    seconds: dict[str, list[float]] = field(default_factory=dict)
    parity: str = ""
    failure: Failed | None = None

    def add(self, phase: str, value: float) -> None:
        """One more repeat of `phase`."""
        self.seconds.setdefault(phase, []).append(value)


@dataclass(frozen=True)
class Bench:
    """What to measure: trainers by the name of their backend, and how often."""

    trainers: dict[str, str]
    cases: Sequence[Case]
    modes: Sequence[str]
    threads: Sequence[int]
    repeats: int
    seed: int = 0

    @property
    def steps(self) -> int:
        """How often `told` hears of each backend."""
        return self.repeats + 1 + len(self.threads) * len(self.modes) * len(self.cases)

    def measure(self, told: Callable[[str, str], None] = lambda backend, status: None) -> Iterator[Measurement]:
        """Every measurement, as soon as its case is done; `told` hears of each import and case, with its status."""
        rng = np.random.default_rng(self.seed)
        dtype = self.cases[0].dtype
        yield from self._imports(rng, dtype, told)
        for threads in self.threads:
            with ExitStack() as open_now:
                contenders = [Contender(name, trainer, threads) for name, trainer in self.trainers.items()]
                for contender in contenders:
                    open_now.callback(contender.close)
                peak = _peak(threads, dtype)
                for mode in self.modes:
                    for case in self.cases:
                        found = measure_case(contenders, case, mode, self.repeats, rng)
                        for name, series in found.items():
                            yield from _measurements(name, mode, threads, case, series, peak)
                            told(name, series.failure.status if series.failure else "ok")

    def _imports(self, rng: np.random.Generator, dtype: str, told: Callable[[str, str], None]) -> Iterator[Measurement]:
        """Imports do not depend on the threads: they are timed with one, the first of each not counted."""
        found = {name: Series() for name in self.trainers}

        def once(name: str) -> None:
            found[name].add("import", import_seconds(self.trainers[name].partition(":")[0], 1))
            told(name, "ok")

        for repeat in range(-1, self.repeats):
            _each(found, rng, once)
            if repeat < 0:
                for series in found.values():
                    series.seconds.clear()
        for name, series in found.items():
            yield from _rows(Measurement(name, "", 1, dtype), series)


def _peak(threads: int, dtype: str) -> float:
    blas = Contender("peak", "", threads)
    try:
        return float(blas.ask("peak", dtype))
    finally:
        blas.close()


def measure_case(
    contenders: Sequence[Contender], case: Case, mode: str, repeats: int, rng: np.random.Generator
) -> dict[str, Series]:
    """All backends on one case: name -> what they gave. A backend that fails leaves; the others go on."""
    found = {contender.name: Series() for contender in contenders}
    by_name = {contender.name: contender for contender in contenders}
    if mode == "controlled":

        def gate(name: str) -> None:
            found[name].parity = by_name[name].ask("parity", case)

        _each(found, rng, gate)
        _starts(by_name, found, ("start", case), repeats, rng)
        steady(by_name, found, case, repeats, rng)
    else:
        _starts(by_name, found, ("native_start", case), repeats, rng)
        _native(by_name, found, case, repeats, rng)
    return found


def _each(found: dict[str, Series], rng: np.random.Generator, act: Callable[[str], None]) -> None:
    """Once for every backend that has not failed, in random order."""
    names = [name for name, series in found.items() if series.failure is None]
    for i in rng.permutation(len(names)):
        try:
            act(names[i])
        except Failed as failure:
            found[names[i]].failure = failure


def _starts(
    contenders: dict[str, Contender],
    found: dict[str, Series],
    request: tuple[object, ...],
    repeats: int,
    rng: np.random.Generator,
) -> None:
    """Build and first step, the first of each not counted."""
    for repeat in range(-1, repeats):

        def once(name: str, counts: bool = repeat >= 0) -> None:
            build, first_step = contenders[name].ask(*request)  # type: ignore[arg-type]
            if counts:
                found[name].add("build", build)
                found[name].add("first_step", first_step)

        _each(found, rng, once)


def steady(
    contenders: dict[str, Contender],
    found: dict[str, Series],
    case: Case,
    repeats: int,
    rng: np.random.Generator,
    phases: Sequence[str] = STEADY,
) -> None:
    """Epochs and predictions, slice by slice; the first repeat is not counted."""
    seconds: dict[str, float] = {}

    def calibrate(name: str) -> None:
        seconds[name] = contenders[name].ask("calibrate", case)

    def stop(name: str) -> None:
        contenders[name].ask_waiting("stop")

    _each(found, rng, calibrate)
    # the same number for all: what begins and ends a slice then weighs alike
    epochs = math.ceil(SLICE_SECONDS / min(seconds.values(), default=1.0))
    rounds = {name: rounds_of(epochs * epoch) for name, epoch in seconds.items()}
    for repeat in range(-1, repeats):

        def begin(name: str, core: int = repeat + 1) -> None:
            contenders[name].ask("steady", case, epochs, rounds[name] * TRIES, core)

        _each(found, rng, begin)
        for phase in phases:
            slices = _slices(contenders, found, phase, rounds, rng)
            for name, timing in typical({n: slices[n] for n in found if found[n].failure is None}).items():
                if repeat >= 0:
                    found[name].add(phase, timing)
        _each(found, rng, stop)


def rounds_of(slice_seconds: float) -> int:
    """In how many rounds of a repeat a backend takes part whose slices are so long."""
    return min(max(math.ceil(REPEAT_SECONDS / slice_seconds), FEWEST_ROUNDS), MOST_ROUNDS)


def _slices(
    contenders: dict[str, Contender],
    found: dict[str, Series],
    phase: str,
    rounds: dict[str, int],
    rng: np.random.Generator,
) -> dict[str, dict[int, Slice]]:
    """One repeat, round -> slice: until each backend has enough undisturbed ones, or has tried often enough."""
    slices: dict[str, dict[int, Slice]] = {name: {} for name in found}
    for number in range(max(rounds.values(), default=0) * TRIES):

        def once(name: str, number: int = number) -> None:
            enough = sum(measured.undisturbed for measured in slices[name].values()) == rounds[name]
            if enough or number >= rounds[name] * TRIES:
                return
            measured = contenders[name].ask_waiting(phase)
            if not isinstance(measured, Slice):
                raise Failed("crashed", "train ended before it was told to")
            slices[name][number] = measured

        _each(found, rng, once)
    return slices


def typical(slices: dict[str, dict[int, Slice]]) -> dict[str, float]:
    """The timings of one repeat: the median of a backend's slices, each divided by the pace of its round.

    The pace of a round is the median, over the backends, of a slice in units of its backend's own median: 1.2 where the
    machine was a fifth slower for all just then. For two backends that is the median of the ratios within rounds.
    """
    counted = {name: _counted(mine) for name, mine in slices.items()}
    own = {name: statistics.median(mine.values()) for name, mine in counted.items()}
    units: dict[int, list[float]] = {}
    for name, mine in counted.items():
        for number, seconds in mine.items():
            units.setdefault(number, []).append(seconds / own[name])
    pace = {number: statistics.median(together) for number, together in units.items()}
    return {
        name: statistics.median(seconds / pace[number] for number, seconds in mine.items())
        for name, mine in counted.items()
    }


def _counted(slices: dict[int, Slice]) -> dict[int, float]:
    """The seconds of the undisturbed slices; where these are too few, of the shortest of the others too."""
    ordered = sorted(slices.items(), key=lambda item: (not item[1].undisturbed, item[1].seconds))
    enough = max(sum(measured.undisturbed for measured in slices.values()), FEWEST_ROUNDS)
    return {number: measured.seconds for number, measured in ordered[:enough]}


def _native(
    contenders: dict[str, Contender], found: dict[str, Series], case: Case, repeats: int, rng: np.random.Generator
) -> None:
    """A native `fit` does not stop between epochs: an epoch is the difference of a long and a short one."""
    more = dict.fromkeys(found, _FIT_EPOCHS[0])
    rounds = dict.fromkeys(found, 1)

    def once(name: str, counts: bool) -> None:
        fits = [
            (
                contenders[name].ask("native_fit", case, 1),
                contenders[name].ask("native_fit", case, 1 + more[name]),
            )
            for _ in range(rounds[name])
        ]
        (short, few, _), (long, many, predicted) = (
            (min(one[0] for one in kind), kind[0][1], min(one[2] for one in kind)) for kind in zip(*fits, strict=True)
        )
        epoch = (long - short) / max(many - few, 1)
        if not counts:
            wanted = math.ceil(max(_FIT_SECONDS, short) / max(epoch, 1e-6))
            more[name] = min(max(wanted, _FIT_EPOCHS[0]), _FIT_EPOCHS[1])
            rounds[name] = min(max(int(_REPEAT_SECONDS / (2 * short + more[name] * epoch)), 1), _FITS)
        elif epoch <= 0:
            raise Failed("crashed", f"{many} epochs took no longer than {few}: the machine is too busy to time them")
        else:
            found[name].add("epoch", epoch)
            found[name].add("predict", predicted)

    for repeat in range(-1, repeats):
        _each(found, rng, lambda name, counts=repeat >= 0: once(name, counts))  # type: ignore[misc]


def _measurements(name: str, mode: str, threads: int, case: Case, series: Series, peak: float) -> Iterator[Measurement]:
    sizes = (case.width, case.depth, case.batch_size, case.rows)
    parity = series.parity or ("its own start and batches" if mode == "native" else "")
    common = Measurement(name, mode, threads, case.dtype, *sizes, parity=parity)
    yield from _rows(common, series, case.flops / 1e9, peak / 1e9)


def _rows(
    common: Measurement, series: Series, gflops: float | None = None, peak: float | None = None
) -> Iterator[Measurement]:
    if series.failure is not None:  # no half of a case: a backend that failed has no timing in it
        yield replace(common, status=series.failure.status, reason=series.failure.reason)
        return
    for phase, timings in series.seconds.items():
        for repeat, seconds in enumerate(timings):
            yield replace(common, phase=phase, repeat=repeat, seconds=seconds, gflops=gflops, peak=peak)

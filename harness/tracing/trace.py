"""Two trainings side by side: the first step, phase and tensor in which they part, and the causes, named one by one.

Each of the two is a recording. What a recording leaves out (activations, gradients, the optimizer's state) is computed
from the row that `harness/tracing/identify.py` finds for it, as far as the replay under that row follows it.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from harness.conventions import CONVENTIONS, GIVEN, Row
from harness.data import load_datasets
from harness.draws import Recipe
from harness.errors import RequestError, describe
from harness.executor import LocalExecutor
from harness.experiment import Cell, Experiment
from harness.profiles import CONTROLLED
from harness.reading import controlled_row
from harness.recording import Recording
from harness.registry import backend
from harness.tracing.identify import MOST_STEPS, Cause, Identified, peel
from harness.tracing.laws import Law, law_of_biases, law_of_weights, laws_of_batches
from harness.tracing.settings import config_of, prepared
from harness.tracing.shown import Shown, free_floors, local_floors, shown, tensors
from harness.tracing.sides import controlled_side, native_sides, train_watched, trial_of, watched
from harness.tracing.walk import FLOORS, Hypothesis, Walk
from harness.trainer import Config


@dataclass(frozen=True)
class Divergence:
    """Where two trainings part: `step` and `epoch` from 1, the tensor, its element that is furthest off, both values.

    `size` is how far they are apart there, `floor` what roundings alone do to this tensor at this step.
    """

    step: int
    epoch: int
    phase: str
    tensor: str
    index: tuple[int, ...]
    a: Any
    b: Any
    size: float
    floor: float


@dataclass(frozen=True)
class Trace:
    """What became of a trace: the first divergence as the two ran, and with every step of B recomputed as A does it.

    `drawn` is where batches or start of the two part, where B was then walked on those of A (sides by name). `causes`
    stand in the order in which they were found; `unnamed` says what is left of B, and `unnamed_a` what of A itself no
    row accounts for; both "" where only rounding is. `notes` are plain sentences.
    """

    a: str
    b: str
    free: Divergence | None
    forced: Divergence | None
    causes: tuple[Cause, ...]
    unnamed: str
    unnamed_a: str
    steps: int
    notes: tuple[str, ...] = ()
    drawn: Divergence | None = None

    @property
    def first(self) -> Divergence | None:
        """The first divergence."""
        return self.drawn or self.free


@np.errstate(all="ignore")
def trace(
    a: Recording,
    b: Recording,
    base: Config | None = None,
    row: Row | None = None,
    steps: int | None = None,
    draws: tuple[Recording, Recording] | None = None,
) -> Trace:
    """Walk two recordings side by side. `base` holds what A's settings leave open, `row` what A is assumed to follow.

    `draws` has the batches and starts of the two, where `b` was made on those of `a`. Raises `RequestError` for
    recordings that cannot be compared at all: of other tasks, inputs, outputs or numbers of layers.
    """
    config = config_of(a, base)
    if (a.layers[0], a.layers[-1], len(a.layers)) != (b.layers[0], b.layers[-1], len(b.layers)):
        raise RequestError(
            f"{a.name} and {b.name}: networks {a.layers} and {b.layers}; inputs, outputs and the number of layers must "
            "be the same"
        )
    if a.y.dtype.kind != b.y.dtype.kind or a.y.ndim != b.y.ndim:
        kinds = f"{a.y.dtype} and {b.y.dtype}"
        raise RequestError(f"{a.name} and {b.name}: targets of another kind, {kinds}; record both on the same data")
    a, b = prepared(a, config), prepared(b, config)
    config = replace(config, dtype=a.dtype)
    assumed = row or controlled_row(config, Recipe())
    of_a = peel(a, config, replace(assumed, hidden=GIVEN, epochs=GIVEN, batch_size=GIVEN), steps)
    theirs = replace(of_a.config, hidden=b.layers[1:-1], dtype=b.dtype, batch_size=int((b.rows >= 0).sum(axis=1).max()))
    of_b = peel(b, theirs, of_a.row, steps)
    causes, notes = _drawn(*(draws or (a, b)))
    walked = _Both(a, b, of_a, of_b, steps)
    return Trace(
        a.name,
        b.name,
        walked.free(),
        walked.forced(),
        (*_dtypes(a, b), *causes, *_rates(a, b, config), *of_b.causes),
        of_b.unnamed,
        of_a.unnamed,
        walked.steps,
        tuple(notes),
        _apart(*draws) if draws is not None else None,
    )


def trace_names(
    experiment: Experiment,
    names: tuple[str, str],
    cell: Cell,
    seed: int = 0,
    mode: str = "native",
    steps: int = MOST_STEPS,
) -> Trace:
    """Trace two names in one cell and repeat.

    Mode "native": the replays of their declared rows, B's on the start and the batches of A. Mode "controlled": the
    adapters, or the harness's own row ("controlled"), on the harness's start and batches. Raises `RequestError` for an
    unknown name, and for what no recording can hold.
    """
    datasets = load_datasets(experiment)
    trial = trial_of(experiment, datasets, cell, seed, mode)
    if mode == "native":
        a, b = native_sides(trial, datasets, names, steps)
        walked = trace(a.recording, b.recording, a.config, a.row, steps, (a.drawn, b.drawn))
        # what these backends declare was replayed; nothing was trained in them
        return replace(
            walked, a=f"{names[0]} (replay of its declared row)", b=f"{names[1]} (replay of its declared row)"
        )
    member = controlled_side(trial, datasets, steps)
    recordings = []
    with LocalExecutor(datasets) as executor:
        for name in names:
            if name == CONTROLLED:
                recordings.append(watched(member, steps, name))
                continue
            found = backend(name)
            if found.missing():
                raise RequestError(f"backend {name!r}: {found.missing()}")
            limit = trial.time_limit
            future = executor.submit(name, found.trainer, train_watched, found.trainer, name, member, timeout=limit)
            error = future.exception()
            if error is not None and not isinstance(error, RequestError):
                told = f"its training failed: {describe(error)}"
                raise RequestError(f"backend {name!r}: {told}; see: harness check {name}")
            recordings.append(future.result())
    return trace(recordings[0], recordings[1], member.config, member.row, steps)


def _cause(name: str, assumed: Any, found: Any, evidence: str) -> Cause:
    convention = CONVENTIONS[name]
    return Cause(name, convention.title, convention.phase, assumed, found, evidence)


def _dtypes(a: Recording, b: Recording) -> list[Cause]:
    if a.dtype == b.dtype:
        return []
    return [_cause("dtype", a.dtype, b.dtype, f"every weight of B is a number of {b.dtype}, not every one of A")]


def _rates(a: Recording, b: Recording, config: Config) -> list[Cause]:
    """What the two say of their learning rates, where they say anything."""
    if b.learning_rate is None:
        return []
    steps = min(a.steps, b.steps)
    ours = np.full(steps, config.learning_rate) if a.learning_rate is None else a.learning_rate[:steps]
    off = np.flatnonzero(np.abs(ours - b.learning_rate[:steps]) > 1e-6 * np.abs(ours))
    if not len(off):
        return []
    step = int(off[0])
    return [
        _cause(
            "learning_rate",
            float(ours[step]),
            float(b.learning_rate[step]),
            f"recorded; they differ in {len(off)} of {steps} steps, first in step {step + 1}",
        )
    ]


def _drawn(a: Recording, b: Recording) -> tuple[list[Cause], list[str]]:
    """The conventions of batches and start in which the two differ, by what was drawn."""
    causes, notes = [], []
    if a.X.shape != b.X.shape or not np.allclose(a.X, b.X, rtol=1e-5, atol=1e-6):
        notes.append(f"The training rows are not the same: {a.X.shape} and {b.X.shape}, or other values.")
    if not _same_rows(a, b):
        ours, theirs = laws_of_batches(a), laws_of_batches(b)
        apart = [name for name in theirs if name in ours and theirs[name].value != ours[name].value]
        # where all batches of one side are full, it says nothing of the last one
        apart += [n for n in theirs if n not in ours and (n != "last_batch" or theirs[n].value != "keep")]
        causes += [_cause(name, _value(ours.get(name)), _value(theirs[name]), theirs[name].evidence) for name in apart]
        if not apart and a.X.shape == b.X.shape:
            notes.append("The batches are other draws of the same law.")
    if a.layers != b.layers:
        causes.append(_cause("hidden", a.layers[1:-1], b.layers[1:-1], "the shapes of the weights"))
    alike = len(a.layers) == len(b.layers)
    start_a, start_b = a.weights_at(0), b.weights_at(0)
    for name, key in (("init", "W"), ("bias", "b")):
        pairs = [(x[key], y[key]) for x, y in zip(start_a, start_b, strict=alike)]
        if alike and all(x.shape == y.shape and np.allclose(x, y, rtol=1e-6, atol=1e-9) for x, y in pairs):
            continue
        law_a = law_of_weights(start_a)
        if name == "init":
            law_b = law_of_weights(start_b, keep=str(law_a.value))
        else:
            init_b = law_of_weights(start_b).value
            law_a = law_of_biases(start_a, law_a.value)
            law_b = law_of_biases(start_b, init_b, keep=law_a.value)
        if law_a.value != law_b.value or law_b.value is None:
            causes.append(_cause(name, _value(law_a), _value(law_b), law_b.evidence))
        else:
            notes.append(f"The {'weights' if key == 'W' else 'biases'} at the start are other draws of the same law.")
    return causes, notes


def _value(law: Law | None) -> Any:
    return None if law is None else law.value


def _same_rows(a: Recording, b: Recording) -> bool:
    steps = min(a.steps, b.steps)
    return all(np.array_equal(a.batch(t), b.batch(t)) for t in range(steps))


class _Both:
    """Two recordings, and the rows that were found for them."""

    def __init__(self, a: Recording, b: Recording, of_a: Identified, of_b: Identified, steps: int | None) -> None:
        self.a, self.b, self.of_a, self.of_b = a, b, of_a, of_b
        self.walk_a, self.walk_b = Walk(a, steps or of_a.steps), Walk(b, steps or of_b.steps)
        self.steps = min(self.walk_a.steps, self.walk_b.steps)

    def free(self) -> Divergence | None:
        """The first divergence of the two as they ran."""
        if self.a.layers != self.b.layers:
            return _start(self.a, self.b)
        seen_a, seen_b = shown(self.walk_a, self.of_a), shown(self.walk_b, self.of_b)
        coarse = max(self.walk_a.epsilon, self.walk_b.epsilon) / self.walk_a.epsilon
        floors = {name: coarse * floor for name, floor in free_floors(self.walk_a, self.of_a, seen_a).items()}
        steps = min(self.steps, *(len(floor) for floor in floors.values()))
        for step in range(steps):
            found = _order(self.a, self.b, step) or (_start(self.a, self.b) if step == 0 else None)
            found = found or next(self._parted(step, seen_a, seen_b, floors), None)
            if found is not None:
                return found
        return None

    def forced(self) -> Divergence | None:
        """The first divergence where every step of B is computed again as A does it, from B's weights and state."""
        numbers = {name: getattr(self.of_a.config, name) for name in _NUMBERS}
        ours = Hypothesis(replace(self.of_b.config, **numbers), replace(self.of_a.row, dtype=self.b.dtype))
        redone = replace(self.of_a, config=ours.config, row=ours.row, unnamed="")
        bare = replace(self.b, activations=None, logits=None)
        seen_a = shown(Walk(bare, self.steps), redone)
        walk = Walk(self.b, self.steps)
        updated = walk.updated([ours], [walk.passed(ours).gradient])[0]
        seen_a |= tensors(walk, "weights", "updated weights", updated)
        seen_b = shown(walk, self.of_b)
        floors = local_floors(walk, ours, seen_a)
        for step in range(walk.steps):
            found = next(self._parted(step, seen_a, seen_b, floors), None)
            if found is not None:
                return found
        return None

    def _epoch(self, step: int) -> int:
        return int(self.b.epoch[step]) + 1

    def _parted(self, step: int, a: Shown, b: Shown, floors: dict[str, np.ndarray]) -> Iterator[Divergence]:
        for name, (phase, values) in a.items():
            if name in b:
                ours, theirs = values[step], b[name][1][step]
                if phase == "forward":  # without the padding, of which one may have more
                    ours, theirs = ours[: len(self.b.batch(step))], theirs[: len(self.b.batch(step))]
                found = _compare(step + 1, self._epoch(step), phase, name, ours, theirs, floors[name][step])
                if found is not None:
                    yield found


def _apart(a: Recording, b: Recording) -> Divergence | None:
    """Where batches or start of the two part first."""
    for step in range(min(a.steps, b.steps)):
        found = _order(a, b, step) or (_start(a, b) if step == 0 else None)
        if found is not None:
            return found
    return None


def _order(a: Recording, b: Recording, step: int) -> Divergence | None:
    ours, theirs = a.batch(step), b.batch(step)
    if np.array_equal(ours, theirs):
        return None
    n = min(len(ours), len(theirs))
    apart = np.flatnonzero(ours[:n] != theirs[:n])
    at = int(apart[0]) if len(apart) else n
    x, y = (int(rows[at]) if at < len(rows) else None for rows in (ours, theirs))
    size = float(len(apart) + abs(len(ours) - len(theirs)))
    return Divergence(step + 1, int(b.epoch[step]) + 1, "data order", "rows", (at,), x, y, size, 0.0)


def _start(a: Recording, b: Recording) -> Divergence | None:
    if len(a.layers) != len(b.layers):
        return Divergence(1, 1, "start", "layers", (), a.layers, b.layers, size=np.inf, floor=0.0)
    for k, (ours, theirs) in enumerate(zip(a.weights_at(0), b.weights_at(0), strict=True)):
        for key, x in ours.items():
            y, name = theirs[key], f"weights/{k}/{key}"
            if x.shape != y.shape:
                return Divergence(1, 1, "start", name, (), x.shape, y.shape, size=np.inf, floor=0.0)
            fine = min(float(np.finfo(x.dtype).eps), float(np.finfo(y.dtype).eps))
            floor = fine * max(float(np.abs(x).max()), float(np.abs(y).max()))
            found = _compare(1, 1, "start", name, x, y, floor)
            if found is not None:
                return found
    return None


_NUMBERS = ("l2", "l1", "clip_norm", "clip_value", "learning_rate", "activation")


def _compare(
    step: int, epoch: int, phase: str, name: str, a: np.ndarray, b: np.ndarray, floor: float
) -> Divergence | None:
    off = np.abs(np.asarray(a, np.float64) - np.asarray(b, np.float64))
    with np.errstate(all="ignore"):
        if not (off > FLOORS * floor).any():
            return None
    at = np.unravel_index(int(np.argmax(off)), off.shape) if off.ndim else ()
    index = tuple(int(i) for i in at)
    x, y = float(np.asarray(a)[at]), float(np.asarray(b)[at])
    return Divergence(step, epoch, phase, name, index, x, y, float(off[at]), float(floor))

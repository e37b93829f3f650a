"""Two trainings side by side: the first step, phase and tensor in which they part, and the causes, named one by one.

Each of the two is a recording. What a recording leaves out (activations, gradients, the optimizer's state) is computed
from the row that `harness/tracing/identify.py` finds for it, as far as the replay under that row follows it.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from harness.contract import ACTIVATIONS, Config, vary
from harness.conventions.table import CONVENTIONS, GIVEN, Row
from harness.execution.executor import LocalExecutor
from harness.experiment.datasets import load_datasets
from harness.experiment.file import Cell, Experiment
from harness.recording.file import Recording
from harness.registry import CONTROLLED, backend
from harness.support.errors import RequestError, describe
from harness.tracing.effects import by_effect
from harness.tracing.peeling import MOST_STEPS, SCHEDULE, Cause, Identified, peel
from harness.tracing.runs import controlled_side, native_sides, train_watched, trial_of, watched
from harness.tracing.schedules import schedule_of
from harness.tracing.search import TORCH_CLIP
from harness.tracing.settings import assumed_row, config_of, labels_of, prepared
from harness.tracing.start_and_batches import Law, law_of_biases, law_of_weights, laws_of_batches
from harness.tracing.tensors import Shown, before_clipping, free_floors, local_floors, shown, tensors
from harness.tracing.walk import FLOORS, Hypothesis, Walk


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
    stand in the order of their effect, the largest first; `unnamed` says what is left of B, and `unnamed_a` what of A
    itself no row accounts for; both "" where only rounding is. `notes` are plain sentences.
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
    _check_shapes(a, b)
    config = config_of(_with_task_of(a, b) if base is None else a, base)
    assumed = row or assumed_row(a, config)
    a, b = prepared(a, config), prepared(b, config)
    config = vary(config, dtype=a.dtype)
    of_a = peel(a, config, replace(assumed, hidden=GIVEN, epochs=GIVEN, batch_size=GIVEN), steps)
    theirs = vary(of_a.config, hidden=b.layers[1:-1], dtype=b.dtype, batch_size=int((b.rows >= 0).sum(axis=1).max()))
    of_b = peel(b, theirs, of_a.row, steps)
    outputs: list[Cause] = []
    said = b.settings.get("output_activation")
    if of_b.unnamed and theirs.task == "regression" and said in ACTIVATIONS and said != theirs.loss.output.name:
        other = peel(b, vary(theirs, output_activation=said), of_a.row, steps)
        if not other.unnamed:
            of_b = other
            evidence = "B's settings say so, and the replay follows with it and not without"
            title = "activation of the outputs"
            outputs.append(Cause("output_activation", title, "forward", theirs.loss.output.name, said, evidence))
    causes, notes = _drawn(*(draws or (a, b)))
    notes = [*_other_targets(a, b), *notes]
    walked = _Both(a, b, of_a, of_b, steps)
    theirs_alone, near = _but_for_torchs_epsilon(of_b.causes)
    notes += near
    causes = [*_dtypes(a, b), *causes, *_rates(a, b, config), *outputs, *theirs_alone]
    return Trace(
        a.name,
        b.name,
        walked.free(),
        walked.forced(),
        by_effect(tuple(causes), a, b, of_a, of_b, walked.steps, draws),
        of_b.unnamed,
        of_a.unnamed,
        walked.steps,
        tuple(notes),
        _apart(*draws) if draws is not None else None,
    )


def _but_for_torchs_epsilon(causes: Sequence[Cause]) -> tuple[list[Cause], list[str]]:
    """The causes without a bound that differs by less than PyTorch's own addition to the norm moves it, and a note."""
    bounds = [
        cause
        for cause in causes
        if cause.name == "clip_norm" and None not in (cause.assumed, cause.found)
        if abs(cause.found - cause.assumed) <= TORCH_CLIP
    ]
    note = f"the bounds of clipping differ by less than the {TORCH_CLIP:g} that PyTorch adds to the norm"
    return [cause for cause in causes if cause not in bounds], [note] if bounds else []


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


def _check_shapes(a: Recording, b: Recording) -> None:
    """Raise `RequestError` where inputs, outputs or the number of layers are not the same, with what differs."""
    apart = []
    if len(a.layers) != len(b.layers):
        apart.append(f"{len(a.weights)} and {len(b.weights)} layers of weights")
    last_a, last_b = len(a.weights) - 1, len(b.weights) - 1
    pairs = {"X": (a.X.shape, b.X.shape, 1), "weights/0/W": (a.weights[0]["W"].shape, b.weights[0]["W"].shape, 1)}
    last = f"weights/{last_a}/W" if last_a == last_b else f"weights/{last_a}/W and weights/{last_b}/W"
    pairs[last] = (a.weights[-1]["W"].shape, b.weights[-1]["W"].shape, 2)
    apart += [
        f"{name} {ours} and {theirs}" for name, (ours, theirs, axis) in pairs.items() if ours[axis] != theirs[axis]
    ]
    if apart:
        raise RequestError(
            f"{a.name} and {b.name}: {', '.join(apart)}; inputs, outputs and the number of layers must be the same"
        )


def _with_task_of(a: Recording, b: Recording) -> Recording:
    """A with the task that the targets of both show together: one column a class here, the same as labels there."""
    outputs = a.layers[-1]
    if {"task", "loss"} & a.settings.keys() or a.y.ndim == b.y.ndim:
        return a
    if labels_of(a.y, outputs) is None or labels_of(b.y, outputs) is None:
        return a
    return replace(a, settings={**a.settings, "task": "multiclass"})


def _other_targets(a: Recording, b: Recording) -> list[str]:
    """A note where the same rows have other targets."""
    if a.y.shape != b.y.shape or a.X.shape != b.X.shape:
        return []
    apart = ~np.isclose(a.y, b.y, rtol=1e-5, atol=1e-6).reshape(len(a.y), -1).all(axis=1)
    return [f"The targets are not the same: y differs in {int(apart.sum())} of {len(a.y)} rows."] if apart.any() else []


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
    ours = np.full(steps, config.optimizer.learning_rate) if a.learning_rate is None else a.learning_rate[:steps]
    off = np.flatnonzero(np.abs(ours - b.learning_rate[:steps]) > 1e-6 * np.abs(ours))
    if not len(off):
        return []
    step = int(off[0])
    evidence = f"recorded; they differ in {len(off)} of {steps} steps, first in step {step + 1}"
    theirs = b.learning_rate[:steps].astype(np.float64)
    told = [schedule_of(rates, recording.epoch, 1e-6) for rates, recording in ((ours, a), (theirs, b))]
    if np.ptp(ours) == 0 == np.ptp(theirs) or None in told:
        return [_cause("learning_rate", float(ours[step]), float(b.learning_rate[step]), evidence)]
    said = [schedule.said for schedule in told if schedule is not None]
    return [replace(_cause("learning_rate", said[0], said[1], evidence), title=SCHEDULE)]


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
        noted = {before_clipping(self.walk_a, of_a), before_clipping(self.walk_b, of_b)}
        # gradients are compared at one place; where both recordings have them from before clipping, it is that one
        self.clipped = True not in noted or False in noted

    def free(self) -> Divergence | None:
        """The first divergence of the two as they ran."""
        if self.a.layers != self.b.layers:
            return _start(self.a, self.b)
        seen_a, seen_b = shown(self.walk_a, self.of_a, self.clipped), shown(self.walk_b, self.of_b, self.clipped)
        coarse = max(self.walk_a.epsilon, self.walk_b.epsilon) / self.walk_a.epsilon
        floors = {
            name: coarse * floor for name, floor in free_floors(self.walk_a, self.of_a, seen_a, self.clipped).items()
        }
        steps = min(self.steps, *(len(floor) for floor in floors.values()))
        for step in range(steps):
            found = _order(self.a, self.b, step) or (_start(self.a, self.b) if step == 0 else None)
            found = found or next(self._parted(step, seen_a, seen_b, floors), None)
            if found is not None:
                return found
        return None

    def forced(self) -> Divergence | None:
        """The first divergence where every step of B is computed again as A does it, from B's weights and state."""
        numbers = {name: self.of_a.config.value(name) for name in _NUMBERS}
        ours = Hypothesis(vary(self.of_b.config, **numbers), replace(self.of_a.row, dtype=self.b.dtype))
        redone = replace(self.of_a, config=ours.config, row=ours.row, unnamed="")
        bare = replace(self.b, activations=None, logits=None)
        seen_a = shown(Walk(bare, self.steps), redone, self.clipped)
        walk = Walk(self.b, self.steps)
        updated = walk.updated([ours], [walk.passed(ours).gradient])[0]
        seen_a |= tensors(walk, "weights", "updated weights", updated)
        seen_b = shown(walk, self.of_b, self.clipped)
        floors = local_floors(walk, ours, seen_a, self.clipped)
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

"""Walk a recording under a row, and patch the row with what is found wrong first, phase by phase."""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from scipy.special import softmax  # type: ignore[import-untyped]

from harness.contract import Batches, Config, vary
from harness.conventions.table import CONVENTIONS, GIVEN, Row
from harness.recording.file import RecordedBatches, Recording
from harness.replay.stack import effective, replay
from harness.replay.training import Member
from harness.tracing.candidates import FORWARD, LOSS, OPTIMIZER, PENALTY, Option
from harness.tracing.causes import evidence
from harness.tracing.equal import Equal
from harness.tracing.forms import Joint
from harness.tracing.hints import hints
from harness.tracing.phases import Forward, Gradient, Residual, Stage, Update, rates_in_float32
from harness.tracing.schedules import Schedule, schedule_of
from harness.tracing.search import Attempt, needed, search, snapped
from harness.tracing.walk import Hypothesis, Walk
from harness.training.parity import ReversedRows, deviation, is_chaotic, largest, tolerance
from harness.training.trial import is_finite

MOST_STEPS = 60
"""How many steps of a recording are walked, if two epochs and three steps are not more."""

Progress = Callable[[str], None]

SCHEDULE = "learning-rate schedule"
"""The title of a cause that is a learning rate which falls."""

RATE = CONVENTIONS["learning_rate"].title

_UNSURE = 0.3  # floors on average: more than a replay that is right leaves, so a better one is looked for
_MOST_CAUSES = 8  # in one phase; a replay that is not near by then is another training


@dataclass(frozen=True)
class Cause:
    """A convention or a setting in which a recording is not what was assumed.

    `before` and `after` are the largest residual, in floors, of the phase in which it showed (0 and 0 for what is read
    off start and batches), of all causes of that phase `together` where one alone brings the replay no nearer.
    `evidence` is one line. `guess`: the replay follows for more steps with it, and still not to the end. `effect` is
    how much of a difference it makes, see `harness/tracing/effects.py`; None where it was not measured.
    """

    name: str
    title: str
    phase: str
    assumed: Any
    found: Any
    evidence: str
    before: float = 0.0
    after: float = 0.0
    together: bool = False
    guess: bool = False
    effect: float | None = None


@dataclass(frozen=True)
class Identified:
    """The row under which the replay follows a recording, or comes nearest.

    `deviation` is how far the free-running replay's last weights are off, `floor` how far roundings alone move it;
    `steps` were walked, `of` are in the recording. `unnamed` says what is left, "" where only rounding is; `left` is it
    in floors, of each phase: its name, the mean (root of the squares) and the largest. `equal` are other rows that the
    recording cannot tell from this one. `rates` are the learning rates of all steps, where nobody recorded them and
    they are not those that the settings name. `clip_epsilon` is added to the norm before gradients are clipped.
    """

    row: Row
    config: Config
    causes: tuple[Cause, ...]
    followed: bool
    deviation: float | None
    floor: float | None
    steps: int
    of: int
    unnamed: str = ""
    nearest: str = ""
    differs: tuple[str, ...] = ()
    left: tuple[tuple[str, float, float], ...] = ()
    equal: tuple[Equal, ...] = ()
    rates: tuple[float, ...] | None = None
    clip_epsilon: float = 0.0


def peel(
    recording: Recording,
    config: Config,
    row: Row,
    steps: int | None = None,
    until: float = math.inf,
    progress: Progress = lambda line: None,
    unknown_rate: bool = False,
) -> Identified:
    """Walk a recording under `row`, patch the row with what is found wrong first, and walk again.

    No new search begins after the process's CPU second `until`.
    """
    dtype = recording.dtype
    own = (int(np.searchsorted(recording.epoch, 2)) + 3) if recording.epoch[-1] >= 2 else recording.steps
    walk = Walk(recording, steps or max(MOST_STEPS, min(own, 4 * MOST_STEPS)))
    walk.until = until
    h = Hypothesis(config, replace(row, dtype=dtype))
    causes: list[Cause] = []
    unnamed: list[str] = []
    left: list[tuple[str, float, float]] = []
    given = None
    for make in (Forward, Gradient, Update):
        if not has_phase(recording, make):
            continue
        stage = make(walk, h, given)
        progress(f"{stage.name}: {walk.steps} steps")
        begun, names = h, _names(recording, stage, h)
        free = make is Update and "learning_rate" in names and given is None
        # where nobody knows a rate those of all steps are looked for first, and otherwise if nothing else is found
        schedule = _schedule(stage, begun, names) if free and unknown_rate else None
        if schedule is None:
            h, found, residual = _peel_stage(stage, h, names)
            if free and not unknown_rate and not residual.followed:
                schedule = _schedule(stage, begun, names)
        if schedule is not None:
            progress(f"learning rate: {schedule.said}")
            known = replace(recording, learning_rate=schedule.rates)
            return _scheduled(peel(known, config, row, steps, until, progress), config, schedule)
        causes += found
        left.append((stage.name, residual.rms, residual.largest))
        if residual.followed and residual.rms > _UNSURE:
            unnamed.append(_coarse(stage, residual))
        if not residual.followed:
            looks = "".join(f"{hint}; " for hint in hints(stage, h, names))
            twice = isinstance(stage, Gradient) and _softmax_twice(stage, h)
            told = "softmax applied twice, at the output and in a loss from logits; " if twice else ""
            unnamed.append(
                f"{stage.name}: {looks}{told}off by {residual.largest:.2g} floors from step {residual.prefix + 1}"
            )
            if isinstance(stage, Gradient):
                given = stage.observed
    off, floor = _free_running(recording, h, walk.clip_epsilon)
    allowed = tolerance(floor, dtype, largest(recording.weights_at(recording.steps)))
    near = off is None or off <= allowed or is_chaotic(floor, dtype)
    if not unnamed and not near:
        unnamed.append(f"after all steps the weights are off by {off:.2g}, allowed {allowed:.2g}")
    return Identified(
        h.row,
        h.config,
        tuple(causes),
        not unnamed,
        off,
        floor,
        walk.steps,
        recording.steps,
        "; ".join(unnamed),
        left=tuple(left),
        clip_epsilon=walk.clip_epsilon,
    )


def _schedule(stage: Stage, h: Hypothesis, names: tuple[str, ...]) -> Schedule | None:
    """The schedule of a learning rate that nobody recorded, where one is followed."""
    if stage.walk.steps < 3:
        return None
    rates = Joint(stage, h, names, free_rates=True).rates()
    if rates is None:
        return None
    return schedule_of(rates, stage.walk.recording.epoch, 1e5 * stage.walk.epsilon)


def _scheduled(found: Identified, config: Config, schedule: Schedule) -> Identified:
    """What was found with the rates of a schedule, and the schedule, or the one rate, as a cause."""
    first = float(schedule.rates[0])
    if (schedule.rates == first).all():
        evidence = "the only one with which the replay follows; nobody recorded it"
        cause = Cause("learning_rate", RATE, "update", config.optimizer.learning_rate, first, evidence)
        causes = found.causes if first == config.optimizer.learning_rate else (cause, *found.causes)
        return replace(found, causes=causes, config=vary(found.config, learning_rate=first))
    evidence = "the only rates with which the replay follows; nobody recorded them"
    cause = Cause("learning_rate", SCHEDULE, "update", config.optimizer.learning_rate, schedule.said, evidence)
    return replace(found, causes=(cause, *found.causes), rates=tuple(schedule.rates.tolist()))


def _coarse(stage: Stage, residual: Residual) -> str:
    """What is said of a replay that stays within ten floors, and is not right all the same."""
    return (
        f"{stage.name}: off by {residual.rms:.2g} floors on average and by {residual.largest:.2g} at most; "
        f"a replay that is right leaves below {_UNSURE:g}"
    )


def _softmax_twice(stage: Gradient, h: Hypothesis) -> bool:
    """Whether the last bias was given the gradient of cross entropy from softmax(softmax(z)), to a thousandth."""
    recording, walk = stage.walk.recording, stage.walk
    if recording.settings.get("output_activation") != "softmax" or h.config.task != "multiclass":
        return False
    _, place, _ = walk.tensors[-1]
    for step in range(min(walk.steps, 3)):
        rows = recording.batch(step)
        once = softmax(walk.passed(h).logits[step, : len(rows)].astype(np.float64), axis=1)
        back = softmax(once, axis=1)
        back[np.arange(len(rows)), recording.y[rows]] -= 1
        back = once * (back - (once * back).sum(axis=1, keepdims=True))
        seen = stage.observed[step, place]
        if np.abs(back.mean(axis=0) - seen).max() > 1e-3 * np.abs(seen).max():
            return False
    return True


def has_phase(recording: Recording, make: type[Stage]) -> bool:
    """Whether what a stage compares was recorded."""
    if make is Forward:
        return recording.logits is not None or recording.activations is not None
    return make is Update or recording.gradients is not None


def _names(recording: Recording, stage: Stage, h: Hypothesis) -> tuple[str, ...]:
    """What can show in a stage, and has not been settled by those before it."""
    seen = has_phase(recording, Forward)
    if isinstance(stage, Forward):
        return FORWARD
    if isinstance(stage, Gradient):
        return LOSS if seen else (*LOSS, *FORWARD)
    # what was recorded is not to be explained away
    update = tuple(name for name in OPTIMIZER if name != "learning_rate" or recording.learning_rate is None)
    if recording.gradients is None:
        return tuple(dict.fromkeys((*update, *LOSS, *(() if seen else FORWARD))))
    if isinstance(stage, Update) and stage.given is not None:
        return update
    form = Gradient(stage.walk).form(h)
    # a gradient that was recorded in full may have been recorded before it was clipped
    clipped = h.config.value("clip_norm") is not None or h.config.value("clip_value") is not None
    penalty = PENALTY if form != "full" or not h.config.penalty.l2 else ()
    return (*update, *penalty, *(() if clipped and form == "full" else ("clip_norm", "clip_value")))


def _peel_stage(stage: Stage, h: Hypothesis, names: tuple[str, ...]) -> tuple[Hypothesis, list[Cause], Residual]:
    causes: list[Cause] = []
    kept: dict[str, tuple[Option, Any]] = {}
    first, now, rounds = h, stage.one(h), 0
    while rounds < _MOST_CAUSES and not (now.followed and (rounds or now.rms < _UNSURE)):
        found = search(stage, h, now, names)
        if found is None or (now.followed and not now.rms > 3 * stage.one(found.h).rms):
            break
        rounds += 1
        kept |= {option.name: (option, value) for option, value in zip(found.changed, found.values, strict=True)}
        h, now = found.h, stage.one(found.h)
    if kept:
        changed, values = zip(*kept.values(), strict=True)
        whole = Attempt(first, changed, values)
        if now.followed and rounds > 1:  # what an early round made fit may be what a later one mends
            whole = snapped(stage, needed(stage, whole))
        followed = now.followed
        h, now = first, stage.one(first)
        was = now.largest
        for attempt in _steps(stage, whole, followed):
            after = stage.one(attempt.h)
            causes.append(replace(_cause(stage, h, attempt, now, after), guess=not followed))
            h, now = attempt.h, after
        if len(causes) > 1:
            causes = [
                cause
                if cause.after < 0.9 * cause.before
                else replace(cause, before=was, after=now.largest, together=True)
                for cause in causes
            ]
    return h, causes, now


def _steps(stage: Stage, whole: Attempt, followed: bool) -> list[Attempt]:
    """The changes one by one; where the replay does not follow in the end, up to the one that leads it furthest."""
    steps = _in_order(stage, whole)
    if followed:
        return steps
    prefixes = [residual.prefix for residual in stage.compare([whole.base, *(step.h for step in steps)])]
    return steps[: int(np.argmax(prefixes))]


def _in_order(stage: Stage, found: Attempt) -> list[Attempt]:
    """One change at a time, each time the one that brings the replay nearest."""
    steps: list[Attempt] = []
    left, h = list(zip(found.changed, found.values, strict=True)), found.base
    while left:
        # no constant of an optimizer before the optimizer that has it
        left.sort(key=lambda each: not _applies(stage, h, each[0].name))
        ready = sum(_applies(stage, h, option.name) for option, _ in left) or len(left)
        tries = [Attempt(h, (option,), (value,)) for option, value in left[:ready]]
        near = stage.compare([each.h for each in tries]) if len(tries) > 1 else []
        best = min(range(len(near)), key=lambda i: (-near[i].prefix, near[i].score), default=0)
        steps.append(tries[best])
        h = tries[best].h
        left.pop(best)
    return steps


def _applies(stage: Stage, h: Hypothesis, name: str) -> bool:
    return name not in CONVENTIONS or CONVENTIONS[name].applies(h.stands(len(stage.walk.X)), h.row)


def _cause(stage: Stage, before: Hypothesis, attempt: Attempt, was: Residual, now: Residual) -> Cause:
    (option,) = attempt.changed
    (value,) = attempt.values
    convention = CONVENTIONS.get(option.name)
    told = evidence(stage, option.name, before, attempt.h)
    if option.name == "l2" and value and attempt.h.row.l2_factor == "half":
        told += f"; or {value / 2:.10g} without a half (L2 with a half: half -> full)"
    return Cause(
        name=option.name,
        title=convention.title if convention else SETTINGS[option.name],
        phase=convention.phase if convention else "loss",
        assumed=before.at(option.name),
        found=value,
        evidence=told,
        before=was.largest,
        after=now.largest,
    )


SETTINGS: Mapping[str, str] = {
    "l2": "size of L2",
    "clip_norm": "clipping of the gradient's norm",
    "clip_value": "clipping of the gradient's elements",
}
"""What is no convention, and can be found all the same."""


def _free_running(recording: Recording, h: Hypothesis, clip_epsilon: float) -> tuple[float | None, float | None]:
    """How far the last weights of a replay from the recording's start are off, and how far rounding moves them."""
    config = h.stands(len(recording.X))
    row = replace(h.row, stop="never")
    if row.learning_rate != GIVEN:
        recording = replace(recording, learning_rate=None)
    batches = RecordedBatches(recording, config.optimizer.learning_rate)
    start = recording.weights_at(0)
    runs: list[Batches] = [batches, ReversedRows(batches)]
    if rates_in_float32(recording):  # one unit in the last place of what was noted
        nudged = np.nextafter(np.float32(recording.learning_rate), np.float32(1)).astype(np.float64)
        runs.append(RecordedBatches(replace(recording, learning_rate=nudged), config.optimizer.learning_rate))
    members = [Member(config, row, start, each, recording.X, recording.y) for each in runs]
    if clip_epsilon and config.value("clip_norm") is not None:  # the replay has none, and may be off by as much
        less = vary(config, clip_norm=config.value("clip_norm") - clip_epsilon)
        members.append(replace(members[0], config=less))
    one, *others = (replayed.weights for replayed in replay(members))
    last = effective(recording.weights_at(recording.steps), row)
    floors = [deviation(one, other) for other in others]
    floor = None if None in floors else max(floor for floor in floors if floor is not None)
    return deviation(one, last if is_finite(last) else None), floor

"""The row under which a replay follows a recording: found by what each phase shows, one convention after another."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from scipy.special import softmax  # type: ignore[import-untyped]

from harness.conventions import CONVENTIONS, GIVEN, Row
from harness.draws import Recipe
from harness.member import Member
from harness.native import NATIVE, native_row
from harness.parity import ReversedRows, deviation, is_chaotic, largest, tolerance
from harness.reading import controlled_row, differing
from harness.recording import RecordedBatches, Recording
from harness.replay import replay
from harness.tracing.candidates import FORWARD, LOSS, OPTIMIZER, PENALTY, Option
from harness.tracing.causes import evidence
from harness.tracing.laws import law_of_biases, law_of_weights, laws_of_batches
from harness.tracing.search import Attempt, needed, search, snapped
from harness.tracing.settings import prepared
from harness.tracing.stages import Forward, Gradient, Residual, Stage, Update
from harness.tracing.walk import Hypothesis, Walk
from harness.trainer import Config
from harness.training import is_finite

MOST_STEPS = 60
"""How many steps of a recording are walked, if two epochs and three steps are not more."""

_MOST_CAUSES = 8  # in one phase; a replay that is not near by then is another training


@dataclass(frozen=True)
class Cause:
    """A convention or a setting in which a recording is not what was assumed.

    `before` and `after` are the largest residual, in floors, of the phase in which it showed (0 and 0 for what is read
    off start and batches), of all causes of that phase `together` where one alone brings the replay no nearer.
    `evidence` is one line. `guess`: the replay follows for more steps with it, and still not to the end.
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


@dataclass(frozen=True)
class Identified:
    """The row under which the replay follows a recording, or comes nearest.

    `deviation` is how far the free-running replay's last weights are off, `floor` how far roundings alone move it;
    `steps` were walked, `of` are in the recording. `unnamed` says what is left, "" where only rounding is.
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


@np.errstate(all="ignore")
def identify(recording: Recording, config: Config, steps: int | None = None) -> Identified:
    """The row under which the replay follows the recording, begun at the named row that is nearest from the start.

    `config` holds the experiment's numbers, see `config_of`. `causes` tell where the recording is not what the
    harness's own row says.
    """
    watched = prepared(recording, config)
    own = replace(controlled_row(config, Recipe()), dtype=watched.dtype)
    found = peel(watched, config, own, steps)
    if found.unnamed:  # more at once than can be told apart from our own row: begin where a framework is already
        for name in NATIVE:
            begun = peel(watched, config, _grounded(native_row(name, config), config), steps)
            if not begun.unnamed:
                found = _told_from(own, config, _settled(watched, begun, own), name)
                break
    return named(_with_draws(found, recording), watched)


def _told_from(own: Row, config: Config, found: Identified, backend: str) -> Identified:
    """What was found from a backend's row, told as what it is beside our own."""
    base, now = Hypothesis(config, own), Hypothesis(found.config, found.row)
    told = {cause.name: cause for cause in found.causes}
    names = [*_apart(found.config, found.row, own), *(name for name in told if name in SETTINGS)]
    causes = []
    for name in names:
        convention = CONVENTIONS.get(name)
        if name in told:
            causes.append(replace(told[name], assumed=base.at(name)))
        elif convention and convention.phase not in ("start", "order"):
            evidence = f"the replay follows with what {backend} has, and not without"
            causes.append(Cause(name, convention.title, convention.phase, base.at(name), now.at(name), evidence))
    return replace(found, causes=tuple(causes))


def _settled(recording: Recording, found: Identified, row: Row) -> Identified:
    """What was found, with each value of `row` instead under which the replay follows as well."""
    walk = Walk(recording, found.steps)
    for name in _apart(found.config, found.row, row):
        if CONVENTIONS[name].phase not in ("start", "order"):
            h = Hypothesis(found.config, replace(found.row, **{name: getattr(row, name)}))
            if all(make(walk, h).one(h).followed for make in (Forward, Gradient, Update) if _has(recording, make)):
                causes = tuple(cause for cause in found.causes if cause.name != name)
                found = replace(found, row=h.row, causes=causes)
    return found


def _apart(config: Config, found: Row, row: Row) -> tuple[str, ...]:
    """The conventions that two rows differ in and that a recording can show."""
    unseen = {"stop", "hidden", "epochs", "batch_size"}
    if "dampened" not in (found.momentum_form, row.momentum_form):
        unseen.add("momentum_form")  # at one learning rate both are the same
    return tuple(
        name
        for name in differing(config, found, row)
        if name not in unseen and CONVENTIONS[name].phase not in ("metric", "stop")
    )


def _with_draws(found: Identified, recording: Recording) -> Identified:
    """With the laws of start and batches in the row, and as causes where they are not the harness's own."""
    own, causes, row = controlled_row(found.config, Recipe()), [], found.row
    weights = law_of_weights(recording.weights_at(0), keep=own.init)
    laws = {"init": weights, "bias": law_of_biases(recording.weights_at(0), weights.value)}
    laws |= {name: law for name, law in laws_of_batches(recording).items() if name != "batch_size"}
    for name, law in laws.items():
        if law.value != getattr(own, name):
            convention = CONVENTIONS[name]
            cause = Cause(name, convention.title, convention.phase, getattr(own, name), law.value, law.evidence)
            causes.append(cause)
        if law.value is not None:
            row = replace(row, **{name: law.value})
    return replace(found, row=row, causes=(*causes, *found.causes))


def _grounded(row: Row, config: Config) -> Row:
    """A row that trains the network and the epochs of the recording."""
    return replace(row, hidden=GIVEN, epochs=GIVEN, batch_size=GIVEN, dtype=config.dtype, stop="never")


def named(found: Identified, watched: Recording) -> Identified:
    """With the name of the row in the table that has most in common with what was found, and how they differ.

    Where the replay follows under another value as well, the value of that row counts.
    """
    from harness.profiles import PROFILES

    rows: dict[str, Row] = {"controlled": controlled_row(found.config, Recipe())}
    rows |= {name: native_row(name, found.config) for name in NATIVE}
    rows |= {name: profile.row(found.config) for name, profile in PROFILES.items()}
    apart = {name: _apart(found.config, found.row, row) for name, row in rows.items()}
    # in float32 the dtype of constants often makes no difference at all
    nearest = min(apart, key=lambda name: (len(set(apart[name]) - {"constants"}), len(apart[name])))
    if not found.unnamed:
        kept = found.causes
        settled = _settled(watched, found, rows[nearest])
        mine = rows["controlled"]  # a value that was found may now be the row's, and still not be our own
        causes = [
            c if c in settled.causes else replace(c, found=getattr(settled.row, c.name))
            for c in kept
            if c in settled.causes or getattr(settled.row, c.name) != getattr(mine, c.name)
        ]
        found = replace(settled, causes=tuple(causes))
    return replace(found, nearest=nearest, differs=_apart(found.config, found.row, rows[nearest]))


def peel(recording: Recording, config: Config, row: Row, steps: int | None = None) -> Identified:
    """Walk a recording under `row`, patch the row with what is found wrong first, and walk again."""
    dtype = recording.dtype
    own = (int(np.searchsorted(recording.epoch, 2)) + 3) if recording.epoch[-1] >= 2 else recording.steps
    walk = Walk(recording, steps or max(MOST_STEPS, min(own, 4 * MOST_STEPS)))
    h = Hypothesis(config, replace(row, dtype=dtype))
    causes: list[Cause] = []
    unnamed = []
    given = None
    for make in (Forward, Gradient, Update):
        if not _has(recording, make):
            continue
        stage = make(walk, h, given)
        h, found, residual = _peel_stage(stage, h, _names(recording, stage, h))
        causes += found
        if not residual.followed:
            twice = isinstance(stage, Gradient) and _softmax_twice(stage, h)
            told = "softmax applied twice, at the output and in a loss from logits; " if twice else ""
            unnamed.append(f"{stage.name}: {told}off by {residual.largest:.2g} floors from step {residual.prefix + 1}")
            if isinstance(stage, Gradient):
                given = stage.observed
    off, floor = _free_running(recording, h)
    allowed = tolerance(floor, dtype, largest(recording.weights_at(recording.steps)))
    near = off is None or off <= allowed or is_chaotic(floor, dtype)
    if not unnamed and not near:
        unnamed.append(f"after all steps the weights are off by {off:.2g}, allowed {allowed:.2g}")
    return Identified(
        h.row, h.config, tuple(causes), not unnamed, off, floor, walk.steps, recording.steps, "; ".join(unnamed)
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


def _has(recording: Recording, make: type[Stage]) -> bool:
    if make is Forward:
        return recording.logits is not None or recording.activations is not None
    return make is Update or recording.gradients is not None


def _names(recording: Recording, stage: Stage, h: Hypothesis) -> tuple[str, ...]:
    """What can show in a stage, and has not been settled by those before it."""
    seen = _has(recording, Forward)
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
    clipped = h.config.clip_norm is not None or h.config.clip_value is not None
    penalty = PENALTY if form != "full" or not h.config.l2 else ()
    return (*update, *penalty, *(() if clipped and form == "full" else ("clip_norm", "clip_value")))


def _peel_stage(stage: Stage, h: Hypothesis, names: tuple[str, ...]) -> tuple[Hypothesis, list[Cause], Residual]:
    causes: list[Cause] = []
    kept: dict[str, tuple[Option, Any]] = {}
    first, now, rounds = h, stage.one(h), 0
    while not now.followed and rounds < _MOST_CAUSES:
        found = search(stage, h, now, names)
        if found is None:
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


def _free_running(recording: Recording, h: Hypothesis) -> tuple[float | None, float | None]:
    """How far the last weights of a replay from the recording's start are off, and how far rounding moves them."""
    config = h.stands(len(recording.X))
    row = replace(h.row, stop="never")
    if row.learning_rate != GIVEN:
        recording = replace(recording, learning_rate=None)
    batches = RecordedBatches(recording, config.learning_rate)
    start = recording.weights_at(0)
    members = [Member(config, row, start, each, recording.X, recording.y) for each in (batches, ReversedRows(batches))]
    one, other = (replayed.weights for replayed in replay(members))
    last = recording.weights_at(recording.steps)
    return deviation(one, last if is_finite(last) else None), deviation(one, other)

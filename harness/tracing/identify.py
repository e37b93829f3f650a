"""The row under which a replay follows a recording: found by what each phase shows, one convention after another."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from harness.conventions import CONSTANTS, CONVENTIONS, GIVEN, Row, controlled_row, differing
from harness.draws import Recipe
from harness.errors import RequestError, short, unknown
from harness.member import Member
from harness.native import NATIVE, native_row
from harness.parity import ReversedRows, deviation, is_chaotic, largest, tolerance
from harness.recording import RecordedBatches, Recording
from harness.replay import replay
from harness.tracing.candidates import FORWARD, LOSS, OPTIMIZER, PENALTY, Option
from harness.tracing.causes import evidence
from harness.tracing.laws import computed_in, law_of_biases, law_of_weights, laws_of_batches
from harness.tracing.search import Attempt, needed, search, snapped
from harness.tracing.stages import Forward, Gradient, Residual, Stage, Update
from harness.tracing.walk import Hypothesis, Walk
from harness.trainer import ACTIVATIONS, OPTIMIZER_CONSTANTS, REDUCTIONS, TASKS, Config

MOST_STEPS = 60
"""How many steps of a recording are walked, if two epochs and three steps are not more."""

_MOST_CAUSES = 8  # in one phase; a replay that is not near by then is another training


@dataclass(frozen=True)
class Cause:
    """A convention or a setting in which a recording is not what was assumed.

    `before` and `after` are the largest residual, in floors, of the phase in which it showed (0 and 0 for what is read
    off start and batches); `evidence` is one line.
    """

    name: str
    title: str
    phase: str
    assumed: Any
    found: Any
    evidence: str
    before: float = 0.0
    after: float = 0.0


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


def config_of(recording: Recording, base: Config | None = None) -> Config:
    """The config of a recording: its settings, and where it says nothing those of `base`.

    Raises `RequestError` for settings that are missing or cannot be.
    """
    where, told = recording.name, dict(recording.settings)
    layers = recording.layers
    if base is not None and base.layers != layers:
        raise RequestError(f"{where}: a network {layers}, and the experiment's is {base.layers}; choose another --cell")
    labels = recording.y.ndim == 1 and recording.y.dtype.kind in "iu" and layers[-1] > 1
    loss = told.get("loss", base.loss if base else None)
    task = told.get("task", base.task if base else None)
    if task is None:
        task = "multiclass" if labels else "binary" if loss == "binary_cross_entropy" else "regression"
    if task not in TASKS:
        raise RequestError(f"{where}: settings: {unknown('task', task, TASKS)}")
    loss = loss or TASKS[task][0]
    if loss not in TASKS[task]:
        raise RequestError(f"{where}: settings: {unknown(f'loss of the task {task}', loss, TASKS[task])}")
    activation = told.get("activation", base.activation if base else ())
    activation = (activation,) * (len(layers) - 2) if isinstance(activation, str) else tuple(activation)
    if len(activation) != len(layers) - 2 or set(activation) - set(ACTIVATIONS):
        raise RequestError(
            f"{where}: settings: activation {list(activation)}; expected one for each of the "
            f"{len(layers) - 2} hidden layers, of {', '.join(ACTIVATIONS)}"
        )
    outputs = {"multiclass": "softmax", "binary": "sigmoid", "multilabel": "sigmoid"}
    given: dict[str, Any] = {}
    for key in sorted(_TOLD & set(told)):
        given[key] = _setting(where, key, told[key])
    rates = recording.learning_rate
    if base is None and "learning_rate" not in given and rates is None:
        raise RequestError(f"{where}: settings name no learning_rate, and there is no array learning_rate")
    plain = Config(layers[0], layers[-1], layers[1:-1], activation, "sgd", 0.0, 1, 1)
    config = replace(base or plain, **given) if given or base else plain
    regression_output = told.get("output_activation", base.output_activation if base else "identity")
    return replace(
        config,
        activation=activation,
        task=task,
        loss=loss,
        output_activation=outputs.get(task, regression_output),
        learning_rate=given.get("learning_rate", config.learning_rate if rates is None else float(rates[0])),
        batch_size=int((recording.rows >= 0).sum(axis=1).max()),
        epochs=int(recording.epoch[-1]) + 1,
        dtype=recording.dtype,
    )


_TOLD = {"optimizer", "reduction", "learning_rate", "l2", "l1", "clip_norm", "clip_value", "huber_delta", *CONSTANTS}


def _setting(where: str, key: str, value: Any) -> Any:
    """A setting of a recording, if it can be one."""
    if key in ("optimizer", "reduction"):
        allowed = {"optimizer": tuple(OPTIMIZER_CONSTANTS), "reduction": REDUCTIONS}[key]
        if value not in allowed:
            raise RequestError(f"{where}: settings: {unknown(key, value, allowed)}")
    elif key in ("clip_norm", "clip_value") and value is None:
        return None
    elif isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value < math.inf:
        raise RequestError(f"{where}: settings: {key} = {short(value)}: must be a number, at least 0")
    return value


def prepared(recording: Recording, config: Config) -> Recording:
    """The recording with its targets in the shape of the task, in the dtype that it was computed in.

    Raises `RequestError` for targets that do not belong to the task, and for a first step whose weights are not finite.
    """
    _check_targets(recording, config)
    dtype = computed_in(recording)
    y = recording.y if config.task == "multiclass" else recording.y.astype(dtype).reshape(len(recording.y), -1)
    series: dict[str, Any] = {}
    for key in ("weights", "gradients"):
        value = getattr(recording, key)
        series[key] = value and tuple({k: a.astype(dtype) for k, a in layer.items()} for layer in value)
    return replace(recording, y=y, X=recording.X.astype(dtype), **series)


def _check_targets(recording: Recording, config: Config) -> None:
    y, where, outputs = recording.y, recording.name, recording.layers[-1]
    if config.task == "multiclass":
        if y.ndim != 1 or y.dtype.kind not in "iu" or y.min(initial=0) < 0 or y.max(initial=0) >= outputs:
            allowed = f"whole numbers (n,) from 0 to {outputs - 1}"
            raise RequestError(f"{where}: y has shape {y.shape}, {y.dtype}; allowed for several classes: {allowed}")
    elif y.size != len(y) * outputs:
        raise RequestError(f"{where}: y has shape {y.shape}; expected {(len(y), outputs)} for the task {config.task}")
    for step in (0, 1):
        if not all(np.isfinite(value).all() for layer in recording.weights_at(step) for value in layer.values()):
            raise RequestError(f"{where}: the weights are not finite {'after' if step else 'before'} the first step")


def identify(recording: Recording, config: Config, steps: int | None = None) -> Identified:
    """The row under which the replay follows the recording, begun at the named row that is nearest from the start.

    `config` holds the experiment's numbers, see `config_of`. `causes` tell where the recording is not what the
    harness's own row says.
    """
    watched = prepared(recording, config)
    found = peel(watched, config, controlled_row(config, Recipe()), steps)
    if found.unnamed:  # more at once than can be told apart from our own row: begin where a framework is already
        begun = [peel(watched, config, _grounded(native_row(name, config), config), steps) for name in NATIVE]
        found = min([found, *begun], key=lambda each: (bool(each.unnamed), each.deviation or np.inf))
    return named(_with_draws(found, recording))


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


def named(found: Identified) -> Identified:
    """With the name of the row in the table that has most in common with what was found, and how they differ."""
    from harness.profiles import PROFILES

    named: dict[str, Row] = {name: native_row(name, found.config) for name in NATIVE}
    named |= {name: profile.row(found.config) for name, profile in PROFILES.items()}
    named = {"controlled": controlled_row(found.config, Recipe()), **named}
    unseen = ("stop", "hidden", "epochs", "batch_size", "momentum_form")
    apart = {
        name: tuple(
            convention
            for convention in differing(found.config, found.row, row)
            if convention not in unseen and CONVENTIONS[convention].phase != "metric"
        )
        for name, row in named.items()
    }
    nearest = min(apart, key=lambda name: len(apart[name]))
    return replace(found, nearest=nearest, differs=apart[nearest])


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
            unnamed.append(f"{stage.name}: {residual.largest:.2g} floors at step {residual.prefix + 1}")
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
    if recording.gradients is None:
        return tuple(dict.fromkeys((*OPTIMIZER, *LOSS, *(() if seen else FORWARD))))
    form = Gradient(stage.walk).form(h) if isinstance(stage, Update) and stage.given is None else "data"
    bare = form != "full" or not h.config.l2
    return (
        *OPTIMIZER,
        *(PENALTY if bare else ()),
        *(("clip_norm", "clip_value") if form in ("unclipped", "data") else ()),
    )


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
        h, now = first, stage.one(first)
        for attempt in _in_order(stage, whole):
            after = stage.one(attempt.h)
            causes.append(_cause(stage, h, attempt, now, after))
            h, now = attempt.h, after
    return h, causes, now


def _in_order(stage: Stage, found: Attempt) -> list[Attempt]:
    """One change at a time, each time the one that brings the replay nearest."""
    steps: list[Attempt] = []
    left, h = list(zip(found.changed, found.values, strict=True)), found.base
    while left:
        tries = [Attempt(h, (option,), (value,)) for option, value in left]
        near = stage.compare([each.h for each in tries]) if len(tries) > 1 else []
        best = min(range(len(near)), key=lambda i: (-near[i].prefix, near[i].score), default=0)
        steps.append(tries[best])
        h = tries[best].h
        left.pop(best)
    return steps


def _cause(stage: Stage, before: Hypothesis, attempt: Attempt, was: Residual, now: Residual) -> Cause:
    (option,) = attempt.changed
    (value,) = attempt.values
    convention = CONVENTIONS.get(option.name)
    return Cause(
        name=option.name,
        title=convention.title if convention else SETTINGS[option.name],
        phase=convention.phase if convention else "loss",
        assumed=before.at(option.name),
        found=value,
        evidence=evidence(stage, option.name, before, attempt.h),
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
    finite = all(np.isfinite(value).all() for layer in last for value in layer.values())
    return deviation(one, last if finite else None), deviation(one, other)

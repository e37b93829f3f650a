"""The row under which a replay follows a recording: found by what each phase shows, one convention after another."""

import time
from dataclasses import replace
from typing import Any

import numpy as np

from harness.contract import Config
from harness.conventions.table import CONVENTIONS, GIVEN, Row
from harness.conventions.translation import controlled_row, differing
from harness.draws.recipe import Recipe
from harness.recording.file import Recording
from harness.registry import native_backends, native_row
from harness.tracing.equal import Equal, equals, with_epsilon
from harness.tracing.peeling import MOST_STEPS, SETTINGS, Cause, Identified, Progress, has_phase, peel
from harness.tracing.phases import Forward, Gradient, Update
from harness.tracing.settings import UNKNOWN_RATE, assumed_row, prepared
from harness.tracing.start_and_batches import law_of_biases, law_of_weights, laws_of_batches
from harness.tracing.walk import Hypothesis, Walk

SECONDS = 30.0
"""How many CPU seconds a search takes at most, before what it does last."""


@np.errstate(all="ignore")
def identify(
    recording: Recording,
    config: Config,
    steps: int | None = None,
    seconds: float | None = None,
    progress: Progress = lambda line: None,
) -> Identified:
    """The row under which the replay follows the recording, begun at the named row that is nearest from the start.

    `config` holds the experiment's numbers, see `config_of`. `causes` tell where the recording is not what the
    harness's own row says. The search ends after about that many `seconds` of CPU; `progress` is told
    what is looked at.
    """
    until = time.process_time() + (SECONDS if seconds is None else seconds)
    watched = prepared(recording, config)
    own = replace(assumed_row(recording, config), dtype=watched.dtype)
    unknown = config.optimizer.learning_rate == UNKNOWN_RATE and "learning_rate" not in recording.settings
    found = peel(watched, config, own, steps, until, progress, unknown)
    if found.unnamed:  # more at once than can be told apart from our own row: begin where a framework is already
        for name, row in _nearest_first(watched, config, own):
            if time.process_time() > until:
                break
            progress(f"no row was found from our own; beginning again at that of {name}")
            begun = peel(watched, config, row, steps, until, progress, unknown)
            if not begun.unnamed:
                found = _told_from(own, config, _settled(watched, begun, own), name)
                break
    if found.rates is not None:
        watched = replace(watched, learning_rate=np.array(found.rates))
    found = named(_with_draws(found, recording), watched)
    return found if found.unnamed else replace(found, equal=_equals(found, watched))


def _equals(found: Identified, watched: Recording) -> tuple[Equal, ...]:
    """The rows that the recording cannot tell from the one that was found."""
    walk, h = Walk(watched, found.steps), Hypothesis(found.config, found.row)
    walk.clip_epsilon = found.clip_epsilon
    stages = [make(walk, h) for make in (Forward, Gradient, Update) if has_phase(watched, make)]
    return tuple(equals(stages, h, watched.learning_rate is not None, _said))


def _said(h: Hypothesis, other: Hypothesis) -> str:
    """In what a hypothesis is another one: `size of epsilon 1e-07, loss over the rows sum`."""
    names = (*CONVENTIONS, *SETTINGS)
    return ", ".join(
        f"{CONVENTIONS[name].title if name in CONVENTIONS else SETTINGS[name]}: {_plain(other.at(name))}"
        for name in names
        if other.at(name) != h.at(name)
    )


def _plain(value: Any) -> str:
    return f"{value:.6g}" if isinstance(value, float) else "none" if value is None else str(value)


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
    """What was found, with each value of `row` instead under which the replay leaves as little."""
    walk = Walk(recording, found.steps)
    walk.clip_epsilon = found.clip_epsilon
    base = Hypothesis(found.config, found.row)
    stages = [make(walk, base) for make in (Forward, Gradient, Update) if has_phase(recording, make)]
    left = [stage.one(base) for stage in stages]
    for name in _apart(found.config, found.row, row):
        if CONVENTIONS[name].phase not in ("start", "order"):
            h = Hypothesis(found.config, replace(found.row, **{name: getattr(row, name)}))
            if name == "epsilon":
                h = with_epsilon(Hypothesis(found.config, found.row), row.epsilon)
            if all(stage.one(h).near(best) for stage, best in zip(stages, left, strict=True)):
                bound = h.config.value("clip_norm")
                causes = tuple(
                    replace(cause, found=bound) if cause.name == "clip_norm" else cause
                    for cause in found.causes
                    if cause.name != name
                )
                found = replace(found, row=h.row, config=h.config, causes=causes)
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


def _nearest_first(recording: Recording, config: Config, own: Row) -> list[tuple[str, Row]]:
    """The rows of the frameworks, with what the settings say of them all, by how near the replay is under each."""
    plain = controlled_row(config, Recipe())
    told = {
        name: getattr(own, name) for name in ("l2_form", "l2_tensors") if getattr(own, name) != getattr(plain, name)
    }
    rows = {name: replace(_grounded(native_row(name, config), config), **told) for name in native_backends()}
    walk = Walk(recording, MOST_STEPS)
    stages = [make(walk, Hypothesis(config, own)) for make in (Forward, Gradient, Update) if has_phase(recording, make)]

    def off(name: str) -> float:
        return sum(stage.one(Hypothesis(config, rows[name])).score for stage in stages)

    return [(name, rows[name]) for name in sorted(native_backends(), key=off)]


def _grounded(row: Row, config: Config) -> Row:
    """A row that trains the network and the epochs of the recording."""
    return replace(row, hidden=GIVEN, epochs=GIVEN, batch_size=GIVEN, dtype=config.dtype, stop="never")


def named(found: Identified, watched: Recording) -> Identified:
    """With the name of the row in the table that has most in common with what was found, and how they differ.

    Where the replay follows under another value as well, the value of that row counts.
    """
    from harness.registry import PROFILES

    rows: dict[str, Row] = {"controlled": controlled_row(found.config, Recipe())}
    rows |= {name: native_row(name, found.config) for name in native_backends()}
    rows |= {name: profile.row(found.config) for name, profile in PROFILES.items()}
    apart = {name: _apart(found.config, found.row, row) for name, row in rows.items()}
    # in float32 the dtype of constants often makes no difference at all
    nearest = min(apart, key=lambda name: (len(set(apart[name]) - {"constants"}), len(apart[name])))
    if not found.unnamed:
        kept = found.causes
        settled = _settled(watched, found, rows[nearest])
        mine = rows["controlled"]  # a value that was found may now be the row's, and still not be our own
        now = {cause.name: cause for cause in settled.causes}
        causes = [
            now[c.name] if c.name in now else replace(c, found=getattr(settled.row, c.name))
            for c in kept
            if c.name in now or getattr(settled.row, c.name) != getattr(mine, c.name)
        ]
        found = replace(settled, causes=tuple(causes))
    return replace(found, nearest=nearest, differs=_apart(found.config, found.row, rows[nearest]))

"""Everything that a step of a recording shows, tensor by tensor, and what roundings do to each."""

from dataclasses import replace

import numpy as np

from harness.contract import Batches
from harness.recording.file import RecordedBatches
from harness.replay.training import Member
from harness.tracing.peeling import Identified
from harness.tracing.phases import Gradient
from harness.tracing.runs import watched
from harness.tracing.walk import Hypothesis, Walk, flat, objective
from harness.training.parity import ReversedRows

Shown = dict[str, tuple[str, np.ndarray]]
"""Tensor -> (phase, its values at every step, `(steps, …)`), in the order of a step."""


def shown(walk: Walk, found: Identified | None, clipped: bool = True) -> Shown:
    """Everything that a recording shows, completed from its replay where that follows it.

    Its gradients are those that the optimizer was given, or, if not `clipped`, those before clipping.
    """
    recording, steps = walk.recording, walk.steps
    seen: Shown = {}
    h = Hypothesis(found.config, found.row) if found is not None and not found.unnamed else None
    passed = None if h is None else walk.passed(h)
    for k in range(len(recording.layers) - 2):
        if recording.activations is not None:
            seen[f"activations/{k}"] = ("forward", recording.activations[k][:steps])
        elif passed is not None:
            seen[f"activations/{k}"] = ("forward", passed.activations[k])
    if recording.logits is not None or passed is not None:
        seen["logits"] = ("forward", passed.logits if recording.logits is None else recording.logits[:steps])  # type: ignore[union-attr]
    gradient = None
    if h is not None and passed is not None:
        gradient = passed.gradient
        seen["loss"] = ("loss", objective(walk, h))
    else:
        if recording.loss is not None:
            seen["loss"] = ("loss", recording.loss[:steps])
        gradient = None if recording.gradients is None else flat(recording.gradients)[:steps]
    if gradient is not None:
        before = gradient if h is None or clipped else walk.passed(_unclipped(h)).gradient
        seen |= tensors(walk, "gradients", "gradient", before)
    if h is not None and gradient is not None:
        for key, state in zip("mv", walk.states(h, gradient), strict=True):
            seen |= tensors(walk, key, "optimizer state", state)
    return seen | tensors(walk, "weights", "updated weights", walk.W[1 : steps + 1])


def before_clipping(walk: Walk, found: Identified) -> bool | None:
    """Whether the gradients of a recording were noted before they were clipped; None where nothing tells."""
    config = found.config
    if walk.recording.gradients is None or (config.value("clip_norm") is None and config.value("clip_value") is None):
        return None
    return Gradient(walk).form(Hypothesis(config, found.row)) in ("unclipped", "data")


def _unclipped(h: Hypothesis) -> Hypothesis:
    return h.having(clip_norm=None, clip_value=None)


def tensors(walk: Walk, prefix: str, phase: str, matrix: np.ndarray) -> Shown:
    """A matrix `(steps, n_weights)` cut into its tensors."""
    # the last layer's gradient is computed first
    order = reversed(walk.tensors) if phase == "gradient" else walk.tensors
    return {f"{prefix}/{name}": (phase, matrix[:, place].reshape(-1, *shape)) for name, place, shape in order}


def local_floors(walk: Walk, h: Hypothesis, seen: Shown, clipped: bool = True) -> dict[str, np.ndarray]:
    """What roundings within one step do to each tensor, `(steps,)`."""
    rounded, share = walk.rounding(h)
    floors: dict[str, np.ndarray] = {}
    gradient = share * walk.each_tensor(walk.passed(h).gradient)
    signs = np.where(np.random.default_rng(0).random(gradient.shape) < 0.5, -1, 1).astype(walk.dtype)
    moved = walk.passed(h).gradient + signs * gradient.astype(walk.dtype)
    states = dict(
        zip("mv", zip(walk.states(h, walk.passed(h).gradient), walk.states(h, moved), strict=True), strict=True)
    )
    one, other = walk.updated([h, h], [walk.passed(h).gradient, moved])
    elements = {
        "gradients": gradient if clipped else share * walk.each_tensor(walk.passed(_unclipped(h)).gradient),
        "weights": np.abs(one - other.astype(np.float64)) + 2 * walk.epsilon * np.abs(one),
    }
    elements |= {key: np.abs(x - y.astype(np.float64)) + 4 * walk.epsilon * np.abs(x) for key, (x, y) in states.items()}
    places = {name: place for name, place, _ in walk.tensors}
    for name, (phase, values) in seen.items():
        prefix, _, rest = name.partition("/")
        if prefix in elements:
            floors[name] = elements[prefix][:, places[rest]].max(axis=1)
        elif phase == "loss":
            floors[name] = rounded.loss * np.maximum(1, np.abs(values) / np.maximum(np.abs(walk.passed(h).loss), 1e-30))
        else:
            array = rounded.logits if name == "logits" else rounded.activations[int(rest)]
            floors[name] = array.reshape(len(array))
    return floors


def free_floors(walk: Walk, found: Identified, seen: Shown, clipped: bool = True) -> dict[str, np.ndarray]:
    """What roundings have done to each tensor by each step, `(steps,)`: a replay against itself, its rows reversed."""
    h = Hypothesis(found.config, found.row)
    local = local_floors(walk, h, seen, clipped)
    if found.unnamed:
        return {name: np.maximum.accumulate(floor) for name, floor in local.items()}
    recording = walk.recording
    config = h.stands(len(recording.X))
    batches: Batches = RecordedBatches(recording, config.optimizer.learning_rate)
    member = Member(config, h.row, recording.weights_at(0), batches, recording.X, recording.y)
    runs = [watched(replace(member, batches=each), walk.steps, "") for each in (batches, ReversedRows(batches))]
    plain, other = (shown(Walk(run), replace(found, config=config), clipped) for run in runs)
    moved = {}
    for name, floor in local.items():
        ours, theirs = plain[name][1], other[name][1].astype(np.float64)
        if name.startswith(("activations", "logits")):
            theirs = _turned(theirs, runs[0].rows)
        steps = min(len(ours), len(theirs), len(floor))
        apart = np.abs(ours[:steps] - theirs[:steps]).reshape(steps, -1).max(axis=1)
        moved[name] = floor[:steps] + 2 * np.maximum.accumulate(apart)
    return moved


def _turned(values: np.ndarray, rows: np.ndarray) -> np.ndarray:
    """Rows of every step in reversed order, the padding left where it is."""
    turned = values.copy()
    for step, n in enumerate((rows >= 0).sum(axis=1)):
        turned[step, :n] = values[step, :n][::-1]
    return turned

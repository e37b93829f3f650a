"""How much of a difference each cause makes: the replay of B is run again with that cause alone undone.

With W the weights of the replay of B after the last step that was walked, W_c those with cause c undone and W_0 those
with all causes undone, the effect of c is |W_c - W| / |W_0 - W|, of all weights together (Euclidean norm). Effects need
not sum to 1: causes that work against each other, or only together, have more or less.
"""

from dataclasses import replace
from typing import Any

import numpy as np

from harness.contract import KEYS, vary
from harness.conventions.table import CONVENTIONS, GIVEN
from harness.recording.file import RecordedBatches, Recording
from harness.replay.stack import replay
from harness.replay.training import Member
from harness.tracing.peeling import Cause, Identified
from harness.tracing.walk import Hypothesis

_WITH_OPTIMIZER = ("optimizer", "momentum", "nesterov")


def by_effect(
    causes: tuple[Cause, ...],
    a: Recording,
    b: Recording,
    of_a: Identified,
    of_b: Identified,
    steps: int,
    drawn: tuple[Recording, Recording] | None = None,
) -> tuple[Cause, ...]:
    """The causes with their effects, the largest first; before them those that cannot be undone.

    `of_a` and `of_b` are the rows of the two; `drawn` has their own starts and batches, where `b` was made on those of
    `a`.
    """
    if drawn is not None and drawn[0].layers == drawn[1].layers:
        a, b = (
            replace(it, rows=own.rows, epoch=own.epoch, weights=own.weights)
            for it, own in zip((a, b), drawn, strict=True)
        )
    steps = min(steps, a.steps, b.steps)
    undone = _Undone(a, b, of_a, of_b, steps)
    can = [cause for cause in causes if undone.can(cause)]
    whole = undone.run([])
    moved = [_apart(undone.run([cause]), whole) for cause in can]
    of = _apart(undone.run(can), whole)
    if not (np.isfinite(of) and of > 0):  # they cancel each other, or overflow together
        of = max((size for size in moved if np.isfinite(size) and size > 0), default=1.0)
    measured = [replace(cause, effect=size / of) for cause, size in zip(can, moved, strict=True)]
    measured.sort(key=lambda cause: -(cause.effect or 0.0))
    return (*(cause for cause in causes if cause not in can), *measured)


def _apart(one: np.ndarray, other: np.ndarray) -> float:
    """How far two rows of weights are apart; infinity where a training overflowed."""
    if one.shape != other.shape:
        return np.inf
    size = float(np.linalg.norm(one.astype(np.float64) - other))
    return size if np.isfinite(size) else np.inf


class _Undone:
    """The replay of B with some of its causes as A has them."""

    def __init__(self, a: Recording, b: Recording, of_a: Identified, of_b: Identified, steps: int) -> None:
        self.a, self.b, self.of_a, self.of_b, self.steps = a, b, of_a, of_b, steps

    def can(self, cause: Cause) -> bool:
        """Whether A has what B can be trained with in place of its own."""
        phase = CONVENTIONS[cause.name].phase if cause.name in CONVENTIONS else ""
        if cause.name == "hidden":
            return False
        if phase == "order":
            return self.a.X.shape == self.b.X.shape
        return cause.name not in ("init", "bias") or self.a.layers == self.b.layers

    def run(self, causes: list[Cause]) -> np.ndarray:
        """All weights after the last step."""
        b, start, h = self.b, self.b.weights_at(0), Hypothesis(self.of_b.config, self.of_b.row)
        dtype = self.b.dtype
        for cause in causes:
            name = cause.name
            if name in ("init", "bias"):
                key = "W" if name == "init" else "b"
                ours = self.a.weights_at(0)
                start = tuple({**mine, key: other[key]} for mine, other in zip(start, ours, strict=True))
            elif name == "dtype":
                dtype = self.a.dtype
            elif name in CONVENTIONS and CONVENTIONS[name].phase == "order":
                b = replace(b, rows=self.a.rows, epoch=self.a.epoch)
            elif name == "learning_rate" and self.b.learning_rate is not None:
                b = replace(b, learning_rate=self.a.learning_rate)
                h = self._as_a(h, name)
            else:
                h = self._as_a(h, *(_WITH_OPTIMIZER if name == "optimizer" else (name,)))
        return self._trained(b, start, h, dtype)

    def _as_a(self, h: Hypothesis, *names: str) -> Hypothesis:
        """The hypothesis with conventions and settings of A, and with the settings behind those that are "given"."""
        row = {name: getattr(self.of_a.row, name) for name in names if hasattr(h.row, name)}
        config = {name: self.of_a.config.value(name) for name in names if name in KEYS}
        return Hypothesis(vary(h.config, **config), replace(h.row, **row))

    def _trained(self, b: Recording, start: Any, h: Hypothesis, dtype: str) -> np.ndarray:
        h = Hypothesis(replace(h.config, dtype=dtype), replace(h.row, dtype=dtype, stop="never"))
        rates = b.learning_rate if h.row.learning_rate == GIVEN else None
        few = replace(b, rows=b.rows[: self.steps], epoch=b.epoch[: self.steps])
        few = replace(few, learning_rate=None if rates is None else rates[: self.steps])
        batches = RecordedBatches(few, h.stands(len(b.X)).optimizer.learning_rate)
        config = replace(h.stands(len(b.X)), epochs=len(batches))
        start = tuple({key: value.astype(dtype) for key, value in layer.items()} for layer in start)
        y = b.y if config.task == "multiclass" else b.y.astype(dtype)
        member = Member(config, h.row, start, batches, b.X.astype(dtype), y)
        (trained,) = replay([member])
        if trained.weights is None:
            return np.array([np.inf])
        return np.concatenate([value.ravel() for layer in trained.weights for value in layer.values()])

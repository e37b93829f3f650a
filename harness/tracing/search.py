"""The search for the fewest conventions under which a replay follows one phase of a recording: one, two, then step on.

One convention at a time first, then pairs. Where two are not enough, the change that lets the replay follow for the
most steps is kept, and the search begins anew behind it.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import combinations, product
from typing import Any

import numpy as np

from harness.conventions.table import CONVENTIONS
from harness.conventions.translation import differing
from harness.registry import native_backends, native_row
from harness.tracing.candidates import Option, from_free, options, to_free
from harness.tracing.forms import Joint, options_of
from harness.tracing.phases import Forward, Residual, Stage
from harness.tracing.walk import Hypothesis

_ITERATIONS = 12
_PLAIN = 5.0  # a change that costs more, a number with many digits, is held against pairs of plainer ones
_LOSS = 2.0  # what it costs that the recorded loss is another one
_NEAR = 0.5  # decades: what is left of a number that least squares has not found to the last bit
TORCH_CLIP = 1e-6
"""What `torch.nn.utils.clip_grad_norm_` adds to the norm: torch/nn/utils/clip_grad.py."""

_FORMS = 4  # of the forms that fit alike, that are judged by the replay
_PAIRS = 32  # of the pairs, that more than a first step of least squares is spent on


@dataclass(frozen=True)
class Attempt:
    """A hypothesis with one or two changes: `changed` are their options, `values` what they were set to."""

    base: Hypothesis
    changed: tuple[Option, ...]
    values: tuple[Any, ...]
    residual: Residual | None = None

    @property
    def h(self) -> Hypothesis:
        """The hypothesis with the changes."""
        h = self.base
        for option, value in zip(self.changed, self.values, strict=True):
            h = h.having(**option.changes(value))
        return h

    @property
    def free(self) -> list[int]:
        """Which of the values are numbers."""
        return [i for i, (option, v) in enumerate(zip(self.changed, self.values, strict=True)) if option.number and v]

    @property
    def cost(self) -> float:
        """What the changes cost: listed values little, numbers with many digits much."""
        digits = [len(f"{self.values[i]:.12g}".split("e")[0].replace(".", "").strip("0")) for i in self.free]
        return sum(option.cost for option in self.changed) + sum(max(0, d - 2) for d in digits)

    @property
    def score(self) -> float:
        """The residual's."""
        return np.inf if self.residual is None else self.residual.score


def search(stage: Stage, h: Hypothesis, now: Residual, names: tuple[str, ...]) -> Attempt | None:
    """The best change of `h`, of one convention or of two; None where nothing brings the replay nearer."""
    together = _together(stage, h, names)
    right = [each for each in together if _follows(each)]
    if not right and together and together[0].h.config.value("clip_norm") is not None and not stage.walk.clip_epsilon:
        stage.walk.clip_epsilon = TORCH_CLIP
        right = [each for each in _together(stage, h, names) if _follows(each)]
        stage.walk.clip_epsilon = TORCH_CLIP if right else 0.0
    if right:
        return right[0]
    if now.followed or stage.walk.over:
        return None
    singles = _singles(stage, h, options(stage, h, names))
    singles += [each for first in together[:1] for each in _behind(stage, first, names)]
    followed = _followed(stage, [*singles, *_rows(stage, h, names)])
    if followed is not None and followed.cost <= _PLAIN:
        return followed
    pairs = [] if stage.walk.over else _pairs(stage, h, names)
    followed = min(filter(None, (followed, _followed(stage, pairs))), key=_cost, default=None)
    if followed is not None:
        return followed
    tried = _measured(stage, [*together[:1], *sorted(singles, key=_score)[:8], *sorted(pairs, key=_score)[:8]])
    further = [each for each in tried if _prefix(each) > now.prefix]
    nearer = further or [each for each in tried if each.score < 0.7 * now.score]
    if not nearer:
        return None
    return snapped(stage, min(nearer, key=lambda each: (-_prefix(each), len(each.changed), each.score)))


def _together(stage: Stage, h: Hypothesis, names: tuple[str, ...]) -> list[Attempt]:
    """What fits best with all its numbers at once, see `harness/tracing/joint.py`; those that are followed first."""
    if isinstance(stage, Forward):
        return []
    attempts = []
    for _, other in Joint(stage, h, names).attempts()[:_FORMS]:
        for same in _in_words(h, other):
            changed, values = options_of(h, same)
            if changed:
                attempts.append(Attempt(h, changed, values))
    measured = fitted(stage, _measured(stage, attempts), 6)
    measured = [
        needed(stage, _through_float32(stage, snapped(stage, each))) if _follows(each) else each
        for each in _measured(stage, measured)
    ]
    measured = _measured(stage, measured)
    if not measured:
        return []
    best = min((each.residual for each in measured if each.residual), key=lambda residual: residual.rms)
    near = [each for each in measured if each.residual and each.residual.near(best)]
    plainest = sorted(near, key=lambda each: (each.cost + _LOSS * (not stage.fits_loss(each.h)), each.score))
    return [*plainest, *sorted((each for each in measured if not _follows(each)), key=_score)]


def _through_float32(stage: Stage, attempt: Attempt) -> Attempt:
    """In float64, numbers of many digits may be plain ones that went through float32."""
    if stage.walk.dtype == np.float32 or attempt.cost <= _PLAIN or attempt.h.row.constants != "exact":
        return attempt
    tries = []
    for n in range(1, 6):
        numbers = _with_numbers(attempt, [float(f"{attempt.values[i]:.{n}g}") for i in attempt.free])
        for constants in CONVENTIONS["constants"].values:
            changed, values = options_of(attempt.base, numbers.h.having(constants=constants))
            if changed:
                tries.append(Attempt(attempt.base, changed, values))
    (whole,) = _measured(stage, [attempt])
    return next((each for each in _measured(stage, tries) if _as_near(each, whole)), attempt)


def _in_words(h: Hypothesis, other: Hypothesis) -> list[Hypothesis]:
    """A size of L2 that is not the assumed one, and the words that may make the assumed one as large."""
    told = h.config.penalty.l2
    if not told or not other.config.penalty.l2 or other.config.penalty.l2 == told:
        return [other]
    words = product(CONVENTIONS["l2_factor"].values, CONVENTIONS["l2_divisor"].values)
    return [*(other.having(l2=told, l2_factor=factor, l2_divisor=divisor) for factor, divisor in words), other]


def _behind(stage: Stage, first: Attempt, names: tuple[str, ...]) -> list[Attempt]:
    """One convention more behind what fits best, where that is not followed."""
    singles = _singles(stage, first.h, options(stage, first.h, names))
    taken = {option.name for option in first.changed}
    return [
        Attempt(first.base, (*first.changed, *each.changed), (*first.values, *each.values), each.residual)
        for each in singles
        if not taken & {option.name for option in each.changed}
    ]


def _rows(stage: Stage, h: Hypothesis, names: tuple[str, ...]) -> list[Attempt]:
    """What each backend's native way has for `names`, all of it together."""
    attempts = []
    config = h.stands(len(stage.walk.X))
    for backend in native_backends():
        row = native_row(backend, h.config)
        apart = [name for name in differing(config, h.row, row) if name in names]
        changed = tuple(Option(name, (), cost=0.5) for name in apart)
        attempts.append(Attempt(h, changed, tuple(getattr(row, name) for name in apart)))
    return _measured(stage, [attempt for attempt in attempts if attempt.changed], coarse=True)


def needed(stage: Stage, attempt: Attempt) -> Attempt:
    """The same without the changes that make no difference, for an attempt that is followed."""
    (whole,) = _measured(stage, [attempt])
    for option in attempt.changed if len(attempt.changed) > 1 else ():
        kept = [i for i, other in enumerate(attempt.changed) if other is not option]
        less = replace(
            attempt,
            changed=tuple(attempt.changed[i] for i in kept),
            values=tuple(attempt.values[i] for i in kept),
            residual=None,
        )
        (less,) = _measured(stage, [less])
        if less.residual is not None and whole.residual is not None and less.residual.near(whole.residual):
            attempt = less
    return attempt


def _cost(attempt: Attempt) -> tuple[float, float]:
    return attempt.cost, attempt.score


def _score(attempt: Attempt) -> float:
    return attempt.score


def _prefix(attempt: Attempt) -> int:
    return 0 if attempt.residual is None else attempt.residual.prefix


def _followed(stage: Stage, attempts: Sequence[Attempt]) -> Attempt | None:
    """The plainest of the attempts that are followed on all elements."""
    near = [each for each in attempts if each.score < _NEAR or (each.residual and each.residual.followed)]
    whole = [snapped(stage, each) for each in _measured(stage, near) if each.score < _NEAR or _follows(each)]
    whole = _nearest([needed(stage, each) for each in whole if _follows(each)])
    return min(whole, key=lambda each: (each.cost + _LOSS * (not stage.fits_loss(each.h)), each.score), default=None)


def _nearest(attempts: Sequence[Attempt]) -> list[Attempt]:
    """Those that leave about as much as the one that leaves least."""
    residuals = [each.residual for each in attempts if each.residual is not None]
    best = min(residuals, key=lambda residual: residual.rms, default=None)
    return [each for each in attempts if best is not None and each.residual is not None and each.residual.near(best)]


def _follows(attempt: Attempt) -> bool:
    return attempt.residual is not None and attempt.residual.followed


def _measured(stage: Stage, attempts: Sequence[Attempt], coarse: bool = False) -> list[Attempt]:
    residuals = stage.compare([attempt.h for attempt in attempts], coarse)
    return [replace(attempt, residual=r) for attempt, r in zip(attempts, residuals, strict=True)]


def _singles(stage: Stage, h: Hypothesis, found: Sequence[Option]) -> list[Attempt]:
    """Each option alone, its number at the best value."""
    grid = [Attempt(h, (option,), (value,)) for option in found for value in option.values]
    return fitted(stage, _best(_measured(stage, grid, coarse=True)))


def _best(attempts: Sequence[Attempt]) -> list[Attempt]:
    """The best point of every grid: of the attempts with the same options and the same listed values."""
    best: dict[Any, Attempt] = {}
    for each in attempts:
        key = tuple(
            (option.name, None if option.number and value else value)
            for option, value in zip(each.changed, each.values, strict=True)
        )
        if key not in best or each.score < best[key].score:
            best[key] = each
    return list(best.values())


def _pairs(stage: Stage, h: Hypothesis, names: tuple[str, ...]) -> list[Attempt]:
    """Every two options together; those of another optimizer or activation are looked up under it."""
    found = options(stage, h, names)
    plain = [option for option in found if option.name not in ("optimizer", "activation")]
    grid = [
        Attempt(h, pair, values)
        for pair in combinations(plain, 2)
        for values in product(*(option.values for option in pair))
    ]
    for option in found:
        if option.name in ("optimizer", "activation"):
            for value in option.values:
                others = options(stage, h.having(**option.changes(value)), names)
                grid += [
                    Attempt(h, (option, other), (value, theirs))
                    for other in others
                    if other.name != option.name
                    for theirs in other.values
                ]
    best = sorted(_best(_measured(stage, grid, coarse=True)), key=_score)
    numbers = sorted(fitted(stage, [each for each in best if each.free], 2), key=_score)[:_PAIRS]
    return [*fitted(stage, numbers), *(each for each in best if not each.free)]


def fitted(stage: Stage, attempts: Sequence[Attempt], iterations: int = _ITERATIONS) -> list[Attempt]:
    """Every attempt with its numbers by least squares: Gauss and Newton's method, all attempts in step."""
    moving = [each for each in attempts if each.free]
    if not moving:
        return list(attempts)
    step = 1e-5 if stage.walk.dtype == np.float64 else 1e-3
    floors = [floor for _, floor in stage.apart([each.h for each in moving], coarse=True)]
    fits = [_Fit(each, floor, step) for each, floor in zip(moving, floors, strict=True)]
    for _ in range(iterations):
        if stage.walk.over:
            break
        asked = [fit.ask() for fit in fits if not fit.done]
        answers = iter(stage.off([h for each in asked for h in each], coarse=True))
        for fit in fits:
            if not fit.done:
                fit.tell([next(answers) for _ in range(1 + len(fit.x))])
    refined = iter(_measured(stage, [fit.result() for fit in fits], coarse=True))
    results = []
    for each in attempts:
        new = next(refined) if each.free else each
        results.append(new if new.score < each.score else each)
    return results


class _Fit:
    """The least squares of one attempt: `ask` for hypotheses, `tell` their residuals."""

    def __init__(self, attempt: Attempt, floor: np.ndarray, step: float) -> None:
        self.attempt, self.floor, self.step, self.done = attempt, np.maximum(floor, 1e-300), step, False
        self.x = np.array([to_free(attempt.changed[i].name, attempt.values[i]) for i in attempt.free])
        self.best, self.least, self.move = self.x, np.inf, np.zeros_like(self.x)

    def at(self, x: np.ndarray) -> Attempt:
        values = list(self.attempt.values)
        for i, free in zip(self.attempt.free, x, strict=True):
            values[i] = from_free(self.attempt.changed[i].name, float(free))
        return replace(self.attempt, values=tuple(values))

    def ask(self) -> list[Hypothesis]:
        return [self.at(self.x).h, *(self.at(self.x + self.step * e).h for e in np.eye(len(self.x)))]

    def tell(self, off: list[np.ndarray]) -> None:
        with np.errstate(all="ignore"):
            r, *moved = (np.nan_to_num(each / self.floor, nan=1e30).ravel().clip(-1e30, 1e30) for each in off)
        size = float(r @ r)
        if not size < self.least:  # too far: half the way
            self.move = self.move / 4
            self.x = self.best + self.move
            self.done = bool(np.abs(self.move).max(initial=0.0) < 1e-15)
            return
        self.best, self.least = self.x, size
        J = np.stack([(each - r) / self.step for each in moved], axis=1)
        scale = np.linalg.norm(J, axis=0)
        scale[scale == 0] = 1
        move, *_ = np.linalg.lstsq(J / scale, -r, rcond=1e-12)
        self.move = np.clip(move / scale, -3, 3)
        self.done = bool(np.abs(self.move).max() < 1e-15 or size == 0)
        self.x = self.best + self.move

    def result(self) -> Attempt:
        return self.at(self.best)


def _with_numbers(attempt: Attempt, numbers: Sequence[float]) -> Attempt:
    values = list(attempt.values)
    for i, number in zip(attempt.free, numbers, strict=True):
        values[i] = number
    return replace(attempt, values=tuple(values), residual=None)


def _as_near(attempt: Attempt, whole: Attempt) -> bool:
    """Whether an attempt is followed, and as near as the same one with numbers that were fitted."""
    assert attempt.residual is not None
    assert whole.residual is not None
    if not whole.residual.followed:
        return attempt.residual.followed
    return attempt.residual.near(whole.residual)


def snapped(stage: Stage, attempt: Attempt) -> Attempt:
    """The same with the fewest digits in every number that leave the replay as near as it is."""
    digits = [[float(f"{attempt.values[i]:.{n}g}") for i in attempt.free] for n in range(1, 13)]
    if len(attempt.free) > 1:  # none alone may be followed while the others are not exact
        (whole,) = _measured(stage, [attempt])
        together = _measured(stage, [_with_numbers(attempt, values) for values in digits])
        attempt = next((each for each in together if _as_near(each, whole)), attempt)
    for i in attempt.free:
        values = dict.fromkeys(float(f"{attempt.values[i]:.{digits}g}") for digits in range(1, 13))
        tries = [
            replace(attempt, values=(*attempt.values[:i], value, *attempt.values[i + 1 :]), residual=None)
            for value in values
        ]
        (whole,) = _measured(stage, [attempt])
        assert whole.residual is not None
        for each in _measured(stage, tries):
            assert each.residual is not None
            same = not whole.residual.followed and whole.score > _NEAR and each.score <= 1.001 * whole.score
            if _as_near(each, whole) or same:
                attempt = each
                break
        else:
            attempt = whole
    return attempt

"""What of a recording can be compared with its replay, phase by phase, and how far the two are apart in floors."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np

from harness.recording.file import Recording, Series
from harness.tracing.walk import FLOORS, Hypothesis, Walk, flat, objective

CLOSE = 1.5
"""Of two rows that fit, the plainer is taken where it leaves at most this many times what the other leaves."""

_FEW_STEPS = 16
_MOST_ELEMENTS = 240  # of the weights, that a search looks at: every optimizer works element by element


@dataclass(frozen=True)
class Residual:
    """|replayed - recorded| in floors, `(steps, elements)`. Followed where it is never above `FLOORS`."""

    ratio: np.ndarray

    @cached_property
    def prefix(self) -> int:
        """How many steps are followed before the first that is not."""
        off = np.flatnonzero(np.logical_not(self.ratio <= FLOORS).any(axis=1))
        return int(off[0]) if len(off) else len(self.ratio)

    @property
    def followed(self) -> bool:
        """Whether every element of every step is within `FLOORS` floors."""
        return self.prefix == len(self.ratio)

    @cached_property
    def score(self) -> float:
        """How many decades an element is off on average, above its floor: 0 where all is rounding."""
        with np.errstate(all="ignore"):
            decades = np.log10(1 + np.nan_to_num(self.ratio, nan=1e300, posinf=1e300) / FLOORS)
        return float(decades.mean())

    @property
    def largest(self) -> float:
        """The largest ratio."""
        return float(np.nan_to_num(self.ratio, nan=np.inf).max(initial=0.0))

    @cached_property
    def rms(self) -> float:
        """The root of the mean square of all ratios."""
        known = np.nan_to_num(self.ratio, nan=1e150, posinf=1e150).clip(0, 1e150)
        return float(np.sqrt((known**2).mean())) if known.size else 0.0

    def near(self, best: "Residual") -> bool:
        """Whether this follows, and leaves about as much as what is known to leave least.

        A replay that is right leaves less than a twentieth of a floor on average, and nowhere more than about one. In
        float32 a wrong one may stay within ten floors.
        """
        if not self.followed:
            return False
        return self.rms <= CLOSE * max(best.rms, 0.05) and self.largest <= 2 * max(best.largest, 0.7)


class Stage:
    """One phase of a recording: `observed` `(steps, elements)`, and what hypotheses predict for it."""

    name = ""

    def __init__(self, walk: Walk, base: Hypothesis | None = None, given: np.ndarray | None = None) -> None:
        self.walk, self.observed = walk, np.empty((0, 0))
        self._few: Stage | None = None

    def share(self, h: Hypothesis) -> np.ndarray:
        """The floor of the gradient as a share of each tensor's largest element, `(steps, n_weights)`."""
        return self.walk.rounding(h)[1]

    def compare(self, hypotheses: Sequence[Hypothesis], coarse: bool = False) -> list[Residual]:
        """The residual of each hypothesis; `coarse` may look at a sample of the elements only."""
        return [Residual(_ratio(np.abs(off), floor)) for off, floor in self.apart(hypotheses, coarse)]

    def apart(self, hypotheses: Sequence[Hypothesis], coarse: bool = False) -> list[tuple[np.ndarray, np.ndarray]]:
        """Of each hypothesis replayed - recorded, and its floor, `(steps, elements)` each."""
        raise NotImplementedError

    def off(self, hypotheses: Sequence[Hypothesis], coarse: bool = False) -> list[np.ndarray]:
        """Replayed - recorded alone, which may be had for less."""
        return [off for off, _ in self.apart(hypotheses, coarse)]

    def few(self, hypotheses: Sequence[Hypothesis]) -> "Stage":
        """The same phase over a few steps: those where the first hypothesis that is asked for shows most."""
        if self._few is None and hypotheses:
            walk = some_steps(self.walk, self.compare(hypotheses[:1])[0])
            self._few = self if walk is self.walk else type(self)(walk)
        if self._few is not None:
            self._few.walk.clip_epsilon = self.walk.clip_epsilon
        return self._few or self

    def fits_loss(self, h: Hypothesis) -> bool:
        """Whether the recorded losses, if there are any, are what every step minimises, with the penalties or without.

        Where every step is clipped, or the optimizer hides a factor, it is the loss alone that tells two changes apart.
        """
        seen = self.walk.recording.loss
        if seen is None:
            return True
        forms = (objective(self.walk, h), self.walk.passed(h).loss)
        return any(np.allclose(form, seen[: self.walk.steps], rtol=1e4 * self.walk.epsilon, atol=0) for form in forms)

    def one(self, h: Hypothesis) -> Residual:
        """The residual of one hypothesis."""
        return self.compare([h])[0]


def _ratio(difference: np.ndarray, floor: np.ndarray) -> np.ndarray:
    """Nothing is off where both are equal, whatever the floor."""
    with np.errstate(all="ignore"):
        ratio: np.ndarray = np.where(difference == 0, 0.0, difference / np.where(floor > 0, floor, 5e-324))
    known: np.ndarray = np.nan_to_num(ratio, nan=1e300, posinf=1e300, neginf=-1e300)
    return known


def rates_in_float32(recording: Recording) -> bool:
    """Whether learning rates that fall were noted in float32 only, in a training in float64."""
    rates = recording.learning_rate
    if rates is None or recording.dtype == "float32" or (rates == rates[0]).all():
        return False
    return bool((rates == rates.astype(np.float32)).all())


def some_steps(walk: Walk, off: Residual) -> Walk:
    """A walk over a few of the steps: the first, the worst, the shortest, and some in between.

    For phases in which steps do not depend on each other; a search looks at these, before it looks at all.
    """
    if walk.steps <= _FEW_STEPS:
        return walk
    worst = np.argsort(off.ratio.max(axis=1))[::-1][:4]
    lengths = (walk.recording.rows[: walk.steps] >= 0).sum(axis=1)
    between = np.linspace(0, walk.steps - 1, 5).astype(int)
    steps = np.unique(np.concatenate([np.arange(4), worst, between, [np.argmin(lengths), np.argmax(lengths)]]))
    it = walk.recording

    def taken(series: Series, index: np.ndarray) -> Series:
        return tuple({key: value[index] for key, value in layer.items()} for layer in series)

    few = Walk(
        replace(
            it,
            rows=it.rows[steps],
            epoch=it.epoch[steps],
            weights=taken(it.weights, np.append(steps, steps[-1] + 1)),
            gradients=None if it.gradients is None else taken(it.gradients, steps),
            activations=None if it.activations is None else tuple(a[steps] for a in it.activations),
            logits=None if it.logits is None else it.logits[steps],
            loss=None if it.loss is None else it.loss[steps],
            learning_rate=None if it.learning_rate is None else it.learning_rate[steps],
        )
    )
    few.after = taken(walk.after, steps)
    return few


class Forward(Stage):
    """Activations of the hidden layers, where they were recorded, and logits."""

    name = "forward"

    def __init__(self, walk: Walk, base: Hypothesis | None = None, given: np.ndarray | None = None) -> None:
        super().__init__(walk)
        recording = walk.recording
        self.arrays: list[tuple[str, np.ndarray]] = [
            (f"activations/{k}", a[: walk.steps]) for k, a in enumerate(recording.activations or ())
        ]
        if recording.logits is not None:
            self.arrays.append(("logits", recording.logits[: walk.steps]))
        self.mask = recording.rows[: walk.steps] >= 0
        masked = [np.where(self.mask[:, :, None], seen, 0).reshape(len(seen), -1) for _, seen in self.arrays]
        self.observed = np.concatenate(masked, axis=1)

    def apart(  # noqa: D102
        self, hypotheses: Sequence[Hypothesis], coarse: bool = False
    ) -> list[tuple[np.ndarray, np.ndarray]]:
        if coarse and self.few(hypotheses) is not self:
            return self.few(hypotheses).apart(hypotheses)
        return [self._apart(h) for h in hypotheses]

    def _apart(self, h: Hypothesis) -> tuple[np.ndarray, np.ndarray]:
        passed, offs, floors = self.walk.passed(h), [], []
        rounded, _ = self.walk.rounding(h)
        for name, seen in self.arrays:
            off = np.where(self.mask[:, :, None], self.of(passed, name) - seen.astype(np.float64), 0)
            offs.append(off.reshape(len(seen), -1))
            floors.append(np.broadcast_to(self.of(rounded, name), seen.shape).reshape(len(seen), -1))
        return np.concatenate(offs, axis=1), np.concatenate(floors, axis=1)

    @staticmethod
    def of(passed: object, name: str) -> np.ndarray:
        """The array of that name in what was computed."""
        if name == "logits":
            return np.asarray(passed.logits)  # type: ignore[attr-defined]
        return np.asarray(passed.activations[int(name.split("/")[1])])  # type: ignore[attr-defined]


class Gradient(Stage):
    """The gradients that the optimizer was given: with the penalties or without, before clipping or after it.

    Frameworks differ in which of the two they hand over; the one that is nearest counts, for all steps alike.
    """

    name = "gradient"

    def __init__(self, walk: Walk, base: Hypothesis | None = None, given: np.ndarray | None = None) -> None:
        super().__init__(walk)
        assert walk.recording.gradients is not None
        self.observed = flat(walk.recording.gradients)[: walk.steps]

    def forms(self, h: Hypothesis) -> dict[str, np.ndarray]:
        """The gradients that may have been recorded: in full, without clipping, without penalties, without both."""
        unclipped = h.having(clip_norm=None, clip_value=None)
        data = h.having(l2=0.0, l1=0.0)
        forms = {"full": h, "unclipped": unclipped, "clipped data": data, "data": h.plain()}
        return {form: self.walk.passed(each).gradient for form, each in forms.items()}

    def form(self, h: Hypothesis) -> str:
        """Which of the forms is nearest to what was recorded."""
        return min(self._forms(h).items(), key=lambda item: item[1][2])[0]

    def _forms(self, h: Hypothesis) -> dict[str, tuple[np.ndarray, np.ndarray, float]]:
        found: dict[str, tuple[np.ndarray, np.ndarray, float]] = {}
        seen: list[np.ndarray] = []
        for form, replayed in self.forms(h).items():
            if any(replayed is other for other in seen):
                continue
            seen.append(replayed)
            floor = self.share(h) * self.walk.each_tensor(replayed) + 2 * self.walk.epsilon * np.abs(self.observed)
            off = replayed - self.observed.astype(np.float64)
            found[form] = (off, floor, Residual(_ratio(np.abs(off), floor)).score)
        return found

    def apart(  # noqa: D102
        self, hypotheses: Sequence[Hypothesis], coarse: bool = False
    ) -> list[tuple[np.ndarray, np.ndarray]]:
        if coarse and self.few(hypotheses) is not self:
            return self.few(hypotheses).apart(hypotheses)
        return [min(self._forms(h).values(), key=lambda found: found[2])[:2] for h in hypotheses]


class Update(Stage):
    """The weights after every step. `given`, where it is there, stands in for the replay's own gradients."""

    name = "update"

    def __init__(self, walk: Walk, base: Hypothesis | None = None, given: np.ndarray | None = None) -> None:
        super().__init__(walk)
        self.observed, self.given = walk.W[1 : walk.steps + 1], given
        n = self.observed.shape[1]
        spread = np.random.default_rng(0).permutation(n)[: _MOST_ELEMENTS // 2]
        assert base is not None
        off = np.argsort(self.one(base).ratio.max(axis=0))[::-1][: _MOST_ELEMENTS // 2]
        self.sample = np.unique(np.concatenate([spread, off]))

    def gradients(self, h: Hypothesis) -> np.ndarray:
        """The gradient that the hypothesis's optimizer is given."""
        return self.walk.passed(h).gradient if self.given is None else self.given

    def apart(  # noqa: D102
        self, hypotheses: Sequence[Hypothesis], coarse: bool = False
    ) -> list[tuple[np.ndarray, np.ndarray]]:
        results: list[tuple[np.ndarray, np.ndarray]] = []
        rounded = 2.0**-21 if rates_in_float32(self.walk.recording) else 0.0
        for chosen, part in self._parts(hypotheses, coarse):
            gradients = [self.gradients(h) for h in part]
            pairs = self.walk.wobble(gradients, [self.share(h) for h in part])
            thrice = [h for h in part for _ in range(3)]
            moved = [g for i, g in enumerate(gradients) for g in (g, pairs[2 * i], pairs[2 * i + 1])]
            updated = self.walk.updated(thrice, moved, chosen)
            seen, take = self._seen(chosen)
            before = self.walk.W[: self.walk.steps, take].astype(np.float64)
            size = 2 * self.walk.epsilon * (np.abs(seen) + np.abs(before))
            with np.errstate(all="ignore"):
                for i in range(len(part)):
                    one, *others = updated[3 * i : 3 * i + 3]
                    floor = np.maximum(*(np.abs(other - one.astype(np.float64)) for other in others)) + size
                    floor = floor + (self._correction(part[i]) + rounded) * np.abs(one - before)
                    results.append(((one - seen)[:, self._then(chosen, coarse)], floor[:, self._then(chosen, coarse)]))
        return results

    def off(self, hypotheses: Sequence[Hypothesis], coarse: bool = False) -> list[np.ndarray]:  # noqa: D102
        results: list[np.ndarray] = []
        for chosen, part in self._parts(hypotheses, coarse):
            updated = self.walk.updated(part, [self.gradients(h) for h in part], chosen)
            seen, _ = self._seen(chosen)
            with np.errstate(all="ignore"):
                results += [(one - seen)[:, self._then(chosen, coarse)] for one in updated]
        return results

    def _correction(self, h: Hypothesis) -> np.ndarray:
        """What the rounding of beta^t, for t above 1, is of Adam's 1 - beta^t, as a share of a step, `(steps, 1)`."""
        t = {"step": np.arange(1, self.walk.steps + 1), "epoch": self.walk.recording.epoch[: self.walk.steps] + 1}
        if h.row.optimizer != "adam" or h.row.bias_correction not in t:
            return np.zeros((self.walk.steps, 1))
        number = t[h.row.bias_correction]
        # a beta that is not found yet may be next to 1
        share = self.walk.epsilon / 16 / np.maximum(1 - h.row.beta_2**number, 1e-6)
        return np.where(number > 1, share, 0)[:, None]

    def _parts(
        self, hypotheses: Sequence[Hypothesis], coarse: bool
    ) -> Iterator[tuple[np.ndarray | None, Sequence[Hypothesis]]]:
        """The hypotheses in parts that fit into memory, in their order, and which elements are computed for each."""
        first = 0
        while first < len(hypotheses):
            by_row = hypotheses[first].row.accumulator == "row"
            last = first
            while last < min(first + 64, len(hypotheses)) and (hypotheses[last].row.accumulator == "row") == by_row:
                last += 1
            yield (None if by_row or not coarse else self.sample), hypotheses[first:last]
            first = last

    def _seen(self, chosen: np.ndarray | None) -> tuple[np.ndarray, Any]:
        take = slice(None) if chosen is None else chosen
        return self.observed[:, take].astype(np.float64), take

    def _then(self, chosen: np.ndarray | None, coarse: bool) -> Any:
        """What of the elements that were computed is asked for."""
        return self.sample if coarse and chosen is None else slice(None)

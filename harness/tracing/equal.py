"""What a recording cannot tell: other rows under which the replay follows it as well."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from harness.contract import Config
from harness.conventions.table import CONVENTIONS, Row
from harness.tracing.phases import Residual, Stage
from harness.tracing.walk import Hypothesis


@dataclass(frozen=True)
class Equal:
    """Another row under which the replay follows, in words, and what it is."""

    said: str
    row: Row
    config: Config


def equals(
    stages: Sequence[Stage], h: Hypothesis, rate_is_known: bool, said: Callable[[Hypothesis, Hypothesis], str]
) -> list[Equal]:
    """Every reading of `readings` that the recording cannot tell from `h`; `said` puts one in words."""
    kept: list[tuple[Stage, Residual]] = [(stage, stage.one(h)) for stage in stages]
    found: list[Equal] = []
    tried = []
    for other in readings(h, len(stages[0].walk.X), rate_is_known):
        if other == h or other in tried:
            continue
        tried.append(other)
        words = said(h, other)
        if (
            words
            and words not in {each.said for each in found}
            and all(stage.one(other).near(residual) for stage, residual in kept)
        ):
            found.append(Equal(words, other.row, other.config))
    return found


def readings(h: Hypothesis, n_rows: int, rate_is_known: bool) -> Iterator[Hypothesis]:
    """Other ways to say what `h` says: other words and sizes that may come to the same."""
    yield from _constants(h)
    yield from _penalties(h)
    for base in (h, *_divided(h)):
        for factor, scaled in _scales(base, n_rows):
            yield from _rescaled(base, scaled, factor, rate_is_known)
    words = ("momentum_form", "nesterov", "epsilon_place", "accumulator", "constants", "moments_reset", "probabilities")
    for name in (*words, "bias_correction"):
        convention = CONVENTIONS[name]
        if convention.applies(h.stands(n_rows), h.row):
            values = (False, True) if name == "nesterov" else tuple(convention.values)
            yield from (h.having(**{name: value}) for value in values if value != h.at(name))


def _constants(h: Hypothesis) -> Iterator[Hypothesis]:
    if h.row.optimizer != "sgd":
        yield from (h.having(epsilon=float(f"1e-{k}")) for k in range(5, 11))
    if h.row.optimizer != "sgd" and h.config.value("clip_norm") is not None:
        yield from (with_epsilon(h, h.row.epsilon * 10.0**k) for k in range(-3, 4) if k)
    if h.row.optimizer == "adagrad":
        yield from (h.having(initial_accumulator=value) for value in (0.0, 0.1))


def with_epsilon(h: Hypothesis, epsilon: float) -> Hypothesis:
    """With another epsilon, and the bound of the gradient's norm as many times as large.

    Where every step is clipped, that is the same to all optimizers that divide by what they have seen of gradients.
    """
    if h.config.value("clip_norm") is None:
        return h.having(epsilon=epsilon)
    factor = (epsilon / h.row.epsilon) ** (0.5 if h.row.epsilon_place == "inside" else 1.0)
    return h.having(epsilon=epsilon, clip_norm=float(f"{h.config.value('clip_norm') * factor:.9g}"))


def _penalties(h: Hypothesis) -> Iterator[Hypothesis]:
    l2 = h.config.penalty.l2
    if not l2:
        return
    form = "coupled" if h.row.l2_form == "decoupled" else "decoupled"
    yield h.having(l2_form=form)
    yield from _divided(h)
    for tensors in CONVENTIONS["l2_tensors"].values:
        yield h.having(l2_tensors=tensors)


def _divided(h: Hypothesis) -> Iterator[Hypothesis]:
    """L2 over the rows in place of L2 as it is, or the other way round."""
    l2, size = h.config.penalty.l2, h.config.batch_size
    if l2 and h.row.l2_divisor == "none":
        yield h.having(l2_divisor="rows of the batch", l2=l2 * size)
    elif l2:
        yield h.having(l2_divisor="none", l2=l2 / size)


def _scales(h: Hypothesis, n_rows: int) -> Iterator[tuple[float, Hypothesis]]:
    """Other reductions of the loss, and how many times as large they make a full batch's gradient."""
    rows = {"mean": 1.0, "sum": float(h.config.batch_size)}
    outputs = {"mean": 1.0, "sum": float(h.config.network.n_outputs), "half sum": h.config.network.n_outputs / 2}
    if not CONVENTIONS["outputs"].applies(h.stands(n_rows), h.row):
        outputs = {h.row.outputs: 1.0}
    now = rows.get(h.row.reduction, 1.0) * outputs[h.row.outputs]
    for reduction, a in rows.items():
        for output, b in outputs.items():
            yield a * b / now, h.having(reduction=reduction, outputs=output)


def _rescaled(h: Hypothesis, scaled: Hypothesis, factor: float, rate_is_known: bool) -> Iterator[Hypothesis]:
    """With all that goes with the size of the gradient as many times as large."""
    row = h.row
    changes = {"l2": h.config.penalty.l2 * (factor if row.l2_form == "coupled" else 1)}
    for name in ("clip_norm", "clip_value"):
        bound = h.config.value(name)
        if bound is not None:
            changes[name] = bound * factor
            bounded = scaled.having(l2=changes["l2"])
            yield bounded  # where every step is clipped, only L2 goes with the loss
    power = 2 if row.epsilon_place == "inside" else 1
    if row.optimizer == "sgd":
        if not rate_is_known:
            yield scaled.having(**changes, learning_rate=float(h.at("learning_rate")) / factor)
        return
    if row.optimizer.startswith("adagrad"):
        changes["initial_accumulator"] = row.initial_accumulator * factor**2
    epsilon = row.epsilon * factor**power
    near = [float(f"{epsilon:.0e}"), *(float(f"1e-{k}") for k in range(5, 11)), epsilon]
    yield from (scaled.having(**changes, epsilon=value) for value in near)

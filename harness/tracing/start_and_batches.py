"""By which law a start was drawn and batches were, from what was drawn alone.

A law of the weights is the one under which they are likeliest, if Kolmogorov and Smirnov's test lets it pass; a scale
that had to be estimated costs what the Bayesian information criterion says (Schwarz, 1978).
"""

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from scipy import stats  # type: ignore[import-untyped]

from harness.contract import Weights
from harness.draws.starts import SPREAD, parse_law
from harness.recording.file import Recording

_LEAST_P = 1e-4
"""A law is refused when its draws are less likely than this: of ten thousand trainings one is wronged."""


@dataclass(frozen=True)
class Law:
    """A value of a convention, None where no law fits, what speaks for it, and what is about as likely."""

    value: Any
    evidence: str
    others: tuple[str, ...] = ()


Density = Callable[[np.ndarray, float], np.ndarray]
_LAWS: dict[str, tuple[Density, Density]] = {
    # log density and distribution function of w; s is the standard deviation, of the truncated normal before the cut
    "uniform": (
        lambda w, s: stats.uniform.logpdf(w, -math.sqrt(3) * s, 2 * math.sqrt(3) * s),
        lambda w, s: stats.uniform.cdf(w, -math.sqrt(3) * s, 2 * math.sqrt(3) * s),
    ),
    "normal": (lambda w, s: stats.norm.logpdf(w, 0, s), lambda w, s: stats.norm.cdf(w, 0, s)),
    "truncated_normal": (
        lambda w, s: stats.truncnorm.logpdf(w, -2, 2, 0, s),
        lambda w, s: stats.truncnorm.cdf(w, -2, 2, 0, s),
    ),
}


def law_of_weights(start: Weights, keep: str = "") -> Law:
    """The law of the weight matrices, a value of `Row.init`; `keep`, where the draws are as likely as not under it."""
    matrices = [layer["W"].astype(np.float64) for layer in start]
    if not all(np.isfinite(W).all() for W in matrices):
        return Law(None, "some weights are no finite numbers")
    if not any(W.any() for W in matrices):
        return Law("zeros", "all weights are 0")
    n = sum(W.size for W in matrices)
    found: dict[str, tuple[float, float]] = {}
    for law in _LAWS:
        for family, spread in SPREAD.items():
            name = f"{family}_{law}"
            if name in ("torch_normal", "sklearn_normal", "torch_truncated_normal", "sklearn_truncated_normal"):
                continue
            cut = _CUT_SPREAD if law == "truncated_normal" else 1.0
            found[name] = _fit(law, matrices, [spread(*W.shape) / cut for W in matrices])
        for scale, cost in _scales(law, matrices):
            likelihood, p = _fit(law, matrices, [scale / math.sqrt(3) if law == "uniform" else scale] * len(matrices))
            found[f"{law}({scale:.12g})"] = (likelihood - cost, p)
    # more digits than a round number explain nothing that it does not
    likeliest = _likeliest(found, n, "weights", keep)
    best = found[str(likeliest.value)][0] if likeliest.value else math.inf
    near = _near(found, best)
    own, told = _plain_name(str(likeliest.value)), likeliest.evidence
    others = tuple(dict.fromkeys(name for name in map(_plain_name, near) if name != own))
    if own != likeliest.value and likeliest.value:
        return Law(own, f"{told}; cut at two standard deviations, as Keras does", others)
    return replace(likeliest, others=others)


def _plain_name(name: str) -> str:
    """A law as the table names it: a family's normal law may be cut, as Keras draws it."""
    family, cut, law = name.partition("_truncated")
    return f"{family}_normal" if cut and law == "_normal" else name


_CUT_SPREAD = 0.8796256610342398
"""The standard deviation of a normal law that is cut at two, as a share of what it was before."""

_AS_LIKELY = 3.0  # a law that is one twentieth as likely as another may have been the one
_ROUND = (1, 2, 3, 5)  # first digits of the numbers that people write


def _scales(law: str, matrices: list[np.ndarray]) -> list[tuple[float, float]]:
    """The law's one number, and what it costs: one that was fitted half the logarithm of the sample, and its digits."""
    n = sum(W.size for W in matrices)
    scale = _scale(law, matrices)
    if not 0 < scale < math.inf:  # the squares of such weights are 0, or no finite numbers
        return []
    exponent = math.floor(math.log10(scale))
    near = [float(f"{digit}e{k}") for k in (exponent, exponent + 1) for digit in _ROUND]
    rounds = [(value, 1.0) for value in near if 0.5 < value / scale < 2]
    digits = len(f"{scale:.12g}".split("e")[0].replace(".", "").strip("0"))
    # a bound is found to a share of 1 / n, a spread to 1 / sqrt(n)
    fitted = (0.5 if law == "normal" else 1.0) * math.log(n)
    return rounds if scale in dict(rounds) else [*rounds, (scale, fitted + 2.0 * digits)]


def _likeliest(found: dict[str, tuple[float, float]], n: int, what: str, keep: str) -> Law:
    name = max(found, key=lambda each: found[each][0])
    if keep in found and found[keep][1] > 0.01 and found[keep][0] > found[name][0] - 3:
        name = keep
    likelihood, p = found[name]
    if not p > _LEAST_P or not math.isfinite(likelihood):
        return Law(None, f"no law that is known fits the {n} {what} (Kolmogorov-Smirnov p = {p:.1g} for {name})")
    return Law(name, f"{n} {what}, Kolmogorov-Smirnov p = {p:.2g}")


def _fit(law: str, matrices: list[np.ndarray], scales: list[float]) -> tuple[float, float]:
    """Log likelihood, and the p-value of the test over all matrices together."""
    density, distribution = _LAWS[law]
    # what was rounded to float32 may lie beyond a bound by that rounding
    scales = [scale * (1 + 1e-6) for scale in scales]
    pairs = list(zip(matrices, scales, strict=True))
    likelihood = sum(float(density(W.ravel(), s).sum()) for W, s in pairs)
    uniform = np.concatenate([distribution(W.ravel(), s) for W, s in pairs])
    return likelihood, float(stats.kstest(uniform, "uniform").pvalue)


def _scale(law: str, matrices: list[np.ndarray]) -> float:
    """The law's one number, with as few digits as its standard error allows."""
    values = np.concatenate([W.ravel() for W in matrices])
    n = len(values)
    if law == "uniform":
        largest = float(np.abs(values).max())
        return _round(largest, largest * (1 + 10 / n))
    spread = float(np.sqrt((values**2).mean())) / (1 if law == "normal" else _CUT_SPREAD)
    error = 2 * spread / math.sqrt(2 * n)
    return _round(spread - error, spread + error)


def _round(low: float, high: float) -> float:
    """The number with the fewest digits within an interval."""
    for digits in range(1, 15):
        value = float(f"{(low + high) / 2:.{digits}g}")
        if low <= value <= high:
            return value
    return (low + high) / 2


def law_of_biases(start: Weights, init: str | None, keep: Any = None) -> Law:
    """The law of the biases, a value of `Row.bias`; `init` is that of the weights."""
    biases = [layer["b"].astype(np.float64) for layer in start]
    values = np.concatenate(biases)
    if not np.isfinite(values).all():
        return Law(None, "some biases are no finite numbers")
    if (values == values[0]).all():
        value = float(f"{values[0]:.7g}")
        return Law(value, f"all {len(values)} biases are {value:g}")
    found = {}
    family, _, law = (init or "").rpartition("_")
    if init is not None and "(" in init:
        law, scale = parse_law(init)
        found["as_weights"] = _fit(law, biases, [scale / (math.sqrt(3) if law == "uniform" else 1)] * len(biases))
    elif family in SPREAD:
        scales = [SPREAD[family](*layer["W"].shape) for layer in start]
        found["as_weights"] = _fit(law, biases, scales)
    # torch.nn.Linear's own, which stays where the weights alone are drawn anew
    found["torch_uniform"] = _fit("uniform", biases, [SPREAD["torch"](*layer["W"].shape) for layer in start])
    for scale, cost in _scales("normal", biases):
        likelihood, p = _fit("normal", biases, [scale] * len(biases))
        found[f"normal({scale:.12g})"] = (likelihood - cost, p)
    near = _near(found, max(each[0] for each in found.values()))
    if "as_weights" in near:  # few biases cannot tell a law of their own from that of the weights
        found = {"as_weights": found["as_weights"]}
    likeliest = _likeliest(found, len(values), "biases", str(keep))
    # under torch_uniform "the law of the weights" and torch's own are one
    same = {likeliest.value} | ({"as_weights", "torch_uniform"} if init == "torch_uniform" else set())
    return replace(likeliest, others=tuple(name for name in near if name not in same))


def _near(found: dict[str, tuple[float, float]], best: float) -> list[str]:
    """The laws that may have been the one, by how likely they are and by the test."""
    return [name for name, (likelihood, p) in found.items() if likelihood > best - _AS_LIKELY and p > 0.01]


def laws_of_batches(recording: Recording) -> dict[str, Law]:
    """The conventions of the batches: `batches`, `batch_size`, `n_batches` and `last_batch`."""
    n, steps = len(recording.X), range(recording.steps)
    epochs = [
        [recording.batch(t) for t in steps if recording.epoch[t] == e] for e in range(int(recording.epoch[-1]) + 1)
    ]
    whole = epochs[:-1] if len(epochs) > 1 and len(epochs[-1]) < len(epochs[0]) else epochs  # the last may be cut off
    sizes = [len(rows) for rows in whole[0]]
    size = max(set(sizes), key=sizes.count)
    laws = {"batches": _order(whole, n, size)}
    if len(sizes) > 1 and max(sizes) - min(sizes) == 1 and sizes == sorted(sizes, reverse=True) and sizes[-2] != size:
        laws["n_batches"] = Law(len(sizes), f"{len(sizes)} batches whose lengths differ by one row")
    laws["batch_size"] = Law(size, f"{sizes.count(size)} of {len(sizes)} batches have {size} rows")
    last, told = sizes[-1], f"the last of {len(sizes)} batches has {sizes[-1]} rows of {size}"
    left = n % size if laws["batches"].value != "skipping" else n % (size + 1) % size
    if left and (last != size or len(epochs) > 1):  # the only epoch may have been cut off
        value = "keep" if last < size else "merge" if last > size else "drop"
        laws["last_batch"] = Law(value, told + (f"; {left} of {n} rows are left out" if value == "drop" else ""))
    return laws


def _order(epochs: list[list[np.ndarray]], n: int, size: int) -> Law:
    drawn = [np.concatenate(parts) for parts in epochs]
    first, told = drawn[0], f"{_count(len(drawn), 'epoch')} of {_count(len(epochs[0]), 'step')}"
    same = len(drawn) > 1 and all(np.array_equal(first, other) for other in drawn)
    if all(np.array_equal(rows, np.arange(len(rows))) for rows in drawn):
        return Law("in_order", f"{told}: rows 0, 1, 2, … in every one")
    if all(_skips(parts) for parts in epochs):
        return Law("skipping", f"{told}: consecutive slices, one row left out after each")
    within = sum(len(rows) - len(np.unique(rows)) for parts in epochs for rows in parts)
    across = sum(len(rows) - len(np.unique(rows)) for rows in drawn)
    if same and across:
        distinct = len(np.unique(first))
        return Law("bootstrap", f"{told}: always the same order, {distinct} of {n} rows in it")
    if same:
        return Law("one_permutation", f"{told}: one shuffled order, the same in every one")
    if within:
        return Law("replacement", f"{told}: {within} rows stand twice in one batch")
    if across:
        return Law("independent", f"{told}: {across} rows come again in their epoch, none twice in a batch")
    if len(epochs[0]) == 1 and len(first) < n:
        return Law("independent", f"{told}: {len(first)} of {n} rows in each")
    return Law("permutation", f"{told}: no row comes twice in one, and their orders differ")


def _count(n: int, what: str) -> str:
    return f"{n} {what}{'' if n == 1 else 's'}"


def _skips(parts: list[np.ndarray]) -> bool:
    first = 0
    for rows in parts:
        if not np.array_equal(rows, np.arange(first, first + len(rows))):
            return False
        first += len(rows) + 1
    return len(parts) > 1


def is_float32(recording: Recording) -> bool:
    """Whether a recording in float64 holds numbers of float32 only: it was computed there."""
    return all(
        bool((value == value.astype(np.float32)).all()) for layer in recording.weights for value in layer.values()
    )


def computed_in(recording: Recording) -> str:
    """The dtype that the weights were computed in."""
    return "float32" if recording.dtype == "float32" or is_float32(recording) else "float64"

"""One look for every figure and one way to write every number.

Axis values are written the way people type them in an experiment file (`1e-5`, `0.01`, `[100, 30]`), scores with three
decimals, and "–" stands for what is missing.
"""

import math
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from statistics import mean, stdev
from typing import Any

MISSING = "–"

METRICS = {
    "accuracy": "accuracy",
    "loss": "loss",
    "auc": "ROC AUC",
    "f1": "F1",
    "mse": "MSE",
    "mae": "MAE",
    "r2": "R²",
}
"""How every metric is written for people, in the order of tables."""

RC: dict[str, Any] = {
    "font.family": "sans-serif",
    "font.sans-serif": ["DejaVu Sans"],
    "text.parse_math": False,  # a name may hold a dollar sign
    "text.color": "#1f2328",
    "axes.labelcolor": "#424a53",
    "axes.edgecolor": "#8c959f",
    "axes.linewidth": 0.7,
    "axes.grid": True,
    "axes.axisbelow": True,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "grid.color": "#e6e9ed",
    "grid.linewidth": 0.8,
    "xtick.color": "#424a53",
    "ytick.color": "#424a53",
    "xtick.labelsize": 8.5,
    "ytick.labelsize": 8.5,
    "xtick.major.size": 0,
    "ytick.major.size": 0,
    "figure.facecolor": "white",
    "savefig.facecolor": "white",
    "svg.fonttype": "none",
}
"""Matplotlib settings, applied only inside `matplotlib.rc_context` while a figure is drawn or saved."""

INK = "#1f2328"
MUTED = "#656d76"
NEUTRAL = "#e4e7eb"  # a cell without a result
MASKED = "#f6f7f9"  # a difference that the seeds do not show
ALARM = "#c8102e"  # a trial that differs
OUTLINE = "#e3342f"  # the best cell

SCORE = "viridis"
LOWER = "viridis_r"  # losses, times, epochs: of what is better when it is lower, so that bright is good here too
DEVIATION = "Blues"
DIFFERENCE = "RdBu_r"

# Okabe and Ito's palette, which people with any of the common colour blindnesses can tell apart, and two more
SERIES = ("#0072B2", "#E69F00", "#D55E00", "#CC79A7", "#009E73", "#56B4E9", "#7A6A00", "#000000", "#8A5FBF")

CLASSES = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#7A6A00", "#4D4D4D")
MARKERS = ("o", "s", "^", "D", "v", "P", "X", "*")
"""What tells classes apart: a colour and a shape of the points, in turn where there are more classes than these."""


def colours(backends: Iterable[str], display: Mapping[str, str]) -> dict[str, str]:
    """A colour for every backend: its own, or in turn one that none of them has."""
    own = {name: colour for name, colour in display.items() if colour}
    free = [colour for colour in SERIES if colour not in own.values()] or list(SERIES)
    others = [name for name in backends if name not in own]
    return own | {name: free[i % len(free)] for i, name in enumerate(others)}


def missing(value: Any) -> bool:
    """Whether there is nothing to show: None, NaN or NaT."""
    return value is None or (not isinstance(value, (list, tuple, str)) and bool(value != value))


def number(value: float, digits: int = 4) -> str:
    """A number as people type it: `1e-5`, `0.01`, `250`, `2.154e-3`; at most `digits` significant digits."""
    if missing(value):
        return MISSING
    value = float(value)
    if math.isinf(value):
        return "∞" if value > 0 else "-∞"
    if value == 0:
        return "0"
    mantissa, exponent = f"{value:.{digits - 1}e}".split("e")
    if -2 <= int(exponent) < 6:
        text = f"{value:.{max(digits - 1 - int(exponent), 0)}f}"
        return text.rstrip("0").rstrip(".") if "." in text else text
    if "." in mantissa:
        mantissa = mantissa.rstrip("0").rstrip(".")
    return f"{mantissa}e{int(exponent)}"


def plain(value: Any, digits: int = 4) -> str:
    """Any axis value or fact as text: numbers as in `number`, lists as users write them, "–" for nothing."""
    if missing(value):
        return MISSING
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, str):
        return value
    if isinstance(value, (list, tuple)):
        return "[" + ", ".join(plain(item, digits) for item in value) + "]"
    try:
        return str(int(value)) if float(value).is_integer() and abs(value) < 1e6 else number(value, digits)
    except (TypeError, ValueError):
        return str(value)


def labels(values: list[Any]) -> list[str]:
    """Axis values as text, with just enough digits (at least 4) to tell them apart."""
    for digits in range(4, 13):
        texts = [plain(value, digits) for value in values]
        if len(set(texts)) == len(texts):
            break
    return texts


def named(column: str) -> str:
    """A column in words: `test_r2` is "test R²", `not_run` is "not run", `median_train_seconds` a training time."""
    if column.endswith("_seconds"):  # cells have units of their own, of ms and µs too
        column = column.replace("train", "training").replace("predict", "prediction").replace("_seconds", "_time")
    return " ".join(METRICS.get(word, word) for word in column.split("_"))


def score(value: float) -> str:
    """An accuracy, R², ROC AUC or F1 with three decimals; an R² far below zero with fewer: `−12.3`, `−4e7`."""
    if missing(value):
        return MISSING
    text = f"{value:.3f}" if abs(value) < 10 else f"{value:.1f}" if abs(value) < 1000 else number(value, 1)
    return "0.000" if text == "-0.000" else text.replace("-", "−", 1)


def mean_and_spread(values: list[float]) -> str:
    """The mean of scores with their standard deviation, of two or more: `0.951 ± 0.006`; of one the score itself."""
    known = [float(value) for value in values if not missing(value) and math.isfinite(value)]
    if len(known) < 2:
        return score(known[0]) if known else MISSING
    return f"{score(mean(known))} ± {score(stdev(known))}"


def signed(value: float, write: Callable[[float], str] = score) -> str:
    """A difference, its sign always shown, of scores or of what `write` writes: `+0.031`, `−0.820`, `0.000`."""
    if missing(value):
        return MISSING
    text = write(abs(value))
    return text if text == write(0.0) else f"{'+' if value > 0 else '−'}{text}"


def deviation(value: float) -> str:
    """A deviation in a table or sentence, always with two digits: `7.1e-15`, `3.0e-3`."""
    if missing(value) or value == 0 or math.isinf(value):
        return number(value)
    mantissa, exponent = f"{value:.1e}".split("e")
    return f"{mantissa}e{int(exponent)}"


def magnitude(value: float) -> str:
    """A deviation or floor in a tile: `7e-15`, `227`, from 1000 on `1e4`; "0" for exactly zero, "∞" for infinity."""
    if missing(value) or math.isinf(value) or value < 999.5:
        return number(value, 1)
    mantissa, exponent = f"{value:.0e}".split("e")
    return f"{mantissa}e{int(exponent)}"


def seconds(value: float) -> str:
    """A duration in the unit that suits it, rounded: `12 s`, `1.5 s`, `76 ms`, `1.9 µs`."""
    if missing(value):
        return MISSING
    for unit, size in (("s", 1.0), ("ms", 1e-3), ("µs", 1e-6)):
        if value >= 0.9995 * size:
            return f"{value / size:.{1 if value < 9.95 * size else 0}f} {unit}"
    return "0 s"


def size(value: float) -> str:
    """A loss or an error in a tile: `0.312`, `12.3`, `1.2e-5`; three significant digits, two beside an exponent."""
    if missing(value):
        return MISSING
    text = number(value, 3)
    return number(value, 2) if "e" in text else text


def whole(value: float) -> str:
    """A count, or a mean of counts: `12`, `12.5`, `1234`."""
    return number(value, 3) if abs(value) < 100 else plain(round(value)) if math.isfinite(value) else number(value)


@dataclass(frozen=True)
class Measure:
    """How a column of trials is written and coloured; `absent` says what is the matter where a trial has no value."""

    name: str
    write: Callable[[float], str]
    colours: str
    logarithmic: bool = False
    absent: str = "no value"

    def write_spread(self, value: float) -> str:
        """A standard deviation or half an interval: of a loss with two digits, which is all that it knows."""
        return number(value, 2) if self.write is size else self.write(value)


def measure(column: str) -> Measure:
    """The measure of a column: a score, a loss or error, a time, a deviation, or a count such as `epochs_run`."""
    name, kind = named(column), column.rpartition("_")[2]
    if kind in ("accuracy", "auc", "f1", "r2"):
        return Measure(name, score, SCORE)
    if kind in ("loss", "mse", "mae"):
        return Measure(name, size, LOWER, logarithmic=True)
    if kind == "seconds":
        return Measure(name, seconds, LOWER, logarithmic=True)
    if kind in ("deviation", "floor"):
        return Measure(name, magnitude, DEVIATION, logarithmic=True)
    if "_epochs_to_" in column:
        return Measure(f"{name} %", whole, LOWER, absent="not reached")
    return Measure(name, whole, LOWER)


def listed(names: list[str]) -> str:
    """`numpy`, `numpy and torch`, `numpy, keras and torch`."""
    return " and ".join(filter(None, [", ".join(names[:-1]), names[-1]])) if names else ""


def count(n: int, noun: str, plural: str | None = None) -> str:
    """`1 trial`, `2 trials`."""
    return f"{n} {noun if n == 1 else plural or noun + 's'}"

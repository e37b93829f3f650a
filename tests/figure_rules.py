"""What every figure of a page should say: `FIGURES`, by the figure's name, from the rows of its store to texts.

The study is `table()`, with the fates `lively` of tests/synthetic.py. A rule gives all texts that have a digit, but for
the ticks of scales, which are whatever `is_scale`.
"""

import math
import re
from collections import Counter

import numpy as np
from sklearn.metrics import roc_auc_score

from tests.reading import artefact, best_cell, comparison
from tests.synthetic import grid

BACKENDS = ("numpy", "sklearn", "torch")
MODES = ("controlled", "native")
AXES = {"learning_rate": ["1e-5", "0.01", "10"], "l2": ["1e-5", "0.01", "10"]}
SEEDS = 3


def table():
    """9 cells, 3 seeds, both modes."""
    return grid(3, 3, SEEDS, backends=BACKENDS, modes=MODES)


def of(rows, mode, backend, position=None):
    mine = rows[(rows["mode"] == mode) & (rows["backend"] == backend)]
    return mine if position is None else mine[mine["position"] == position]


def place(position):
    """A cell as the page writes it."""
    return AXES["learning_rate"][position // 3], AXES["l2"][position % 3]


def marks(cell):
    failed = (cell["status"] != "ok").sum()
    return [f"{failed}/{len(cell)}"] if 0 < failed < len(cell) else []


def heatmap(mode, column):
    def texts(rows):
        for backend in BACKENDS:
            for position in range(9):
                cell = of(rows, mode, backend, position)
                values = cell.loc[cell["status"] == "ok", column]
                if len(values):
                    yield f"{values.mean():.3f}"
                    yield f"±{values.std(ddof=1):.3f}"
                yield from marks(cell)
        yield from axis_texts(3)
        yield f"mean ± standard deviation of {SEEDS} seeds"

    return texts


def axis_texts(panels):
    yield from AXES["learning_rate"]
    for _ in range(panels):
        yield from (*AXES["l2"], "l2")


def one_digit(value):
    mantissa, exponent = f"{value:.0e}".split("e")
    return f"{value:.{-int(exponent)}f}" if int(exponent) >= -2 else f"{mantissa}e{int(exponent)}"


def deviations(rows):
    for backend in BACKENDS:
        for position in range(9):
            cell = of(rows, "controlled", backend, position)
            compared = cell[cell["deviation"].notna()]
            if len(compared):
                differs = compared[compared["verdict"] == "differs"]
                worst = (differs if len(differs) else compared).nlargest(1, "deviation").iloc[0]
                yield one_digit(worst["deviation"])
                if not len(differs) and not marks(cell):
                    yield one_digit(worst["floor"])
            yield from marks(cell)
        counts = of(rows, "controlled", backend)["verdict"].value_counts()
        words = {"differs": "differ", "agrees": "agree", "chaotic": "chaotic", "unchecked": "unchecked"}
        yield ", ".join(f"{counts[verdict]} {word}" for verdict, word in words.items() if verdict in counts)
    yield from axis_texts(3)


def differences(rows):
    for backend in BACKENDS[1:]:
        told = comparison(of(rows, "native", backend), of(rows, "native", "numpy"), "test_accuracy")
        yield from map(signed, told["mean"])
        yield from (f"±{half:.3f}" for half in told["half"].dropna())
        for position in range(9):
            yield from {mark for name in (backend, "numpy") for mark in marks(of(rows, "native", name, position))}
        shown = told[told["p"] < 0.05]
        yield f"{(shown['mean'] > 0).sum()} higher, {(shown['mean'] < 0).sum()} lower of {told['p'].notna().sum()}"
    yield from axis_texts(2)
    yield from (f"mean of {SEEDS} seeds, ± half of its 95 % interval", "p\N{NO-BREAK SPACE}<\N{NO-BREAK SPACE}0.05")


def signed(value):
    text = f"{value:+.3f}".replace("-", "−")
    return "0.000" if text[1:] == "0.000" else text


def controlled_curves(rows):
    """One cell for all backends, the seeds in which all of them finished; their curves are the same to the last bit."""
    ok = rows[(rows["mode"] == "controlled") & (rows["status"] == "ok")]
    position = best_cell(ok)["position"].iloc[0]
    rate, l2 = place(position)
    yield f"learning_rate {rate}, l2 {l2}"
    together = ok[ok["position"] == position].groupby("seed")["backend"].nunique() == len(BACKENDS)
    yield f"standard deviation of {together.sum()} of {SEEDS} seeds"
    yield from ("3 lines lie on one another", "largest distance 0") * 4  # loss and accuracy, training and validation


def two_digits(value):
    mantissa, exponent = f"{value:.1e}".split("e")
    return f"{mantissa}e{int(exponent)}"


def parity_over_epochs(rows):
    """The worst seed at the last epoch, in the same cell as the curves."""
    controlled = rows[rows["mode"] == "controlled"]
    position = best_cell(controlled[controlled["status"] == "ok"])["position"].iloc[0]
    rate, l2 = place(position)
    floors = []
    for backend in BACKENDS:
        trials = of(rows, "controlled", backend, position)["trial_id"]
        found = [artefact(rows.attrs["database"], "parity", trial_id) for trial_id in trials]
        yield f"{backend}: {two_digits(max(each['deviation'][-1] for each in found if each))}"
        floors += [each["floor"][-1] for each in found if each]
    yield f"floor: {two_digits(max(floors))}"
    yield from (f"learning_rate {rate}, l2 {l2}", f"the worst of {SEEDS} seeds")
    yield from ("agrees up to 100 floors,", "at least 1e-12")


def native_curves(rows):
    """Of tests/synthetic.py only sklearn logs any."""
    rate, l2 = place(best_cell(of(rows, "native", "sklearn"))["position"].iloc[0])
    yield f"sklearn: learning_rate {rate}, l2 {l2}"
    yield f"standard deviation of {SEEDS} seeds"


def model(rows, mode, backend):
    """The trial whose network is shown: the first seed of the backend's best cell."""
    best = best_cell(of(rows, mode, backend))
    return best.sort_values("seed").iloc[0]


def where(rows, mode, backends=BACKENDS):
    for backend in backends:
        rate, l2 = place(model(rows, mode, backend)["position"])
        yield f"learning_rate {rate}, l2 {l2}"
    yield "seed 0"


def artefact_of(rows, mode, backend="numpy", kind="predictions"):
    return artefact(rows.attrs["database"], kind, model(rows, mode, backend)["trial_id"])


def confusion(mode):
    def texts(rows):
        for backend in BACKENDS:
            matrix = artefact_of(rows, mode, backend, "confusion")["test"]
            yield from map(str, range(10))
            for line in matrix:
                for n in line[line > 0]:
                    yield from (str(n), f"{100 * n / line.sum():.0f} %")
            yield f"n = {matrix.sum()}, accuracy {np.trace(matrix) / matrix.sum():.3f}"
        yield from map(str, range(10))
        yield from where(rows, mode)

    return texts


def roc(mode):
    def texts(rows):
        for backend in BACKENDS:
            found = artefact_of(rows, mode, backend)
            areas = [roc_auc_score(found["targets"] == k, softmax(found["logits"])[:, k]) for k in range(10)]
            yield f"AUC {np.mean(areas):.3f}"
            yield from (f"{k}  {area:.3f}" for k, area in enumerate(areas))
            yield "chance  0.500"
        yield from where(rows, mode)
        yield f"{len(found['targets'])} test rows"

    return texts


def softmax(logits):
    e = np.exp(logits - logits.max(axis=1, keepdims=True))
    return e / e.sum(axis=1, keepdims=True)


def pictures(which):
    def texts(rows):
        found = artefact_of(rows, "controlled")
        answers = found["logits"].argmax(axis=1)
        for row in found[f"{which}_rows"]:
            (i,) = np.flatnonzero(found["rows"] == row)
            yield from (f"true {found['targets'][i]}", f"predicted {answers[i]}")
        n = len(found[f"{which}_rows"])
        yield from ([f"All {n} misclassified"] if which == "misclassified" else ["The first 25 test rows"])
        yield from where(rows, "controlled", ["numpy"])
        yield from (f"n = {len(answers)}", "8 x 8 pixels, 0 white to 16 black")

    return texts


FIGURES = {
    **{f"{mode}-{split}": heatmap(mode, f"{split}_accuracy") for mode in MODES for split in ("train", "test")},
    "native-difference": differences,
    "controlled-deviation": deviations,
    **{f"{mode}-{name}": rule(mode) for mode in MODES for name, rule in (("confusion", confusion), ("roc", roc))},
    "controlled-curves": controlled_curves,
    "controlled-parity": parity_over_epochs,
    "native-curves": native_curves,
    "controlled-misclassified": pictures("misclassified"),
    "controlled-samples": pictures("sample"),
}


def is_scale(texts):
    """Whether texts, in their order, are the ticks of axes: numbers in equal steps, or by equal factors, 3 at least."""
    try:
        numbers = [float(text.replace("−", "-").replace(" %", "")) for text in texts]
    except ValueError:
        return False
    while numbers:
        length = max((n for n in range(3, len(numbers) + 1) if _even(numbers[:n])), default=0)
        if not length:
            return False
        numbers = numbers[length:]
    return True


def _even(numbers):
    steps = np.diff(numbers)
    positive = min(numbers) > 0
    factors = np.diff(np.log(numbers)) if positive else np.array([math.nan])
    return bool(np.allclose(steps, steps[0]) and steps[0] > 0) or bool(np.allclose(factors, factors[0]))


def left(texts, expected):
    """The texts with a digit that are neither expected nor hold only what is, in their order; and what is missing."""
    remaining = Counter(expected)
    rest = []
    for text in texts:
        if remaining[text]:
            remaining[text] -= 1
        else:
            rest.append(text)
    for phrase in [phrase for phrase, n in remaining.items() if n]:
        holders = [i for i, text in enumerate(rest) if re.search(r"\s", phrase) and phrase in text]
        for i in holders:  # a phrase of a longer line
            rest[i] = rest[i].replace(phrase, "")
        if holders:
            remaining[phrase] = 0
    return [text for text in rest if re.search(r"\d", text)], +remaining

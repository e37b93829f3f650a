"""The picture of docs/architecture.md: `python -m docs.architecture_picture` writes docs/architecture.svg.

Lines and words are of one colour that is legible on a light and on a dark page; boxes have none inside.
"""

from pathlib import Path

import matplotlib.pyplot as plt
from matplotlib.axes import Axes
from matplotlib.patches import FancyBboxPatch

INK, ACCENT, SOFT = "#7a828e", "#d2691e", "#3b82c4"  # contrast of 3.5 and more on white and on Material's slate


def main() -> None:
    """Draw the data flow: what each box is, and in which package it lives."""
    plt.rcParams |= {"svg.fonttype": "path", "svg.hashsalt": "architecture", "font.size": 10.5}
    figure, axes = plt.subplots(figsize=(13.5, 6.8))
    axes.set(xlim=(0, 110), ylim=(-1, 56))
    axes.axis("off")
    row = [("experiment.toml", "experiments/"), ("Experiment", "checked, frozen"), ("plan", "Trials in Cohorts")]
    row += [("executor", "a process pool"), ("store", "one row a trial"), ("reports", "tables and figures")]
    for index, (name, under) in enumerate(row):
        _box(axes, 0.5 + 18.6 * index, 40, 15.5, name, under, SOFT if name in ("store", "reports") else INK)
    for index in range(len(row) - 1):
        _arrow(axes, (16.2 + 18.6 * index, 45), (18.9 + 18.6 * index, 45))
    _worker(axes)
    _arrow(axes, (60.5, 39.8), (57, 31.2))
    axes.text(57.5, 35.2, "a chunk of trials", ha="right", va="center", color=INK)
    _arrow(axes, (77, 31.2), (80.5, 39.8))
    axes.text(80.5, 35.2, "Result rows, artefacts", ha="left", va="center", color=INK)
    figure.savefig(
        Path(__file__).with_name("architecture.svg"), transparent=True, bbox_inches="tight", metadata={"Date": None}
    )


def _worker(axes: Axes) -> None:
    """The process of one backend: what the harness draws, the contract, and what comes back."""
    axes.add_patch(
        FancyBboxPatch((7, 0), 96, 31, boxstyle="round,pad=0,rounding_size=1.2", fill=False, ec=INK, ls="--")
    )
    axes.text(
        9,
        28.4,
        "workers: one process a backend, which imports one framework, and one for the reference",
        color=INK,
        va="center",
        weight="bold",
    )
    _box(axes, 9, 13.5, 22, "data, start, batches", "drawn once, for all", INK)
    _box(axes, 44, 13.5, 22, "Trainer", "backends/NAME.py", ACCENT)
    _box(axes, 79, 13.5, 22, "logits, weights, times", "metrics and deviation", INK)
    _arrow(axes, (31.4, 18.5), (43.6, 18.5))
    _arrow(axes, (66.4, 18.5), (78.6, 18.5))
    axes.text(37.5, 20, "the contract", ha="center", color=ACCENT)
    axes.text(72.5, 20, "the contract", ha="center", color=ACCENT)
    _box(axes, 44, 1.5, 22, "reference", "plain NumPy, and its floor", INK)
    axes.plot([20, 20, 43.6], [13.1, 6.5, 6.5], color=INK, lw=1.4)
    axes.plot([66.5, 90], [6.5, 6.5], color=INK, lw=1.4)
    _arrow(axes, (90, 6.4), (90, 13.1))
    axes.text(78, 4.2, "judged by", ha="center", color=INK)


def _box(axes: Axes, x: float, y: float, width: float, name: str, under: str, colour: str) -> None:
    """A rounded box 10 high, with a name and a line below it."""
    shape = FancyBboxPatch((x, y), width, 10, boxstyle="round,pad=0,rounding_size=1.2", fill=False, ec=colour, lw=1.8)
    axes.add_patch(shape)
    axes.text(x + width / 2, y + 6.2, name, ha="center", va="center", weight="bold", color=colour)
    axes.text(x + width / 2, y + 2.8, under, ha="center", va="center", color=colour, size=9)


def _arrow(axes: Axes, start: tuple[float, float], end: tuple[float, float]) -> None:
    axes.annotate(
        "", xy=end, xytext=start, arrowprops={"arrowstyle": "-|>", "color": INK, "lw": 1.4, "shrinkA": 0, "shrinkB": 0}
    )


if __name__ == "__main__":
    main()

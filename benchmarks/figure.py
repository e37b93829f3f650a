"""The picture of the ratios: a bar a comparison with its interval, and a mark where it has to reach."""

from pathlib import Path
from typing import Any

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt

from benchmarks.contenders import COMPARISONS, NAMES
from benchmarks.rounds import ratios
from harness.registry import colours
from reports.style import ALARM, INK, MUTED, RC

DTYPES = ("float32", "float64")
TICKS = (1, 2, 5, 10, 20, 50, 100)


def draw(timings: list[dict[str, Any]], path: Path) -> None:
    """Ratios of both dtypes side by side, on a log axis; to the right of 1 ours is faster."""
    rows = COMPARISONS[::-1]
    with matplotlib.rc_context(RC):
        figure, axes = plt.subplots(1, 2, figsize=(11, 0.42 * len(rows) + 1.5), sharey=True, layout="constrained")
        for k, (axis, dtype) in enumerate(zip(axes, DTYPES, strict=True)):
            found = ratios(timings, dtype)
            for y, row in enumerate(rows):
                text = "not timed"
                if row in found:
                    ratio = found[row]
                    text = f"{ratio.median:.3g}"
                    colour = colours()[row.ours.removesuffix("-manual")]
                    axis.barh(y, ratio.median - 1, left=1, height=0.56, color=colour, alpha=0.85)
                    axis.plot([ratio.low, ratio.high], [y, y], color=INK, linewidth=1.2, solid_capstyle="butt")
                axis.text(0.99, y, text, va="center", ha="right", fontsize=8.5, transform=axis.get_yaxis_transform())
                if row.bars is not None:
                    bar = row.bars[k]
                    axis.plot([bar, bar], [y - 0.4, y + 0.4], color=ALARM, linewidth=2)
            axis.set_xscale("log")
            axis.set_xlim(0.6, 300)
            axis.set_xticks(TICKS, [f"{tick:g}×" for tick in TICKS])
            axis.minorticks_off()
            axis.axvline(1, color=MUTED, linewidth=1)
            axis.grid(axis="y", visible=False)
            axis.set_title(dtype, loc="left", fontsize=10, color=INK)
        axes[0].set_yticks(range(len(rows)), [f"{row.ours} against {_plain(row.theirs)}" for row in rows])
        figure.supxlabel(
            "times as fast as what it stands against; dark line: interval of the ratio; red mark: to be reached",
            fontsize=9,
            color=MUTED,
        )
        figure.savefig(path, dpi=160)
        plt.close(figure)


def _plain(name: str) -> str:
    return NAMES[name].replace("`", "")

"""The report of a benchmark: tables of ratios, and a page that has the protocol beside them.

A *summary* is a table with one row for each backend, case and phase: the columns `mode, threads, dtype, width, depth,
batch_size, rows, backend, phase, status, reason, parity, n, median, low, high` (seconds), `ratio, ratio_low,
ratio_high, verdict` against the *base*, `speed` and `peak` (1e9 operations a second).
"""

from collections.abc import Callable, Iterator, Mapping, Sequence

import pandas as pd
from matplotlib.figure import Figure

from reports import style
from reports.figures.speed import ratio_heatmaps, scaling_curves

SIZES = ("width", "depth", "batch_size", "rows")
PHASES = {
    "import": "import",
    "build": "build",
    "first_step": "first step",
    "epoch": "epoch",
    "predict": "prediction",
}
WORDS = {"size": "width × depth, batch, rows", "not_installed": "not installed"}

PROTOCOL = (
    "**Parity first.** In mode controlled each backend trains a few steps of each case, the shorter last batch among "
    "them, and must agree with the reference to rounding (100 floors); otherwise it gets no timing there. Mode native "
    "has each framework's own start and batches, so there is nothing to compare.",
    "**One backend a process**, its threads fixed in the environment before anything is imported, the data and the "
    "batches in memory before the clock runs, denormal numbers flushed to 0 for all.",
    "**In turn, in random order.** A repeat has up to 20 rounds; in each of them every backend runs for a few "
    "milliseconds (as many epochs as every other), in an order drawn anew. A slice in which the kernel gave the "
    "processor to somebody else is run again. The repeat's timing is the median of its slices, each divided by the "
    "pace of its round, which all backends share; the first repeat is not counted. Each repeat has a new network at "
    "another place in memory, and begins its slices on the same core for all. A slice ends with the weights on the "
    "host: the device is done.",
    "**Apart, never summed.** *Import*: the adapter's module and with it the framework, in a fresh process, from a "
    "warm disk cache. *Build*: the network with given weights. *First step*: `train` on one batch, with whatever is "
    "traced, compiled or set up. *Epoch*: what every further one takes. *Prediction*: the logits of all rows. In "
    "mode native a `fit` builds the network itself, so its first step is a whole fit to one batch, and an epoch is the "
    "difference of a long and a short fit.",
    "**Medians with intervals.** {repeats} repeats; the interval is between two order statistics and holds the true "
    "median with at least 95 % ({confidence}). Ratios are formed within a repeat; where their interval includes 1 the "
    "table says “no difference”.",
)


def tables(summary: pd.DataFrame, base: str, busy: str = "") -> str:
    """The ratios of an epoch's time to the base, a table for each mode and number of threads, as plain text.

    `busy` is what was wrong with the machine, which then stands above each table.
    """
    parts = []
    for mode, threads, group in _groups(summary):
        lines = _epoch_table(group, base)
        widths = [max(len(line[i]) for line in lines) for i in range(len(lines[0]))]
        parts.append(f"{_heading(mode, threads)}: time of an epoch, {base} = 1" + (f" ({busy})" if busy else ""))
        parts += ["  ".join(cell.ljust(w) for cell, w in zip(line, widths, strict=True)).rstrip() for line in lines]
        parts.append("")
    return "\n".join([*parts, *_failures(summary)]).rstrip()


def page(
    summary: pd.DataFrame,
    base: str,
    repeats: int,
    made_on: dict[str, str],
    versions: dict[str, str],
    drawn: Sequence[str],
    busy: str = "",
) -> str:
    """Everything as Markdown: the pictures by their file names, the tables, the protocol, the machine.

    `busy` is what was wrong with the machine: it stands at the top, and above each table.
    """
    parts = ["# How fast each backend trains", "", *_findings(summary, base), ""]
    if busy:
        parts += [f"**When this was begun, {busy}. Timings spread, and small differences are the machine's.**", ""]
    parts += [f"![{name.removesuffix('.png')}]({name})\n" for name in drawn]
    for mode, threads, group in _groups(summary):
        marked = f" ({busy})" if busy else ""
        parts += [f"## {_heading(mode, threads).capitalize()}", "", f"Time of an epoch, {base} = 1{marked}:", ""]
        parts += _markdown(_epoch_table(group, base))
        for phase, title in PHASES.items():
            if (group["phase"] == phase).any():
                parts += [
                    "",
                    f"{title.capitalize()}, median and interval:",
                    "",
                    *_markdown(_seconds_table(group, phase)),
                ]
        parts.append("")
    imports = summary[summary["phase"] == "import"]
    if len(imports):
        parts += ["## Import", "", *_markdown(_import_table(imports)), ""]
    failures = _failures(summary)
    if failures:
        parts += ["## What has no timing", "", *(f"- {line}" for line in failures), ""]
    confidence = style.listed(sorted({f"{n}: {100 * value:.1f} %" for n, value in _confidences(summary)}))
    told = (line.format(repeats=repeats, confidence=confidence) for line in PROTOCOL)
    parts += ["## The protocol", "", *(f"- {line}" for line in told), ""]
    facts = {**made_on, **{name: version for name, version in versions.items() if version}}
    parts += ["## Made on", "", *_markdown([["what", "which"], *([key, value] for key, value in facts.items())]), ""]
    return "\n".join(parts)


def pictures(summary: pd.DataFrame, base: str, display: Mapping[str, str]) -> dict[str, Figure]:
    """File name -> figure; none where no epoch was timed. `display`: see `reports.study.Study`."""
    if not (summary["phase"] == "epoch").any():
        return {}
    return {"speed.png": ratio_heatmaps(summary, base), "scaling.png": scaling_curves(summary, display)}


def _groups(summary: pd.DataFrame) -> Iterator[tuple[str, int, pd.DataFrame]]:
    """The rows of each mode and number of threads; those of imports belong to none."""
    trained = summary[summary["phase"] != "import"]
    trained = trained[trained["mode"] != ""]
    for (mode, threads), group in trained.groupby(["mode", "threads"], sort=False):
        yield mode, threads, group


def _heading(mode: str, threads: int) -> str:
    return f"mode {mode}, {style.count(threads, 'thread')}"


def _findings(summary: pd.DataFrame, base: str) -> list[str]:
    """A sentence for each mode and number of threads."""
    found = []
    for mode, threads, group in _groups(summary):
        verdicts = group.loc[group["phase"] == "epoch", "verdict"].value_counts()
        words = {"faster": f"faster than {base}", "slower": f"slower than {base}", "no difference": "no difference"}
        counted = [f"{verdicts[word]} {text}" for word, text in words.items() if word in verdicts]
        if counted:
            found.append(
                f"{_heading(mode, threads).capitalize()}: {style.count(int(verdicts.sum()), 'comparison')} of an "
                f"epoch's time: {style.listed(counted)}."
            )
    return found


def _epoch_table(group: pd.DataFrame, base: str) -> list[list[str]]:
    """A line a case, a column a backend: `3.1 (2.9 to 3.4)`, `1.02, no difference`, or why there is none."""

    def ratio(row: pd.Series) -> str:
        if row["backend"] == base:
            return style.seconds(row["median"])
        if style.missing(row["ratio"]):
            return f"{style.seconds(row['median'])}, no {base}"
        median, low, high = (times(row[key]) for key in ("ratio", "ratio_low", "ratio_high"))
        return f"{median}, no difference" if row["verdict"] == "no difference" else f"{median} ({low} to {high})"

    return _case_table(group, "epoch", ratio)


def _seconds_table(group: pd.DataFrame, phase: str) -> list[list[str]]:
    return _case_table(group, phase, _interval)


def _interval(row: pd.Series) -> str:
    low, high = style.seconds(row["low"]), style.seconds(row["high"])
    if low.split()[-1] == high.split()[-1]:
        low = low.split()[0]
    return f"{style.seconds(row['median'])} ({low} to {high})"


def _case_table(group: pd.DataFrame, phase: str, cell: Callable[[pd.Series], str]) -> list[list[str]]:
    backends = list(dict.fromkeys(group["backend"]))
    sizes = group[list(SIZES)].dropna().drop_duplicates()
    lines = [[WORDS["size"], *backends]]
    for case in sizes.itertuples(index=False):
        line = [f"{case.width} × {case.depth}, {case.batch_size}, {case.rows}"]
        for backend in backends:
            row = entry(group, backend, tuple(case), phase)
            line.append(style.MISSING if row is None else cell(row) if row["status"] == "ok" else word(row["status"]))
        lines.append(line)
    return lines


def entry(group: pd.DataFrame, backend: str, case: tuple[int, ...], phase: str) -> pd.Series | None:
    """The row of one backend, case and phase, or that which says why there is none."""
    mine = group[group["backend"] == backend]
    here = (mine[list(SIZES)] == list(case)).all(axis=1) | mine["width"].isna()
    found = mine[here & ((mine["phase"] == phase) | (mine["status"] != "ok"))]
    return found.iloc[0] if len(found) else None


def word(status: str) -> str:
    """A status for people."""
    return WORDS.get(status, status)


def times(ratio: float) -> str:
    """A ratio with three digits: `0.0512`, `1.02`, `33.1`, `250`."""
    return f"{ratio:.0f}" if ratio >= 99.95 else f"{ratio:#.3g}"


def _import_table(imports: pd.DataFrame) -> list[list[str]]:
    return [
        ["backend", "median (interval)"],
        *(
            [row["backend"], _interval(row) if row["status"] == "ok" else word(row["status"])]
            for _, row in imports.iterrows()
        ),
    ]


def _failures(summary: pd.DataFrame) -> list[str]:
    """`torch, 512 × 1, 128, 1000: differs: after a few steps: …`; a reason that holds for several cases stands once."""
    lost = summary[summary["status"] != "ok"]
    found = []
    for (backend, status, reason), group in lost.groupby(["backend", "status", "reason"], sort=False):
        cases = group[["mode", "threads", *SIZES]].drop_duplicates()
        where = "" if group["width"].isna().all() else f" ({style.count(len(cases), 'case')})"
        found.append(f"{backend}{where}: {word(status)}: {reason}")
    return found


def _confidences(summary: pd.DataFrame) -> set[tuple[int, float]]:
    found = summary.dropna(subset=["n"])
    return {(int(row.n), float(row.confidence)) for row in found.itertuples()}


def _markdown(lines: list[list[str]]) -> list[str]:
    head, *body = lines
    cells = [head, ["---"] * len(head), *body]
    return ["| " + " | ".join(str(cell).replace("|", "\\|") for cell in line) + " |" for line in cells]

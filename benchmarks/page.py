"""`docs/benchmarks.md`, from the timings that are stored: nothing is on the page that is not in the file."""

from pathlib import Path
from typing import Any

from jinja2 import Environment, StrictUndefined

from benchmarks.contenders import COLD_BARS, COMPARISONS, NAMES, Comparison
from benchmarks.figure import DTYPES, draw
from benchmarks.floor import LAYERS, ROWS, floor_ms, operations
from benchmarks.rounds import ratio_of, series
from harness.timing.intervals import median_interval, paired_ratio

HERE = Path(__file__).parent
TEMPLATE = HERE / "page.md.j2"
FLOOR_BARS = (0.30, None)
MEMBERS_BAR = 1.25


def write(found: dict[str, Any], docs: Path) -> None:
    """The page and its figure, into a folder."""
    (docs / "benchmarks.md").write_text(render(found))
    draw(found["timings"], docs / "benchmarks.png")


def render(found: dict[str, Any]) -> str:
    """The page as Markdown."""
    environment = Environment(
        undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True, keep_trailing_newline=True
    )
    products, exponentials = operations(LAYERS, ROWS)
    return environment.from_string(TEMPLATE.read_text()).render(
        found=found,
        ratios=comparison_table(found),
        cold=cold_table(found),
        times=times_table(found),
        verified=verified_table(found),
        floor=floor_table(found),
        members=members_table(found),
        ceiling=ceiling_table(found),
        products=f"{products / 1e6:.1f}",
        exponentials=f"{exponentials / 1e3:.0f}",
    )


def table(header: list[str], rows: list[list[str]], words: int = 1) -> str:
    """A Markdown table, numbers to the right of the first columns, which are `words`."""
    if not rows:
        return "Not measured yet."
    rule = ["---"] * words + ["---:"] * (len(header) - words)
    return "\n".join("| " + " | ".join(cells) + " |" for cells in (header, rule, *rows))


def reached(value: float | None, bar: float | None) -> str:
    """The bar, and whether it is reached, where there is a value."""
    mark = "" if value is None or bar is None else " ✓" if value >= bar else " ✗"
    return "–" if bar is None else f"{bar:g}{mark}"


def comparison_table(found: dict[str, Any]) -> str:
    """A row a comparison: in each dtype the median of the paired ratios, its interval, and the bar."""
    rows = []
    for row in COMPARISONS:
        cells = [f"`{row.ours}`", NAMES[row.theirs]]
        for k, dtype in enumerate(DTYPES):
            ratio = ratio_of(found["timings"], dtype, row)
            bar = None if row.bars is None else row.bars[k]
            if ratio is None:
                cells += [reason_of(found, dtype, row), reached(None, bar)]
            else:
                cells += [f"**{ratio.median:.3g}** ({ratio.low:.3g} to {ratio.high:.3g})", reached(ratio.median, bar)]
        rows.append(cells)
    return table(["sweep", "against", "float32", "bar", "float64", "bar"], rows, words=2)


def reason_of(found: dict[str, Any], dtype: str, row: Comparison) -> str:
    """Why one of the two was not timed."""
    absent = [one for one in found["absent"] if one["dtype"] == dtype and one["contender"] in (row.ours, row.theirs)]
    return "; ".join(one["reason"] for one in absent) or "not timed"


def times_table(found: dict[str, Any]) -> str:
    """Milliseconds a trial-epoch of every contender, and what is reported apart."""
    rows = []
    births = {(row["dtype"], row["contender"]): row for row in found["births"]}
    for name in dict.fromkeys(row["contender"] for row in found["births"]):
        cells = [NAMES.get(name, f"`{name}`, ours")]
        for dtype in DTYPES:
            own = series(found["timings"], dtype, name)
            if not own:
                cells += ["–"] * 4
                continue
            last = [row for row in found["timings"] if (row["dtype"], row["contender"]) == (dtype, name)][-1]
            born = births[dtype, name]
            cells.append(f"{median_interval(own).median:.3g}")
            cells += ["–" if last[key] is None else f"{last[key]:.2g}" for key in ("build", "predict")]
            cells.append(f"{born['import']:.1f} + {born['first']:.1f}")
        rows.append(cells)
    each = ["ms a trial-epoch", "build, ms a trial", "predict, ms a trial", "import + first run, s"]
    return table(["", *[f"{dtype}: {text}" for dtype in DTYPES for text in each]], rows)


def cold_table(found: dict[str, Any]) -> str:
    """Wall time of all five against the five loops; medians where it was done more than once."""
    rows = []
    for k, dtype in enumerate(DTYPES):
        runs = [run for run in found["cold"] if run["dtype"] == dtype]
        if not runs:
            continue
        ours = sorted(run["ours"] for run in runs)[len(runs) // 2]
        ratio = sorted(sum(run["loops"].values()) / run["ours"] for run in runs)[len(runs) // 2]
        loops = {name: sorted(run["loops"][name] for run in runs)[len(runs) // 2] for name in runs[0]["loops"]}
        cells = [dtype, f"{ours:.1f} s", f"{sum(loops.values()):.0f} s", *[f"{loop:.1f}" for loop in loops.values()]]
        rows.append([*cells, str(len(runs)), f"**{ratio:.3g}**", reached(ratio, COLD_BARS[k])])
    names = [name.replace("_", " ") for name in (found["cold"][0]["loops"] if found["cold"] else ())]
    return table(["", "`harness run`", "five loops", *names, "runs", "ratio", "bar"], rows)


def verified_table(found: dict[str, Any]) -> str:
    """Verdicts of the same cells with `parity = "all"`, and what that costs."""
    rows = []
    for run in found["verified"]:
        cold = [other["ours"] for other in found["cold"] if other["dtype"] == run["dtype"]]
        for name, own in run["backends"].items():
            verdicts = ", ".join(f"{count} {verdict}" for verdict, count in own["verdicts"].items())
            rows.append([f"`{name}`", run["dtype"], verdicts, f"{own['deviation']:.1e}", f"{run['floor']:.1e}", "", ""])
        if cold:
            rows[-1][-2:] = f"{run['seconds']:.1f} s", f"{sorted(cold)[len(cold) // 2]:.1f} s"
    header = ["", "", "verdicts", "largest deviation", "largest floor", "wall, parity all", "wall, none, five backends"]
    return table(header, rows, words=3)


def floor_table(found: dict[str, Any]) -> str:
    """The peaks, the floor that they give, and the fraction of it that is reached."""
    rows = []
    for k, dtype in enumerate(DTYPES):
        for peak in (peak for peak in found["floor"] if peak["dtype"] == dtype):
            floor = floor_ms(LAYERS, ROWS, peak["flops"], peak["exponentials"])
            cells = [dtype, f"{peak['flops'] / 1e9:.0f}", f"{peak['exponentials'] / 1e9:.2f}", f"{floor:.2f}"]
            shares = []
            for name in ("numpy", "torch", "torch-manual"):
                own = series(found["timings"], dtype, name)
                shares.append(floor / median_interval(own).median if own else 0.0)
            cells += [f"{share:.0%}" if share else "–" for share in shares]
            bar = FLOOR_BARS[k]
            rows.append([*cells, "–" if bar is None else f"{bar:.0%} {'✓' if max(shares) >= bar else '✗'}"])
    header = ["", "GEMM, GFLOP/s", "exponentials, 10⁹/s", "floor, ms", "`numpy`", "`torch`", "`torch-manual`", "bar"]
    return table(header, rows)


def ceiling_table(found: dict[str, Any]) -> str:
    """How many times as fast as each loop a sweep would be that took no more than the floor, on one thread."""
    floors = {peak["dtype"]: floor_ms(LAYERS, ROWS, peak["flops"], peak["exponentials"]) for peak in found["floor"]}
    rows = []
    for row in COMPARISONS:
        cells = [NAMES[row.theirs]]
        for k, dtype in enumerate(DTYPES):
            own = series(found["timings"], dtype, row.theirs)
            known = own and dtype in floors
            cells.append(f"{median_interval(own).median / floors[dtype]:.3g}" if known else "–")
            cells.append("–" if row.bars is None else f"{row.bars[k]:g} by `{row.ours}`")
        rows.append(cells)
    return table(["loop", "float32, at most", "asked for", "float64, at most", "asked for"], rows)


def members_table(found: dict[str, Any]) -> str:
    """Costs a trial against a calm stack of the same backend, paired within rounds."""
    rows = []
    for run in found["members"]:
        cells = [f"`{run['backend']}`", run["dtype"]]
        pairs = [("4,000 members", "49 members")]
        pairs += [
            (case, "one member is sound") for case in run["cases"] if case.startswith("one") and "sound" not in case
        ]
        for case, calm in pairs:
            ratio = paired_ratio(run["cases"][case], run["cases"][calm])
            text = f"{ratio.median:.2f} ({ratio.low:.2f} to {ratio.high:.2f})"
            cells.append(text + (f" {'✓' if ratio.median <= MEMBERS_BAR else '✗'}" if calm == "49 members" else ""))
        rows.append(cells)
    return table(["", "", "4,000 against 49", "one diverges", "one decays", "one is denormal"], rows, words=2)

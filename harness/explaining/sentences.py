"""An explanation in words: what differs by how much, what makes it, what would close it; in units of the metric."""

import math
from collections.abc import Sequence

import numpy as np

from harness.conventions.table import CONVENTIONS
from harness.experiment.axes import describe_cell
from harness.explaining.findings import REST, ExplainedCell, Findings, Share, shown
from harness.explaining.shares import Gap

WIDTH = 100


def tell(explanation: ExplainedCell) -> str:
    """All that is said of one cell, line by line; inside the noise that alone."""
    lines = [_headline(explanation)]
    if explanation.gap is None:
        return "\n".join([*lines, *_no_numbers(explanation)])
    lines.append(_gap_sentence(explanation))
    if explanation.gap.differs:
        lines += _reasons(explanation)
    lines += _printed(explanation)
    return "\n".join(lines)


def _headline(explanation: ExplainedCell) -> str:
    cell = describe_cell(explanation.cell)
    where = f"{explanation.experiment}, {cell}" if cell else explanation.experiment
    return f"{where}: {explanation.a} against {explanation.b}" + (
        f" ({explanation.chosen})" if explanation.chosen else ""
    )


def _no_numbers(explanation: ExplainedCell) -> list[str]:
    return ["There is no gap in numbers: a training without a finite loss has none.", *explanation.faults]


def _gap_sentence(explanation: ExplainedCell) -> str:
    found = explanation.gap
    assert found is not None
    n = amount(found)
    mean_a, mean_b = (n(float(np.mean(values)), sign=False) for values in explanation.losses)
    interval = f"95 % interval {n(found.low)} to {n(found.high)}, {found.n} seeds"
    if not found.differs:
        return (
            f"Inside the noise: {explanation.metric} {mean_a} and {mean_b}, a difference of {n(found.mean)} "
            f"({interval}). There is nothing to explain."
        )
    higher = "higher" if found.mean > 0 else "lower"
    score = explanation.score_gap
    beside = ""
    if score is not None:
        values = " against ".join(f"{np.mean(explanation.scores[side]):.3f}" for side in (1, 0))
        beside = f"; {explanation.score} {values} ({score.mean:+.3f})"
    return (
        f"{explanation.b} ends with a {higher} {explanation.metric} than {explanation.a}: {mean_b} against {mean_a}, "
        f"a gap of {n(found.mean)} ({interval}){beside}."
    )


def _reasons(explanation: ExplainedCell) -> list[str]:
    gap, found = explanation.gap, explanation.findings
    assert gap is not None
    n = amount(gap)
    if found is None:
        return ["No shares can be taken:", *explanation.faults]
    if not found.switches:
        return ["The two follow the same conventions in this table: all of the gap is unexplained."]
    lines = [sentence(explanation.a, explanation.b, found, n)]
    if found.closing is not None:
        names = listed(_closing(found))
        lines.append(f"To close the gap it takes {names}: switched in {explanation.a}, {n(found.left or 0.0)} is left.")
    lines.append(_remainder(found.remainder, n))
    lines += [
        f"Not in the table, so never switched, and left in the remainder: {CONVENTIONS[name].title} of {side}, {says}."
        for side, own in explanation.untold.items()
        for name, says in own.items()
    ]
    return lines


def _closing(found: Findings) -> list[str]:
    """The players of the smallest set in words; without shares, its conventions."""
    closing = set(found.closing or ())
    players = [
        share.title + " (within its error)" * (abs(share.mean) < 2 * share.error)
        for share in found.shares
        if set(share.names) <= closing
    ]
    return players or [_title(found, name) for name in found.closing or ()]


def _title(found: Findings, name: str) -> str:
    return next(switch.title for switch in found.switches if switch.name == name)


def _remainder(remainder: Gap, n: "Amount") -> str:
    if remainder.mean == 0 and remainder.half_width == 0:
        return "Unexplained remainder: none, since both were measured by the replay itself."
    verdict = "not explained by this table" if remainder.differs else "inside the noise of the measurement"
    interval = f"95 % interval {n(remainder.low)} to {n(remainder.high)}"
    return f"Unexplained remainder (measured gap less the replay's): {n(remainder.mean)} ({interval}), {verdict}."


def sentence(a: str, b: str, found: Findings, n: "Amount") -> str:
    """What makes the gap, in one sentence: a single convention, some that cancel, or some that add up."""
    if found.diverging:
        names = listed([_title(found, name) for name in found.diverging])
        return (
            f"Between the two lie mixes of their conventions that diverge, so there are no shares; what makes a "
            f"training diverge, or saves it, is {names}."
        )
    if not found.replayed.differs:
        interval = f"{n(found.replayed.mean)}, 95 % interval {n(found.replayed.low)} to {n(found.replayed.high)}"
        if found.remainder.differs:
            return f"The replay of these conventions shows no such gap ({interval}): they do not account for it."
        return f"With these seeds the replay cannot tell its gap from 0 ({interval}), so its shares say little."
    shares = sorted(found.shares, key=lambda share: -abs(share.mean))
    first, others = shares[0], shares[1:]
    partner = _cancelling(shares, found.replayed.mean)
    if partner is not None:
        pair = f"{_named(first, n)} and {_named(partner, n)} nearly cancel"
        rest = [share for share in others if share is not partner and _counts(share, found.replayed.mean)]
        sum_of_rest = (
            "beside them nothing counts" if not rest else f"the rest is {listed([_named(s, n) for s in rest])}"
        )
        return _capital(f"{pair}; {sum_of_rest}.")
    counting = [share for share in others if _counts(share, found.replayed.mean)]
    if not counting:
        return _capital(f"{_named(first, n)} makes it{_values(first, a, b, found)}.")
    tail = listed([_named(share, n) for share in counting])
    if abs(first.mean) >= 2 * sum(abs(share.mean) for share in counting):
        much = "more than all" if abs(first.mean) > abs(found.replayed.mean) else "most"
        return _capital(f"{_named(first, n)} makes {much} of it{_values(first, a, b, found)}; beside it {tail}.")
    return _capital(f"{listed([_named(first, n), *(_named(s, n) for s in counting)])} make it together.")


def _cancelling(shares: Sequence[Share], gap: float) -> Share | None:
    """The share that the largest one nearly cancels with: together they leave less than half of the smaller one.

    Both are larger than the gap by half at least; else there is nothing surprising about them.
    """
    first = shares[0]
    for other in shares[1:]:
        together = abs(first.mean + other.mean)
        if first.mean * other.mean < 0 and together < abs(other.mean) / 2 and abs(other.mean) > 1.5 * abs(gap):
            return other
    return None


def _counts(share: Share, gap: float) -> bool:
    """Whether a share is worth a word: 5 hundredths of the gap, and twice its own standard error."""
    return abs(share.mean) > max(0.05 * abs(gap), 2 * share.error)


def _named(share: Share, n: "Amount") -> str:
    return f"{share.title} ({n(share.mean)})"


def _values(share: Share, a: str, b: str, found: Findings) -> str:
    """`: sklearn has 0.9, keras 0`, for a share of one convention."""
    if share.title == REST or len(share.names) != 1:
        return ""
    switch = next(switch for switch in found.switches if switch.name == share.names[0])
    has = [CONVENTIONS[switch.name].formula(value) for value in (switch.a_value, switch.b_value)]
    if has[0] == has[1]:
        has = [shown(switch.a_value), shown(switch.b_value)]
    return f": {a} has {has[0]}, {b} has {has[1]}"


def _printed(explanation: ExplainedCell) -> list[str]:
    """Metrics that the two codes take differently."""
    lines = []
    for metric, (mean_a, mean_b) in explanation.printed.items():
        lines.append(
            f"The two take their {metric} differently: as they would print it, {mean_a:.3f} in {explanation.a} and "
            f"{mean_b:.3f} in {explanation.b}."
        )
    return lines


class Amount:
    """Writes numbers in the units of a gap, with as many decimals as three digits of the gap take, three at least."""

    def __init__(self, size: float) -> None:
        exponent = math.floor(math.log10(size)) if 0 < size < math.inf else 0
        self.decimals = min(max(3, 2 - exponent), 12)

    def __call__(self, value: float, sign: bool = True) -> str:
        """`+0.168`, or `0.168` without a sign; 0 has none."""
        text = f"{value:{'+' if sign else ''}.{self.decimals}f}"
        return text.lstrip("+-") if float(text) == 0 else text


def amount(gap: Gap) -> Amount:
    """How the numbers of a gap are written."""
    return Amount(abs(gap.mean) if gap.differs else gap.half_width)


def listed(names: Sequence[str]) -> str:
    """`a`, `a and b`, `a, b and c`."""
    return " and ".join(filter(None, [", ".join(names[:-1]), *names[-1:]]))


def _capital(text: str) -> str:
    return text[:1].upper() + text[1:]


def table_lines(explanation: ExplainedCell) -> list[str]:
    """The table of an explanation in at most 100 columns, and what the values of its players mean."""
    gap, found = explanation.gap, explanation.findings
    if gap is None or found is None or not found.switches:
        return []
    n, a, b = amount(gap), explanation.a, explanation.b
    rest = next((share for share in found.shares if share.title == REST), None)
    single = found.single
    rows: list[tuple[str, ...]] = [("convention", a, b, "share", "alone from A", "from B")]
    for switch in found.ordered:
        share = single.get(switch.name)
        mine = "rest" if rest and switch.name in rest.names else ""
        if share is not None:  # one player is one share, which stands in its first line
            mine = _share(share, n) if switch.name == share.names[0] else "with the above"
        ends = [
            n(effect) if math.isfinite(effect) else "diverges" for effect in (switch.alone_from_a, switch.alone_from_b)
        ]
        rows.append((switch.title, shown(switch.a_value), shown(switch.b_value), mine, *ends))
    if rest is not None:
        rows.append((REST, "", "", _share(rest, n), "", ""))
    if found.shares:
        rows.append(("replay's gap", "", "", n(found.replayed.mean), "", ""))
    rows.append(("unexplained remainder", "", "", n(found.remainder.mean), "", ""))
    rows.append(("measured gap", "", "", n(gap.mean), "", ""))
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    for column in (1, 2, 0):  # the values stand in full below
        widths[column] = max(12, widths[column] - max(0, sum(widths) + 2 * len(widths) - 2 - WIDTH))
    lines = ["  ".join(_padded(row, widths)).rstrip() for row in rows]
    for switch in found.switches:
        if switch.name in single:
            lines += ["", f"{switch.title}:"]
            for name, value in ((a, switch.a_value), (b, switch.b_value)):
                lines.append(f"  {name}: {shown(value)}: {CONVENTIONS[switch.name].formula(value)}")
    return lines


def _share(share: Share, n: "Amount") -> str:
    return f"{n(share.mean)} ± {n(share.error, sign=False)}"


def _padded(row: Sequence[str], widths: Sequence[int]) -> list[str]:
    cut = [cell if len(cell) <= w else cell[: w - 1] + "…" for cell, w in zip(row, widths, strict=True)]
    return [cell.ljust(w) if i < 3 else cell.rjust(w) for i, (cell, w) in enumerate(zip(cut, widths, strict=True))]

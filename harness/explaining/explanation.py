"""What an explanation found, and how it is told: two sentences, a table, a chart, JSON."""

import json
import math
import re
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from harness.conventions.table import CONVENTIONS
from harness.experiment.axes import describe_cell
from harness.explaining.findings import REST, ExplainedCell, shown
from harness.explaining.sentences import amount, tell
from harness.explaining.shares import half_width
from harness.support.errors import RequestError

if TYPE_CHECKING:
    from matplotlib.figure import Figure


@dataclass(frozen=True)
class Explanation(ExplainedCell):
    """Why A and B differ in one cell, or that they do not, as sentences, table, picture and JSON."""

    def table(self) -> pd.DataFrame:
        """One row a convention in which the two differ; `share` and `error` where it is a player.

        Of conventions that are one player the first has them, so that shares add up. Below them the rest, where there
        is one, the unexplained remainder and the measured gap.
        """
        columns = ["convention", self.a, self.b, f"formula of {self.a}", f"formula of {self.b}"]
        columns += ["share", "error", "alone_from_a", "alone_from_b"]
        found = self.findings
        if found is None or self.gap is None:
            return pd.DataFrame(columns=columns)
        rows: list[list[Any]] = []
        single = found.single
        for switch in found.ordered:
            share = single.get(switch.name)
            share = None if share is None or switch.name != share.names[0] else share
            says = [CONVENTIONS[switch.name].formula(value) for value in (switch.a_value, switch.b_value)]
            values = [shown(switch.a_value), shown(switch.b_value)]
            numbers = [math.nan, math.nan] if share is None else [share.mean, share.error]
            rows.append([switch.title, *values, *says, *numbers, switch.alone_from_a, switch.alone_from_b])
        for share in found.shares:
            if share.title == REST:
                rows.append([REST, "", "", "", "", share.mean, share.error, math.nan, math.nan])
        ends = (("unexplained remainder", found.remainder), ("measured gap", self.gap))
        for title, total in ends:
            error = 0.0 if total.t == 0 or math.isinf(total.t) else total.mean / total.t
            rows.append([title, "", "", "", "", total.mean, error, math.nan, math.nan])
        return pd.DataFrame(rows, columns=columns)

    @property
    def text(self) -> str:
        """What was found, in sentences."""
        return tell(self)

    def figure(self) -> "Figure":
        """The waterfall from A's loss over the shares to B's. Raises `RequestError` where there are no shares."""
        from reports.figures.waterfall import waterfall

        found = self.findings
        if found is None or not found.shares:
            where = describe_cell(self.cell) or self.experiment
            raise RequestError(f"{self.a}, {self.b}, {where}: no shares to draw; its text says why")
        n = len(self.losses[0])
        bars = [(share.title, share.mean, half_width(share.error, n)) for share in found.shares]
        bars.append(("unexplained remainder", found.remainder.mean, found.remainder.half_width))
        means = [float(np.mean(values)) for values in self.losses]
        parts = [self.experiment, describe_cell(self.cell), f"{n} seeds", "whiskers: 95 % intervals"]
        title, note = f"From {self.a} to {self.b}", " · ".join(filter(None, parts))
        ends = (self.a, means[0]), (self.b, means[1])
        figure: Figure = waterfall(title, note, self.metric, ends[0], bars, ends[1], amount(self.gap or found.replayed))
        return figure

    def to_dict(self) -> dict[str, Any]:
        """Every number, in plain types; what is not finite is None."""
        plain = {**asdict(self), "text": self.text}
        result: dict[str, Any] = json.loads(json.dumps(plain, default=str), parse_constant=lambda _: None)
        return result


def write(explanations: Sequence[Explanation], folder: Path) -> list[Path]:
    """All numbers as JSON, and a picture of each cell that has shares, `explain-A-B-CELL.png`; gives what was written.

    The file of numbers is named like the picture, or `explain-A-B.json` where it holds several cells. An older picture
    of a cell that has none now is removed. Raises `RequestError` where the folder, which has to exist, cannot be
    written.
    """
    names = [_file_name(explanation) for explanation in explanations]
    whole = names[0] if len(names) == 1 else _file_name(replace(explanations[0], cell={}))
    paths = [folder / f"{whole}.json"]
    try:
        cells = [explanation.to_dict() for explanation in explanations]
        paths[0].write_text(json.dumps({"cells": cells}, indent=1), encoding="utf-8")
        for name, explanation in zip(names, explanations, strict=True):
            picture = folder / f"{name}.png"
            if explanation.findings is not None and explanation.findings.shares:
                explanation.figure().savefig(picture, dpi=150)
                paths.append(picture)
            else:
                picture.unlink(missing_ok=True)
    except OSError as error:
        raise RequestError(f"--out {folder}: cannot be written: {error.strerror}; give another folder") from None
    return paths


def _file_name(explanation: Explanation) -> str:
    """`explain-A-B-learning_rate=0.1-l2=0.001`; what a file name cannot hold in every system is a "-"."""
    text = "-".join(filter(None, ["explain", explanation.a, explanation.b, describe_cell(explanation.cell)]))
    return re.sub(r"[^\w.=+-]+", "-", text).rstrip("-")

"""Figures printed elsewhere, beside the stored rows: where the two are equal.

A cell is reproduced when its mean equals the published number to 1e-9 and every planned trial of it finished. Cells
that are chaotic are left out of every count: there rounding alone decides.
"""

import math

import pandas as pd

from reports import style
from reports.study import Cell, Position, Study

EQUAL = 1e-9
SPLITS = ("train", "test")

Printed = dict[Position, dict[str, float]]
"""For every published cell of the grid its numbers: `train_accuracy`, `test_accuracy`, NaN where illegible."""


def printed(study: Study) -> Printed:
    """The published numbers by their place in the grid; what lies outside of it is left out."""
    if study.published is None:
        return {}
    columns = [name for name in (f"{split}_accuracy" for split in SPLITS) if name in study.published]
    found = {}
    for row in study.published.to_dict("records"):
        position = study.find(row)
        if position is not None:
            found[position] = {name: math.nan if row[name] is None else float(row[name]) for name in columns}
    return found


def splits(study: Study) -> list[str]:
    """Of train and test those with any legible number in the grid."""
    cells = printed(study).values()
    return [split for split in SPLITS if any(not math.isnan(cell.get(f"{split}_accuracy", math.nan)) for cell in cells)]


def chaotic(study: Study) -> set[Position]:
    """The cells in which rounding alone decides: a property of the cell, whichever backend was judged there."""
    cells = [cell for backend in study.backends_of("controlled") for cell in study.cells("controlled", backend)]
    return {cell.position for cell in cells if cell.chaotic}


def equal(cell: Cell, column: str, number: float) -> bool:
    """Whether a cell has the published number."""
    return cell.complete and abs(cell.mean(column) - number) <= EQUAL


def reproduced_table(study: Study) -> pd.DataFrame:
    """One row a backend that ran in mode `controlled`: how many published numbers it has, and how far the others are.

    For each split `…_legible` counts the legible cells that are not chaotic, `…_reproduced` those of them that are
    equal, `…_no_result` those in which a trial did not finish, and `…_largest_difference` is taken over the rest.
    """
    cells, left_out = printed(study), chaotic(study)
    records = []
    for backend in study.backends_of("controlled"):
        if study.absence("controlled", backend):
            continue
        record: dict[str, object] = {"backend": backend}
        for split in splits(study):
            column = f"{split}_accuracy"
            pairs = [
                (study.cell("controlled", backend, position), numbers[column])
                for position, numbers in cells.items()
                if position not in left_out and not math.isnan(numbers[column])
            ]
            gaps = [abs(cell.mean(column) - number) for cell, number in pairs if cell.complete]
            record[f"{split}_legible"] = len(pairs)
            record[f"{split}_reproduced"] = sum(equal(cell, column, number) for cell, number in pairs)
            record[f"{split}_no_result"] = sum(not cell.complete for cell, _ in pairs)
            record[f"{split}_largest_difference"] = max(gaps, default=math.nan)
        records.append(record)
    return pd.DataFrame.from_records(records)


def sentences(study: Study) -> list[str]:
    """How many of the published numbers each backend has."""
    shown = splits(study)
    if not shown or "controlled" not in study.modes:
        return []
    # without the reference nobody knows which cells are chaotic
    which = "that are not chaotic" if study.checked else "(parity was not checked: chaotic ones are among them)"
    found = []
    for row in reproduced_table(study).to_dict("records"):
        counts = []
        for split in shown:
            cells = f" legible cells {which}" if split == shown[0] else ""
            gap = row[f"{split}_no_result"]
            lost = f" ({gap} of them without a result)" if gap else ""
            counts.append(f"{row[f'{split}_reproduced']} of {row[f'{split}_legible']}{cells}, {split}{lost}")
        found.append(f"{row['backend']} reproduced exactly: {'; '.join(counts)}.")
    outside = len(study.published) - len(printed(study)) if study.published is not None else 0
    if outside:
        found.append(f"{style.count(outside, 'published cell lies', 'published cells lie')} outside of this grid.")
    return found

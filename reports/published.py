"""Figures printed elsewhere, beside the stored rows: where the two are equal.

A cell is reproduced when its mean equals the published number to 1e-9, every planned trial of it finished, and it is
not chaotic: where rounding alone decides, equality is a coincidence. A code that cannot be trained in mode `controlled`
is compared as it is in mode `native`; where it diverged and prints an accuracy all the same, that counts.
"""

import math
from typing import Any

import pandas as pd

from reports import agreement, style
from reports.study import Cell, Position, Study, is_finite

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


def lanes(study: Study) -> dict[str, str]:
    """The mode in which each backend is compared: `controlled`, or `native`, where it has that alone."""
    native = [name for name in study.backends_of("native") if not study.absence("native", name)]
    return {
        name: "native" if name in native and study.absence("controlled", name) else "controlled"
        for name in study.backends_of("controlled")
    }


def number_of(cell: Cell, column: str) -> float:
    """The mean of a cell whose trials finished, or what its code answered when all had diverged; else NaN."""
    if cell.complete:
        return cell.mean(column)
    values = [row.get(column) for row in cell.rows if row["status"] == "diverged"]
    told = [float(value) for value in values if is_finite(value)]
    return sum(told) / len(told) if told and len(told) == len(cell.rows) else math.nan


def equal(cell: Cell, column: str, number: float) -> bool:
    """Whether a cell has the published number."""
    return abs(number_of(cell, column) - number) <= EQUAL


def decided(cell: Cell, column: str, unstable: set[Position]) -> bool:
    """Whether it is not rounding alone that decides a cell: it is calm, or its code was left without a number."""
    return cell.position not in unstable or (not cell.complete and not math.isnan(number_of(cell, column)))


def reproduced_table(study: Study) -> pd.DataFrame:
    """One row a backend that ran and a split: how many published numbers it has. See `lanes` for the mode.

    `legible = chaotic + diverged + no_result + compared`: in a chaotic cell rounding alone decides, so that equality
    would be a coincidence; where a trial diverged, or did not finish for another reason, there is nothing to compare.
    `reproduced` counts the compared cells that are equal; `largest_difference` is taken over the compared ones.
    """
    cells, left_out = printed(study), chaotic(study)
    records = []
    for backend, mode in lanes(study).items():
        if study.absence(mode, backend):
            continue
        for split in splits(study):
            column = f"{split}_accuracy"
            legible = [
                (study.cell(mode, backend, position), numbers[column])
                for position, numbers in cells.items()
                if not math.isnan(numbers[column])
            ]
            judged = [(cell, number) for cell, number in legible if decided(cell, column, left_out)]
            compared = [(cell, number) for cell, number in judged if not math.isnan(number_of(cell, column))]
            without = [cell for cell, _ in judged if math.isnan(number_of(cell, column))]
            diverged = sum(any(row["status"] == "diverged" for row in cell.rows) for cell in without)
            records.append(
                {
                    "backend": backend,
                    "split": split,
                    "legible": len(legible),
                    "chaotic": len(legible) - len(judged),
                    "diverged": diverged,
                    "no_result": len(judged) - len(compared) - diverged,
                    "compared": len(compared),
                    "reproduced": sum(equal(cell, column, number) for cell, number in compared),
                    "largest_difference": max(
                        (abs(number_of(cell, column) - number) for cell, number in compared), default=math.nan
                    ),
                }
            )
    return pd.DataFrame.from_records(records)


def sentences(study: Study) -> list[str]:
    """How many of the published numbers the backends have, once for those that have the same."""
    if not splits(study) or "controlled" not in study.spoken:
        return []
    table = reproduced_table(study)
    told: dict[str, list[str]] = {}
    for name, rows in table.groupby("backend", sort=False):
        told.setdefault(_counts(study, rows.to_dict("records")), []).append(str(name))
    found = []
    for counts, names in told.items():
        everyone = len(told) == 1 and len(names) > 1
        who = agreement.everyone(len(names)) if everyone else style.listed(names)
        found.append(f"{who} reproduced {counts}.")
    outside = len(study.published) - len(printed(study)) if study.published is not None else 0
    if outside:
        found.append(f"{style.count(outside, 'published cell lies', 'published cells lie')} outside of this grid.")
    return found


def _counts(study: Study, rows: list[dict[str, Any]]) -> str:
    """`22 of the 22 legible training accuracies that can be compared (…) and 19 of 19 test accuracies`."""
    parts = []
    for row in rows:
        of = "of the" if not parts else "of"
        kind = ("legible " if not parts else "") + ("training" if row["split"] == "train" else "test")
        noun = "accuracy" if row["compared"] == 1 else "accuracies"
        parts.append(f"{row['reproduced']} {of} {row['compared']} {kind} {noun}")
    # without the reference nobody knows which cells are chaotic
    neither = "neither chaotic nor diverged" if study.checked else "that did not diverge; parity was not checked"
    parts[0] += f" that can be compared (cells {neither})"
    lost = max(row["no_result"] for row in rows)
    return " and ".join(parts) + " exactly" + (f"; {style.count(lost, 'cell')} of ours did not finish" if lost else "")

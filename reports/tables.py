"""Tables of a study, as DataFrames, and the sentences that open a report.

Failures are counted in columns of their own; every mean or median stands beside the number of trials behind it. What
is about parity, best cells and published numbers has a file of its own.
"""

import math

import numpy as np
import pandas as pd

from reports import agreement, best, published, statistics, style
from reports.agreement import LEARNED, parity_table
from reports.best import best_points, best_table, metrics_table
from reports.study import SPLITS, Study, words

__all__ = [
    "LEARNED",
    "best_points",
    "best_table",
    "cells_table",
    "metrics_table",
    "native_ranges",
    "outside",
    "parity_table",
    "status_table",
    "summary_sentences",
    "timing_table",
]

REASONS = 3  # of crashes and time-outs that the summary tells


def status_table(study: Study) -> pd.DataFrame:
    """One row a backend and mode: planned trials, the number of every status that occurs, and stale rows."""
    records = []
    for mode, backend in _groups(study):
        rows = study.rows_of(mode, backend)
        counts = rows["status"].value_counts()
        record = {"backend": backend, "mode": mode, "planned": len(rows)}
        record |= {status: int(counts.get(status, 0)) for status in study.statuses}
        records.append(record | {"stale": int(rows["stale"].astype(bool).sum())})
    return pd.DataFrame.from_records(records)


def outside(study: Study) -> pd.DataFrame:
    """The trials to look at: controlled ones that differ, and all that crashed or timed out."""
    rows = study.rows[(study.rows["verdict"] == "differs") | study.rows["status"].isin(["crashed", "timeout"])]
    where = ["backend", "mode", *study.axes, *study.sampled]
    columns = [*where, "seed", "status", "verdict", "deviation", "floor", "trial_id", "reason"]
    return study.with_folds(rows[columns].reset_index(drop=True))


def timing_table(study: Study) -> pd.DataFrame:
    """Median seconds of the finished trials of each backend and mode, how many there are, and in stacks of how many."""
    measured = ("build_seconds", "train_seconds", "predict_seconds")
    records = []
    for mode, backend in _groups(study):
        rows = study.rows_of(mode, backend)
        rows = rows[rows["status"] == "ok"]
        medians = {f"median_{name}": rows[name].median() for name in measured}
        stack = {"largest_stack": int(rows["stack_size"].max()) if len(rows) else 0}
        records.append({"backend": backend, "mode": mode, "trials": len(rows), **stack, **medians})
    return pd.DataFrame.from_records(records)


def cells_table(study: Study) -> pd.DataFrame:
    """One row a backend, mode and cell: how many trials were planned, and what became of them; what they measured.

    A column for every status that occurs counts its trials. Of each metric there is the mean over the trials that
    finished and, with several seeds, the standard deviation; of `deviation` and `floor` the largest.
    """
    metrics = [f"{split}_{name}" for name in style.METRICS for split in SPLITS if study.has(f"{split}_{name}")]
    moments = {"": "mean", "_std": "std"} if study.n_seeds > 1 else {"": "mean"}
    places = ["backend", "mode", *study.axes, *study.sampled]
    records = []
    for mode, backend in _groups(study):
        told = {name: statistics.cell_statistics(study, mode, backend, name) for name in (*metrics, "train_seconds")}
        measured = {
            f"{name}{suffix}": found[moment].to_numpy()
            for name, found in told.items()
            for suffix, moment in moments.items()
        }
        for i, cell in enumerate(study.cells(mode, backend)):
            if cell.rows:
                records.append(
                    {
                        **{name: cell.rows[0][name] for name in places},
                        "planned": len(cell.rows),
                        **{status: sum(row["status"] == status for row in cell.rows) for status in study.statuses},
                        **{name: values[i] for name, values in measured.items()},
                        **{name: np.fmax.reduce([row[name] for row in cell.rows]) for name in ("deviation", "floor")},
                        "chaotic": cell.chaotic,
                    }
                )
    return pd.DataFrame.from_records(records)


def native_ranges(study: Study, split: str = "test", score: str = "accuracy") -> pd.DataFrame:
    """One row a cell: how far the native scores of the backends lie apart there, largest first.

    The difference of two backends is the mean over the seeds in which both finished.
    """
    backends = study.backends_of("native")
    column = f"{split}_{score}"
    records = []
    for position in study.positions:
        cells = {name: study.cell("native", name, position) for name in backends}
        gaps = [
            (cells[high].minus(cells[low], column), high, low) for high in backends for low in backends if high != low
        ]
        gaps = [gap for gap in gaps if not math.isnan(gap[0])]
        if gaps:
            gap, high, low = max(gaps, key=lambda found: found[0])
            values = {axis: study.axes[axis][i] for axis, i in zip(study.axes, position, strict=True)}
            records.append({**values, "difference": gap, "highest": high, "lowest": low})
    columns = [*study.axes, "difference", "highest", "lowest"]
    frame = pd.DataFrame.from_records(records, columns=columns)
    return frame.sort_values("difference", ascending=False, kind="stable").reset_index(drop=True)


def summary_sentences(study: Study) -> list[str]:
    """What was found, in plain words, the most important first."""
    return [
        *agreement.sentences(study),
        *published.sentences(study),
        *_native_sentences(study),
        *best.sentences(study),
        *_early_sentences(study),
        *_status_sentences(study),
        *_silence_sentences(study),
    ]


def _native_sentences(study: Study) -> list[str]:
    if "native" not in study.spoken or len(study.backends_of("native")) < 2:
        return []
    return [sentence for score in study.scores for sentence in _native_sentence(study, score)]


def _native_sentence(study: Study, score: str) -> list[str]:
    split = study.split(score)
    ranges = native_ranges(study, split, score)
    if ranges.empty:
        return []
    worst = ranges.iloc[0]
    where = f" in one cell ({study.describe(study.position(worst))})" if study.axes else ""
    name = "test" if split == "test" else "training"
    if worst["difference"] == 0:
        return [f"In native mode all backends have the same {name} {style.named(score)} in every cell."]
    several = {"accuracy": "accuracies", "r2": "R²"}[score]
    sentence = (
        f"In native mode the same numbers give {name} {several} up to {_gap(worst['difference'])} apart{where}: "
        f"{worst['highest']} is highest there, {worst['lowest']} lowest."
    )
    if len(ranges) > 2:
        sentence += f" The median over {len(ranges)} cells is {_gap(ranges['difference'].median())}."
    return [sentence]


def _gap(difference: float) -> str:
    return f"{difference:.2f}" if difference < 1000 else style.number(difference, 2)


def _early_sentences(study: Study) -> list[str]:
    """How many finished trials stopped before their planned epochs, and when: apart for each mode."""
    if not {"epochs", "epochs_run"} <= set(study.rows):
        return []
    finished = study.rows[study.rows["status"] == "ok"]
    early = finished[finished["epochs_run"].astype("float64") < finished["epochs"].astype("float64")]
    found = []
    for mode in study.modes:
        stopped, of = early[early["mode"] == mode], (finished["mode"] == mode).sum()
        if len(stopped):
            median = style.plain(float(stopped["epochs_run"].astype("float64").median()))
            found.append(f"{len(stopped)} of {of} in mode {mode} (median epoch {median})")
    return [f"Finished trials that stopped early, before their planned epochs: {'; '.join(found)}."] if found else []


def _status_sentences(study: Study) -> list[str]:
    counts = study.rows["status"].value_counts()
    failed = [
        f"{counts[status]} {'timed out' if status == 'timeout' else words(status)}"
        for status in study.statuses
        if status != "ok"
    ]
    total, ok = len(study.rows), int(counts.get("ok", 0))
    if not failed:
        how_many = "The one planned trial" if total == 1 else f"All {total} planned trials"
        return [*_stale_sentence(study), f"{how_many} finished."]
    sentence = f"Of {style.count(total, 'planned trial')}, {ok} finished"
    sentences = [f"{sentence}; " + ", ".join(failed) + "."]
    sentences += _reason_sentences(study)
    groups = [(mode, backend) for mode, backend in _groups(study) if not study.silence(mode)]
    hints = {(backend, study.absence(mode, backend)): None for mode, backend in groups}
    sentences += [f"{backend} is {hint.removesuffix('.')}." for backend, hint in hints if hint]
    return [*sentences, *_stale_sentence(study)]


def _silence_sentences(study: Study) -> list[str]:
    return [silence(study, mode) for mode in study.modes if study.silence(mode)]


def silence(study: Study, mode: str) -> str:
    """`Mode native has no result: unsupported: …`, each reason with its backends where there are several."""
    reasons = study.silence(mode)
    if len(reasons) == 1:
        return f"Mode {mode} has no result, in every backend {next(iter(reasons)).removesuffix('.')}."
    told = [f"{style.listed(names)} {reason.removesuffix('.')}" for reason, names in reasons.items()]
    return f"Mode {mode} has no result: {'; '.join(told)}."


def _reason_sentences(study: Study) -> list[str]:
    """Why trials crashed or timed out, the most frequent reasons first."""
    lost = study.rows[study.rows["status"].isin(["timeout", "crashed"])]
    reasons = lost.groupby(["backend", "reason"]).size().sort_values(ascending=False, kind="stable")
    told = [
        f"{backend}, {style.count(n, 'trial')}: {str(reason).removesuffix('.')}."
        for (backend, reason), n in reasons.head(REASONS).items()
    ]
    more = len(reasons) - len(told)
    return told + ([f"And {style.count(more, 'other reason')}: see the table of failures."] if more > 0 else [])


def _stale_sentence(study: Study) -> list[str]:
    stale = int(study.rows["stale"].astype(bool).sum())
    if not stale:
        return []
    return [
        f"{style.count(stale, 'row is', 'rows are')} stale: trained by other code, or with other versions, than are "
        "here now (run again with --refresh)."
    ]


def _groups(study: Study) -> list[tuple[str, str]]:
    return [(mode, backend) for mode in study.modes for backend in study.backends_of(mode)]

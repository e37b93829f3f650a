"""Tables of a study, as DataFrames, and the sentences that open a report.

Failures are counted in columns of their own; every mean or median stands beside the number of trials behind it.
"""

import math
from typing import Any

import pandas as pd

from reports import published, style
from reports.study import STATUSES, VERDICTS, Cell, Study, best_cell, ranked, score_of, words

REASONS = 3  # of crashes and time-outs that the summary tells

LEARNED = 0.2
"""A network has learned when its score, accuracy or R², is more than this above `chance`, the score of guessing."""

TOP = 10  # of the points of a random search

_NUMBERS = ("no", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten")


def parity_table(study: Study) -> pd.DataFrame:
    """One row a backend in mode `controlled`: what became of its trials, and how they compare with the reference.

    `planned = ok + diverged + failed + not_run = agree + differ + chaotic + unchecked`, where `failed` counts
    timeouts and crashes, and `not_run` what is unsupported, not installed or pending. `learned` counts the trials
    whose test score (training score where there is no test set) is more than 0.2 above chance, and
    `largest_deviation` is taken over the trials that are not chaotic.
    """
    records = []
    for backend in study.backends_of("controlled"):
        rows = study.rows_of("controlled", backend)
        status, verdict = rows["status"].value_counts(), rows["verdict"].value_counts()
        calm = rows.loc[rows["verdict"].isin(["agrees", "differs"]), "deviation"]
        records.append(
            {
                "backend": backend,
                "planned": len(rows),
                "ok": int(status.get("ok", 0)),
                "diverged": int(status.get("diverged", 0)),
                "failed": int(status.reindex(["timeout", "crashed"]).sum()),
                "not_run": int(status.reindex(["unsupported", "not_installed", "pending"]).sum()),
                **{
                    name: int(verdict.get(known, 0))
                    for name, known in zip(("agree", "differ", "chaotic", "unchecked"), VERDICTS, strict=True)
                },
                "learned": _learned(study, rows[rows["status"] == "ok"]),
                "largest_deviation": calm.max(),
            }
        )
    return pd.DataFrame.from_records(records)


def _learned(study: Study, rows: pd.DataFrame) -> int:
    scores = rows["task"].map(score_of)
    return sum(
        int((mine[f"{study.split(score)}_{score}"] > mine["chance"] + LEARNED).sum())
        for score in study.scores
        for mine in [rows[scores == score]]
    )


def status_table(study: Study) -> pd.DataFrame:
    """One row a backend and mode: planned trials, the number of every status that occurs, and stale rows."""
    present = [status for status in STATUSES if (study.rows["status"] == status).any()]
    records = []
    for mode, backend in _groups(study):
        rows = study.rows_of(mode, backend)
        counts = rows["status"].value_counts()
        record = {"backend": backend, "mode": mode, "planned": len(rows)}
        record |= {status: int(counts.get(status, 0)) for status in present}
        records.append(record | {"stale": int(rows["stale"].astype(bool).sum())})
    return pd.DataFrame.from_records(records)


def best_table(study: Study, mode: str) -> pd.DataFrame:
    """Each backend's best cell by mean validation score, with the number of seeds behind the means.

    The scores are empty for a backend without an eligible cell: one in which every seed finished, that is not
    chaotic, and that has a validation score. A study of classifications and regressions has a row for each score.
    """
    records = []
    for score in study.scores:
        for backend in study.backends_of(mode):
            best = best_cell(study.cells(mode, backend), score)
            record = _place(study, mode, backend, best)
            for name in study.scores:
                for split in ("validation", "train", "test"):
                    record[f"{split}_{name}"] = best.mean(f"{split}_{name}") if best else math.nan
            records.append(record)
    return pd.DataFrame.from_records(records)


def _place(study: Study, mode: str, backend: str, cell: Cell | None) -> dict[str, Any]:
    record: dict[str, Any] = {"backend": backend, "mode": mode}
    for i, axis in enumerate(study.axes):
        record[axis] = study.axes[axis][cell.position[i]] if cell else None
    record |= {name: study.drawn(cell.position).get(name) if cell else None for name in study.sampled}
    return record | {"seeds": len(cell.ok) if cell else 0}


def metrics_table(study: Study) -> pd.DataFrame:
    """All metrics of each backend's best cell: one row a mode, backend and score, one column a metric that exists.

    They are those of the test set, or of the training set where no trial has a test set. Where nothing is swept the
    only cell is taken, finished trials alone; where nothing can be chosen the table is empty.
    """
    split = "test" if any(study.has(f"test_{name}") for name in style.METRICS) else "train"
    metrics = [name for name in style.METRICS if study.has(f"{split}_{name}")]
    records = []
    for mode in study.modes:
        for score in study.scores:
            for backend in study.backends_of(mode):
                cells = study.cells(mode, backend)
                best = best_cell(cells, score) if study.has_validation or len(cells) > 1 else cells[0]
                if best is not None and best.ok:
                    values = {f"{split}_{name}": best.mean(f"{split}_{name}") for name in metrics}
                    records.append(_place(study, mode, backend, best) | values)
    return pd.DataFrame.from_records(records)


def best_points(study: Study) -> pd.DataFrame:
    """The ten best points of a random search by mean validation score, for each mode, score and backend."""
    records = []
    for mode in study.modes:
        for score in study.scores:
            for backend in study.backends_of(mode):
                for rank, cell in enumerate(ranked(study.cells(mode, backend), score)[:TOP], start=1):
                    where = _place(study, mode, backend, cell)
                    scores = {f"{s}_{score}": cell.mean(f"{s}_{score}") for s in ("validation", "train", "test")}
                    records.append({"backend": backend, "mode": mode, "rank": rank} | where | scores)
    return pd.DataFrame.from_records(records)


def outside(study: Study) -> pd.DataFrame:
    """The trials to look at: controlled ones that differ, and all that crashed or timed out."""
    rows = study.rows[(study.rows["verdict"] == "differs") | study.rows["status"].isin(["crashed", "timeout"])]
    where = ["backend", "mode", *study.axes, *study.sampled]
    columns = [*where, "seed", "status", "verdict", "deviation", "floor", "trial_id", "reason"]
    return rows[columns].reset_index(drop=True)


def timing_table(study: Study) -> pd.DataFrame:
    """Median seconds of the finished trials of each backend and mode, and how many there are."""
    measured = ("build_seconds", "train_seconds", "predict_seconds")
    records = []
    for mode, backend in _groups(study):
        rows = study.rows_of(mode, backend)
        rows = rows[rows["status"] == "ok"]
        medians = {f"median_{name}": rows[name].median() for name in measured}
        records.append({"backend": backend, "mode": mode, "trials": len(rows), **medians})
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
        *_parity_sentences(study),
        *published.sentences(study),
        *_native_sentences(study),
        *_best_sentences(study),
        *_early_sentences(study),
        *_status_sentences(study),
    ]


def _parity_sentences(study: Study) -> list[str]:
    if "controlled" not in study.modes:
        return []
    table = parity_table(study)
    if not study.checked:
        finished = table["ok"].sum() + table["diverged"].sum()
        return ["Parity not checked in this run."] if finished else ["No controlled trial has finished."]
    unit = "cell" if study.n_seeds == 1 else "trial"
    sentences = [
        f"{row.backend} differs from the reference in {row.differ} of the {style.count(row.agree + row.differ, unit)} "
        f"in which it can be judged, by up to {style.deviation(row.largest_deviation)}."
        for row in table[table["differ"] > 0].itertuples()
    ]
    agreeing = table[(table["agree"] > 0) & (table["differ"] == 0)]
    if len(agreeing):
        sentences.append(f"{_who_agrees(table, agreeing)} in {_where(agreeing, unit)}{_how_well(agreeing)}.")
    chaotic = table.loc[table["chaotic"] > 0, "chaotic"]
    if len(chaotic):
        sentences.append(
            f"{_range(chaotic, unit)} a backend {'is' if set(chaotic) == {1} else 'are'} chaotic: there rounding alone "
            "moves the reference, so no backend can be blamed and none is judged."
        )
    unchecked = table[(table["unchecked"] > 0) & (table["ok"] + table["diverged"] > 0)]
    if len(unchecked):
        listed = ", ".join(f"{row.unchecked} of {row.backend}" for row in unchecked.itertuples())
        sentences.append(f"Controlled trials that could not be compared with the reference: {listed}.")
    return sentences


def _who_agrees(table: pd.DataFrame, agreeing: pd.DataFrame) -> str:
    names = list(agreeing["backend"])
    if len(names) == 1:
        return f"{names[0]} agrees with the reference"
    if len(names) < len(table):
        return f"{', '.join(names[:-1])} and {names[-1]} agree"
    return "Both backends agree" if len(names) == 2 else f"All {_spelled(len(names))} backends agree"


def _where(agreeing: pd.DataFrame, unit: str) -> str:
    """`all 41 cells that are not chaotic`, saying so where some were not compared."""
    n = _range(agreeing["agree"], unit)
    conditions = ["were compared"] if agreeing["unchecked"].any() else []
    conditions += ["are not chaotic"] if agreeing["chaotic"].any() else []
    if set(agreeing["agree"]) == {1}:
        conditions = [condition.replace("were", "was").replace("are", "is") for condition in conditions]
        n = f"the one {unit}"
    elif agreeing["agree"].nunique() == 1:
        n = f"both {unit}s" if set(agreeing["agree"]) == {2} else f"all {n}"
    return n + (f" that {' and '.join(conditions)}" if conditions else "")


def _how_well(agreeing: pd.DataFrame) -> str:
    largest = agreeing["largest_deviation"].max()
    return "" if math.isnan(largest) else f"; the largest deviation from the reference is {style.deviation(largest)}"


def _range(counts: pd.Series, unit: str) -> str:
    """`38 cells`, or `38 to 41 cells` where the backends have different numbers of them."""
    low, high = int(counts.min()), int(counts.max())
    return style.count(high, unit) if low == high else f"{low} to {style.count(high, unit)}"


def _native_sentences(study: Study) -> list[str]:
    if "native" not in study.modes or len(study.backends_of("native")) < 2:
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


def _best_sentences(study: Study) -> list[str]:
    return [sentence for score in study.scores for sentence in _best_sentence(study, score)]


def _best_sentence(study: Study, score: str) -> list[str]:
    found = []
    for mode in study.modes:
        scores = best_table(study, mode)[f"test_{score}"].dropna()
        if len(scores):
            low, high = style.score(scores.min()), style.score(scores.max())
            reached = low if low == high else f"{low} to {high}"
            found.append(f"{reached} in mode {mode} ({style.count(len(scores), 'backend')})")
    named = style.named(score)
    return [f"Test {named} of the best cell, chosen by validation {named}: {'; '.join(found)}."] if found else []


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
        for status in STATUSES[1:]
        if counts.get(status, 0)
    ]
    total, ok = len(study.rows), int(counts.get("ok", 0))
    if not failed:
        return [*_stale_sentence(study), f"All {style.count(total, 'planned trial')} finished."]
    sentence = f"Of {style.count(total, 'planned trial')}, {ok} finished"
    sentences = [f"{sentence}; " + ", ".join(failed) + "."]
    sentences += _reason_sentences(study)
    hints = {(backend, study.absence(mode, backend)): None for mode, backend in _groups(study)}
    sentences += [f"{backend} is {hint.removesuffix('.')}." for backend, hint in hints if hint]
    return [*sentences, *_stale_sentence(study)]


def _reason_sentences(study: Study) -> list[str]:
    """Why trials crashed or timed out, the most frequent reasons first."""
    lost = study.rows[study.rows["status"].isin(["timeout", "crashed"])]
    reasons = lost.groupby(["backend", "reason"]).size().sort_values(ascending=False, kind="stable")
    told = [
        f"{backend}, {style.count(n, 'trial')}: {str(reason).removesuffix('.')}."
        for (backend, reason), n in reasons.head(REASONS).items()
    ]
    more = len(reasons) - len(told)
    return told + ([f"And {style.count(more, 'other reason')}: see the trials outside."] if more > 0 else [])


def _stale_sentence(study: Study) -> list[str]:
    stale = int(study.rows["stale"].astype(bool).sum())
    if not stale:
        return []
    return [
        f"{style.count(stale, 'row is', 'rows are')} stale: trained with other versions than those now installed "
        "(run again with --refresh)."
    ]


def _groups(study: Study) -> list[tuple[str, str]]:
    return [(mode, backend) for mode in study.modes for backend in study.backends_of(mode)]


def _spelled(n: int) -> str:
    return _NUMBERS[n] if n < len(_NUMBERS) else str(n)

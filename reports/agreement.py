"""Parity: what became of the trials of mode `controlled`, as a table and in sentences."""

import math

import pandas as pd

from reports import style
from reports.study import VERDICTS, Study, score_of

LEARNED = 0.2
"""A network has learned when its score, accuracy or R², is more than this above `chance`, the score of guessing."""

_NUMBERS = ("no", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten")


def parity_table(study: Study) -> pd.DataFrame:
    """One row a backend in mode `controlled`: what became of its trials, and how they compare with the reference.

    `planned = ok + diverged + failed + not_run = agree + differ + chaotic + unchecked`, where `failed` counts
    timeouts and crashes, and `not_run` what is unsupported, not installed or pending. `learned` counts the trials
    whose test score (training score where there is no test set) is more than 0.2 above chance and that are not
    chaotic; `largest_deviation` is taken over the trials that are not chaotic.
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
                "learned": _learned(study, rows[(rows["status"] == "ok") & (rows["verdict"] != "chaotic")]),
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


def sentences(study: Study) -> list[str]:
    """Who differs, who agrees, what is chaotic, and what could not be compared."""
    if "controlled" not in study.spoken:
        return []
    table = parity_table(study)
    if not study.checked:
        finished = table["ok"].sum() + table["diverged"].sum()
        return ["Parity not checked in this run."] if finished else ["No controlled trial has finished."]
    unit = "cell" if study.n_seeds == 1 else "trial"
    found = [
        f"{row.backend} differs from the reference in {_of(row.differ, row.agree + row.differ, unit)} "
        f"in which it can be judged, by up to {style.deviation(row.largest_deviation)}."
        for row in table[table["differ"] > 0].itertuples()
    ]
    agreeing = table[(table["agree"] > 0) & (table["differ"] == 0)]
    if len(agreeing):
        both = diverged_in_both(study, list(agreeing["backend"]))
        found.append(f"{_who_agrees(table, agreeing)} in {_where(agreeing, unit)}{both}{_how_well(agreeing)}.")
    if table["chaotic"].any():
        chaotic = table[table["chaotic"] > 0]
        counts = _shares(chaotic, "chaotic", unit)
        found.append(
            f"{counts} {'is' if counts.startswith('1 ') else 'are'} chaotic: there rounding alone moves the "
            "reference, so no backend can be blamed and none is judged."
        )
    return [*found, *_uncompared(study, table, unit)]


def diverged_in_both(study: Study, backends: list[str]) -> str:
    """`; 3 of them diverged in both`: the cells in which agreement is that reference and backend diverge alike."""
    rows = study.rows[(study.rows["mode"] == "controlled") & study.rows["backend"].isin(backends)]
    both = rows[(rows["verdict"] == "agrees") & (rows["status"] == "diverged")]
    counts = both["backend"].value_counts().reindex(backends, fill_value=0)
    if not counts.any():
        return ""
    if counts.nunique() == 1:
        return f" ({counts.iloc[0]} of them diverged in both, backend and reference)"
    each = style.listed([f"{n} of {name}" for name, n in counts.items() if n])
    return f" (in {each} both diverged, backend and reference)"


def _uncompared(study: Study, table: pd.DataFrame, unit: str) -> list[str]:
    """`3 cells are unsupported by sklearn: …`, and what else was trained or planned and not compared."""
    found = []
    rows = study.rows[(study.rows["mode"] == "controlled") & (study.rows["verdict"] == "unchecked")]
    for row in table[table["ok"] + table["diverged"] > 0].itertuples():
        mine = rows[rows["backend"] == row.backend]
        lacking = mine[mine["status"] == "unsupported"]
        if len(lacking):
            verb = "is" if len(lacking) == 1 else "are"
            why = merged([str(reason) for reason in lacking["reason"].dropna().unique()])
            found.append(
                f"{style.count(len(lacking), unit)} {verb} unsupported by {row.backend}{f': {why}' if why else ''}."
            )
        others = len(mine) - len(lacking)
        if others:
            found.append(
                f"{style.count(others, 'controlled trial')} of {row.backend} could not be compared with the reference."
            )
    return found


def merged(reasons: list[str]) -> str:
    """Reasons that differ in a few words as one: `it has no ELU, SELU: it has tanh`."""
    groups: dict[str, list[str]] = {}
    for reason in reasons:
        head, colon, tail = reason.removesuffix(".").partition(": ")
        groups.setdefault(colon + tail, []).append(head)
    texts = []
    for tail, heads in groups.items():
        words = [head.split() for head in heads]
        same = next((i for i, column in enumerate(zip(*words, strict=False)) if len(set(column)) > 1), 0)
        texts.append(", ".join([heads[0], *(" ".join(rest[same:]) for rest in words[1:])]) + tail)
    return "; ".join(texts)


def _of(n: int, total: int, unit: str) -> str:
    """`1 of the 9 cells`, `the only cell`."""
    return f"the only {unit}" if n == total == 1 else f"{n} of the {style.count(total, unit)}"


def _who_agrees(table: pd.DataFrame, agreeing: pd.DataFrame) -> str:
    names = list(agreeing["backend"])
    if len(names) == 1:
        return f"{names[0]} agrees with the reference"
    if len(names) < len(table):
        return f"{style.listed(names)} agree"
    return everyone(len(names)) + " agree"


def everyone(n: int) -> str:
    """`Both backends`, `All five backends`."""
    return "Both backends" if n == 2 else f"All {_NUMBERS[n] if n < len(_NUMBERS) else n} backends"


def _where(agreeing: pd.DataFrame, unit: str) -> str:
    """`all 41 cells that are not chaotic`, saying so where some were not compared."""
    conditions = ["were compared"] if agreeing["unchecked"].any() else []
    conditions += ["are not chaotic"] if agreeing["chaotic"].any() else []
    if agreeing["agree"].nunique() > 1:
        which = f" that {' and '.join(conditions)}" if conditions else ""
        return f"all {unit}s{which} ({_shares(agreeing, 'agree')})"
    (n,) = set(agreeing["agree"])
    if n == 1:
        conditions = [condition.replace("were", "was").replace("are", "is") for condition in conditions]
    text = {1: f"the one {unit}", 2: f"both {unit}s"}.get(n, f"all {n} {unit}s")
    return text + (f" that {' and '.join(conditions)}" if conditions else "")


def _shares(table: pd.DataFrame, column: str, unit: str = "") -> str:
    """How many of whom: `7 cells a backend` or, where they have different numbers, `7 of numpy and torch, 4 of …`."""
    counts = [int(n) for n in table[column]]
    if len(set(counts)) == 1 and unit:
        return f"{style.count(counts[0], unit)}{' a backend' if len(counts) > 1 else ''}"
    texts = []
    for n in dict.fromkeys(counts):
        names = [name for name, count in zip(table["backend"], counts, strict=True) if count == n]
        texts.append(f"{style.count(n, unit) if unit and not texts else n} of {style.listed(names)}")
    return ", ".join(texts)


def _how_well(agreeing: pd.DataFrame) -> str:
    largest = agreeing["largest_deviation"].max()
    return "" if math.isnan(largest) else f"; the largest deviation from the reference is {style.deviation(largest)}"

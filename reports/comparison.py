"""What changed between two runs of one experiment: before and after a new version of a library or of an adapter.

A trial's id says all that decides its result but versions, so the trials that two stores share are the same request,
made twice. Each pair is compared by what became of it, by parity, and by its score; cells of several seeds by the mean
of the paired differences.
"""

import math
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import pandas as pd

from reports import statistics, style
from reports.legible import cleaned, legible
from reports.study import Study, score_of, words

EQUAL = 1e-9
"""Scores that lie no further apart are the same."""

CHANGES = ("same", "moved", "broken", "mended", "differs", "agrees", "unchecked", "failing", "chaotic", "absent")
"""What became of a trial, from old to new.

`broken`: less came out of it than before (it finished, or at least diverged by itself, or had a score); `mended`: more.
`differs`: it agreed with the reference, and does no more; `agrees`: the reverse; `unchecked`: it is no longer compared.
`failing`: it crashed or timed out in both. `moved`: its score is another one. `chaotic`: rounding alone decides it, so
nothing is said of its score. `absent`: in one of the two it has not been run, is unsupported, or its backend is not
installed.
"""

SHOWN = {statistics.A_HIGHER: "higher", statistics.B_HIGHER: "lower"}
"""What the seeds show of new against old."""

_ABSENT = ("pending", "unsupported", "not_installed")


@dataclass(frozen=True)
class Comparison:
    """Two studies of one experiment. `pairs` has a row for each trial that is planned in both.

    Its columns: `backend`, `mode`, the axes, `seed`, `trial_id`, `change` (see `CHANGES`), `difference` (new minus old
    score: accuracy, or R² of a regression), and `status`, `reason`, `verdict`, `score`, `train_seconds` and
    `backend_version`, each with `_old` and `_new` after it.
    """

    old: Study
    new: Study
    pairs: pd.DataFrame

    @cached_property
    def both(self) -> Study:
        """Both studies as one, in which old and new are two backends, named by their versions: `torch 2.12.0`."""
        parts = []
        for study, names in ((self.old, self.names_old), (self.new, self.names_new)):
            rows = study.rows[study.rows["trial_id"].isin(self.pairs["trial_id"])]
            parts.append(rows.assign(backend=rows["backend"].map(names)))
        return replace(self.new, rows=pd.concat(parts, ignore_index=True), curves=self.new.curves.iloc[:0], notes=[])

    @cached_property
    def moved(self) -> pd.DataFrame:
        """One row a cell whose score moved and rounding alone does not decide, the largest first.

        `difference` is the mean of new minus old over the seeds that finished in both, `low` to `high` its 95 %
        interval, `shown` what the seeds show of it, with Holm's correction over the cells of a backend and mode:
        "higher", "lower", "no difference shown", or "not comparable" with fewer than two seeds.
        """
        return _moved_cells(self)

    @property
    def backends(self) -> list[str]:
        """The backends of the trials that are planned in both, in the order of display."""
        return [name for name in self.new.backends if name in set(self.pairs["backend"])]

    @cached_property
    def names_old(self) -> dict[str, str]:
        """A backend's name in `both` for its old trials."""
        return {name: self._named(name, "old") for name in self.backends}

    @cached_property
    def names_new(self) -> dict[str, str]:
        """A backend's name in `both` for its new trials."""
        return {name: self._named(name, "new") for name in self.backends}

    def versions(self, backend: str, side: str) -> str:
        """The versions of a backend on the side "old" or "new", as they stand in its rows."""
        found = self.pairs.loc[self.pairs["backend"] == backend, f"backend_version_{side}"].dropna().unique()
        return ", ".join(str(version) for version in found if version)

    def _named(self, backend: str, side: str) -> str:
        old, new = self.versions(backend, "old"), self.versions(backend, "new")
        return f"{backend} {self.versions(backend, side)}" if old and new and old != new else f"{backend}, {side}"


def compare(old: Study, new: Study) -> Comparison:
    """The trials that both studies plan, side by side. Raises `ValueError` where they share none."""
    kept = ["trial_id", "status", "reason", "verdict", "score", "train_seconds", "backend_version"]
    places = ["trial_id", "backend", "mode", *new.axes, *new.sampled, "seed"]
    rows = new.rows.assign(score=_scores(new))
    before = old.rows.assign(score=_scores(old))[kept].drop_duplicates("trial_id")
    pairs = rows[places].merge(before, on="trial_id").merge(rows[kept], on="trial_id", suffixes=("_old", "_new"))
    if pairs.empty:
        raise ValueError(f"no trial of {new.name!r} is planned in both stores")
    pairs["difference"] = pairs["score_new"] - pairs["score_old"]
    pairs["change"] = [_change(pair) for pair in pairs.to_dict("records")]
    order = ["backend", "mode", *new.axes, *new.sampled, "seed", "change", "difference"]
    return Comparison(old, new, pairs[order + [name for name in pairs if name not in order]])


def printable(comparison: Comparison) -> Comparison:
    """The same with every text clean and every long name cut, for a page or for Markdown."""
    return compare(*(legible(cleaned(study)) for study in (comparison.old, comparison.new)))


def _scores(study: Study) -> pd.Series:
    """The score by which each finished trial is judged: of the test set, or of the training set where there is none."""
    columns = [f"{study.split(score_of(task))}_{score_of(task)}" for task in study.rows["task"]]
    values = [row.get(column, math.nan) for row, column in zip(study.rows.to_dict("records"), columns, strict=True)]
    return pd.Series(values, study.rows.index, dtype="float64").where(study.rows["status"] == "ok")


def _change(pair: dict[str, Any]) -> str:
    if pair["status_old"] in _ABSENT or pair["status_new"] in _ABSENT:
        return "absent"
    old, new = _came(pair, "old"), _came(pair, "new")
    chaotic = "chaotic" in (pair["verdict_old"], pair["verdict_new"])
    if chaotic and min(old, new) > 0:
        return "chaotic"
    if old != new:
        return "mended" if new > old else "broken"
    if new == 0:
        return "failing"
    if pair["verdict_old"] != pair["verdict_new"] and pair["verdict_old"] in ("agrees", "differs"):
        return str(pair["verdict_new"])
    return "moved" if abs(pair["difference"]) > EQUAL else "same"


def _came(pair: dict[str, Any], side: str) -> int:
    """How much came out of a trial: 0 nothing (a crash, a time-out), 1 it diverged, 2 it finished, 3 with a score."""
    if pair[f"status_{side}"] != "ok":
        return int(pair[f"status_{side}"] == "diverged")
    return 2 + int(math.isfinite(pair[f"score_{side}"]))


def changes_table(comparison: Comparison) -> pd.DataFrame:
    """One row a backend and mode: versions, the number of trials of each change that occurs, and what moved most.

    `largest_change` is the largest change of a score, with its sign; `time_ratio` the median of new over old
    training times, of trials that finished in both.
    """
    pairs = comparison.pairs
    present = [change for change in CHANGES if (pairs["change"] == change).any()]
    records = []
    for mode in comparison.new.modes:
        for backend in comparison.backends:
            mine = pairs[(pairs["mode"] == mode) & (pairs["backend"] == backend)]
            if mine.empty:
                continue
            counts = mine["change"].value_counts()
            calm = mine.loc[mine["change"].isin(["same", "moved", "differs", "agrees"]), "difference"].dropna()
            ratios = mine["train_seconds_new"] / mine["train_seconds_old"]
            records.append(
                {
                    "backend": backend,
                    "mode": mode,
                    "old": comparison.versions(backend, "old"),
                    "new": comparison.versions(backend, "new"),
                    "trials": len(mine),
                    **{change: int(counts.get(change, 0)) for change in present},
                    "largest_change": calm[calm.abs().idxmax()] if len(calm) else math.nan,
                    "time_ratio": ratios.median(),
                }
            )
    return pd.DataFrame.from_records(records)


def _moved_cells(comparison: Comparison) -> pd.DataFrame:
    study, pairs, records = comparison.both, comparison.pairs, []
    for score in study.scores:
        column = f"{study.split(score)}_{score}"
        for mode in study.modes:
            for backend in comparison.backends:
                found = statistics.paired(
                    study, mode, comparison.names_new[backend], comparison.names_old[backend], column
                )
                chaotic = pairs[
                    (pairs["mode"] == mode) & (pairs["backend"] == backend) & (pairs["change"] == "chaotic")
                ]
                skipped = {study.position(row) for row in chaotic.to_dict("records")}
                for position, row in zip(study.positions, found.to_dict("records"), strict=True):
                    if position not in skipped and abs(row["difference"]) > EQUAL:
                        place = {
                            axis: values[i] for (axis, values), i in zip(study.axes.items(), position, strict=True)
                        }
                        kept = {name: row[name] for name in ("n", "difference", "low", "high", "p_holm")}
                        shown = SHOWN.get(row["shown"], row["shown"])
                        records.append(
                            {"backend": backend, "mode": mode, **place, "score": column, **kept, "shown": shown}
                        )
    columns = ["backend", "mode", *study.axes, "score", "n", "difference", "low", "high", "p_holm", "shown"]
    frame = pd.DataFrame.from_records(records, columns=columns)
    return frame.sort_values("difference", key=abs, ascending=False, kind="stable").reset_index(drop=True)


def worse_trials(comparison: Comparison) -> pd.DataFrame:
    """One row a trial of which less came out than before, or that agreed with the reference and does no more."""
    pairs = comparison.pairs[comparison.pairs["change"].isin(["broken", "differs"])]
    study = comparison.new
    columns = ["backend", "mode", *study.axes, *study.sampled, "seed", "change"]
    columns += ["status_old", "status_new", "verdict_old", "verdict_new", "trial_id", "reason_new"]
    return study.with_folds(pairs[columns].reset_index(drop=True))


def worse(comparison: Comparison) -> bool:
    """Whether anything got worse: a trial broken or no longer agreeing, or a cell whose score is shown to be lower."""
    moved = comparison.moved
    return bool(len(worse_trials(comparison)) or (moved["shown"] == "lower").any())


def sentences(comparison: Comparison) -> list[str]:
    """What changed, in plain words, the worst first."""
    counts = comparison.pairs["change"].value_counts()
    compared = comparison.pairs["difference"].notna() & ~comparison.pairs["change"].isin(["absent", "chaotic"])
    judged = int(compared.sum())
    return [
        _versions(comparison),
        *_worse(comparison),
        *_moved(comparison, judged),
        *_better(counts),
        *_aside(comparison, counts),
    ]


def _versions(comparison: Comparison) -> str:
    changed, same = [], []
    for backend in comparison.backends:
        old, new = comparison.versions(backend, "old"), comparison.versions(backend, "new")
        if old != new:
            changed.append(f"{backend} {old or 'not run'} → {new or 'not run'}")
        else:
            same.append(f"{backend} {old}".strip())
    text = f"{style.count(len(comparison.pairs), 'trial')} in both stores"
    if changed:
        text += f"; {', '.join(changed)}"
    return text + (f"; the same versions of {style.listed(same)}." if same else ".")


def _worse(comparison: Comparison) -> list[str]:
    found = []
    trials = worse_trials(comparison).fillna({"reason_new": ""})
    for (backend, mode), mine in trials.groupby(["backend", "mode"], sort=False):
        parted = int((mine["change"] == "differs").sum())
        if parted:
            told = f"{style.count(parted, 'trial')} agreed with the reference and now differ"
            found.append(f"{backend}, {mode}: {told}{'s' if parted == 1 else ''} from it.")
        broken = mine[mine["change"] == "broken"]
        for (old, new, reason), some in broken.groupby(["status_old", "status_new", "reason_new"], sort=False):
            what = "had a score and now has none" if old == new else f"{_became(old)} before and now {_became(new)}"
            why = f": {str(reason).removesuffix('.')}" if reason else ""
            found.append(f"{backend}, {mode}: {style.count(len(some), 'trial')} {what}{why}.")
    return found


def _became(status: str) -> str:
    return {"ok": "finished", "timeout": "timed out"}.get(status, words(status))


def _moved(comparison: Comparison, judged: int) -> list[str]:
    moved = comparison.moved
    if moved.empty:
        return [f"No score moved, in {style.count(judged, 'trial')}."] if judged else []
    cells, found = style.count(len(comparison.both.positions), "cell"), []
    for (backend, mode), mine in moved.groupby(["backend", "mode"], sort=False):
        first = mine.iloc[0]
        shown = [f"{n} {word}" for word in ("lower", "higher") if (n := int((mine["shown"] == word).sum()))]
        where = _where(comparison, first)
        text = f"{backend}, {mode}: {style.named(first['score'])} moved in {len(mine)} of {cells}, "
        text += f"by up to {style.signed(first['difference'])}{where}; "
        if mode == "controlled":  # same start and batches: no draw of a seed is in what moved
            parted = _parted(comparison, backend, mine)
            text += (
                f"in {parted if parted < len(mine) else 'all'} of them a trial agreed with the "
                "reference and now differs from it."
                if parted
                else "start and batches are the same in both stores, so this is no noise of a seed."
            )
        elif comparison.both.n_seeds < 2:
            text += "one seed cannot say whether that is more than noise."
        else:
            text += (
                f"{' and '.join(shown)} by more than the seeds' noise."
                if shown
                else "none by more than the seeds' noise."
            )
        found.append(text)
    return found


def _parted(comparison: Comparison, backend: str, moved: pd.DataFrame) -> int:
    """In how many of these cells a controlled trial agreed with the reference and does no more."""
    trials, axes = comparison.pairs, list(comparison.both.axes)
    chosen = (trials["backend"] == backend) & (trials["mode"] == "controlled") & (trials["change"] == "differs")
    differ = {_place(row, axes) for row in trials[chosen].to_dict("records")}
    return sum(_place(row, axes) in differ for row in moved.to_dict("records"))


def _place(row: dict[str, Any], axes: list[str]) -> str:
    """The place of a row on the axes, as text: their values may be lists."""
    return repr([row[axis] for axis in axes])


def _where(comparison: Comparison, row: pd.Series) -> str:
    study = comparison.both
    place = ", ".join(f"{axis} {style.plain(row[axis])}" for axis in study.axes)
    return f" ({place})" if place else ""


def _better(counts: pd.Series) -> list[str]:
    told = []
    if counts.get("mended", 0):
        told.append(f"{style.count(int(counts['mended']), 'trial')} failed before and now finished")
    if counts.get("agrees", 0):
        agrees = "agrees" if counts["agrees"] == 1 else "agree"
        told.append(f"{style.count(int(counts['agrees']), 'trial')} differed from the reference and now {agrees}")
    return [f"{'; '.join(told)}."] if told else []


def _aside(comparison: Comparison, counts: pd.Series) -> list[str]:
    told = {
        "failing": "failed in both stores",
        "unchecked": "no longer compared with the reference",
        "chaotic": "chaotic, where rounding alone decides: not judged",
        "absent": "without a result in one of the two: not compared",
    }
    found = [f"{style.count(int(counts[name]), 'trial')} {text}." for name, text in told.items() if name in counts]
    only = [
        f"{style.count(n, 'trial')} only in the {side} store"
        for side, study in (("old", comparison.old), ("new", comparison.new))
        if (n := int((~study.rows["trial_id"].isin(comparison.pairs["trial_id"])).sum()))
    ]
    return [*found, *([f"{'; '.join(only)}: not compared."] if only else [])]

"""What the page's script draws from: the rows of a study as columns of numbers, ready for JSON.

Numbers travel as the bytes of little-endian float64 (float32 where they are only drawn) in base64: as short as six
decimal digits would be, exact, so that what the script rounds is the stored number, and with room for NaN and infinity.
"""

import base64
import json
from collections.abc import Iterable
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.colors import to_hex

from reports import statistics, style
from reports.figures.heatmaps import grid, judged_by, metric_scale
from reports.figures.tiles import colormap
from reports.study import SPLITS, VERDICTS, Study, key, score_of, words

POINTS = 50
"""Of a learning curve, at most; the first and the last epoch are always among them."""

FEWEST = 8
CURVE_VALUES = 150_000
"""How many values all curves of a mode have together: with more trials each has fewer points, down to `FEWEST`."""

STOPS = 33
"""Colours of a colour map that travel; between two of them the script goes straight."""

_SPLIT_METRICS = (*style.METRICS, "epochs_to_95")
_OTHER_METRICS = ("epochs_run", "train_seconds", "build_seconds", "predict_seconds", "deviation")
_KINDS = {
    style.score: "score",
    style.size: "loss",
    style.seconds: "seconds",
    style.magnitude: "deviation",
    style.whole: "count",
}


def payload(study: Study) -> dict[str, Any]:
    """Everything that the script needs, of types that JSON has. Names and values stand in it as they are."""
    study = statistics.with_epochs_to(study)
    metrics = _metrics(study)
    columns = [column for metric in metrics for column in _columns(metric)]
    maps = {metric["scale"]["map"] for metric in metrics} | {style.DIFFERENCE}
    return {
        "axes": [{"name": name, "values": style.labels(values)} for name, values in study.axes.items()],
        "layout": _layout(study),
        "sampled": _sampled(study),
        "modes": study.modes,
        "backends": study.backends,
        "colours": [study.colours[name] for name in study.backends],
        "planned": {mode: [study.backends.index(name) for name in study.backends_of(mode)] for mode in study.modes},
        "seeds": list(study.repeat_names.values()),
        "metrics": metrics,
        "maps": {name: [to_hex(colormap(name)(x)) for x in np.linspace(0, 1, STOPS)] for name in sorted(maps)},
        "difference": style.DIFFERENCE,
        "start": {"mode": study.spoken[0], "metric": study.scores[0], "split": study.split(study.scores[0])},
        "scores": _scores(study),
        "trials": _trials(study, columns),
        "cells": _cells(study, columns) if study.n_seeds > 1 else None,
        "pairs": _pairs(study, columns) if study.n_seeds > 1 else None,
        "best": _best(study),
        "curves": {mode: curves for mode in study.modes if (curves := _curves(study, mode))},
        "calls": _calls(study),
    }


def as_json(found: dict[str, Any]) -> str:
    """JSON that may stand inside a `<script>` element: nothing in it can end the element or a line of it."""
    text = json.dumps(found, ensure_ascii=True, separators=(",", ":"), allow_nan=False)
    return text.replace("&", "\\u0026").replace("<", "\\u003c").replace(">", "\\u003e")


def packed(values: Iterable[float], dtype: str = "<f8") -> str:
    """Numbers as base64."""
    return base64.b64encode(np.asarray(values, dtype).tobytes()).decode("ascii")


def _metrics(study: Study) -> list[dict[str, Any]]:
    """What can be looked at: its name, how it is written, the splits that have it, whose tasks have it, its colours."""
    found = []
    for name in _SPLIT_METRICS:
        splits = [split for split in SPLITS if _any(study, f"{split}_{name}")]
        if splits or name == study.scores[0]:  # where nothing has finished, its score is still there to be looked at
            found.append((name, splits or ["train"]))
    found += [(name, []) for name in _OTHER_METRICS if _any(study, name)]
    return [_metric(study, name, splits) for name, splits in found]


def _any(study: Study, column: str) -> bool:
    """Whether any trial that finished has a value; that a score is never reached is one."""
    return study.has(column) or (column in study.rows and column.endswith("_epochs_to_95"))


def _metric(study: Study, name: str, splits: list[str]) -> dict[str, Any]:
    column = f"{splits[0]}_{name}" if splits else name
    measure, scale = style.measure(column), metric_scale(study, column)
    return {
        "id": name,
        "label": measure.name.removeprefix(f"{splits[0]} ") if splits else measure.name,
        "kind": _KINDS[measure.write],
        "splits": splits,
        "scores": list(judged_by(study, column)),
        "scale": {"map": scale.name, "low": scale.low, "high": scale.high, "log": scale.logarithmic},
    }


def _columns(metric: dict[str, Any]) -> list[str]:
    return [f"{split}_{metric['id']}" for split in metric["splits"]] or [metric["id"]]


def _scores(study: Study) -> list[str | None]:
    """What each cell is judged by; None for a cell without any trial."""
    tasks = dict(zip(_places(study, study.rows), study.rows["task"], strict=True))
    return [score_of(tasks[i]) if i in tasks else None for i in range(len(study.positions))]


def _layout(study: Study) -> dict[str, int | None]:
    """Which axis runs down and which across, by number."""
    axes = list(study.axes)
    where = grid(axes)
    return {
        name: None if axis is None else axes.index(axis)
        for name, axis in (("down", where.row), ("across", where.column))
    }


def _sampled(study: Study) -> list[dict[str, Any]]:
    """The values that a random search drew, for each cell: as text, and as numbers where all of them are."""
    found = []
    for name in study.sampled:
        values = [study.drawn(position).get(name) for position in study.positions]
        numeric = all(isinstance(value, (int, float)) and not isinstance(value, bool) for value in values)
        labels = [style.plain(value) for value in values]
        found.append({"name": name, "labels": labels, "values": packed(values) if numeric else None})
    return found


def _codes(values: Iterable[Any], known: list[Any]) -> list[int]:
    """Each value's place in `known`; -1 for what is not in it."""
    places = {value: i for i, value in enumerate(known)}
    return [places.get(value, -1) for value in values]


def _trials(study: Study, columns: list[str]) -> dict[str, Any]:
    rows = study.rows
    reasons = [reason for reason in rows["reason"].unique() if isinstance(reason, str)]
    return {
        "id": [str(trial_id)[:12] for trial_id in rows["trial_id"]],
        "mode": _codes(rows["mode"], study.modes),
        "backend": _codes(rows["backend"], study.backends),
        "seed": _codes(rows["seed"], sorted(rows["seed"].unique())),
        "cell": _places(study, rows).tolist(),
        "status": _codes(rows["status"], study.statuses),
        "statuses": [words(status) for status in study.statuses],
        "verdict": _codes(rows["verdict"], list(VERDICTS)),
        "verdicts": list(VERDICTS),
        "reason": _codes(rows["reason"], reasons),
        "reasons": reasons,
        "stale": np.flatnonzero(rows["stale"].astype(bool)).tolist(),
        "columns": {name: packed(_column(study, name)) for name in columns if name in rows},
    }


def _column(study: Study, name: str) -> np.ndarray:
    """A column of the rows; infinity where a score is never reached, which is more than not known."""
    values = study.rows[name].to_numpy(float)
    if not name.endswith("_epochs_to_95"):
        return values
    score = study.rows["task"].map(score_of)
    split = name.removesuffix("_epochs_to_95")
    with_curve = [set(statistics.epochs_to(study, f"{split}_{each}").index) for each in study.scores]
    known = [
        trial_id in with_curve[study.scores.index(s)] for trial_id, s in zip(study.rows["trial_id"], score, strict=True)
    ]
    return np.where(np.isnan(values) & np.array(known), np.inf, values)


def _places(study: Study, rows: pd.DataFrame) -> np.ndarray:
    """The number of each row's cell, in the order of `study.positions`."""
    place = np.zeros(len(rows), int)
    for axis, values in study.axes.items():
        numbers = {key(value): i for i, value in enumerate(values)}
        place = place * len(values) + np.array([numbers[key(value)] for value in rows[axis]], int)
    return place


def _cells(study: Study, columns: list[str]) -> dict[str, Any]:
    """Mean, standard deviation and number of the seeds: by mode, backend and column, a value a cell."""
    found: dict[str, Any] = {}
    for mode in study.modes:
        for backend in study.backends_of(mode):
            mine = found.setdefault(mode, {}).setdefault(str(study.backends.index(backend)), {})
            for column in columns:
                told = statistics.cell_statistics(study, mode, backend, column)
                if told["n"].any():
                    mine[column] = {name: packed(told[name]) for name in ("mean", "std")} | {"n": told["n"].tolist()}
    return found


def _pairs(study: Study, columns: list[str]) -> dict[str, Any]:
    """Paired differences: by mode, pair of backends and column, a value a cell."""
    found: dict[str, Any] = {}
    columns = [column for column in columns if column != "deviation"]
    for mode in study.modes:
        names = study.backends_of(mode)
        for i, a in enumerate(names):
            for b in names[i + 1 :]:
                pair = f"{study.backends.index(a)},{study.backends.index(b)}"
                mine = found.setdefault(mode, {}).setdefault(pair, {})
                for column in columns:
                    told = statistics.paired(study, mode, a, b, column)
                    if told["n"].any():
                        mine[column] = {
                            **{name: packed(told[name]) for name in ("difference", "low", "high")},
                            "p": packed(told["p_holm"], "<f4"),
                            "n": told["n"].tolist(),
                            "shown": told["shown"]
                            .isin([statistics.A_HIGHER, statistics.B_HIGHER])
                            .astype(int)
                            .tolist(),
                        }
    return found


def _best(study: Study) -> dict[str, dict[str, dict[str, list[int]]]]:
    """The cells that are outlined: by mode, backend and score."""
    numbers = {position: i for i, position in enumerate(study.positions)}
    return {
        mode: {
            str(study.backends.index(backend)): {
                score: [numbers[cell.position] for cell in study.best(mode, backend, score).values()]
                for score in study.scores
            }
            for backend in study.backends_of(mode)
        }
        for mode in study.modes
    }


def _curves(study: Study, mode: str) -> dict[str, Any] | None:
    """The learning curves of a mode's trials, thinned: their epochs, each kind once, and a value an epoch."""
    rows = study.curves
    numbers = {trial_id: i for i, trial_id in enumerate(study.rows["trial_id"]) if study.rows["mode"].iat[i] == mode}
    rows = rows.assign(trial=rows["trial_id"].map(numbers)).dropna(subset="trial").sort_values(["trial", "epoch"])
    columns = [name for name in rows if name not in ("trial_id", "trial", "epoch") and rows[name].notna().any()]
    if not columns:
        return None
    sizes = rows.groupby("trial").size()
    points = min(max(CURVE_VALUES // (len(sizes) * len(columns)), FEWEST), POINTS)
    starts = sizes.cumsum() - sizes
    rows = rows.iloc[np.concatenate([start + thinned(n, points) for start, n in zip(starts, sizes, strict=True)])]
    kinds: dict[tuple[int, ...], int] = {}  # most trials share their epochs
    of = {
        int(trial): kinds.setdefault(tuple(map(int, epochs)), len(kinds))
        for trial, epochs in rows.groupby("trial")["epoch"]
    }
    return {
        "trial": list(of),
        "kind": list(of.values()),
        "epochs": [list(epochs) for epochs in kinds],
        "columns": {name: packed(rows[name].clip(-3e38, 3e38), "<f4") for name in columns},
    }


def thinned(n: int, points: int) -> np.ndarray:
    """Which of `n` epochs are kept: all, or `points` of them at equal steps, the first and the last included."""
    return np.unique(np.round(np.linspace(0, n - 1, min(n, points))).astype(int))


def _calls(study: Study) -> dict[str, Any]:
    """The lines that each backend ran for each cell: every line once, and which of them by mode, backend and cell."""
    lines: dict[str, int] = {}
    cells: dict[str, dict[str, list[list[int]]]] = {}
    first = study.rows.assign(place=_places(study, study.rows)).drop_duplicates(["mode", "backend", "place"])
    for row in first.to_dict("records"):
        told = [lines.setdefault(line, len(lines)) for line in study.calls(row)]
        if told:
            mine, backend = cells.setdefault(row["mode"], {}), str(study.backends.index(row["backend"]))
            if backend not in mine:
                mine[backend] = [[] for _ in study.positions]
            mine[backend][row["place"]] = told
    return {"lines": list(lines), "cells": cells}

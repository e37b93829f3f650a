"""The best cells: chosen by validation score within each problem (data set and task), never across."""

import math
from typing import Any

import pandas as pd

from reports import style
from reports.study import Cell, Problem, Study, ranked

TOP = 10  # of the points of a random search
NAMED = 6  # backends at most whose scores a sentence tells one by one


def best_table(study: Study, mode: str) -> pd.DataFrame:
    """Each backend's best cell of each problem by mean validation score, with the number of seeds behind the means.

    A backend without an eligible cell has no row: one in which every seed finished, that is not chaotic, and that has
    a validation score. Nor has a problem of a single cell, of which nothing is chosen. A study of several problems
    says in `dataset` and `task` which is meant.
    """
    records = []
    for score in study.scores:
        for problem in study.problems(score):
            for backend in study.backends_of(mode):
                best = study.best(mode, backend, score).get(problem)
                if best is not None:
                    record = _place(study, mode, backend, best)
                    for name in study.scores:
                        for split in ("validation", "train", "test"):
                            record[f"{split}_{name}"] = best.mean(f"{split}_{name}")
                    records.append(record)
    names = [f"{split}_{name}" for name in study.scores for split in ("validation", "train", "test")]
    columns = ["backend", "mode", *_problem_columns(study), *study.axes, *study.sampled, f"{study.repeat}s", *names]
    return pd.DataFrame.from_records(records, columns=columns)


def _problem_columns(study: Study) -> list[str]:
    """Which of `dataset` and `task` differ within the study and are no axis of it."""
    problems = [problem for score in study.scores for problem in study.problems(score)]
    return [
        name
        for i, name in enumerate(("dataset", "task"))
        if name not in study.axes and len({problem[i] for problem in problems}) > 1
    ]


def _place(study: Study, mode: str, backend: str, cell: Cell) -> dict[str, Any]:
    record: dict[str, Any] = {"backend": backend, "mode": mode}
    dataset, task = cell.problem or ("", "")
    record |= {name: {"dataset": dataset, "task": task}[name] for name in _problem_columns(study)}
    record |= {axis: values[i] for (axis, values), i in zip(study.axes.items(), cell.position, strict=True)}
    record |= {name: study.drawn(cell.position).get(name) for name in study.sampled}
    return record | {f"{study.repeat}s": len(cell.ok)}


def metrics_table(study: Study) -> pd.DataFrame:
    """All metrics of each backend's best cells: one row a mode, problem and backend, one column a metric that exists.

    They are those of the test set, or of the training set where no trial has a test set. Where a problem has one cell
    that is taken, finished trials alone; where nothing can be chosen the table is empty.
    """
    split = "test" if any(study.has(f"test_{name}") for name in style.METRICS) else "train"
    metrics = [name for name in style.METRICS if study.has(f"{split}_{name}")]
    records = []
    for mode in study.modes:
        for score in study.scores:
            for problem in study.problems(score):
                for backend in study.backends_of(mode):
                    best = study.best(mode, backend, score).get(problem)
                    if not study.chosen(problem):
                        best = next(iter(study.cells_of(mode, backend, problem)), None)
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


def once(points: pd.DataFrame) -> pd.DataFrame:
    """`best_points` with the rows of mode `controlled` printed once where all backends have the same to 3 decimals."""
    controlled = points[points["mode"] == "controlled"] if len(points) else points
    names = list(dict.fromkeys(controlled["backend"])) if len(points) else []
    rest = controlled.drop(columns="backend")
    texts = [str([tuple(map(_text, row)) for row in rest[controlled["backend"] == name].to_numpy()]) for name in names]
    if len(names) < 2 or len(set(texts)) > 1:
        return points
    kept = controlled[controlled["backend"] == names[0]].assign(backend=style.listed(names))
    return pd.concat([kept, points[points["mode"] != "controlled"]], ignore_index=True)


def _text(value: Any) -> str:
    return f"{value:.3f}" if isinstance(value, float) and abs(value) >= 1e-2 else str(value)


def sentences(study: Study) -> list[str]:
    """The score of the best cells; where there is nothing to choose from, the score itself."""
    return list(dict.fromkeys(text for score in study.scores for text in _sentence(study, score)))


def _sentence(study: Study, score: str) -> list[str]:
    problems = study.problems(score)
    named = style.named(score)
    split = study.split(score)
    found = [text for text in (_lone(study, score, problem) for problem in problems) if text]
    chosen = [problem for problem in problems if study.chosen(problem)]
    if not study.has(f"validation_{score}") or not chosen:
        return found if len(found) < 2 else [f"The scores of each {kind(study)} stand in the table of metrics."]
    if len(chosen) > 1:
        return [
            *found,
            f"The best cell is chosen by validation {named} within each {kind(study)}, {len(chosen)} of them: "
            "see the table of best cells.",
        ]
    reached = [text for mode in study.modes if (text := _reached(study, mode, score, split, chosen[0]))]
    name = study.problem_name(chosen[0]) if len(problems) > 1 else ""
    of = f" of {name}" if name else ""
    where = "Test" if split == "test" else "Training"
    spread = f", mean ± standard deviation of {study.n_seeds} {study.repeat}s" if study.n_seeds > 1 else ""
    best = f"{where} {named} of the best cell{of}, chosen by validation {named}{spread}: {'; '.join(reached)}."
    return [*found, *([best] if reached else [])]


def kind(study: Study) -> str:
    """What tells the problems of a study apart."""
    problems = [problem for score in study.scores for problem in study.problems(score)]
    kinds = [name for i, name in enumerate(("data set", "task")) if len({problem[i] for problem in problems}) > 1]
    return " and ".join(kinds)


def _lone(study: Study, score: str, problem: Problem) -> str:
    """The plain score of a problem of one cell."""
    if study.chosen(problem):
        return ""
    split, texts = study.split(score), []
    for mode in study.modes:
        cells = [cell for name in study.backends_of(mode) for cell in study.cells_of(mode, name, problem)]
        scores = [value for cell in cells if not math.isnan(value := cell.mean(f"{split}_{score}"))]
        if scores:
            texts.append(f"{_span(scores)} in mode {mode} ({style.count(len(scores), 'backend')})")
    name = study.problem_name(problem) if len(study.problems(score)) > 1 else ""
    where = "Test" if split == "test" else "Training"
    return f"{where} {style.named(score)}{f' of {name}' if name else ''}: {'; '.join(texts)}." if texts else ""


def _span(scores: list[float]) -> str:
    low, high = style.score(min(scores)), style.score(max(scores))
    return low if low == high else f"{low} to {high}"


def _reached(study: Study, mode: str, score: str, split: str, problem: Problem) -> str:
    """`0.956 in mode controlled (5 backends)`; in mode controlled apart where the backends chose different cells.

    A backend that supports fewer cells cannot choose those of the others: that is no disagreement, and is said.
    """
    best = {
        name: cell
        for name in study.backends_of(mode)
        if (cell := study.best(mode, name, score).get(problem)) and not math.isnan(cell.mean(f"{split}_{score}"))
    }
    if not best:
        return ""
    column, texts = f"{split}_{score}", []
    if len({cell.position for cell in best.values()}) == 1 or mode == "native":
        return f"{_each(study, best, column)} in mode {mode} ({style.count(len(best), 'backend')})"
    done = {name: sum(cell.complete for cell in study.cells_of(mode, name, problem)) for name in best}
    for place in dict.fromkeys(cell.position for cell in best.values()):
        names = [name for name, cell in best.items() if cell.position == place]
        scores = [_text_of(study, best[name], column) for name in names]
        reached = scores[0] if len(set(scores)) == 1 else _span([best[name].mean(column) for name in names])
        n, most = done[names[0]], max(done.values())
        fewer = f"finished {n} of {most} cells" if n < most else ""
        told = ", ".join(filter(None, [study.describe(place), fewer]))
        texts.append(f"{reached} by {style.listed(names)} ({told})")
    return f"in mode {mode} {', '.join(texts)}"


def _text_of(study: Study, cell: Cell, column: str) -> str:
    """A mean with its spread; where fewer seeds stand behind it than the study has, their number."""
    text, n = style.mean_and_spread([row[column] for row in cell.ok]), len(cell.ok)
    return text if n == study.n_seeds else f"{text} ({n} of {style.count(study.n_seeds, study.repeat)})"


def _each(study: Study, best: dict[str, Cell], column: str) -> str:
    """The score of each backend's best cell; once where all have the same, the lowest and highest of many."""
    texts = {name: _text_of(study, cell, column) for name, cell in best.items()}
    if len(set(texts.values())) == 1:
        return next(iter(texts.values()))
    if len(texts) > NAMED:
        return _span([cell.mean(column) for cell in best.values()])
    return ", ".join(f"{name} {text}" for name, text in texts.items())

"""The networks whose stored arrays are drawn: of each backend one trial, of its best cell, and what it answers."""

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy.special import logsumexp, softmax

from reports import style
from reports.activations import ACTIVATIONS
from reports.study import Arrays, Cell, Position, Problem, Study, problem_of, score_of


@dataclass(frozen=True)
class Model:
    """One finished trial: its row, its place in the grid, and its stored arrays of one kind."""

    backend: str
    position: Position
    row: dict[str, Any]
    arrays: Arrays

    @property
    def task(self) -> str:
        """What it learned: "multiclass", "binary", "multilabel" or "regression"."""
        return str(self.row["task"])

    @property
    def hidden(self) -> list[int]:
        """The units of each hidden layer; of a network that was written as layers none is known."""
        return [] if style.missing(self.row["hidden"]) else list(self.row["hidden"])

    @property
    def activation(self) -> list[str]:
        """The activation of each hidden layer."""
        given = self.row["activation"]
        return [given] * len(self.hidden) if isinstance(given, str) else list(given)

    def outputs(self, logits: np.ndarray) -> np.ndarray:
        """What the network answers, from logits `(…, n_outputs)`: probabilities, or the values of a regression."""
        usual = {"multiclass": "softmax", "regression": "identity"}.get(self.task, "sigmoid")
        name = self.row.get("output_activation")
        name = usual if style.missing(name) else name
        if name == "softmax":
            return softmax(logits, axis=-1)
        if name == "heaviside":
            return (logits > 0).astype(float)
        return ACTIVATIONS[name].value(logits, ACTIVATIONS[name].usual)

    def probabilities(self, logits: np.ndarray) -> np.ndarray:
        """The probability of each class, `(…, n_classes)`: two columns for a single logistic unit."""
        given = self.outputs(logits)
        return np.concatenate([1 - given, given], axis=-1) if given.shape[-1] == 1 else given

    def answers(self, logits: np.ndarray) -> np.ndarray:
        """The class of each row, or with several labels 0 and 1 for each, or the values of a regression."""
        if self.task == "regression":
            return self.outputs(logits)
        if self.task == "multilabel":
            return (logits > 0).astype(int)
        return logits.argmax(axis=-1) if logits.shape[-1] > 1 else (logits[..., 0] > 0).astype(int)

    @property
    def mistakes(self) -> np.ndarray:
        """Which test rows a classification answers wrong, `(n,)`; of several labels all have to be right."""
        targets, answers = np.asarray(self.arrays["targets"]), self.answers(self.arrays["logits"])
        return (answers.reshape(len(targets), -1) != targets.reshape(len(targets), -1)).any(axis=1)

    def ranking(self, logits: np.ndarray) -> np.ndarray:
        """The log odds of each output, by which a ROC curve ranks rows: ordered even where probabilities are 1."""
        if self.task != "multiclass":
            return logits
        others = [np.delete(logits, k, axis=-1) for k in range(logits.shape[-1])]
        return np.stack([logits[..., k] - logsumexp(rest, axis=-1) for k, rest in enumerate(others)], axis=-1)


def models(study: Study, kind: str, mode: str, problem: Problem | None = None) -> list[Model]:
    """One trial of each backend, where it has stored arrays of `kind`; of one problem, the study's first.

    The store keeps predictions and planes for the best trial of each seed: by validation score (training score, without
    a validation split), then by loss; chaotic ones cannot win. Shown is the first seed of the best cell (`Study.best`)
    for which they were kept. Where none was, as another cell can win in each seed, it is the best trial of the first
    seed that has them. Every kind shows the same trial; `about` says which it is.
    """
    wanted = problem or next((p for score in study.scores for p in study.problems(score)), None)
    found = []
    for backend in study.backends_of(mode) if wanted else []:
        rows = _candidates(study, mode, backend, wanted)
        row = next((row for row in rows if _is_kept(study, row["trial_id"])), rows[0] if rows else None)
        if row is not None and (arrays := study.artefacts(kind, [row["trial_id"]]).get(row["trial_id"])):
            found.append(Model(backend, study.position(row), row, arrays))
    return found


def _candidates(study: Study, mode: str, backend: str, problem: Problem) -> list[dict[str, Any]]:
    """The trials that may be shown, in the order of preference: of the best cell, then the best ones of each seed."""
    best = _best_cell(study, mode, backend, problem)
    found = sorted(best.ok, key=lambda row: row["seed"]) if best is not None else []
    rows = [row for cell in study.cells(mode, backend) for row in cell.ok if row["verdict"] != "chaotic"]
    rows = [row for row in rows if problem_of(row) == problem]
    for seed in sorted({row["seed"] for row in rows}):
        rivals = [row for row in rows if row["seed"] == seed]
        first = min(map(_rank, rivals))
        found += [row for row in rivals if _rank(row) == first]  # several are equally good, and one of them is kept
    return found


def _best_cell(study: Study, mode: str, backend: str, problem: Problem) -> Cell | None:
    return study.best(mode, backend, score_of(problem[1])).get(problem)


def _is_kept(study: Study, trial_id: str) -> bool:
    return any(study.artefacts(kind, [trial_id]) for kind in ("predictions", "plane"))


def _rank(row: dict[str, Any]) -> tuple[float, float]:
    part, score = judged_by(row)
    value, loss = row.get(f"{part}_{score}"), row.get(f"{part}_loss")
    return math.inf if style.missing(value) else -value, math.inf if style.missing(loss) else loss


def judged_by(row: dict[str, Any]) -> tuple[str, str]:
    """The split and the score by which a trial is the best: `("validation", "accuracy")`."""
    return "train" if style.missing(row.get("validation_loss")) else "validation", score_of(row["task"])


def about(study: Study, shown: list[Model]) -> str:
    """Which trials are shown, in words, for the line under a title: the study, the cells, the seeds, and why these."""
    told: dict[tuple[str, str], list[str]] = {}
    for model in shown:
        told.setdefault((study.describe(model.position), _why(study, model)), []).append(model.backend)
    reasons = {why for _, why in told}
    if len(told) == 1:
        parts = list(next(iter(told)))
    elif len(reasons) == 1:
        parts = ["; ".join(f"{style.listed(names)}: {where}" for (where, _), names in told.items())]
        parts += [f"each {why}" for why in reasons]
    else:
        parts = ["; ".join(f"{style.listed(names)}: {_joined(*which)}" for which, names in told.items())]
    return " · ".join(filter(None, [study.title, _joined(study.problem_name(problem_of(shown[0].row)), *parts)]))


def _why(study: Study, model: Model) -> str:
    """`the best cell by validation accuracy, seed 0`, or what else the trial is; no seed where there is only one."""
    problem, seed = problem_of(model.row), study.repeat_names[model.row["seed"]] if study.n_seeds > 1 else ""
    if not study.chosen(problem):
        return seed
    split, score = judged_by(model.row)
    by = f"by {'training' if split == 'train' else split} {style.named(score)}"
    best = _best_cell(study, model.row["mode"], model.backend, problem)
    if best is not None and best.position == model.position:
        return _joined(f"the best cell {by}", seed)
    return f"the best trial{f' of {seed}' if seed else ''} {by}"


def _joined(*parts: str) -> str:
    return ", ".join(filter(None, parts))

"""The networks whose stored arrays are drawn: of each backend the best trial of one seed, and what it answers."""

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy.special import logsumexp, softmax

from reports import style
from reports.activations import ACTIVATIONS
from reports.study import Arrays, Position, Problem, Study, problem_of, score_of


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
        """The units of each hidden layer."""
        return list(self.row["hidden"])

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
    """The best trial of each backend, where it has stored arrays of `kind`; of one problem, the study's first.

    Of the first seed that finished, the trial with the highest validation score (training score, without a validation
    split), then the lowest loss; chaotic ones cannot win. The store keeps predictions and planes for just these; of
    several that are equally good, for one.
    """
    wanted = problem or next((p for score in study.scores for p in study.problems(score)), None)
    found = []
    for backend in study.backends_of(mode):
        best = _best(study, mode, backend, wanted)
        ids = [row["trial_id"] for row in best]
        kept = set(study.artefacts("predictions", ids)) | set(study.artefacts("plane", ids))
        row = next((row for row in best if row["trial_id"] in kept), best[0] if best else None)
        if row is not None and (arrays := study.artefacts(kind, [row["trial_id"]]).get(row["trial_id"])):
            found.append(Model(backend, study.position(row), row, arrays))
    return found


def _best(study: Study, mode: str, backend: str, problem: Problem | None) -> list[dict[str, Any]]:
    """The best trials of a backend: one, or several that are equally good."""
    rows = [row for cell in study.cells(mode, backend) for row in cell.ok if row["verdict"] != "chaotic"]
    rows = [row for row in rows if problem_of(row) == problem]
    seed = min((row["seed"] for row in rows), default=0)
    rows = [row for row in rows if row["seed"] == seed]
    first = min(map(_rank, rows), default=None)
    return [row for row in rows if _rank(row) == first]


def _rank(row: dict[str, Any]) -> tuple[float, float]:
    part, score = judged_by(row)
    value, loss = row.get(f"{part}_{score}"), row.get(f"{part}_loss")
    return math.inf if style.missing(value) else -value, math.inf if style.missing(loss) else loss


def judged_by(row: dict[str, Any]) -> tuple[str, str]:
    """The split and the score by which a trial is the best: `("validation", "accuracy")`."""
    return "train" if style.missing(row.get("validation_loss")) else "validation", score_of(row["task"])


def about(study: Study, shown: list[Model]) -> str:
    """Which trials are shown, in words, for the line under a title: the study, the cells, the seed, and why these."""
    split, score = judged_by(shown[0].row)
    split = "training" if split == "train" else split
    cells: dict[Position, list[str]] = {}
    for model in shown:
        cells.setdefault(model.position, []).append(model.backend)
    where = [study.describe(position) for position in cells]
    if len(cells) > 1:
        where = [f"{style.listed(names)} at {text}" for text, names in zip(where, cells.values(), strict=True)]
    parts = [
        study.problem_name(problem_of(shown[0].row)),
        "; ".join(where),
        f"seed {shown[0].row['seed']}" if study.n_seeds > 1 else "",
        f"the best by {split} {style.named(score)}" if len(study.positions) > 1 else "",
    ]
    return " · ".join(filter(None, [study.title, ", ".join(filter(None, parts))]))

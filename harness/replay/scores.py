"""What a training under a row of the conventions table comes to: loss, score, and the score as a code prints it."""

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from harness.contract import Config, Weights
from harness.conventions.table import NAN_FIRST, Row
from harness.data.prepared import Datasets, Part, Prepared
from harness.planning.plan import Trial
from harness.reference.losses import output
from harness.reference.trainer import logits_of
from harness.replay.outputs import answered
from harness.replay.stack import replay
from harness.replay.training import Member, member_of
from harness.training.metrics import SCORE, loss, predicted, quick, roc_auc


class Scores(NamedTuple):
    """Loss and score (accuracy or R²), on the test rows, or the training rows where the experiment has no others.

    `printed` and `auc` are accuracy and ROC AUC (of a binary task) as the row's own code takes them: its conventions of
    the phase "metric". All are NaN where the training diverged.
    """

    loss: float
    score: float
    printed: float
    auc: float


LOST = Scores(math.nan, math.nan, math.nan, math.nan)


def judged(prepared: Prepared) -> tuple[str, Part]:
    """The rows that an explanation is about: "test", or "train" where there are no test rows."""
    return ("test", prepared.test) if len(prepared.test.y) else ("train", prepared.train)


def score_rows(tasks: Sequence[tuple[Trial, Row]], datasets: Datasets) -> list[Scores]:
    """Replay every row in its repeat, those together that make one stack, and judge what came out."""
    prepared: dict[tuple[str, int], Prepared] = {}
    members: list[tuple[Member, Prepared]] = []
    for trial, row in tasks:
        repeat = (str(trial.data), trial.seed)
        if repeat not in prepared:
            prepared[repeat] = trial.prepare(datasets[trial.data.key])
        members.append((member_of(trial, row, prepared[repeat].train), prepared[repeat]))
    results = replay([member for member, _ in members])
    return [
        LOST if result.weights is None else _scores(member, result.weights, data)
        for result, (member, data) in zip(results, members, strict=True)
    ]


def _scores(member: Member, weights: Weights, prepared: Prepared) -> Scores:
    config = member.config
    _, part = judged(prepared)
    logits = _logits(config, weights, part)
    with np.errstate(all="ignore"):
        values = quick(config, logits, part.y)
    if not all(map(math.isfinite, values.values())):
        return LOST
    return Scores(values["loss"], values[SCORE[config.task]], *_printed(member, weights, prepared))


def _logits(config: Config, weights: Weights, part: Part) -> np.ndarray:
    with np.errstate(all="ignore"):
        return logits_of(config.network, weights, part.X.astype(config.dtype))


def _printed(member: Member, weights: Weights, prepared: Prepared) -> tuple[float, float]:
    """Accuracy and AUC by the row's own conventions: on which rows, by answers or entries, from scores or answers."""
    config, row = member.config, member.row
    part = prepared.train if row.metric_rows == "training" else judged(prepared)[1]
    logits = _logits(config, weights, part)
    accuracy = quick(config, logits, part.y)[SCORE[config.task]]
    if row.accuracy == NAN_FIRST and config.task == "multiclass":
        accuracy = float(np.mean(answered(row, logits.astype(np.float64)) == part.y))
    if row.accuracy == "thresholded" and config.task == "multiclass":
        entries = output(config, logits.astype(np.float64)) > 0.5
        accuracy = float(np.mean(entries == np.eye(config.network.n_outputs, dtype=bool)[part.y]))
    auc = None
    if config.task == "binary":
        auc = roc_auc(config, predicted(config, logits) if row.auc == "labels" else logits, part.y)
    return accuracy, math.nan if auc is None else auc


def guessing(trial: Trial, datasets: Datasets) -> float:
    """The loss of a network that has learnt nothing but how frequent each answer is among the training rows."""
    prepared = trial.prepare(datasets[trial.data.key])
    config, part = trial.config, judged(prepared)[1]
    if config.task == "regression":
        return float(np.mean((prepared.train.y.mean(axis=0) - part.y) ** 2))
    if config.task == "multiclass":
        shares = np.bincount(prepared.train.y, minlength=config.network.n_outputs) / len(prepared.train.y)
        logits = np.log(np.maximum(shares, 1e-12))
    else:
        shares = np.clip(prepared.train.y.mean(axis=0), 1e-12, 1 - 1e-12)
        logits = np.log(shares / (1 - shares))
    return loss(config, np.tile(logits, (len(part.y), 1)), part.y)

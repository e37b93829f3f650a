"""The two sides of a trace by name: a backend's declared row or a profile as its replay, or an adapter as it trains."""

from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from harness.contract import Batches, Config, Diverged, Epoch, vary
from harness.conventions.table import GIVEN, Row
from harness.conventions.translation import config_under, controlled_row
from harness.data.prepared import Datasets
from harness.experiment.file import Cell, Experiment
from harness.planning.plan import Trial, plan
from harness.recording.file import Recording
from harness.registry import check_row, load_trainer, row_of
from harness.replay.stack import Stack
from harness.replay.training import Member, member_of
from harness.support.errors import RequestError
from harness.tracing.walk import minimised
from harness.training.trial import is_finite


@dataclass(frozen=True)
class Side:
    """One side by name. `drawn` has the start and the batches of its own, `recording` was made on those of side A."""

    recording: Recording
    drawn: Recording
    config: Config
    row: Row


def trial_of(experiment: Experiment, datasets: Datasets, cell: Cell, seed: int, mode: str) -> Trial:
    """The trial that both sides train; `RequestError` where a recording cannot hold what it has."""
    asked = experiment.alone(mode, seed + 1)
    trial = next(trial for trial in plan(asked, datasets) if trial.cell == cell and trial.seed == seed)
    beyond = {"dropout", "batch_norm"} & set(trial.config.regularisation)
    beyond |= set() if trial.config.network.dense else {"a list of layers"}
    if beyond or trial.config.optimizer.name == "perceptron":
        told = ", ".join(sorted(beyond)) or "the perceptron rule"
        raise RequestError(f"{experiment.source}: trace walks plain networks, without {told}; choose another --cell")
    return trial


def native_sides(trial: Trial, datasets: Datasets, names: tuple[str, str], steps: int) -> tuple[Side, Side]:
    """The replays of two names; B's on the start and the batches of A, as far as its network allows."""
    train = trial.prepare(datasets[trial.data.key]).train
    for name in names:
        check_row(name)
    rows = [row_of(name, trial.config, trial.recipe) for name in names]
    own = [member_of(trial, row, train) for row in rows]
    ours, theirs = own
    row = replace(rows[1], hidden=GIVEN, epochs=GIVEN, batch_size=GIVEN)
    config = config_under(vary(trial.config, hidden=ours.config.network.dense["hidden"]), row, len(train.y))
    member = Member(
        vary(config, epochs=ours.config.epochs),
        row,
        tuple({key: value.astype(config.dtype) for key, value in layer.items()} for layer in ours.start),
        _Scaled(ours.batches, config.optimizer.learning_rate / ours.config.optimizer.learning_rate),
        theirs.X,
        theirs.y,
    )
    sides = []
    for name, mine, walked in zip(names, own, (ours, member), strict=True):
        recording = replace(watched(walked, steps, name), learning_rate=None)
        if trial.recipe.schedule != "constant":
            recording = watched(walked, steps, name)
        sides.append(Side(recording, draws_of(mine, name), walked.config, walked.row))
    return sides[0], sides[1]


@dataclass(frozen=True)
class _Scaled:
    """The same rows at a learning rate that is `factor` times as large."""

    batches: Batches
    factor: float

    def __len__(self) -> int:
        return len(self.batches)

    def __getitem__(self, epoch: int) -> Epoch:
        drawn = self.batches[epoch]
        rate = drawn.learning_rate if self.factor == 1 else drawn.learning_rate * self.factor
        return replace(drawn, learning_rate=rate)


def draws_of(member: Member, name: str, epochs: int = 3) -> Recording:
    """Start and batches of the first epochs alone: a recording in which nothing is trained."""
    drawn = [member.batches[e].batches() for e in range(min(epochs, len(member.batches)))]
    weights = tuple({key: value[None] for key, value in layer.items()} for layer in member.start)
    epoch = np.concatenate([np.full(len(parts), e) for e, parts in enumerate(drawn)])
    rows = padded([part for parts in drawn for part in parts], -1)
    return Recording(X=member.X, y=member.y, rows=rows, epoch=epoch, weights=weights, name=name)


def watched(member: Member, steps: int, name: str) -> Recording:
    """The first steps of a replay as a recording that holds everything."""
    row = replace(member.row, stop="never", logged_loss="without penalty")
    stack, config = Stack([replace(member, row=row)]), member.config
    weights = [stack.weights(0)]
    noted: dict[str, list[Any]] = {
        key: [] for key in ("rows", "epoch", "hidden", "logits", "loss", "gradients", "rate")
    }
    for e, chosen, rate in steps_of(member.batches, steps):
        if e == len(noted["epoch"]) == 0 or (noted["epoch"] and e != noted["epoch"][-1]):
            stack.begin_epoch()
        layers = stack.step(member.X[chosen][None], member.y[chosen][None], np.array([rate]))
        weights.append(stack.weights(0))
        if not is_finite(weights[-1]):
            weights.pop()
            break
        noted["rows"].append(chosen)
        noted["epoch"].append(e)
        noted["hidden"].append([a[0] for a in layers[:-1]])
        noted["logits"].append(layers[-1][0])
        noted["loss"].append(float(minimised(config, member.row, stack.losses, len(chosen))[0]))
        noted["gradients"].append(tuple({key: g[0].copy() for key, g in layer.items()} for layer in stack.grads))
        noted["rate"].append(rate)
    if not noted["rows"]:
        raise RequestError(f"{name}: the weights overflow in the first step; choose another cell")
    return Recording(
        X=member.X,
        y=member.y,
        rows=padded(noted["rows"], -1),
        epoch=np.array(noted["epoch"]),
        weights=stacked(weights),
        gradients=stacked(noted["gradients"]),
        activations=tuple(padded(list(layer), 0) for layer in zip(*noted["hidden"], strict=True)),
        logits=padded(noted["logits"], 0),
        learning_rate=np.array(noted["rate"]),
        name=name,
    )


def steps_of(batches: Batches, steps: int) -> Iterator[tuple[int, np.ndarray, float]]:
    """The first steps: epoch, rows and learning rate of each."""
    done = 0
    for e in range(len(batches)):
        drawn = batches[e]
        for chosen, rate in zip(drawn.batches(), drawn.learning_rate, strict=True):
            if done == steps:
                return
            yield e, chosen, float(rate)
            done += 1


def padded(arrays: list[np.ndarray], value: float) -> np.ndarray:
    """Arrays under each other, each filled up with `value` to the length of the longest."""
    result = np.full((len(arrays), max(map(len, arrays)), *arrays[0].shape[1:]), value, arrays[0].dtype)
    for row, array in zip(result, arrays, strict=True):
        row[: len(array)] = array
    return result


def stacked(steps: list[Any]) -> tuple[dict[str, np.ndarray], ...]:
    """Weights after each step as one array a tensor."""
    return tuple({key: np.stack([step[k][key] for step in steps]) for key in layer} for k, layer in enumerate(steps[0]))


@dataclass(frozen=True)
class _OneStepEpochs:
    """The first steps of other batches, each an epoch of its own: `after_epoch` sees the weights after every step."""

    steps: tuple[tuple[np.ndarray, float], ...]

    def __len__(self) -> int:
        return len(self.steps)

    def __getitem__(self, epoch: int) -> Epoch:
        if not 0 <= epoch < len(self):
            raise IndexError(f"epoch {epoch} of {len(self)}")
        rows, rate = self.steps[epoch]
        return Epoch(rows[None], np.array([rate]))


def controlled_side(trial: Trial, datasets: Datasets, steps: int) -> Member:
    """What an adapter is trained on in mode controlled, one step an epoch."""
    train = trial.prepare(datasets[trial.data.key]).train
    batches = trial.batches(len(train.y))
    taken = tuple((rows, rate) for _, rows, rate in steps_of(batches, steps))
    config = vary(trial.config, epochs=len(taken))
    return Member(config, controlled_row(config, trial.recipe), trial.start(), _OneStepEpochs(taken), train.X, train.y)


def train_watched(trainer: str, name: str, member: Member) -> Recording:
    """Train the adapter at `"module:Class"` through the contract, and note weights and logits of every step.

    Raises `RequestError` where the adapter says that it cannot train this.
    """
    trainer_class = load_trainer(trainer)
    reason = trainer_class.refuses(member.config)
    if reason is not None:
        raise RequestError(f"backend {name!r}: {reason}; choose another backend")
    rows = [chosen for _, chosen, _ in steps_of(member.batches, len(member.batches))]
    adapter = trainer_class(member.config, member.start)
    weights, logits = [adapter.weights()], [adapter.logits(member.X[rows[0]])]

    def after_epoch(epoch: int) -> bool:
        after = adapter.weights()
        if not is_finite(after):
            return True
        weights.append(after)
        if epoch < len(rows):
            logits.append(adapter.logits(member.X[rows[epoch]]))
        return False

    with suppress(Diverged):
        adapter.train(member.X, member.y, member.batches, after_epoch)
    steps = len(weights) - 1
    if steps < 1:
        raise RequestError(f"backend {name!r}: its weights are not finite after the first step; choose another --cell")
    rates = np.array([rate for _, _, rate in steps_of(member.batches, steps)])
    return Recording(
        X=member.X,
        y=member.y,
        rows=padded(rows[:steps], -1),
        epoch=np.arange(steps),
        weights=stacked(weights),
        logits=padded(logits[:steps], 0),
        learning_rate=None if (rates == rates[0]).all() else rates,  # asked for, not watched: it is no witness
        name=name,
    )

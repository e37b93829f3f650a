"""What members cost each other: 4,000 against 49, and one that diverges, decays or is denormal against a sound one.

As a module, `python -m benchmarks.members BACKEND DTYPE ROUNDS`, it measures in one process with one thread.
"""

import json
import os
import random
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np

from benchmarks.contenders import experiment, our_chunks
from harness.contract import Weights, vary
from harness.execution.executor import ENVIRONMENT
from harness.experiment.file import Experiment
from harness.planning.cohorts import Chunk
from harness.training.trial import train_stack

MANY = (40, 100)  # learning rates and values of L2
FEW_EPOCHS = 2

SATURATED = {"float32": -100.0, "float64": -740.0}
"""A bias whose sigmoid is denormal."""


def compare(backend: str, dtype: str, rounds: int) -> dict[str, Any]:
    """Milliseconds a trial-epoch, a list over the rounds for each of the cases, measured in a process of its own."""
    command = [sys.executable, "-m", "benchmarks.members", backend, dtype, str(rounds)]
    done = subprocess.run(command, env=os.environ | ENVIRONMENT, stdout=subprocess.PIPE, text=True, check=True)
    return {"backend": backend, "dtype": dtype, "cases": json.loads(done.stdout)}


def sized(dtype: str, backend: str, learning_rates: int, l2s: int) -> Experiment:
    """The sweep with as many cells as asked for and few epochs."""
    asked = experiment(dtype, backends=[backend])
    axes = {
        "learning_rate": tuple(np.logspace(-3, 0, learning_rates).tolist()),
        "l2": tuple(np.logspace(-5, -2, l2s).tolist()),
    }
    training = asked.training.model_copy(update={"epochs": FEW_EPOCHS})
    return asked.model_copy(update={"sweep": axes, "training": training})


def disturbed(chunk: Chunk, case: str) -> Callable[[Any], float]:
    """The chunk with one of its members as the case says; what is given takes a trainer and gives milliseconds."""
    configs = [trial.config for trial in chunk.trials]
    starts = [trial.start() for trial in chunk.trials]
    i = len(configs) // 2
    numbers = {"diverges": {"learning_rate": 100.0, "l2": 1.0}, "decays": {"learning_rate": 1.0, "l2": 0.9}}
    configs[i] = vary(configs[i], **numbers.get(case, {}))
    if case == "is denormal":
        starts[i] = _saturated(starts[i], SATURATED[configs[i].dtype])
    return _timed(chunk, configs, starts)


def _saturated(start: Weights, bias: float) -> Weights:
    return ({**start[0], "b": np.full_like(start[0]["b"], bias)}, *start[1:])


def _timed(chunk: Chunk, configs: list[Any], starts: list[Weights]) -> Callable[[Any], float]:
    from harness.execution import worker

    first = chunk.trials[0]
    prepared = first.prepare(worker._datasets[first.data.key])
    batches = [
        replace(trial.batches(len(prepared.train.y)), config=config)
        for trial, config in zip(chunk.trials, configs, strict=True)
    ]

    def run(trainer: Any) -> float:
        outcomes = train_stack(trainer, configs, starts, batches, prepared, width=chunk.width)
        return 1e3 * sum(outcome.train_seconds or 0.0 for outcome in outcomes) / len(outcomes) / configs[0].epochs

    return run


def measure(backend: str, dtype: str, rounds: int) -> dict[str, list[float]]:
    """Every case once a round, in random order."""
    runs: dict[str, Callable[[], float]] = {}
    for members, grid in {"49 members": (7, 7), "4,000 members": MANY}.items():
        trainer, chunks = our_chunks(backend, sized(dtype, backend, *grid))
        stacks = [disturbed(chunk, "is sound") for chunk in chunks]
        sizes = [len(chunk.trials) for chunk in chunks]
        runs[members] = lambda stacks=stacks, sizes=sizes, trainer=trainer: float(
            np.average([stack(trainer) for stack in stacks], weights=sizes)
        )
    trainer, chunks = our_chunks(backend, experiment(dtype, backends=[backend]))
    for case in ("is sound", "diverges", "decays", "is denormal"):
        stack = disturbed(chunks[0], case)
        runs[f"one member {case}"] = lambda stack=stack, trainer=trainer: stack(trainer)
    generator = random.Random(0)
    found: dict[str, list[float]] = {name: [] for name in runs}
    for number in range(rounds + 1):  # the first is discarded
        for name in generator.sample(sorted(runs), len(runs)):
            value = runs[name]()
            if number > 0:
                found[name].append(value)
    return found


if __name__ == "__main__":
    answers = os.fdopen(os.dup(1), "w")  # a worker closes its standard output
    backend, dtype, rounds = sys.argv[1:]
    print(json.dumps(measure(backend, dtype, int(rounds))), file=answers, flush=True)

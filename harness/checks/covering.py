"""`harness check --full`: every pair of parts, trained together at least once, by a covering array.

Two parts that are right alone can be wrong together: weight decay inside an optimizer and clipping, dropout and batch
normalisation. All combinations of all parts are millions; a covering array tries every *pair* of them in about a
hundred networks. Each has two hidden layers and is trained for five epochs, start, batches, masks and stopping drawn
as in any other trial.

Source: Cohen, Dalal, Fredman and Patton, "The AETG system: an approach to testing based on combinatorial design",
IEEE Transactions on Software Engineering 23 (7), 1997.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Any

import numpy as np

from harness.checks.arithmetic import RATES
from harness.checks.problem import N_ROWS, SMALL, TrainerClass, problem
from harness.checks.stacks import siblings
from harness.contract import (
    ACTIVATIONS,
    DTYPES,
    OPTIMIZER_CONSTANTS,
    OUTPUT_ACTIVATIONS,
    REDUCTIONS,
    TASKS,
    Config,
    StackTrainer,
    vary,
)
from harness.data.prepared import Part, Prepared
from harness.draws.batches import draw_batches
from harness.draws.recipe import SCHEDULES, Recipe
from harness.draws.starts import draw_start
from harness.support.errors import describe
from harness.training.floor import train_reference
from harness.training.parity import Verdict, deviation, judge
from harness.training.trial import EarlyStopping, train_stack

Changes = dict[str, Any]
_OUTPUTS = {"multiclass": "softmax", "binary": "sigmoid", "multilabel": "sigmoid", "regression": "identity"}
_N_OUTPUTS = {"multiclass": 4, "binary": 1, "multilabel": 3, "regression": 3}

FACTORS: dict[str, dict[str, Changes]] = {
    "task": {
        task if len(losses) == 1 else f"{task}, {loss}": {
            "task": task,
            "loss": loss,
            "output_activation": _OUTPUTS[task],
            "n_outputs": _N_OUTPUTS[task],
        }
        for task, losses in TASKS.items()
        for loss in losses
    }
    | {
        f"regression, {name} outputs": {
            "task": "regression",
            "loss": "mse",
            "output_activation": name,
            "n_outputs": _N_OUTPUTS["regression"],
        }
        for name in OUTPUT_ACTIVATIONS
        if name != "identity"
    },
    "activation": {name: {"activation": (name, name)} for name in ACTIVATIONS},
    "optimizer": {
        name: {"optimizer": name, "learning_rate": RATES.get(name, 0.01) / 4} for name in OPTIMIZER_CONSTANTS
    },
    "start": {
        init if not bias else f"{init}, bias {bias}": {"init": init, "bias": bias}
        for init, bias in (
            *((f"{family}_{law}", 0.0) for family in ("glorot", "he", "lecun") for law in ("uniform", "normal")),
            ("normal(0.5)", "normal(0.1)"),
            ("truncated_normal(0.5)", 0.1),
            ("uniform(0.5)", 0.0),
            ("zeros", 0.01),
        )
    },
    "penalty": {"none": {}, "L2": {"l2": 1e-2}, "L1": {"l1": 1e-2}, "L1 and L2": {"l1": 1e-2, "l2": 1e-2}},
    "dropout": {
        "none": {},
        "hidden units": {"dropout": (0.0, 0.4, 0.2)},
        "inputs": {"dropout": (0.2, 0.0, 0.0)},
        "inputs and hidden units": {"dropout": (0.2, 0.4, 0.6)},
    },
    "batch norm": {"no": {}, "yes": {"batch_norm": True}},
    "clipping": {"none": {}, "by norm": {"clip_norm": 0.2}, "by value": {"clip_value": 0.02}},
    "early stopping": {"no": {}, "yes": {"stopping": EarlyStopping(patience=1)}},
    "batches": {
        "permutation": {},
        "independent": {"batches": "independent"},
        "replacement": {"batches": "replacement"},
        "in order": {"batches": "in_order"},
        "full batch": {"batch_size": N_ROWS},
        "number of batches": {"n_batches": 5},
        "last batch dropped": {"last_batch": "drop"},
    },
    "schedule": {
        name: {"schedule": name, **{key: {"decay_rate": 0.5, "decay_steps": 4}[key] for key in read if key[0] == "d"}}
        for name, read in SCHEDULES.items()
    },
    "reduction": {name: {"reduction": name} for name in REDUCTIONS},
    "dtype": {name: {"dtype": name} for name in DTYPES},
}
"""Factor -> level -> what it changes in the training."""

Case = dict[str, str]
"""One level of every factor."""


def covering(factors: Mapping[str, Sequence[str]]) -> list[Case]:
    """Cases in which every pair of levels of two factors occurs at least once; the same list every time.

    Greedy: a case begins with the first pair that is still missing, and each further factor takes the level that
    brings most of the missing pairs.
    """
    missing = {((f, a), (g, b)): None for f, g in combinations(factors, 2) for a in factors[f] for b in factors[g]}
    cases = []
    while missing:
        case = dict(next(iter(missing)))
        for factor in sorted(factors, key=lambda name: -len(factors[name])):
            if factor not in case:
                case[factor] = max(factors[factor], key=lambda level: _gain(case, factor, level, missing, factors))
        cases.append({factor: case[factor] for factor in factors})
        for pair in combinations(cases[-1].items(), 2):
            missing.pop(pair, None)
    return cases


def _gain(case: Case, factor: str, level: str, missing: Mapping[Any, None], factors: Mapping[str, Any]) -> int:
    order = list(factors)
    pairs = (sorted(((factor, level), item), key=lambda part: order.index(part[0])) for item in case.items())
    return sum(tuple(pair) in missing for pair in pairs)


@dataclass(frozen=True)
class Measured:
    """How one case went: a verdict with its measure, or the reason why the backend cannot train it."""

    case: Case
    verdict: Verdict
    deviation: float | None = None
    floor: float | None = None
    reason: str | None = None


def training_of(case: Case) -> tuple[Config, Recipe, EarlyStopping | None]:
    """The training that a case stands for."""
    changes: Changes = {}
    for factor, level in case.items():
        changes |= FACTORS[factor][level]
    stopping = changes.pop("stopping", None)
    recipe = {key: changes.pop(key) for key in list(changes) if key in Recipe.__dataclass_fields__}
    if changes.get("reduction") == "sum":
        changes["learning_rate"] = changes["learning_rate"] / 4
    return vary(SMALL, hidden=(6, 5), **{"l2": 0.0, **changes}), Recipe(**recipe), stopping


def measure(case: Case, trainer_class: TrainerClass) -> Measured:
    """Train one case with a backend and with the reference."""
    config, recipe, stopping = training_of(case)
    reason = trainer_class.refuses(config)
    if reason is not None:
        return Measured(case, "unchecked", reason=reason)
    prepared = _prepared(config)
    start, batches = draw_start(config, recipe, 0, 0), draw_batches(config, recipe, N_ROWS, 0, 0)
    reference = train_reference(config, start, batches, prepared.train, prepared.validation, stopping)
    # a stack is tried with others beside the case: two that differ in all numbers, and one that overflows
    others = [*siblings(config)[1:3], vary(config, learning_rate=1e200)]
    configs = [config, *(others if issubclass(trainer_class, StackTrainer) else ())]
    starts = [draw_start(other, recipe, 0, repeat) for repeat, other in enumerate(configs)]
    drawn = [draw_batches(other, recipe, N_ROWS, 0, 0) for other in configs]
    try:
        outcome = train_stack(trainer_class, configs, starts, drawn, prepared, stopping=stopping)[0]
    except Exception as error:
        return Measured(case, "differs", reason=describe(error))
    measured = deviation(outcome.weights, reference.weights)
    verdict = judge(outcome.status, measured, reference.floor, config.dtype)
    return Measured(case, verdict, measured, reference.floor, outcome.reason)


def _prepared(config: Config) -> Prepared:
    """The small problem, with other rows of the same kind for validation."""
    X, y = problem(config)
    rows = np.arange(N_ROWS)
    shifted = Part((X + X[::-1] / 8).astype(X.dtype), y, rows)
    nothing = Part(X[:0], y[:0], rows[:0])
    return Prepared(Part(X, y, rows), shifted, nothing)


def supported_levels(trainer_class: TrainerClass) -> tuple[dict[str, list[str]], dict[tuple[str, str], str]]:
    """The levels of each factor that a backend can train beside the usual others, and its reasons for the rest."""
    usual = {factor: next(iter(levels)) for factor, levels in FACTORS.items()}
    usual |= {"activation": "tanh", "optimizer": "sgd"}
    levels: dict[str, list[str]] = {factor: [] for factor in FACTORS}
    reasons: dict[tuple[str, str], str] = {}
    for factor, names in FACTORS.items():
        for level in names:
            reason = trainer_class.refuses(training_of({**usual, factor: level})[0])
            if reason is None:
                levels[factor].append(level)
            else:
                reasons[factor, level] = reason
    return levels, reasons

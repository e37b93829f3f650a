"""Judge what the tool says of a recording, by the truth and by a replay of the named row that is not the tool's."""

from dataclasses import dataclass, field
from typing import Any

import numpy as np

from tests.foreign.ask import Answer
from tests.foreign.draw import Training
from tests.foreign.laws import last_batch_fits, order_fits, start_fits
from tests.foreign.network import Row
from tests.foreign.replay import Left, Recorded, left

VERDICTS = ("named", "equivalent", "partly", "not found", "false")
ROUNDING = 3.0
"""Bound of what a row may leave of a step, in roundings; the true rows of 130 seeds leave 2.0 at most."""
STATED = 1e-5
"""Numbers are taken as stated to so many digits."""


@dataclass(frozen=True)
class Verdict:
    """`wrong`: what differs from the truth, {name: (said, true)}. `left_by_row`, `left_by_truth`: `Left` as numbers."""

    kind: str
    why: str = ""
    wrong: dict[str, Any] = field(default_factory=dict)
    left_by_row: tuple[float, float] | None = None
    left_by_truth: tuple[float, float] | None = None


def judge(answer: Answer, training: Training, recorded: Recorded) -> Verdict:
    """Of a training inside the table."""
    if answer.result is None:
        return Verdict("not found", f"exit code {answer.exit_code}: {answer.said}")
    row, truth = said_row(answer.result), training.truth
    wrong = differences(row, truth)
    by_truth = left(truth, recorded)
    by_row, why = replayed(row, truth, recorded)
    gives = by_row is not None and as_close(by_row, by_truth)
    numbers = (by_row and (by_row.worst, by_row.end), (by_truth.worst, by_truth.end))
    if not answer.result.get("followed"):
        telling = [name for name in important(truth) if truth.get(name) != DEFAULTS.get(name, truth.get(name))]
        found = [name for name in telling if name not in wrong]
        kind = "partly" if found else "not found"
        shy = "; yet the row gives the recorded weights" if gives else ""
        return Verdict(kind, f"not called found; right: {', '.join(found) or 'nothing'}{shy}", wrong, *numbers)
    if not gives:
        return Verdict("false", why or "the row does not give the recorded weights", wrong, *numbers)
    untold = [name for name in ("init", "bias") if row.get(name) is None]
    if untold:
        return Verdict("partly", f"no law told: {', '.join(untold)}", wrong, *numbers)
    unlikely = laws_that_do_not_fit(row, truth, recorded)
    if unlikely:
        return Verdict("false", f"does not fit what was drawn: {', '.join(unlikely)}", wrong, *numbers)
    if wrong:
        return Verdict("equivalent", "the same training by other words", wrong, *numbers)
    return Verdict("named", "", {}, *numbers)


def judge_outside(answer: Answer, recorded: Recorded) -> Verdict:
    """Of a mechanism that no row has: right is not to call it found, unless the row does give the weights."""
    if answer.result is None:
        return Verdict("not found", f"exit code {answer.exit_code}: {answer.said}")
    if not answer.result.get("followed"):
        return Verdict("not found", "not called found")
    by_row, why = replayed(said_row(answer.result), {}, recorded)
    numbers = by_row and (by_row.worst, by_row.end)
    if by_row is not None and by_row.worst <= ROUNDING:
        return Verdict("equivalent", "the row gives the recorded weights", {}, numbers)
    return Verdict("false", why or "the row does not give the recorded weights", {}, numbers)


DEFAULTS: Row = {
    "reduction": "mean",
    "outputs": "mean",
    "probabilities": "logits",
    "l2": 0.0,
    "l2_factor": "half",
    "l2_divisor": "none",
    "l2_tensors": "weights",
    "l2_form": "coupled",
    "optimizer": "sgd",
    "momentum": 0.0,
    "nesterov": False,
    "momentum_form": "outside",
    "beta_1": 0.9,
    "beta_2": 0.999,
    "rho": 0.9,
    "epsilon": 1e-8,
    "epsilon_place": "outside",
    "bias_correction": "step",
    "moments_reset": "never",
    "initial_accumulator": 0.0,
    "accumulator": "weight",
    "leaky_slope": 0.01,
    "elu_alpha": 1.0,
    "softplus_threshold": None,
    "constants": "exact",
    "init": "glorot_uniform",
    "bias": 0.0,
    "batches": "permutation",
    "last_batch": "keep",
    "clip_norm": None,
    "clip_value": None,
}
"""The harness's own row: a truth that differs from it has to be found."""


def said_row(result: dict[str, Any]) -> Row:
    """The row and the numbers of an answer in one; "given" stands for the number of the configuration."""
    config, named = result["config"], result["row"]
    row = dict(config) | {name: value for name, value in named.items() if value != "given"}
    if row["optimizer"] in ("momentum", "nesterov"):
        row["nesterov"] = row["optimizer"] == "nesterov"
        row["optimizer"] = "sgd"
    if isinstance(row["activation"], str):
        row["activation"] = [row["activation"]]
    if len(row["activation"]) == 1:  # of every hidden layer
        row["activation"] = list(row["activation"]) * len(config.get("hidden", [0]))
    return row


def important(truth: Row) -> list[str]:
    """The conventions that count in a training: those of an optimizer that it does not use do not."""
    names = ["init", "bias", "batches", "last_batch", "reduction", "optimizer", "clip_norm", "clip_value", "l2"]
    names += ["dtype", "activation"]
    if truth["task"] != "multiclass":
        names.append("outputs")
    else:
        names.append("probabilities")
    if truth["l2"]:
        names += ["l2_factor", "l2_divisor", "l2_tensors", "l2_form"]
    names += {
        "sgd": ["momentum"] + (["nesterov", "momentum_form"] if truth.get("momentum") else []),
        "adam": ["beta_1", "beta_2", "epsilon", "epsilon_place", "bias_correction", "moments_reset"],
        "rmsprop": ["rho", "epsilon", "epsilon_place", "moments_reset"],
        "adagrad": ["epsilon", "epsilon_place", "initial_accumulator", "accumulator", "moments_reset"],
    }[truth["optimizer"]]
    if truth["optimizer"] == "adam" or truth["dtype"] == "float64":
        names.append("constants")
    constants = {"leaky_relu": "leaky_slope", "elu": "elu_alpha", "softplus": "softplus_threshold"}
    return names + [constants[name] for name in dict.fromkeys(truth["activation"]) if name in constants]


def differences(row: Row, truth: Row) -> dict[str, Any]:
    """{name: (said, true)} of the conventions that count."""
    pairs = {name: (row.get(name), truth.get(name)) for name in important(truth)}
    return {name: list(pair) for name, pair in pairs.items() if not same(*pair)}


def same(said: Any, true: Any) -> bool:
    if is_number(said) and is_number(true):
        return bool(np.isclose(said, true, rtol=STATED, atol=0))
    if isinstance(true, list):
        return list(said or []) == true or list(said or []) * len(true) == true
    if not said and not true:  # no clipping: None, 0
        return True
    return bool(said == true)


def is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def replayed(row: Row, truth: Row, recorded: Recorded) -> tuple[Left | None, str]:
    """What the row leaves: with its numbers as they are, to six digits, or the true ones where they are stated so."""
    stated = {name: float(f"{value:.6g}") if is_number(value) else value for name, value in row.items()}
    rounded = {
        name: truth[name] if name in truth and is_number(value) and same(value, truth[name]) else value
        for name, value in stated.items()
    }
    different = [row] + [one for one in (stated, rounded) if one != row]
    try:
        return min((left(one, recorded) for one in different), key=lambda one: one.worst), ""
    except (NotImplementedError, KeyError, TypeError, IndexError, ValueError) as error:
        return None, f"the judge has no replay of it: {error!r}"


def as_close(by_row: Left, by_truth: Left) -> bool:
    """Whether a row leaves no more than rounding: of each step, and of a replay that runs free to the end."""
    return by_row.worst <= max(ROUNDING, 3 * by_truth.worst) and by_row.end <= 4 * max(by_truth.end, by_truth.reach)


def laws_that_do_not_fit(row: Row, truth: Row, recorded: Recorded) -> list[str]:
    weights, biases = recorded.weights[0][::2], recorded.weights[0][1::2]
    sizes = [w.shape for w in weights]
    fits = {
        "init": start_fits(row.get("init"), truth["init"], weights, sizes, None),
        "bias": row.get("bias") == truth["bias"]
        or start_fits(row.get("bias"), law_of_biases(truth["bias"], truth["init"]), biases, sizes, row.get("init")),
        "batches": order_fits(row.get("batches"), truth["batches"], recorded),
        "last_batch": last_batch_fits(row.get("last_batch"), truth["last_batch"], recorded),
        "dtype": row.get("dtype") == recorded.dtype,
    }
    return [f"{name} {row.get(name)!r}, not {truth.get(name)!r}" for name, fit in fits.items() if not fit]


def law_of_biases(bias: Any, init: Any) -> Any:
    return init if bias == "as_weights" else bias

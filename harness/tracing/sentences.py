"""What was found of one recording in plain sentences: the whole row, what was assumed, what cannot be told."""

from dataclasses import asdict
from typing import Any

import numpy as np

from harness.conventions.table import CONVENTIONS, activations_under
from harness.network import OPTIMIZERS
from harness.recording.file import Recording
from harness.tracing.peeling import Identified
from harness.tracing.schedules import schedule_of
from harness.tracing.start_and_batches import law_of_biases, law_of_weights, laws_of_batches

_MOST = 8  # equal rows that are told
_OPTIMIZERS = {name: each.title() for name, each in OPTIMIZERS.items()} | {"sgd": "plain SGD"}
_LOSSES = {"cross_entropy": "cross entropy", "binary_cross_entropy": "binary cross entropy"}
_LOSSES |= {"mse": "the squared error", "mae": "the absolute error", "huber": "Huber's loss"}
_TENSORS = {"weights": "all weight matrices", "weights and biases": "weights and biases"}
_TENSORS["hidden"] = "the weight matrices of the hidden layers"
_REDUCTIONS = {"mean": "averaged over the rows of a batch", "sum": "summed over the rows of a batch"}
_REDUCTIONS["mean of n + 1"] = "summed over the rows of a batch and divided by n + 1"
_OUTPUTS = {"mean": "averaged over the outputs", "sum": "summed over the outputs"}
_OUTPUTS["half sum"] = "half the sum over the outputs"


def sentence(found: Identified, recording: Recording) -> str:
    """The whole row in one sentence."""
    row, config = found.row, found.config
    layers = "-".join(map(str, recording.layers))
    hidden = ", ".join(dict.fromkeys(activations_under(config, row))) or "no hidden"
    parts = [
        f"{_optimizer(found)}, learning rate {_rates(found, recording)}",
        _loss(found),
        _l2(found),
        _clipping(found),
        f"a {layers} network of {hidden} units{_slope(found)} in {config.dtype}",
        _start(found, recording),
        _batches(found, recording),
    ]
    return "; ".join(parts) + "."


def _optimizer(found: Identified) -> str:
    row, name = found.row, _OPTIMIZERS[found.row.optimizer]
    told: list[str] = []
    if row.optimizer == "sgd" and row.momentum:
        name = "SGD with Nesterov's momentum" if row.nesterov else "SGD with momentum"
        told = [f"{row.momentum:g}"]
        if row.momentum_form == "dampened":
            told.append("dampened")
    if row.optimizer == "adam":
        name = "AdamW (Adam with a decoupled L2)" if found.config.penalty.l2 and row.l2_form == "decoupled" else name
        told = [f"beta_1 {row.beta_1:g}", f"beta_2 {row.beta_2:g}"]
        if row.bias_correction != "step":
            told.append(f"bias correction: {row.bias_correction}")
    if row.optimizer == "adagrad_momentum":
        told = [f"{row.momentum:g}"]
    if row.optimizer == "rmsprop":
        told = [f"rho {row.rho:g}"]
    if row.optimizer.startswith("adagrad"):
        told.append(f"first accumulator {row.initial_accumulator:g}")
    if row.optimizer != "sgd":
        place = {"outside": "outside the root", "inside": "inside the root", "hat": "in the epsilon-hat form"}
        told.append(f"epsilon {row.epsilon:g} {place[row.epsilon_place]}")
        if row.moments_reset != "never":
            told.append("moments reset every epoch")
        if row.accumulator != "weight":
            told.append("one accumulator a row")
    return f"{name} ({', '.join(told)})" if told else name


def _rates(found: Identified, recording: Recording) -> str:
    rates = found.rates if found.rates is not None else recording.learning_rate
    if rates is None:
        return f"{found.config.optimizer.learning_rate:g} in every step"
    schedule = schedule_of(np.asarray(rates, np.float64), recording.epoch, 1e-6)
    whose = "recorded" if found.rates is None else "found"
    if schedule is not None:
        return f"{schedule.said} ({whose})"
    return f"by a schedule from {rates[0]:g} to {rates[-1]:g} ({whose})"


def _loss(found: Identified) -> str:
    row, config = found.row, found.config
    told = f"{_LOSSES[config.loss.name]} {_REDUCTIONS[row.reduction]}"
    if config.loss.name != "cross_entropy" and (config.network.n_outputs > 1 or row.outputs == "half sum"):
        told += f", {_OUTPUTS[row.outputs]}"
    if config.task == "regression" and config.loss.output.name != "identity":
        told += f", of outputs through {config.loss.output.name}"
    if config.loss.name == "cross_entropy" and row.probabilities != "logits":
        told += f", from probabilities ({row.probabilities})"
    return told


def _l2(found: Identified) -> str:
    row, config = found.row, found.config
    if not config.penalty.l2 or row.l2_tensors == "nothing":
        return "no L2"
    form = {"coupled": "in the gradient", "after clipping": "in the gradient, behind the clipping"}
    form["decoupled"] = "decoupled: W -= lr l2 W"
    half = "" if row.l2_form == "decoupled" else ", (l2/2) sum W²" if row.l2_factor == "half" else ", l2 sum W²"
    over = " over the rows of the batch" if row.l2_divisor != "none" else ""
    return f"L2 of {config.penalty.l2:g}{over} on {_TENSORS[row.l2_tensors]}, {form[row.l2_form]}{half}"


def _clipping(found: Identified) -> str:
    bounds = {"by norm": found.config.value("clip_norm"), "by value": found.config.value("clip_value")}
    told = [f"gradients clipped {how} at {bound:g}" for how, bound in bounds.items() if bound is not None]
    return " and ".join(told) or "no clipping"


def _slope(found: Identified) -> str:
    told = []
    for activation, name in (("leaky_relu", "leaky_slope"), ("elu", "elu_alpha"), ("softplus", "softplus_threshold")):
        if activation in activations_under(found.config, found.row):
            value = getattr(found.row, name)
            told.append(f"{CONVENTIONS[name].title.partition(' of ')[0]} {'none' if value is None else f'{value:g}'}")
    return f" ({', '.join(told)})" if told else ""


def _start(found: Identified, recording: Recording) -> str:
    start = recording.weights_at(0)
    weights = law_of_weights(start)
    biases = law_of_biases(start, weights.value)
    drawn = f"weights drawn by {weights.value}" if weights.value is not None else "weights by no law that is known"
    if weights.value == "zeros":
        drawn = "all weights 0 at first"
    if isinstance(biases.value, float):
        return f"{drawn}, biases {biases.value:g}"
    if biases.value is None:
        return f"{drawn}, biases by no law of the table ({biases.evidence})"
    return f"{drawn}, biases by {_law(biases.value)}"


def _law(bias: str) -> str:
    return "the same law" if bias == "as_weights" else bias


def _batches(found: Identified, recording: Recording) -> str:
    laws = laws_of_batches(recording)
    words = CONVENTIONS["batches"].values
    told = f"batches of {laws['batch_size'].value} rows, {words[str(laws['batches'].value)]}"
    if "last_batch" in laws:
        told += f", the last one: {CONVENTIONS['last_batch'].values[str(laws['last_batch'].value)]}"
    return told


def assumed(recording: Recording, found: Identified) -> list[str]:
    """What was taken from the recording's settings, or for granted, and not found."""
    said, config = recording.settings, found.config
    told = []
    for name, value in (
        ("activation", config.network.dense["activation"]),
        ("task", config.task),
        ("loss", config.loss.name),
    ):
        words = ", ".join(dict.fromkeys(value)) if isinstance(value, tuple) else value
        if words:
            source = "the settings say so" if name in said else "the targets look like it"
            told.append(f"{name} {words} ({source})")
    if recording.learning_rate is None and found.rates is None and found.row.learning_rate == "given":
        looked = any(cause.name == "learning_rate" for cause in found.causes)
        source = "the settings say so" if "learning_rate" in said else "it was found" if looked else "as it was given"
        told.append(f"learning rate {config.optimizer.learning_rate:g} ({source}; there is no array learning_rate)")
    if config.penalty.l1:
        told.append(f"L1 {config.penalty.l1:g} (the settings say so)")
    return told


def untold(recording: Recording, found: Identified) -> list[str]:
    """What this recording cannot tell, each a sentence without its point."""
    told = []
    if recording.gradients is None:
        told.append(
            "no gradients were recorded: what happens in a gradient and in an update is told from weights alone"
        )
    laws, start = laws_of_batches(recording), recording.weights_at(0)
    if "last_batch" not in laws:
        told.append("whether a shorter last batch is kept: none is left over, or the only epoch may have been cut off")
    if int(recording.epoch[-1]) == 0:
        told.append("what happens between epochs: one was recorded")
    if found.config.value("clip_norm") is None and found.config.value("clip_value") is None:
        told.append("whether gradients were clipped at a bound that none of them reached")
    law = law_of_weights(start)
    if law.value is None:
        told.append(f"the start of the weights: {law.evidence}")
    elif law.others:
        told.append(f"the law of the weights: about as likely as {law.value} are {', '.join(law.others)}")
    biases = law_of_biases(start, law.value)
    if biases.value is None:
        told.append(f"the start of the biases: {biases.evidence}")
    elif biases.others:
        others = ", ".join(_law(other) for other in biases.others)
        told.append(f"the law of the biases: about as likely as {_law(biases.value)} are {others}")
    for equal in found.equal[:_MOST]:
        told.append(f"the same to rounding: {equal.said}")
    if len(found.equal) > _MOST:
        told.append(f"and {len(found.equal) - _MOST} more rows that are the same to rounding")
    return told


def plain_equal(found: Identified) -> list[dict[str, Any]]:
    """The rows that cannot be told from the one that was found, for JSON: in words, and what they change."""
    mine = asdict(found.row) | found.config.keys
    told = []
    for equal in found.equal:
        theirs = asdict(equal.row) | equal.config.keys
        told.append({"said": equal.said, "changes": {key: v for key, v in theirs.items() if v != mine[key]}})
    return told

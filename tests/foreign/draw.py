"""A seed -> the description of a training: its truth in the words of docs/conventions.md, and how a user writes it.

Only what docs/conventions.md and docs/experiment-file.md list is drawn; what the tool can find of it is not asked.
"""

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from tests.foreign.data import SETS, load

FRAMEWORKS = {"torch": 0.32, "keras": 0.26, "sklearn": 0.16, "numpy": 0.26}
OPTIMIZERS = {
    "torch": {"adam": 5, "adamw": 4, "sgd": 3, "momentum": 2, "nesterov": 2, "rmsprop": 2, "adagrad": 2},
    "keras": {"adam": 5, "adamw": 4, "sgd": 3, "momentum": 2, "nesterov": 2, "rmsprop": 2, "adagrad": 2},
    "sklearn": {"adam": 3, "nesterov": 3, "momentum": 1, "sgd": 1},
    "numpy": {"adam": 4, "adamw": 3, "sgd": 4, "momentum": 3, "nesterov": 1, "rmsprop": 2, "adagrad": 3},
}
ACTIVATIONS = {
    "torch": ("sigmoid", "tanh", "relu", "leaky_relu", "elu", "selu", "softplus"),
    "keras": ("sigmoid", "tanh", "relu", "leaky_relu", "elu", "selu", "softplus"),
    "sklearn": ("sigmoid", "tanh", "relu"),
    "numpy": ("sigmoid", "tanh", "relu", "leaky_relu"),
}
LEARNING_RATES = {"sgd": (0.01, 0.3), "adam": (5e-4, 2e-2), "rmsprop": (5e-4, 1e-2), "adagrad": (5e-3, 1e-1)}
DEFAULT_RATES = {
    "torch": {"sgd": 1e-3, "adam": 1e-3, "rmsprop": 1e-2, "adagrad": 1e-2},
    "keras": {"sgd": 1e-2, "adam": 1e-3, "rmsprop": 1e-3, "adagrad": 1e-3},
    "sklearn": {"sgd": 1e-3, "adam": 1e-3},
    "numpy": {"sgd": 1e-1, "adam": 1e-3, "rmsprop": 1e-3, "adagrad": 1e-2},
}
EPSILON = {"torch": 1e-8, "keras": 1e-7, "sklearn": 1e-8, "numpy": 1e-8}


@dataclass(frozen=True)
class Training:
    """What a user trains. `truth` decides every number of it; `way` only by which words of the framework."""

    seed: int
    framework: str
    family: str
    data: str
    n_outputs: int
    hidden: tuple[int, ...]
    batch_size: int
    epochs: int
    truth: dict[str, Any]
    way: dict[str, Any]
    recorded: dict[str, Any]

    def as_json(self) -> dict[str, Any]:
        """For a process of its own; `Training(**...)` reads it."""
        return asdict(self)


def draw(seed: int) -> Training:
    """The training of a seed."""
    rng = np.random.default_rng([2024, seed])
    framework = pick(rng, FRAMEWORKS)
    optimizer = pick(rng, OPTIMIZERS[framework])
    truth: dict[str, Any] = {"reduction": "mean", "probabilities": "logits", "clip_norm": None, "clip_value": None}
    way: dict[str, Any] = {"optimizer": optimizer}

    draw_task(rng, framework, truth)
    multiple = {"multilabel": 3, "regression": int(rng.integers(1, 4))}
    n_outputs = multiple.get(truth["task"], 1)
    data = str(rng.choice(SETS[truth["task"]]))
    X, y = load(data, n_outputs)
    if truth["task"] == "multiclass":
        n_outputs = int(y.max()) + 1
    truth["dtype"] = pick(
        rng, {"float64": 8, "float32": 2} if framework in ("sklearn", "numpy") else {"float32": 7, "float64": 3}
    )
    truth["constants"] = "float32" if framework == "keras" else "exact"

    hidden = tuple(int(units) for units in rng.integers(4, 15, size=pick(rng, {1: 7, 2: 3})))
    draw_activation(rng, framework, truth, len(hidden))
    draw_reduction(rng, framework, truth)
    draw_batches(rng, framework, truth)
    batch_size = int(rng.choice([10, 16, 20, 25, 32, 50])) if chance(rng, 0.9) else len(X)
    steps = len(X) // batch_size + (truth["last_batch"] == "keep" and len(X) % batch_size > 0)
    epochs = int(np.clip(round(rng.integers(25, 60) / steps), 2, 20))
    if framework == "sklearn":
        epochs = min(epochs, 10)  # its early stop, which is not drawn, looks at more than ten

    draw_optimizer(rng, framework, optimizer, truth)
    draw_l2(rng, framework, optimizer, truth, way)
    draw_clipping(rng, framework, truth, way)
    draw_rate(rng, framework, truth, steps, epochs, len(X) / (steps or 1))
    draw_start(rng, framework, truth)
    family = optimizer + (", L2" if truth["l2"] and optimizer != "adamw" else "")
    recorded = draw_recorded(rng, framework, optimizer, truth)
    return Training(seed, framework, family, data, n_outputs, hidden, batch_size, epochs, truth, way, recorded)


def chance(rng: np.random.Generator, p: float) -> bool:
    return bool(rng.random() < p)


def pick(rng: np.random.Generator, weighted: dict[Any, float]) -> Any:
    """One of the keys, with the weights that stand beside them."""
    keys, weights = list(weighted), np.array(list(weighted.values()), float)
    return keys[rng.choice(len(keys), p=weights / weights.sum())]


def rounded(rng: np.random.Generator, low: float, high: float, count: int = 1) -> float:
    """A number between the two, evenly in its logarithm, with so many digits, as people write them."""
    return float(f"{np.exp(rng.uniform(np.log(low), np.log(high))):.{count - 1}e}")


def draw_task(rng, framework, truth):
    tasks = {"multiclass": 0.6, "binary": 0.12, "regression": 0.28}
    if framework == "torch":
        tasks["multilabel"] = 0.06
    task = truth["task"] = pick(rng, tasks)
    truth["loss"] = {"multiclass": "cross_entropy", "regression": "mse"}.get(task, "binary_cross_entropy")
    if task == "regression" and framework != "sklearn" and chance(rng, 0.25):
        truth["loss"] = str(rng.choice(["mae", "huber"]))
        truth["huber_delta"] = float(rng.choice([1.0, 0.5]))
    truth["outputs"] = "mean"
    if task == "multiclass" or framework == "sklearn":
        truth["outputs"] = "half sum" if truth["loss"] == "mse" else "sum"
    elif framework == "numpy":
        truth["outputs"] = pick(rng, {"half sum": 5, "mean": 3, "sum": 2}) if truth["loss"] == "mse" else "sum"


def draw_activation(rng, framework, truth, layers):
    name = str(rng.choice(ACTIVATIONS[framework]))
    truth["activation"] = [name] * layers
    if layers == 2 and framework != "sklearn" and chance(rng, 0.25):
        truth["activation"][1] = str(rng.choice(ACTIVATIONS[framework]))
    truth["leaky_slope"] = 0.2 if framework == "keras" else 0.01
    truth["elu_alpha"] = 1.0
    truth["softplus_threshold"] = 20.0 if framework == "torch" else None
    if framework in ("torch", "numpy") and chance(rng, 0.4):
        truth["leaky_slope"] = float(rng.choice([0.1, 0.2, 0.05]))
        truth["elu_alpha"] = float(rng.choice([0.5, 1.5]))


def draw_reduction(rng, framework, truth):
    share = {"torch": 0.15, "keras": 0.12, "sklearn": 0, "numpy": 0.35}[framework]
    if chance(rng, share):
        truth["reduction"] = "sum"
        if framework == "torch":
            truth["outputs"] = "sum"  # reduction="sum" adds up everything
    elif framework == "numpy" and chance(rng, 0.05):
        truth["reduction"] = "mean of n + 1"
    if framework == "numpy" and truth["task"] == "multiclass" and chance(rng, 0.1):
        truth["probabilities"] = "denominator + 1e-9"


def draw_batches(rng, framework, truth):
    truth["batches"] = {
        "torch": pick(rng, {"permutation": 8, "in_order": 2}),
        "keras": pick(rng, {"one_permutation": 8, "in_order": 2}),  # its order under keras.utils.set_random_seed
        "sklearn": pick(rng, {"permutation": 9, "in_order": 1}),
        "numpy": pick(
            rng,
            {"permutation": 5, "independent": 2, "replacement": 1, "in_order": 2, "one_permutation": 1, "bootstrap": 1},
        ),
    }[framework]
    drop = {"torch": 0.25, "numpy": 0.4}.get(framework, 0)
    truth["last_batch"] = "drop" if chance(rng, drop) or truth["batches"] in ("independent", "replacement") else "keep"


def draw_optimizer(rng, framework, optimizer, truth):
    """Defaults three times in five, else each constant one that people write."""
    own = chance(rng, 0.4)
    kind = {"adamw": "adam", "momentum": "sgd", "nesterov": "sgd"}.get(optimizer, optimizer)
    truth["optimizer"] = kind
    if kind == "sgd":
        truth["momentum"] = float(rng.choice([0.5, 0.8, 0.9, 0.95])) if own else 0.9
        truth["momentum"] = 0.0 if optimizer == "sgd" else truth["momentum"]
        truth["nesterov"] = optimizer == "nesterov"
        truth["momentum_form"] = "outside" if framework == "torch" else "inside"
        if framework == "numpy":
            truth["momentum_form"] = pick(rng, {"outside": 4, "inside": 4, "dampened": 2})
        return
    truth["epsilon"] = 1e-10 if (framework, kind) == ("torch", "adagrad") else EPSILON[framework]
    truth["epsilon_place"] = "outside"
    if framework == "keras":
        truth["epsilon_place"] = "hat" if kind == "adam" else "inside"
    elif framework == "sklearn":
        truth["epsilon_place"] = "hat"
    elif framework == "numpy":
        truth["epsilon_place"] = pick(rng, {"outside": 7, "inside": 2})
    if own and chance(rng, 0.5):
        truth["epsilon"] = float(rng.choice([1e-8, 1e-7, 1e-6, 1e-4, 1e-3]))
    if kind == "adam":
        truth["beta_1"] = float(rng.choice([0.5, 0.8, 0.85, 0.9, 0.95])) if own else 0.9
        truth["beta_2"] = float(rng.choice([0.9, 0.95, 0.98, 0.99, 0.999])) if own else 0.999
        truth["bias_correction"], truth["moments_reset"] = "step", "never"
        if framework == "numpy":
            truth["bias_correction"] = pick(rng, {"step": 8, "none": 1, "epoch": 1})
    elif kind == "rmsprop":
        truth["rho"] = float(rng.choice([0.8, 0.9, 0.95, 0.99])) if own else (0.99 if framework == "torch" else 0.9)
        truth["moments_reset"] = "never"
    else:
        truth["initial_accumulator"] = 0.1 if framework == "keras" else 0.0
        if own and framework != "numpy":
            truth["initial_accumulator"] = float(rng.choice([0.01, 0.1, 1.0]))
        truth["accumulator"], truth["moments_reset"] = "weight", "never"
        if framework == "numpy":
            truth["accumulator"] = pick(rng, {"weight": 8, "row": 2})
            truth["moments_reset"] = pick(rng, {"never": 8, "epoch": 2})


def draw_l2(rng, framework, optimizer, truth, way):
    """The size is that of the table: `l2_factor` and `l2_divisor` say how it counts."""
    truth.update(l2=0.0, l2_factor="half", l2_divisor="none", l2_tensors="weights", l2_form="coupled")
    size = rounded(rng, 1e-4, 0.1, 2)
    if optimizer == "adamw":
        default = {"torch": 0.01, "keras": 0.004, "numpy": 0.01}[framework]
        truth.update(l2=default if chance(rng, 0.4) else rounded(rng, 3e-3, 0.3, 2), l2_form="decoupled")
        way["l2"] = "optimizer"
        truth["l2_tensors"] = "weights" if chance(rng, 0.25) else "weights and biases"
    elif framework == "sklearn":
        truth.update(l2=pick(rng, {1e-4: 4, rounded(rng, 1e-3, 1, 2): 5, 0.0: 1}), l2_divisor="rows of the batch")
    elif chance(rng, 0.3):
        pass
    elif framework == "keras":
        truth["l2"], way["l2"] = size, pick(rng, {"regularizer": 8, "optimizer": 2})
        truth["l2_factor"] = "full"
        truth["l2_tensors"] = pick(rng, {"weights": 6, "weights and biases": 2, "hidden": 2})
        if way["l2"] == "optimizer":  # weight_decay of any Keras optimizer stands beside its update
            truth.update(l2_factor="half", l2_form="decoupled", l2_tensors="weights and biases")
    elif framework == "torch":
        truth["l2"], way["l2"] = size, pick(rng, {"optimizer": 6, "penalty": 4})
        if way["l2"] == "optimizer":
            truth["l2_tensors"] = pick(rng, {"weights and biases": 7, "weights": 3})
        else:
            truth["l2_factor"] = pick(rng, {"half": 1, "full": 1})
            truth["l2_tensors"] = pick(rng, {"weights": 5, "weights and biases": 4, "hidden": 1})
            truth["l2_divisor"] = pick(rng, {"none": 9, "rows of the batch": 1})
    else:
        truth["l2"], way["l2"] = size, "penalty"
        truth["l2_factor"] = pick(rng, {"half": 6, "full": 4})
        truth["l2_tensors"] = pick(rng, {"weights": 7, "weights and biases": 2, "hidden": 1})
        truth["l2_divisor"] = pick(rng, {"none": 7, "rows of the batch": 3})
        truth["l2_form"] = pick(rng, {"coupled": 8, "decoupled": 2})
        if truth["l2_form"] == "decoupled":
            truth.update(l2_factor="half", l2_divisor="none")


def draw_clipping(rng, framework, truth, way):
    """Not where PyTorch adds its own 1e-6 to the norm and float64 shows it, or decays after it has clipped."""
    before_decay = framework == "torch" and way.get("l2") == "optimizer" and truth["l2_form"] == "coupled"
    if framework == "sklearn" or before_decay or not chance(rng, 0.3):
        return
    if chance(rng, 0.6) and not (framework == "torch" and truth["dtype"] == "float64"):
        truth["clip_norm"] = float(rng.choice([0.1, 0.5, 1.0, 5.0]))
    else:
        truth["clip_value"] = float(rng.choice([0.01, 0.05, 0.1, 0.5]))


def draw_rate(rng, framework, truth, steps, epochs, rows):
    low, high = LEARNING_RATES[truth["optimizer"]]
    if truth["optimizer"] == "sgd":
        shorter = (1 if truth["reduction"] != "sum" else rows) / (
            1 if truth["momentum_form"] == "dampened" else 1 - truth["momentum"]
        )
        low, high = low / shorter, high / shorter
    rate = rounded(rng, low, high)
    truth["learning_rate"] = DEFAULT_RATES[framework][truth["optimizer"]] if chance(rng, 0.25) else rate
    if truth["reduction"] == "sum" and truth["optimizer"] == "sgd":
        truth["learning_rate"] = rate
    truth["schedule"] = "constant"
    if framework == "sklearn" or chance(rng, 0.7):
        return
    name = truth["schedule"] = str(rng.choice(["step", "exponential", "inverse_time", "cosine"]))
    truth["decay_steps"] = steps * epochs if name == "cosine" else int(steps * rng.integers(1, 3))
    if name != "cosine":
        truth["decay_rate"] = float(rng.choice([0.5, 0.7, 0.9]))


def draw_start(rng, framework, truth):
    own = chance(rng, 0.4)
    small = float(rng.choice([0.05, 0.1, 0.3]))
    if framework == "sklearn":
        truth["init"] = "sklearn_uniform" if truth["activation"][0] == "sigmoid" else "glorot_uniform"
        truth["bias"] = "as_weights"
    elif framework == "torch":
        truth["init"], truth["bias"] = "torch_uniform", "as_weights"
        if own:
            truth["init"] = pick(rng, {"glorot_uniform": 5, f"normal({small:g})": 4})
            truth["bias"] = pick(rng, {0.0: 3, 0.01: 1, "torch_uniform": 2})
    elif framework == "keras":
        truth["init"], truth["bias"] = "glorot_uniform", 0.0
        if own:
            truth["init"] = pick(rng, {f"normal({small:g})": 1, f"truncated_normal({small:g})": 1})
            truth["bias"] = pick(rng, {0.0: 2, 0.1: 1, "normal(0.05)": 1})
    else:
        truth["init"] = pick(
            rng,
            {"normal(1)": 2, f"normal({small:g})": 4, "glorot_uniform": 3, "torch_uniform": 1, "sklearn_uniform": 1},
        )
        truth["bias"] = pick(rng, {0.0: 4, 0.01: 4, "normal(0.1)": 1})
    if truth["init"] == "normal(1)" and truth["learning_rate"] > 0.1:
        truth["learning_rate"] = 0.1


def draw_recorded(rng, framework, optimizer, truth):
    """What the file holds, and what its writer says. No other loss than the task's own is in the table: it is told."""
    full = chance(rng, 0.6)
    own_loss = truth["loss"] in ("mae", "huber")
    settings = {}
    if own_loss or chance(rng, 0.5):
        settings["loss"] = truth["loss"]
        if truth["loss"] == "huber":
            settings["huber_delta"] = truth["huber_delta"]
    if chance(rng, 0.2):
        settings["optimizer"] = optimizer  # as in the page's example; "adamw" is what its users call it
    rate = "array" if truth["schedule"] != "constant" else pick(rng, {"array": 4, "settings": 4, "not": 2})
    if full and framework in ("torch", "keras"):
        rate = "array"
    return {"full": full, "rate": rate, "settings": settings}

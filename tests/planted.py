"""Trainings with a fault planted in them, by a code that shares nothing with the harness: an eager loop in PyTorch.

Gradients are autograd's, optimizers are written out tensor by tensor. What is planted never reaches a recording: its
settings say what the experiment says.
"""

import math
from dataclasses import dataclass, field, replace

import numpy as np
import torch

from harness.recording import Recording


@dataclass(frozen=True)
class Training:
    """Everything that the code can do; the defaults are the harness's own conventions."""

    seed: int = 0
    start_seed: int = 0
    order_seed: int = 0
    task: str = "multiclass"
    n: int = 46
    layers: tuple = (6, 7, 4)
    activation: str = "tanh"
    leaky_slope: float = 0.01
    elu_alpha: float = 1.0
    softplus_threshold: float = math.inf
    optimizer: str = "sgd"
    learning_rate: float = 0.1
    decay: float = 1.0  # the learning rate's, a step
    batch_size: int = 8
    epochs: int = 4
    l2: float = 0.0
    l2_factor: float = 1.0  # of the harness's l2 W
    l2_divided: bool = False
    l2_tensors: str = "weights"
    l2_decoupled: bool = False
    reduction: str = "mean"
    outputs: str = "mean"
    probabilities: str = "logits"
    momentum: float = 0.9
    momentum_form: str = "outside"
    nesterov: bool = False
    beta_1: float = 0.9
    beta_2: float = 0.999
    rho: float = 0.9
    epsilon: float = 1e-8
    epsilon_place: str = "outside"
    correction: str = "step"
    reset: bool = False
    accumulator: float = 0.0
    accumulator_by_row: bool = False
    clip_norm: float | None = None
    clip_value: float | None = None
    init: str = "glorot_uniform"
    init_scale: float = 1.0
    bias: object = 0.0
    batches: str = "permutation"
    last_batch: str = "keep"
    dtype: str = "float64"
    constants_32: bool = False
    watched: tuple = ("activations", "logits", "loss", "gradients")
    said: dict = field(default_factory=dict)  # settings that the recording has, where they are not the defaults


def problem(training):
    rng = np.random.default_rng([training.seed, 1])
    X = rng.normal(size=(training.n, training.layers[0]))
    scores = X @ rng.normal(size=(training.layers[0], training.layers[-1])) + rng.normal(size=training.layers[-1])
    if training.task == "multiclass":
        return X, scores.argmax(axis=1)
    return X, (scores > 0) * 1.0 if training.task == "multilabel" else scores


def start(training):
    rng = np.random.default_rng([training.seed, training.start_seed, 2])
    tensors = []
    for n_in, n_out in zip(training.layers[:-1], training.layers[1:], strict=True):
        bound = {
            "glorot_uniform": math.sqrt(6 / (n_in + n_out)),
            "torch_uniform": 1 / math.sqrt(n_in),
            "sklearn_uniform": math.sqrt(2 / (n_in + n_out)),
        }.get(training.init, training.init_scale)
        u, v = rng.random((n_in, n_out)), rng.random(n_out)
        if training.init.endswith("uniform"):
            W = bound * (2 * u - 1)
        else:
            W = np.sqrt(2) * torch.erfinv(torch.tensor(2 * u - 1)).numpy() * training.init_scale
        if training.bias == "as_weights":
            b = bound * (2 * v - 1)
        elif isinstance(training.bias, str):  # "normal 0.1"
            b = float(training.bias.split()[1]) * np.sqrt(2) * torch.erfinv(torch.tensor(2 * v - 1)).numpy()
        else:
            b = np.full(n_out, training.bias)
        tensors += [W, b]
    return tensors


def draw(training):
    """The rows of every step, and its epoch."""
    n, size, rng = training.n, training.batch_size, np.random.default_rng([training.seed, training.order_seed, 3])
    sample = rng.integers(0, n, n)
    rows, epoch = [], []
    for e in range(training.epochs):
        order = {"in_order": np.arange(n), "bootstrap": sample}.get(training.batches, rng.permutation(n))
        parts = [order[first : first + size] for first in range(0, n, size)]
        if training.batches == "skipping":
            parts = [np.arange(first, min(first + size, n)) for first in range(0, n, size + 1)]
        if len(parts[-1]) < size and training.last_batch != "keep":
            last = parts.pop()
            if training.last_batch == "merge":
                parts[-1] = np.concatenate([parts[-1], last])
        if training.batches == "independent":
            parts = [rng.choice(n, len(part), replace=False) for part in parts]
        if training.batches == "replacement":
            parts = [rng.integers(0, n, len(part)) for part in parts]
        rows += parts
        epoch += [e] * len(parts)
    return rows, epoch


def activate(training, z):
    if training.activation == "leaky_relu":
        return torch.nn.functional.leaky_relu(z, training.leaky_slope)
    if training.activation == "elu":
        return torch.nn.functional.elu(z, training.elu_alpha)
    if training.activation == "softplus":
        return torch.where(z > training.softplus_threshold, z, torch.logaddexp(z, torch.zeros_like(z)))
    return {"tanh": torch.tanh, "sigmoid": torch.sigmoid, "relu": torch.relu}[training.activation](z)


def loss_of(training, z, y):
    """What the step minimises, the penalty apart."""
    n, outputs = len(z), z.shape[1]
    if training.task == "multiclass":
        if training.probabilities == "logits":
            each = torch.nn.functional.cross_entropy(z, y, reduction="none")
        elif training.probabilities == "clipped":
            p = torch.softmax(z, 1).clamp(1e-7, 1 - 1e-7)
            each = -torch.log(p[torch.arange(n), y] / p.sum(1))
        else:  # what course codes do: p - t is the error, whatever their p is
            p = torch.exp(z) / (torch.exp(z).sum(1, keepdim=True) + 1e-9)
            error = (p - torch.nn.functional.one_hot(y, outputs)).detach()
            each = (error * z).sum(1)
            each = each - each.detach() - torch.log(p[torch.arange(n), y]).detach()
    else:
        if training.task == "multilabel":
            each = torch.nn.functional.binary_cross_entropy_with_logits(z, y, reduction="none")
        else:
            each = (z - y) ** 2
        each = each.sum(1) / {"mean": outputs, "sum": 1, "half sum": 2}[training.outputs]
    return each.sum() / {"mean": n, "sum": 1, "mean of n + 1": n + 1}[training.reduction]


class Optimizer:
    """One tensor's, written out."""

    def __init__(self, training, like):
        self.t, self.training, self.like = 0, training, like
        self.velocity = torch.zeros_like(like)
        self.reset()

    def reset(self):
        first = self.training.accumulator if self.training.optimizer == "adagrad" else 0.0
        self.first, self.second = torch.zeros_like(self.like), torch.full_like(self.like, first)

    def root(self, second):
        epsilon = self.training.epsilon
        return torch.sqrt(second + epsilon) if self.training.epsilon_place == "inside" else torch.sqrt(second) + epsilon

    def step(self, g, rate, epoch):
        it, self.t = self.training, self.t + 1
        single = (lambda c: float(np.float32(c))) if it.constants_32 else float
        if it.optimizer in ("sgd", "momentum"):
            m = single(it.momentum) if it.optimizer == "momentum" else 0.0
            if it.momentum_form == "inside":
                self.velocity = m * self.velocity - rate * g
                return rate * g - m * self.velocity if it.nesterov else -self.velocity
            self.velocity = m * self.velocity + (g * (1 - m) if it.momentum_form == "dampened" else g)
            return rate * (g + m * self.velocity) if it.nesterov else rate * self.velocity
        if it.optimizer == "adagrad":
            squares = g**2
            if it.accumulator_by_row:
                squares = squares.sum(-1, keepdim=True).expand_as(g)
            self.second = self.second + squares
            return rate * g / self.root(self.second)
        if it.optimizer == "rmsprop":
            self.second = single(it.rho) * self.second + (1 - it.rho) * g**2
            return rate * g / self.root(self.second)
        self.first = it.beta_1 * self.first + (1 - it.beta_1) * g
        self.second = it.beta_2 * self.second + (1 - it.beta_2) * g**2
        t = {"step": self.t, "epoch": epoch + 1, "none": math.inf}[it.correction]
        c1, c2 = 1 - single(it.beta_1) ** t, 1 - single(it.beta_2) ** t
        if it.epsilon_place == "hat":
            return rate * math.sqrt(c2) / c1 * self.first / (torch.sqrt(self.second) + it.epsilon)
        return rate * (self.first / c1) / self.root(self.second / c2)


def penalty_of(training, place, last, n):
    """The factor of a tensor in its own gradient."""
    penalised = {"weights": place % 2 == 0, "hidden": place % 2 == 0 and place < last, "weights and biases": True}
    l2 = float(np.float32(training.l2)) if training.constants_32 else training.l2
    return l2 * training.l2_factor / (n if training.l2_divided else 1) if penalised[training.l2_tensors] else 0.0


def record(training, soil=None):
    """Train, and write down what anybody who watches could see; the settings are those of `soil`."""
    kind = {"float64": torch.float64, "float32": torch.float32}[training.dtype]
    X_all, y_all = problem(training)
    X = torch.tensor(X_all, dtype=kind)
    y = torch.tensor(y_all, dtype=torch.long if training.task == "multiclass" else kind)
    tensors = [torch.tensor(value, dtype=kind) for value in start(training)]
    optimizers = [Optimizer(training, w) for w in tensors]
    rows, epochs = draw(training)
    last, size, rate = len(tensors) - 2, max(map(len, rows)), training.learning_rate
    noted = {"weights": [[w.numpy().copy() for w in tensors]], "gradients": [], "logits": [], "loss": [], "rates": []}
    noted["activations"] = []
    for step, (chosen, epoch) in enumerate(zip(rows, epochs, strict=True)):
        if training.reset and step and epochs[step - 1] != epoch:
            for optimizer in optimizers:
                optimizer.reset()
        leaves = [w.clone().requires_grad_() for w in tensors]
        a, hidden = X[chosen], []
        for k in range(0, len(leaves), 2):
            z = a @ leaves[k] + leaves[k + 1]
            if k < last:
                a = activate(training, z)
                hidden.append(a)
        loss = loss_of(training, z, y[chosen])
        factors = [penalty_of(training, place, last, len(chosen)) for place in range(len(leaves))]
        if not training.l2_decoupled:
            loss = loss + sum(f / 2 * (w**2).sum() for f, w in zip(factors, leaves, strict=True))
        gradients = torch.autograd.grad(loss, leaves)
        norm = math.sqrt(sum(float((g**2).sum()) for g in gradients))
        if training.clip_norm is not None and norm > training.clip_norm:
            gradients = [g * (training.clip_norm / norm) for g in gradients]
        if training.clip_value is not None:
            gradients = [g.clamp(-training.clip_value, training.clip_value) for g in gradients]
        for i, (w, g, optimizer) in enumerate(zip(tensors, gradients, optimizers, strict=True)):
            if training.l2_decoupled:
                w = w - rate * factors[i] * w
            tensors[i] = w - optimizer.step(g, rate, epoch)
        noted["weights"].append([w.numpy().copy() for w in tensors])
        noted["gradients"].append([g.numpy().copy() for g in gradients])
        noted["logits"].append(filled(z, size))
        noted["activations"].append([filled(a, size) for a in hidden])
        noted["loss"].append(loss.item())
        noted["rates"].append(rate)
        rate *= training.decay
    return recording_of(training, soil or training, X_all, y_all, rows, epochs, noted)


def filled(array, size):
    array = array.detach().numpy()
    return np.pad(array, ((0, size - len(array)), (0, 0)))


def recording_of(training, soil, X, y, rows, epochs, noted):
    def series(steps):
        columns = [np.stack(column) for column in zip(*steps, strict=True)]
        return tuple({"W": W, "b": b} for W, b in zip(columns[::2], columns[1::2], strict=True))

    size = max(map(len, rows))
    seen = training.watched
    settings = {
        "task": soil.task,
        "loss": {"multiclass": "cross_entropy", "multilabel": "binary_cross_entropy", "regression": "mse"}[soil.task],
        "activation": [soil.activation] * (len(soil.layers) - 2),
        "optimizer": soil.optimizer,
        "learning_rate": soil.learning_rate,
        "l2": soil.l2,
        "batch_size": soil.batch_size,
        "epochs": soil.epochs,
        "momentum": soil.momentum,
        **soil.said,
    }
    if soil.optimizer == "momentum" and soil.nesterov:
        settings["optimizer"] = "nesterov"
    return Recording(
        X=X.astype(training.dtype),
        y=y if training.task == "multiclass" else y.astype(training.dtype),
        rows=np.stack([np.pad(chosen, (0, size - len(chosen)), constant_values=-1) for chosen in rows]),
        epoch=np.array(epochs),
        weights=series(noted["weights"]),
        gradients=series(noted["gradients"]) if "gradients" in seen else None,
        activations=tuple(map(np.stack, zip(*noted["activations"], strict=True))) if "activations" in seen else None,
        logits=np.stack(noted["logits"]) if "logits" in seen else None,
        loss=np.array(noted["loss"]) if "loss" in seen else None,
        learning_rate=np.array(noted["rates"]) if training.decay != 1 else None,
        settings=settings,
        name="planted",
    )


@dataclass(frozen=True)
class Plant:
    """A cause: `soil` is what A and B have in common, `change` what is planted in B. The rest is what a trace must say.

    `causes` are the conventions' names with the values that B has for them; `phase`, `step` and `tensor` where the two
    part first, as they run (`tensor` is the beginning of its name).
    """

    causes: dict
    phase: str
    step: int
    tensor: str
    soil: dict
    change: dict


def adam(rng, **more):
    return {"optimizer": "adam", "learning_rate": float(f"{rng.uniform(0.005, 0.05):.2g}"), **more}


def soils(rng):
    """Ways to train, with constants that are other ones for every seed."""
    rate = float(f"{rng.uniform(0.05, 0.3):.2g}")
    l2 = float(f"{rng.uniform(0.005, 0.05):.2g}")
    epsilon = {"said": {"epsilon": 1e-8}}
    return {
        "sgd": {"learning_rate": rate},
        "sgd l2": {"learning_rate": rate, "l2": l2},
        "momentum": {"optimizer": "momentum", "learning_rate": rate / 4, "momentum": 0.9, "l2": l2},
        "falling momentum": {"optimizer": "momentum", "learning_rate": rate / 4, "momentum": 0.9, "decay": 0.9},
        "adam": adam(rng) | epsilon,
        "adam l2": adam(rng, l2=l2),
        "rmsprop": {"optimizer": "rmsprop", "learning_rate": rate / 20, "l2": l2},
        "adagrad": {"optimizer": "adagrad", "learning_rate": rate / 2},
        "regression": {"task": "regression", "layers": (6, 7, 3), "learning_rate": rate / 5, "l2": l2},
        "labels": {"task": "multilabel", "layers": (6, 7, 4), "learning_rate": rate},
        "leaky": {"activation": "leaky_relu", "layers": (6, 7, 5, 4), "learning_rate": rate},
        "elu": {"activation": "elu", "learning_rate": rate},
        "softplus": {"activation": "softplus", "learning_rate": rate, "init": "normal", "init_scale": 3.0},
        "steep": {"learning_rate": rate, "init": "normal", "init_scale": 12.0, "activation": "sigmoid"},
        "wide": {"learning_rate": rate, "layers": (20, 30, 6)},
        "long": {"learning_rate": rate, "n": 83, "layers": (20, 30, 6)},
    }


def singles(seed):
    """Every single cause, by name."""
    rng = np.random.default_rng(seed)
    soil = soils(rng)
    few = lambda low, high: float(f"{rng.uniform(low, high):.2g}")  # noqa: E731
    eps, slope, alpha, m = 10.0 ** -rng.integers(4, 8), few(0.05, 0.4), few(0.2, 0.8), few(0.5, 0.85)
    b1, b2, rho, G, limit = few(0.5, 0.85), few(0.9, 0.98), few(0.6, 0.88), few(0.02, 0.3), few(0.5, 1.5)
    norm, value, size = few(0.05, 0.2), few(0.01, 0.05), int(rng.integers(9, 13))
    base = soil["sgd"]["learning_rate"]
    last = 6 if 46 % 8 else 5

    def one(cause, found, place, where, **change):
        phase, step, tensor = place
        return Plant({cause: found}, phase, step, tensor, soil[where], change)

    loss, gradient = ("loss", 1, "loss"), ("gradient", 1, "gradients/")
    m1, v1, w1 = ("optimizer state", 1, "m/"), ("optimizer state", 1, "v/"), ("updated weights", 1, "weights/")
    m2, w2, order = ("optimizer state", 2, "m/"), ("updated weights", 2, "weights/"), ("data order", 1, "rows")
    start = ("start", 1, "weights/0/")
    return {
        "momentum value": one("momentum", m, m2, "momentum", momentum=m),
        "momentum where there is none": one("momentum", m, m2, "sgd l2", optimizer="momentum", momentum=m),
        "no momentum": one("momentum", 0.0, m2, "momentum", momentum=0.0),
        "nesterov": one("nesterov", True, w1, "momentum", nesterov=True),
        "dampening": one("momentum_form", "dampened", m1, "momentum", momentum_form="dampened"),
        "momentum inside": one("momentum_form", "inside", m1, "falling momentum", momentum_form="inside"),
        "learning rate": one("learning_rate", base * 3, w1, "sgd", learning_rate=base * 3),
        "another optimizer": one("optimizer", "adam", m1, "rmsprop", optimizer="adam"),
        "beta_1": one("beta_1", b1, m1, "adam", beta_1=b1),
        "beta_2": one("beta_2", b2, v1, "adam l2", beta_2=b2),
        "rho": one("rho", rho, v1, "rmsprop", rho=rho),
        "epsilon in Adam": one("epsilon", eps, w1, "adam", epsilon=eps),
        "epsilon in RMSprop": one("epsilon", eps, w1, "rmsprop", epsilon=eps),
        "epsilon in Adagrad": one("epsilon", eps, w1, "adagrad", epsilon=eps),
        "epsilon-hat": one("epsilon_place", "hat", w1, "adam l2", epsilon_place="hat"),
        "epsilon inside in Adam": one("epsilon_place", "inside", w1, "adam", epsilon_place="inside"),
        "epsilon inside in RMSprop": one("epsilon_place", "inside", w1, "rmsprop", epsilon_place="inside"),
        "correction by epoch": one("bias_correction", "epoch", w2, "adam", correction="epoch"),
        "no correction": one("bias_correction", "none", w1, "adam l2", correction="none"),
        "moments reset in Adam": one("moments_reset", "epoch", ("optimizer state", 7, "m/"), "adam", reset=True),
        "moments reset in RMSprop": one("moments_reset", "epoch", ("optimizer state", 7, "v/"), "rmsprop", reset=True),
        "first accumulator": one("initial_accumulator", G, v1, "adagrad", accumulator=G),
        "accumulator a row": one("accumulator", "row", v1, "adagrad", accumulator_by_row=True),
        "summed loss": one("reduction", "sum", loss, "sgd l2", reduction="sum"),
        "summed loss in Adam": one("reduction", "sum", loss, "adam l2", reduction="sum"),
        "n + 1": one("reduction", "mean of n + 1", loss, "sgd l2", reduction="mean of n + 1"),
        "sum over outputs": one("outputs", "sum", loss, "labels", outputs="sum"),
        "half the squares": one("outputs", "half sum", loss, "regression", outputs="half sum"),
        "clipped probabilities": one("probabilities", "clipped 1e-7", loss, "steep", probabilities="clipped"),
        "denominator": one("probabilities", "denominator + 1e-9", ("loss", 1, "loss"), "sgd l2", probabilities="1e-9"),
        "L2 without a half": one("l2_factor", "full", loss, "sgd l2", l2_factor=2.0),
        "L2 over the rows": one("l2_divisor", "rows of the batch", loss, "momentum", l2_divided=True),
        "L2 on biases": one(
            "l2_tensors", "weights and biases", ("loss", 2, "loss"), "sgd l2", l2_tensors="weights and biases"
        ),
        "L2 on hidden layers": one("l2_tensors", "hidden", loss, "adam l2", l2_tensors="hidden"),
        "decoupled L2": one("l2_form", "decoupled", loss, "adam l2", l2_decoupled=True),
        "size of L2": one("l2", 5 * soil["sgd l2"]["l2"], loss, "sgd l2", l2=5 * soil["sgd l2"]["l2"]),
        "clipping by norm": one("clip_norm", norm, gradient, "sgd", clip_norm=norm),
        "clipping by value": one("clip_value", value, gradient, "sgd l2", clip_value=value),
        "leaky slope": one("leaky_slope", slope, ("forward", 1, "activations/0"), "leaky", leaky_slope=slope),
        "alpha of ELU": one("elu_alpha", alpha, ("forward", 1, "activations/0"), "elu", elu_alpha=alpha),
        "threshold of softplus": one(
            "softplus_threshold", limit, ("forward", 1, "activations/0"), "softplus", softplus_threshold=limit
        ),
        "another activation": one(
            "activation", "sigmoid", ("forward", 1, "activations/0"), "sgd", activation="sigmoid"
        ),
        "start of the weights": one("init", "torch_uniform", start, "wide", init="torch_uniform"),
        "normal weights": one("init", "normal(1)", start, "wide", init="normal"),
        "biases not 0": one("bias", few(0.02, 0.2), ("start", 1, "weights/0/b"), "sgd", bias=None),
        "biases as weights": one("bias", "as_weights", ("start", 1, "weights/0/b"), "wide", bias="as_weights"),
        "independent batches": one("batches", "independent", order, "long", batches="independent"),
        "with replacement": one("batches", "replacement", order, "long", batches="replacement"),
        "rows in order": one("batches", "in_order", order, "sgd", batches="in_order"),
        "one bootstrap": one("batches", "bootstrap", order, "sgd", batches="bootstrap"),
        "a row left out": one("batches", "skipping", order, "sgd", batches="skipping"),
        "last batch dropped": one("last_batch", "drop", ("data order", last, "rows"), "sgd", last_batch="drop"),
        "last batch merged": one("last_batch", "merge", ("data order", 5, "rows"), "sgd", last_batch="merge"),
        "size of batches": one("batch_size", size, order, "sgd", batch_size=size),
        "float32": one("dtype", "float32", start, "sgd l2", dtype="float32"),
        "constants in float32": one("constants", "float32", loss, "momentum", constants_32=True),
    }


def catalogue(rng):
    """For each of four ways to train: the soil, and causes as (name, found, change), constants other for every seed."""
    few = lambda low, high: float(f"{rng.uniform(low, high):.2g}")  # noqa: E731
    l2, rate = few(0.005, 0.05), few(0.05, 0.3)
    epsilon, m, l2_value = float(10.0 ** -int(rng.integers(4, 8))), few(0.5, 0.85), 5 * l2
    general = [
        ("reduction", "sum", {"reduction": "sum"}),
        ("reduction", "mean of n + 1", {"reduction": "mean of n + 1"}),
        ("l2_factor", "full", {"l2_factor": 2.0}),
        ("l2_divisor", "rows of the batch", {"l2_divided": True}),
        ("l2_tensors", "weights and biases", {"l2_tensors": "weights and biases"}),
        ("l2_tensors", "hidden", {"l2_tensors": "hidden"}),
        ("l2_form", "decoupled", {"l2_decoupled": True}),
        ("l2", l2_value, {"l2": l2_value}),
        ("clip_norm", (c := few(0.05, 0.2)), {"clip_norm": c}),
        ("clip_value", (v := few(0.01, 0.05)), {"clip_value": v}),
        ("learning_rate", (r := few(0.2, 0.5) * rate), {"learning_rate": r}),
        ("dtype", "float32", {"dtype": "float32"}),
        ("batches", "in_order", {"batches": "in_order"}),
        ("batches", "bootstrap", {"batches": "bootstrap"}),
        ("last_batch", "drop", {"last_batch": "drop"}),
        ("init", "torch_uniform", {"init": "torch_uniform"}),
        ("bias", 0.1, {"bias": 0.1}),
    ]
    slope = ("leaky_slope", (s := few(0.05, 0.4)), {"leaky_slope": s})
    alpha = ("elu_alpha", (a := few(0.2, 0.8)), {"elu_alpha": a})
    size = ("epsilon", epsilon, {"epsilon": epsilon})
    inside = ("epsilon_place", "inside", {"epsilon_place": "inside"})
    reset = ("moments_reset", "epoch", {"reset": True})
    # decoupled L2 is L2 for plain SGD, and clipped gradients have no length of their own
    heavy = [
        ("momentum", m, {"momentum": m}),
        ("nesterov", True, {"nesterov": True}),
        ("momentum_form", "dampened", {"momentum_form": "dampened"}),
        alpha,
    ]
    adam = [
        ("beta_1", m, {"beta_1": m}),
        ("beta_2", (b := few(0.9, 0.98)), {"beta_2": b}),
        ("epsilon_place", "hat", {"epsilon_place": "hat"}),
        ("bias_correction", "epoch", {"correction": "epoch"}),
        ("bias_correction", "none", {"correction": "none"}),
        size, inside, reset, slope,
    ]  # fmt: skip
    rmsprop = [("rho", (q := few(0.6, 0.88)), {"rho": q}), size, inside, reset, slope]
    adagrad = [
        ("initial_accumulator", (G := few(0.02, 0.3)), {"accumulator": G}),
        ("accumulator", "row", {"accumulator_by_row": True}),
        size, reset, alpha,
    ]  # fmt: skip
    leaky, elu = {"activation": "leaky_relu", "layers": (12, 9, 5)}, {"activation": "elu", "layers": (12, 9, 5)}
    return [
        ({"optimizer": "momentum", "learning_rate": rate, "l2": l2, **elu}, [*general, *heavy]),
        ({"optimizer": "adam", "learning_rate": rate, "l2": l2, **leaky}, [*general, *adam]),
        ({"optimizer": "rmsprop", "learning_rate": rate, "l2": l2, **leaky}, [*general, *rmsprop]),
        ({"optimizer": "adagrad", "learning_rate": rate, "l2": l2, **elu}, [*general, *adagrad]),
    ]


SCALE = {"momentum": 0.2, "adam": 0.1, "rmsprop": 0.05, "adagrad": 0.5}
"""Of the learning rate, so that the training neither stands still nor overflows."""


def pairs(seed, count):
    """That many pairs of causes, drawn from all that can be planted together."""
    rng = np.random.default_rng([seed, 7])
    drawn = []
    while len(drawn) < count:
        soils_and_causes = catalogue(rng)
        soil, causes = soils_and_causes[len(drawn) % len(soils_and_causes)]
        first, second = (causes[i] for i in rng.choice(len(causes), 2, replace=False))
        if first[0] == second[0] or {first[0], second[0]} in ({"l2", "l2_factor"}, {"clip_norm", "clip_value"}):
            continue
        factor = SCALE[soil["optimizer"]]
        soil = {**soil, "learning_rate": soil["learning_rate"] * factor}
        change, found = {**first[2], **second[2]}, dict([first[:2], second[:2]])
        if "learning_rate" in found:
            found["learning_rate"] = change["learning_rate"] = change["learning_rate"] * factor
        drawn.append(Plant(found, "", 0, "", soil, change))
    return drawn


def planted(plant, seed, watched=None):
    """The recordings of A and B: B's settings say what A's do."""
    keep = {} if watched is None else {"watched": watched}
    soil = Training(seed=seed, **plant.soil, **keep)
    change = dict(plant.change)
    if change.get("bias", "") is None:
        change["bias"] = plant.causes["bias"]
    return record(soil), record(replace(soil, **change), soil)

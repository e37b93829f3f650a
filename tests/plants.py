"""Which causes are planted, one by one and in pairs: their constants are other ones for every seed."""

from dataclasses import dataclass, replace

import numpy as np

from tests.planted import Training, record


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

"""The lines of code that a backend is given for a training: its own way, the harness's, and those that switch one
convention. Pure text.

A backend's class overrides what its framework says in other words; what is left is the common part: which conventions
one argument says together, in which order, and what no keyword argument sets.
"""

from collections.abc import Collection, Mapping
from typing import Any

from harness import registry
from harness.calls.batches import loop
from harness.calls.start import NUMPY, law_in_code
from harness.calls.switch import FORMS, L2, NUMBERS, OPTIMIZER, Switch
from harness.calls.text import Lines, code, number, product
from harness.contract import OPTIMIZER_CONSTANTS, Config
from harness.conventions.table import CONVENTIONS, THROUGH_FLOAT32, activations_under

GROUPS: tuple[tuple[tuple[str, ...], str], ...] = (
    (("hidden", "activation"), "network"),
    (("epochs",), "epochs"),
    (("batch_size",), "batch_size"),
    (("init", "bias"), "start"),
    (("batches", "n_batches", "last_batch"), "order"),
    (("reduction", "outputs", "probabilities"), "gradient"),
    (L2, "l2"),
    (("update_order", "bias_unit"), "own_steps"),
    (OPTIMIZER, "optimizer"),
    (("leaky_slope", "elu_alpha", "softplus_threshold"), "activations"),
    (("dtype",), "dtype"),
    (("constants",), "constants"),
    (("stop",), "stop"),
    (("accuracy", "auc", "metric_rows", "logged_loss"), "metric"),
)
"""Conventions that one argument says together, and the method that says them, in the order of a program."""


class BackendLines:
    """The lines of one backend. Whatever a subclass leaves as it is, is said as NumPy says it."""

    override = "override `step` of its optimizer"
    """What it takes to change what no keyword argument sets."""
    step = "…"
    """One step of its training, which reads `rows`."""
    drawn: Mapping[str, str] = NUMPY
    """Law -> how numbers are drawn by it, with the scale {s} and the shape {shape}."""
    fans = ("shape[0]", "shape[1]")
    """Inputs and outputs of a layer."""
    shapes = ("shape", "shape[1:]")
    """Of weights and biases."""
    from_logits = False
    """Whether its loss takes logits by itself."""
    shuffling: str | None = None
    """By which law its own argument `shuffle` draws batches, and keeps the last."""
    optimizers: Collection[str] = ("sgd", "momentum", "nesterov", "adagrad", "rmsprop", "adam")
    """Those of its own."""
    epochs_argument = "epochs"
    exact_constants = "# constants: np.float64(0.9) for 0.9 in optimizers"
    never_stops = "# stop: train all epochs"

    def __init__(self, name: str) -> None:
        self.name = name

    # whole trainings

    def lacks(self, config: Config, native: bool) -> str | None:
        """Why there are no lines for `config`, or None."""
        if native and config.optimizer.name not in self.optimizers:
            return f"{self.name} has no {config.optimizer.title()}"
        if not native and config.optimizer.name == "perceptron":
            return "the perceptron rule is no gradient descent: its step has no derivative; only numpy has it"
        return None

    def native(self, config: Config, seed: int) -> Lines:
        """What the native way runs for `config`; nothing where it has none."""
        return []

    def controlled(self, config: Config) -> Lines:
        """What the adapter runs in mode controlled: by hand, so its formulas, and the adapter itself."""
        constants = [f"{name} = {config.value(name)!r}" for name in OPTIMIZER_CONSTANTS.get(config.optimizer.name, ())]
        rows = "mean" if config.reduction == "mean" else "sum"
        module, _, trainer = registry.backend(self.name).trainer.partition(":")
        numbers = ", ".join([f"lr = {config.optimizer.learning_rate!r} or the schedule's", *constants])
        return [
            f"# loss: {rows} over the rows + ({config.penalty.l2!r} / 2) * sum(W**2), in {config.dtype}",
            f"# {config.optimizer.name}: {config.optimizer.formula()}",
            f"# {numbers}",
            *self.beyond(config),
            f"from {module} import {trainer}",
            f"trainer = {trainer}(config, start)",
            "trainer.train(X, y, batches, after_epoch=lambda epoch: False)",
        ]

    def beyond(self, config: Config) -> Lines:
        """A comment that names what the lines leave out."""
        path = registry.backend(self.name).trainer.partition(":")[0].replace(".", "/")
        return [f"# and {', '.join(config.regularisation)}: {path}.py"] if config.regularisation else []

    # one convention after another

    def switched(self, s: Switch) -> Lines:
        """What the backend is given to follow the other row."""
        lines = [line for group, say in GROUPS if s.changed & set(group) for line in getattr(self, say)(s)]
        grouped = {name for group, _ in GROUPS for name in group}
        return [*lines, *(self.no_keyword(s, name) for name in CONVENTIONS if name in s.changed - grouped)]

    def no_keyword(self, s: Switch, name: str, takes: str = "") -> str:
        """A comment that says so, and what it takes."""
        return f"# {name} = {code(getattr(s.row, name))}: no keyword argument; {takes or self.override}"

    def network(self, s: Switch) -> Lines:
        """Hidden layers and their activation."""
        return [f"hidden={s.hidden}, activation={code(activations_under(s.config, s.row))}"]

    def epochs(self, s: Switch) -> Lines:
        """How many epochs."""
        return [f"{self.epochs_argument}={s.epochs}"]

    def batch_size(self, s: Switch) -> Lines:
        """The rows of a batch."""
        return [f"batch_size={s.batch}"]

    def start(self, s: Switch) -> Lines:
        """How weights and biases begin."""
        scale, W, b = self.start_of(s)
        return ["# for every layer:", f"s = {scale}", f"W = {W}", f"b = {b}"]

    def start_of(self, s: Switch) -> tuple[str, str, str]:
        """The scale of a layer's weights, its weights and its biases, as code; the latter may read `s`, the scale."""
        law, scale = law_in_code(s.row.init, *self.fans)
        weights, biases = self.shapes
        W = self.drawn[law].format(s="s", shape=weights)
        if s.row.bias == "as_weights":
            b = self.drawn[law].format(s="s", shape=biases)
        elif isinstance(s.row.bias, str):
            law, spread = law_in_code(s.row.bias, *self.fans)
            b = self.drawn[law].format(s=spread, shape=biases)
        else:
            b = self.drawn["constant"].format(s=float(s.row.bias), shape=biases)
        return scale, W, b

    def order(self, s: Switch) -> Lines:
        """How batches are drawn: an argument where there is one, else the loop."""
        plain = self.shuffling is not None and s.row.n_batches is None and s.row.last_batch == "keep"
        if plain and s.row.batches in (self.shuffling, "in_order"):
            return [f"shuffle={s.row.batches != 'in_order'}"]
        return loop(s, self.step)

    def gradient(self, s: Switch) -> Lines:
        """The loss over rows and outputs, and what it is computed from."""
        lines = [self.probabilities(s)] if "probabilities" in s.changed else []
        return [*lines, *(self.reduced(s) if s.changed & {"reduction", "outputs"} else [])]

    def probabilities(self, s: Switch) -> str:
        """What the loss is computed from."""
        if self.from_logits and s.row.probabilities == "logits":
            return "loss from the logits, as it stands"
        return self.no_keyword(s, "probabilities", "write the loss as a function")

    def reduced(self, s: Switch) -> Lines:
        """The loss over rows and outputs."""
        if s.row.reduction == "mean of n + 1":
            return [self.no_keyword(s, "reduction", "multiply the loss by n / (n + 1)")]
        return self.scaled(s)

    def scaled(self, s: Switch) -> Lines:
        """The loss, a mean as it stands, made a sum over rows or outputs."""
        factor = self.factor(s)
        factors = [number(factor)] if factor != 1 and s.config.loss.name != "cross_entropy" else []
        factors += ["len(labels)"] if s.row.reduction == "sum" else []
        return [f"loss = {' * '.join(['loss', *factors])}  # the mean, before L2 is added"]

    def factor(self, s: Switch) -> float:
        """How many times the mean over the outputs the loss is."""
        n = s.config.network.n_outputs
        return {"mean": 1.0, "sum": float(n), "half sum": n / 2}[s.row.outputs]

    def l2(self, s: Switch) -> Lines:
        """L2 under the row, in the units of the framework's own argument."""
        value = self.strength(s)
        if s.row.l2_form == "decoupled":
            return self.decoupled(s, value)
        note = [] if self.is_exact(s) else ["# exact but for a last batch of another length:"]
        return [*note, *self.penalty(s, value)]

    def is_exact(self, s: Switch) -> bool:
        """Whether one strength of L2 holds for batches of every length."""
        return s.own.l2_divisor == s.row.l2_divisor

    def strength(self, s: Switch) -> str:
        """The strength of L2 under the row, as the framework's own argument takes it."""
        strength = s.config.penalty.l2 * (2 if s.row.l2_factor == "full" else 1)
        if s.row.l2_tensors == "nothing":
            return "0.0"
        return number(strength) if s.row.l2_form == "decoupled" else self.coupled(s, strength)

    def coupled(self, s: Switch, strength: float) -> str:
        """That of a penalty, (strength / 2) sum W², in the units of the argument."""
        return product(strength, divisors=[s.batch] if s.row.l2_divisor != "none" else [])

    def penalty(self, s: Switch, value: str) -> Lines:
        """A penalty of that strength."""
        return [f"l2={value}"]

    def decoupled(self, s: Switch, value: str) -> Lines:
        """A decay of weights beside the gradient."""
        return [self.no_keyword(s, "l2_form")]

    def own_steps(self, s: Switch) -> Lines:
        """What no framework has: it takes a step of one's own."""
        return [self.no_keyword(s, name) for name in ("update_order", "bias_unit") if name in s.changed]

    def optimizer(self, s: Switch) -> Lines:
        """The optimizer's arguments, and what is none of them."""
        changed = [name for name in OPTIMIZER if name in s.changed]
        read = [name for name in changed if CONVENTIONS[name].applies(s.config, s.row)]
        if not read:  # as momentum in Adam, or Nesterov's without any
            return [f"# {name}: nothing that is trained here reads it" for name in changed]
        lines = self.constructed(s) if self.is_rebuilt(s) else []
        return [*lines, *(line for name in read if name in FORMS for line in self.form(s, name))]

    def is_rebuilt(self, s: Switch) -> bool:
        """Whether the optimizer is made with another number."""
        numbers = s.changed & {*NUMBERS, "initial_accumulator"}
        return any(CONVENTIONS[name].applies(s.config, s.row) for name in numbers)

    def constructed(self, s: Switch) -> Lines:
        """The optimizer under the row."""
        if s.kind == "adagrad_momentum":
            return [self.no_keyword(s, "optimizer")]
        heavy: dict[str, Any] = {} if s.row.momentum == 0 else {"momentum": float(s.row.momentum)}
        heavy |= {"nesterov": True} if heavy and s.row.nesterov else {}
        return self.made(s, heavy if s.row.optimizer == "sgd" else self.numbers(s))

    def made(self, s: Switch, constants: dict[str, Any]) -> Lines:
        """The optimizer with its learning rate and these constants."""
        return [self.no_keyword(s, "optimizer")]

    def numbers(self, s: Switch, named: bool = False) -> dict[str, Any]:
        """The constants that the optimizer reads and the framework has otherwise, or, `named`, that are switched."""
        declared = registry.declared_by(self.name)
        read = OPTIMIZER_CONSTANTS[s.kind]
        own = {name: declared[name].at(s.config) for name in read if name in declared}
        return {
            name: getattr(s.row, name)
            for name in read
            if name in s.changed or (not named and name != "momentum" and own.get(name) != getattr(s.row, name))
        }

    def form(self, s: Switch, name: str) -> Lines:
        """A convention of the optimizer that no constant says."""
        value = getattr(s.row, name)
        if name == "momentum_form" and {value, s.own.momentum_form} == {"inside", "outside"}:
            told = "the same steps as long as the learning rate stays; nothing to do"
            return [f"# momentum_form = {code(value)}: {told}"]
        return (self.epsilon(s) if name == "epsilon_place" else []) or [self.no_keyword(s, name)]

    def epsilon(self, s: Switch) -> Lines:
        """Epsilon in its place, where that can be said."""
        return []

    def is_hat(self, s: Switch) -> bool:
        """Whether epsilon moves between Adam's two forms, which differ by a factor of the step."""
        return s.row.optimizer == "adam" and {s.row.epsilon_place, s.own.epsilon_place} == {"hat", "outside"}

    def activations(self, s: Switch) -> Lines:
        """Constants of the activations."""
        said, takes = self.activation_constants(s), "write the activation as a function"
        names = [name for name in ("leaky_slope", "elu_alpha", "softplus_threshold") if name in s.changed]
        return [said.get(name) or self.no_keyword(s, name, takes) for name in names]

    def activation_constants(self, s: Switch) -> dict[str, str]:
        """The constants that can be said."""
        return {}

    def dtype(self, s: Switch) -> Lines:
        """The dtype of all numbers."""
        return [f'dtype="{s.row.dtype}"']

    def constants(self, s: Switch) -> Lines:
        """The dtype of constants."""
        if not CONVENTIONS["constants"].applies(s.config, s.row):
            return ["# constants: nothing that is trained here reads it"]
        if s.row.dtype == "float32":
            return [self.no_keyword(s, "constants", "in 1 - beta**t of Adam, see the optimizer's step")]
        if s.row.constants != "exact":
            return ["# constants: float(np.float32(0.9)) for 0.9, of " + ", ".join(THROUGH_FLOAT32[s.row.constants])]
        return [self.exact_constants]

    def stop(self, s: Switch) -> Lines:
        """When the training ends by itself."""
        if s.row.stop == "never":
            return [self.never_stops]
        return ["# stop: end the loop after more than 10 epochs in a row whose loss is not 1e-4 below the best"]

    def metric(self, s: Switch) -> Lines:
        """What is measured in another way, which no training sees."""
        names = [name for name in ("accuracy", "auc", "metric_rows", "logged_loss") if name in s.changed]
        values = {name: CONVENTIONS[name].values[getattr(s.row, name)] for name in names}
        return [f"# {name}: {value}; the training is the same" for name, value in values.items()]

"""A base for frameworks that differentiate functions of arrays: the formulas are written here, once for all of them.

The author of an adapter gives the framework's array namespace and its gradient, and may give what compiles a function:

    class JaxTrainer(AutodiffStack):
        name, requires, arithmetic = "jax", ("jax",), ("jax.numpy.matmul",)
        np, compiles = jax.numpy, True
        grad = staticmethod(jax.grad)
        compile = staticmethod(jax.jit)

`np` has NumPy's names. Everything runs on the arrays of the framework: its products, its functions, its derivatives.
Activations are `(members, rows, units)`, weights `(members, n_in, n_out)`, vectors `(members, 1, units)`, numbers in
which members differ `(members, 1, 1)`. A number is exact, float64, until it meets an array.
"""

from abc import abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any, ClassVar

import numpy

from harness import network
from harness.contract import AfterStackedEpoch, Batches, Config, StackTrainer, Weights, structure_of
from harness.network.vocabulary import Entry

Array = Any
Tensors = list[dict[str, Array]]
"""One dict for each layer that owns any."""
Numbers = dict[str, Array]
"""`"layers.3.rate"`, `"optimizer.beta_1"`, `"penalty.l2"`, `"clipping.limit"`: `(members, 1, 1)` float64."""


class Arrays:
    """A framework's array namespace, and how a number meets an array: in its dtype, rounded once."""

    def __init__(self, np: Any, dtype: str) -> None:
        self.np, self.dtype = np, dtype

    def __call__(self, number: Any) -> Any:
        """A number, or one a member, in the dtype of the network."""
        return number if isinstance(number, int | float) else self.np.asarray(number).astype(self.dtype)

    # frameworks differ in the derivative of `abs` and `maximum` at 0; that of `where` is the one of its branch

    def abs(self, z: Array) -> Array:
        """`|z|`, whose derivative at 0 is 0."""
        return self.np.where(z > 0, z, self.np.where(z < 0, -z, 0.0))

    def sigmoid(self, z: Array) -> Array:
        """`1 / (1 + exp(-z))`, written so that neither tail overflows."""
        small = self.np.exp(self.np.where(z > 0, -z, z))
        return self.np.where(z > 0, 1.0, small) / (1 + small)

    def elu(self, z: Array, alpha: Any, scale: float = 1.0) -> Array:
        """`scale * z` above 0, else `scale * alpha * (exp(z) - 1)`; at 0 with the left derivative."""
        return scale * self.np.where(z > 0, z, alpha * self.np.expm1(self.np.where(z > 0, 0.0, z)))

    def softplus(self, z: Array) -> Array:
        """`log(1 + exp(z))`, written so that it does not overflow."""
        return self.np.where(z > 0, z, 0.0) + self.np.log1p(self.np.exp(self.np.where(z > 0, -z, z)))


ACTIVATION: dict[type[network.Layer], Callable[[Arrays, Any, Array], Array]] = {
    network.Identity: lambda of, it, z: z,
    network.Sigmoid: lambda of, it, z: of.sigmoid(z),
    network.Tanh: lambda of, it, z: of.np.tanh(z),
    network.ReLU: lambda of, it, z: of.np.where(z > 0, z, 0.0),
    network.LeakyReLU: lambda of, it, z: of.np.where(z > 0, z, it.slope * z),
    network.ELU: lambda of, it, z: of.elu(z, it.alpha),
    network.SELU: lambda of, it, z: of.elu(z, network.SELU_ALPHA, network.SELU_SCALE),
    network.Softplus: lambda of, it, z: of.softplus(z),
}


def _dense(of: Arrays, it: network.Dense, owned: Mapping[str, Array], a: Array) -> Array:
    z = of.np.matmul(a, owned["W"])
    return z + owned["b"] if it.use_bias else z


def _normalised(of: Arrays, it: network.BatchNorm, owned: Mapping[str, Array], a: Array, moments: Any) -> Array:
    mean, variance = moments
    return owned["gamma"] * ((a - mean) / of.np.sqrt(variance + it.epsilon)) + owned["beta"]


def _cross_entropy(of: Arrays, z: Array, y: Array) -> Array:
    top = z.max(axis=-1, keepdims=True)
    chosen = of.np.sum(z * y, axis=-1)
    return of.np.log(of.np.sum(of.np.exp(z - top), axis=-1)) + top[..., 0] - chosen


def _huber(of: Arrays, it: network.Huber, o: Array, y: Array) -> Array:
    size = of.abs(o - y)
    return of.np.where(size <= it.delta, (o - y) ** 2 / 2, it.delta * (size - it.delta / 2))


LOSS: dict[type[network.Loss], Callable[[Arrays, Any, Array, Array], Array]] = {
    network.CrossEntropy: lambda of, it, z, y: _cross_entropy(of, z, y),
    network.BinaryCrossEntropy: lambda of, it, z, y: of.np.mean(of.softplus(z) - y * z, axis=-1),
    network.MSE: lambda of, it, o, y: of.np.mean((o - y) ** 2, axis=-1),
    network.MAE: lambda of, it, o, y: of.np.mean(of.abs(o - y), axis=-1),
    network.Huber: lambda of, it, o, y: of.np.mean(_huber(of, it, o, y), axis=-1),
}
"""The loss of each row, `(members, rows)`; targets of several classes are 0 and 1 for each."""

State = dict[str, Array]
Moved = tuple[Array, State]
"""What a tensor is lowered by, and what is remembered of it."""


def _momentum(of: Arrays, it: Any, s: State, g: Array, rate: Array, t: Any) -> Moved:
    v = of(it.momentum) * s["v"] + g
    return rate * (g + of(it.momentum) * v if isinstance(it, network.Nesterov) else v), {"v": v}


def _adagrad(of: Arrays, it: Any, s: State, g: Array, rate: Array, t: Any) -> Moved:
    G = s["G"] + g * g
    step = rate * g / (of.np.sqrt(G) + of(it.epsilon))
    if isinstance(it, network.Adagrad):
        return step, {"G": G}
    v = of(it.momentum) * s["v"] + step
    return v, {"G": G, "v": v}


def _rmsprop(of: Arrays, it: network.RMSprop, s: State, g: Array, rate: Array, t: Any) -> Moved:
    v = of(it.rho) * s["v"] + of(1 - it.rho) * g * g
    return rate * g / (of.np.sqrt(v) + of(it.epsilon)), {"v": v}


def _adam(of: Arrays, it: network.Adam, s: State, g: Array, rate: Array, t: Any) -> Moved:
    m = of(it.beta_1) * s["m"] + of(1 - it.beta_1) * g
    v = of(it.beta_2) * s["v"] + of(1 - it.beta_2) * g * g
    m_hat, v_hat = m / of(1 - it.beta_1**t), v / of(1 - it.beta_2**t)
    return rate * m_hat / (of.np.sqrt(v_hat) + of(it.epsilon)), {"m": m, "v": v}


OPTIMIZER: dict[type[network.Optimizer], tuple[Callable[..., Moved], tuple[str, ...]]] = {
    network.SGD: (lambda of, it, s, g, rate, t: (rate * g, {}), ()),
    network.Momentum: (_momentum, ("v",)),
    network.Nesterov: (_momentum, ("v",)),
    network.Adagrad: (_adagrad, ("G",)),
    network.AdagradMomentum: (_adagrad, ("G", "v")),
    network.RMSprop: (_rmsprop, ("v",)),
    network.Adam: (_adam, ("m", "v")),
}
"""The rule, and what it remembers of each tensor; "G" starts at `initial_accumulator`."""


class AutodiffStack(StackTrainer):
    """A stack of networks in a framework that differentiates functions of arrays; see the module."""

    np: ClassVar[Any]
    trained: Tensors
    kept: Tensors
    states: list[dict[str, State]]

    vocabulary = (
        *(network.Dense, network.Dropout, network.BatchNorm),
        *(*ACTIVATION, *LOSS, *OPTIMIZER, *network.CLIPPINGS.values()),
    )

    @staticmethod
    @abstractmethod
    def grad(function: Callable[..., Any]) -> Callable[..., Any]:
        """The derivative of a function of arrays by its first argument: a list of dicts of arrays, as that is."""

    @staticmethod
    def compile(function: Callable[..., Any]) -> Callable[..., Any]:
        """The function made fast, where the framework can; it is called with arrays, lists and dicts of them."""
        return function

    def build_stack(self, configs: Sequence[Config], start: Weights) -> None:  # noqa: D102
        self.of = Arrays(self.np, self.config.dtype)
        self.structure = structure_of(configs[0])
        self.here = numpy.arange(len(configs))
        self.numbers = self._all_numbers = _numbers(configs)
        self.set_stack_weights(start)
        first = {"G": self.numbers.get("optimizer.initial_accumulator", 0.0)}
        memory = OPTIMIZER[type(self.config.optimizer)][1]
        zeros = [{key: numpy.zeros(w.shape) for key, w in owned.items()} for owned in self.trained]
        self.states = [
            {key: {name: self._array(zero + first.get(name, 0.0)) for name in memory} for key, zero in owned.items()}
            for owned in zeros
        ]
        self.t = 0
        self._step = self.compile(self._one_step)

    def _array(self, value: numpy.ndarray) -> Array:
        with numpy.errstate(over="ignore"):  # a rate that no float32 can hold becomes infinite
            return self.np.asarray(value.astype(self.config.dtype))

    @numpy.errstate(all="ignore")  # a training that overflows is a result, not a warning
    def train_stack(  # noqa: D102
        self, X: numpy.ndarray, y: numpy.ndarray, batches: Batches, after_epoch: AfterStackedEpoch
    ) -> None:
        if self.config.task == "multiclass":
            y = numpy.eye(self.config.network.n_outputs, dtype=self.config.dtype)[y]
        for e in range(len(batches)):
            epoch = batches[e]
            for step, rows in enumerate(epoch.batches()):
                self.t += 1
                rate = self._array(epoch.learning_rate[self.here, step].reshape(-1, 1, 1))
                masks = [self._array(mask[self.here]) for mask in epoch.step_masks(step)]
                self.trained, self.kept, self.states = self._step(
                    self.trained, self.kept, self.states, self.numbers, X[rows], y[rows], masks, rate, float(self.t)
                )
            leaves = after_epoch(e + 1)
            if leaves.all():
                return
            if leaves.any():
                self._cut(~leaves)

    def _cut(self, staying: numpy.ndarray) -> None:
        def cut(tree: Any) -> Any:
            if isinstance(tree, list):
                return [cut(item) for item in tree]
            if isinstance(tree, dict):
                return {key: cut(item) for key, item in tree.items()}
            return tree[numpy.flatnonzero(staying)]

        self.here = self.here[staying]
        self.trained, self.kept, self.states = map(cut, (self.trained, self.kept, self.states))
        self.numbers = cut(self.numbers)

    def _one_step(
        self,
        trained: Tensors,
        kept: Tensors,
        states: list[dict[str, State]],
        numbers: Numbers,
        X: Array,
        y: Array,
        masks: list[Array],
        rate: Array,
        t: Any,
    ) -> tuple[Tensors, Tensors, list[dict[str, State]]]:
        """One step of every member: its tensors, those not trained, and the state of the optimizer after it."""
        config = _with(self.structure, numbers)

        def loss(trained: Tensors) -> Array:
            z = self._forward(config, trained, kept, X, masks)[0]
            output = config.loss.output
            o = ACTIVATION[type(output)](self.of, output, z) if config.task == "regression" else z
            rows = LOSS[type(config.loss)](self.of, config.loss, o, y[None])
            return self.np.sum(rows) / (len(X) if config.reduction == "mean" else 1)

        grads = self._clipped(config, self._penalised(config, trained, self.grad(loss)(trained)))
        kept = self._forward(config, trained, kept, X, masks)[1]
        rule = OPTIMIZER[type(config.optimizer)][0]
        moved: Tensors = []
        remembered: list[dict[str, State]] = []
        for owned, g, state in zip(trained, grads, states, strict=True):
            both = {key: rule(self.of, config.optimizer, state[key], g[key], rate, t) for key in owned}
            moved.append({key: owned[key] - by for key, (by, _) in both.items()})
            remembered.append({key: after for key, (_, after) in both.items()})
        return moved, kept, remembered

    def _forward(
        self, config: Config, trained: Tensors, kept: Tensors, X: Array, masks: list[Array] | None
    ) -> tuple[Array, Tensors]:
        """The logits, and what is kept of the moments of the batch; in inference where there are no masks."""
        a, drawn = X[None], iter(masks or ())
        owners, after = iter(zip(trained, kept, strict=True)), []
        for layer, before, _ in config.network.shapes():
            own, rest = next(owners) if layer.parameters(before) else ({}, {})
            if isinstance(layer, network.Dropout):
                a = a if masks is None else a * next(drawn) / self.of(1 - layer.rate)
            elif isinstance(layer, network.BatchNorm):
                moments = rest["mean"], rest["variance"]
                if masks is not None:
                    mean = self.np.mean(a, axis=-2, keepdims=True)
                    moments = mean, self.np.mean((a - mean) ** 2, axis=-2, keepdims=True)
                    old = (rest["mean"], rest["variance"])
                    new = [layer.momentum * o + (1 - layer.momentum) * m for o, m in zip(old, moments, strict=True)]
                    rest = dict(zip(("mean", "variance"), new, strict=True))
                a = _normalised(self.of, layer, own, a, moments)
            elif isinstance(layer, network.Dense):
                a = _dense(self.of, layer, own, a)
            else:
                a = ACTIVATION[type(layer)](self.of, layer, a)
            if layer.parameters(before):
                after.append(rest)
        return a, after

    def _penalised(self, config: Config, trained: Tensors, grads: Tensors) -> Tensors:
        l2, l1 = self.of(config.penalty.l2), self.of(config.penalty.l1)
        result = []
        for (_, parameters), owned, g in zip(config.network.owners(), trained, grads, strict=True):
            both = {key: g[key] + l2 * owned[key] for key in owned if parameters[key].penalised}
            if self.structure.penalty.l1:
                both = {key: value + l1 * self.np.sign(owned[key]) for key, value in both.items()}
            result.append(g | both)
        return result

    def _clipped(self, config: Config, grads: Tensors) -> Tensors:
        if config.clipping is None:
            return grads
        limit = config.clipping.limit
        if isinstance(config.clipping, network.ClipValue):
            bound = self.of(limit)
            return [{key: self.np.clip(g, -bound, bound) for key, g in owned.items()} for owned in grads]
        tensors = [g for owned in grads for g in owned.values()]
        squares = [self.np.sum(g.astype("float64") ** 2, axis=(1, 2), keepdims=True) for g in tensors]
        norm = self.np.sqrt(sum(squares[1:], squares[0]))
        factor = self.of(self.np.where(norm > limit, limit / norm, 1.0))
        return [{key: g * factor for key, g in owned.items()} for owned in grads]

    @numpy.errstate(all="ignore")
    def stack_logits(self, X: numpy.ndarray) -> numpy.ndarray:  # noqa: D102
        config = _with(self.structure, self.numbers)
        X = self.np.asarray(X.astype(self.config.dtype))
        logits = self._forward(config, self.trained, self.kept, X, None)[0]
        return numpy.asarray(self.np.broadcast_to(logits, (len(self.here), *logits.shape[1:])))

    def stack_weights(self) -> Weights:  # noqa: D102
        result = []
        for (_, parameters), own, rest in zip(self.structure.network.owners(), self.trained, self.kept, strict=True):
            arrays = {key: numpy.array((own | rest)[key]) for key in parameters}
            result.append({key: a.reshape(len(a), *parameters[key].shape) for key, a in arrays.items()})
        return tuple(result)

    def set_stack_weights(self, weights: Weights) -> None:  # noqa: D102
        members = len(next(iter(weights[0].values())))
        self.trained, self.kept = [], []
        for (_, parameters), given in zip(self.structure.network.owners(), weights, strict=True):
            arrays = {
                key: self._array(given[key].reshape(members, *((1,) * (3 - given[key].ndim)), *given[key].shape[1:]))
                for key in parameters
            }
            self.trained.append({key: a for key, a in arrays.items() if parameters[key].trainable})
            self.kept.append({key: a for key, a in arrays.items() if not parameters[key].trainable})
        if members != len(self.here):  # those that have left are back
            self.here = numpy.arange(members)
            self.numbers = self._all_numbers


def _numbers(configs: Sequence[Config]) -> Numbers:
    """The numbers in which members may differ, by their place."""
    found: dict[str, list[float]] = {}
    for config in configs:
        for place, entry in _places(config):
            for each in entry.constants():
                if each.member:
                    found.setdefault(f"{place}.{each.field}", []).append(getattr(entry, each.field))
    return {name: numpy.array(values, numpy.float64).reshape(-1, 1, 1) for name, values in found.items()}


def _places(config: Config) -> list[tuple[str, Entry]]:
    places: list[tuple[str, Entry]] = [(f"layers.{k}", layer) for k, layer in enumerate(config.network.layers)]
    places += [("loss", config.loss), ("optimizer", config.optimizer), ("penalty", config.penalty)]
    return places if config.clipping is None else [*places, ("clipping", config.clipping)]


def _with(structure: Config, numbers: Numbers) -> Config:
    """The structure of a stack with the numbers of its members in their places."""
    entries: dict[str, Any] = {}
    for place, entry in _places(structure):
        own = {name.rpartition(".")[2]: value for name, value in numbers.items() if name.rpartition(".")[0] == place}
        entries[place] = replace(entry, **own) if own else entry  # type: ignore[type-var]
    layers = tuple(entries[f"layers.{k}"] for k in range(len(structure.network.layers)))
    others = {name: entries[name] for name in ("loss", "optimizer", "penalty", "clipping") if name in entries}
    return replace(structure, network=replace(structure.network, layers=layers), **others)

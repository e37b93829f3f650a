"""A framework on its way to another row of the conventions table: its network, its start and its batches, as code."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

from harness.calls.native_calls import SKLEARN_ACTIVATION, TORCH_ACTIVATION, code
from harness.contract import Config
from harness.conventions.table import GIVEN, Row, activations_under
from harness.draws.starts import parse_law

Lines = list[str]

# A family of laws -> the variance of a weight times its fan, and which fan: Keras's VarianceScaling.
_FAMILY = {
    "glorot": (1.0, "fan_avg"),
    "he": (2.0, "fan_in"),
    "lecun": (1.0, "fan_in"),
    "torch": (1 / 3, "fan_in"),
    "sklearn": (1 / 3, "fan_avg"),
}


@dataclass(frozen=True)
class Switch:
    """A backend on its way from the row `own` to `row`, which differ in `changed`."""

    backend: str
    own: Row
    row: Row
    changed: frozenset[str]
    config: Config

    @property
    def batch(self) -> str:
        """The rows of a batch, as code."""
        size = self.config.batch_size if self.row.batch_size == GIVEN else self.row.batch_size
        even = f"(len(X) // (len(X) // {self.config.batch_size}))"
        return {"min(200, n)": "min(200, len(X))", "n": "len(X)", "n // (n // b)": even}.get(str(size), str(size))

    @property
    def epochs(self) -> int:
        """Epochs under the row."""
        return int(self.config.epochs if self.row.epochs == GIVEN else self.row.epochs)

    @property
    def learning_rate(self) -> float:
        """The learning rate under the row."""
        return float(self.config.learning_rate if self.row.learning_rate == GIVEN else self.row.learning_rate)

    @property
    def hidden(self) -> tuple[int, ...]:
        """Units of the hidden layers under the row."""
        return self.config.hidden if isinstance(self.row.hidden, str) else self.row.hidden

    def gradient_scale(self) -> list[str]:
        """By what scikit-learn's gradient of the loss has to be multiplied, as factors; the penalty not included."""
        outputs = {"mean": 1 / self.config.n_outputs, "sum": 1.0, "half sum": 0.5}
        factors = []
        if "outputs" in self.changed:
            factors.append(number(outputs[self.row.outputs] / outputs[self.own.outputs]))
        if "reduction" in self.changed:
            factors.append(
                {"sum": self.batch, "mean of n + 1": f"{self.batch} / ({self.batch} + 1)"}[self.row.reduction]
            )
        return factors


def number(value: float) -> str:
    """A number as it is typed, without the last digits of a division."""
    return repr(float(f"{value:.12g}"))


def product(first: float, factors: Sequence[str] = (), divisors: Sequence[str] = ()) -> str:
    """`first * factors / divisors` as code; one number where all of them are numbers."""
    try:
        for factor in factors:
            first *= float(factor)
        for divisor in divisors:
            first /= float(divisor)
        return number(first)
    except ValueError:
        return " ".join([number(first), *(f"* ({f})" for f in factors), *(f"/ ({d})" for d in divisors)])


_OVERRIDE = {
    "numpy": "another line in NeuralNetwork.update",
    "sklearn": "override `_get_updates` of its optimizer",
    "tensorflow": "override `update_step` of its optimizer",
    "keras": "override `update_step` of its optimizer",
    "torch": "override `step` of its optimizer",
}


def no_keyword(switch: Switch, name: str, takes: str = "") -> str:
    """A comment that says so, and what it takes."""
    value = getattr(switch.row, name)
    takes = takes or _OVERRIDE[switch.backend]
    return f"# {name} = {code(value)}: no keyword argument; {takes}"


def network(s: Switch) -> Lines:
    """Hidden layers and their activation."""
    names = activations_under(s.config, s.row)
    if s.backend == "sklearn":
        lacking = [name for name in names if name not in SKLEARN_ACTIVATION]
        if lacking:
            return [f"# activation: MLPClassifier has no {lacking[0]}"]
        activation = f', activation="{SKLEARN_ACTIVATION[names[0]]}"' if names else ""
        return [f"hidden_layer_sizes={s.hidden}{activation}"]
    units = (s.config.n_inputs, *s.hidden)
    if s.backend == "torch":
        sizes = zip(units, s.hidden, names, strict=False)
        return [f"nn.Linear({n}, {m}), {TORCH_ACTIVATION[name]}()," for n, m, name in sizes]
    if s.backend == "keras":
        return [f'keras.layers.Dense({n}, activation="{name}"),' for n, name in zip(s.hidden, names, strict=True)]
    return [f"hidden={s.hidden}, activation={code(names)}"]


def _law(init: str, n_in: str, n_out: str) -> tuple[str, str]:
    """A law of the weights as ("uniform", its bound), ("normal", its deviation), … in code."""
    name, scale = parse_law(init)
    if name in ("normal", "uniform", "truncated_normal", "zeros"):
        return name, number(scale)
    spread, _, law = name.rpartition("_")
    variance, mode = _FAMILY[spread]
    fan, variance = (n_in, variance) if mode == "fan_in" else (f"({n_in} + {n_out})", 2 * variance)
    return law, f"({(3 * variance if law == 'uniform' else variance):.12g} / {fan}) ** 0.5"


# How numbers are drawn: law -> code with the scale {s} and the shape {shape}, or in torch the tensor {w}.
_DRAWN = {
    "sklearn": {
        "uniform": "rng.uniform(-{s}, {s}, {shape})",
        "normal": "rng.normal(0, {s}, {shape})",
        "truncated_normal": "scipy.stats.truncnorm.rvs(-2, 2, scale={s}, size={shape}, random_state=rng)",
        "zeros": "np.zeros({shape})",
    },
    "tensorflow": {
        "uniform": "tf.random.uniform({shape}, -{s}, {s})",
        "normal": "tf.random.normal({shape}, stddev={s})",
        "truncated_normal": "tf.random.truncated_normal({shape}, stddev={s})",
        "zeros": "tf.zeros({shape})",
    },
    "torch": {
        "uniform": "nn.init.uniform_({shape}, -{s}, {s})",
        "normal": "nn.init.normal_({shape}, std={s})",
        "truncated_normal": "nn.init.trunc_normal_({shape}, std={s}, a=-2 * {s}, b=2 * {s})",
        "zeros": "nn.init.zeros_({shape})",
    },
}
_DRAWN["numpy"] = _DRAWN["sklearn"]
_FILLED = {
    "sklearn": "np.full({shape}, {s})",
    "tensorflow": "tf.fill({shape}, {s})",
    "torch": "nn.init.constant_({shape}, {s})",
    "numpy": "np.full({shape}, {s})",
}


def _bias(s: Switch, shape: str, fans: tuple[str, str]) -> str:
    """How biases of a shape begin, as code that may read the `s` of the weights."""
    if s.row.bias == "as_weights":
        return _DRAWN[s.backend][_law(s.row.init, "", "")[0]].format(s="s", shape=shape)
    if isinstance(s.row.bias, str):
        law, scale = _law(s.row.bias, *fans)
        return _DRAWN[s.backend][law].format(s=scale, shape=shape)
    return _FILLED[s.backend].format(s=float(s.row.bias), shape=shape)


def start(s: Switch) -> Lines:
    """How weights and biases begin."""
    if s.backend == "keras":
        return _keras_start(s)
    fans = {
        "sklearn": ("fan_in", "fan_out"),
        "torch": ("layer.in_features", "layer.out_features"),
        "tensorflow": ("shape[0]", "shape[1]"),
        "numpy": ("shape[0]", "shape[1]"),
    }[s.backend]
    law, scale = _law(s.row.init, *fans)
    shapes = {"sklearn": ("(fan_in, fan_out)", "fan_out"), "torch": ("layer.weight", "layer.bias")}
    weights, biases = shapes.get(s.backend, ("shape", "shape[1:]"))
    W, b = _DRAWN[s.backend][law].format(s="s", shape=weights), _bias(s, biases, fans)
    if s.backend == "sklearn":
        return [
            "class Started(MLPClassifier):  # no keyword argument for the start: override what draws it",
            "    def _init_coef(self, fan_in, fan_out, dtype):",
            f"        rng, s = self._random_state, {scale}",
            f"        W = {W}",
            f"        b = {b}",
            "        return W.astype(dtype), b.astype(dtype)",
        ]
    if s.backend == "torch":
        lines = ["for layer in model[::2]:", f"    s = {scale}"]
        return [*lines, *([f"    {W}"] if "init" in s.changed else []), *([f"    {b}"] if "bias" in s.changed else [])]
    place = "# in NeuralNetwork.__init__:" if s.backend == "numpy" else "# for every layer:"
    return [place, f"rng, s = self.rng, {scale}" if s.backend == "numpy" else f"s = {scale}", f"W = {W}", f"b = {b}"]


def _keras_start(s: Switch) -> Lines:
    lines = []
    law, scale = _law(s.row.init, "n_in", "n_out")
    name = parse_law(s.row.init)[0].rpartition("_")[0]
    kinds = {"uniform": "RandomUniform(-{s}, {s})", "normal": "RandomNormal(stddev={s})", "zeros": "Zeros()"}
    kinds["truncated_normal"] = "TruncatedNormal(stddev={s})"
    if "init" in s.changed and name in _FAMILY:
        variance, mode = _FAMILY[name]
        kind = "uniform" if law == "uniform" else "untruncated_normal"
        shown = "1 / 3" if variance < 1 else repr(variance)
        lines.append(f'kernel_initializer=keras.initializers.VarianceScaling({shown}, "{mode}", "{kind}")')
    elif "init" in s.changed:
        lines.append(f"kernel_initializer=keras.initializers.{kinds[law].format(s=scale)}")
    if "bias" not in s.changed:
        return lines
    if s.row.bias in ("as_weights", "torch_uniform"):
        drawn = s.row.init if s.row.bias == "as_weights" else str(s.row.bias)
        units = (s.config.n_inputs, *s.hidden, s.config.n_outputs)
        for k, (n_in, n_out) in enumerate(pairwise(units), start=1):
            law, scale = _law(drawn, str(n_in), str(n_out))
            lines += [f"s = {scale}  # layer {k}", f"bias_initializer=keras.initializers.{kinds[law].format(s='s')}"]
        return lines
    if isinstance(s.row.bias, str):
        law, deviation = parse_law(s.row.bias)
        return [*lines, f"bias_initializer=keras.initializers.{kinds[law].format(s=deviation)}"]
    return [*lines, f"bias_initializer=keras.initializers.Constant({float(s.row.bias)})"]


_STEP = {
    "numpy": "…  # as in NeuralNetwork.train, with `rows` for `chosen`",
    "sklearn": "model.partial_fit(X[rows], y[rows])  # of classes at first with classes=np.unique(y)",
    "tensorflow": "train_step(tf.constant(X[rows]), tf.constant(y[rows]))",
    "keras": "model.train_on_batch(X[rows], y[rows])",
    "torch": "inputs, labels = dataset[rows]  # and the step as it stands",
}


def order(s: Switch) -> Lines:
    """How batches are drawn: an argument where there is one, else the loop."""
    law, last, B, n = s.row.batches, s.row.last_batch, s.batch, s.row.n_batches
    if n is None and s.backend == "torch" and last in ("keep", "drop") and law in ("permutation", "in_order"):
        return [f"shuffle={law == 'permutation'}" + (", drop_last=True" if last == "drop" else "")]
    if n is None and last == "keep":
        shuffling = {"sklearn": "permutation", "keras": "one_permutation"}
        if s.backend in shuffling and law in (shuffling[s.backend], "in_order"):
            return [f"shuffle={law != 'in_order'}"]
    drawn = {
        "permutation": "rng.permutation(len(X))",
        "one_permutation": "rng.permutation(len(X))",
        "bootstrap": "rng.integers(0, len(X), len(X))",
        "in_order": "np.arange(len(X))",
    }.get(law)
    whole = f"len(X) // {B} * {B}"
    if n is not None and last == "merge":
        B, n, whole = f"(len(X) // {n})", None, f"len(X) // {n} * {n}"
    cut = {"keep": f"order, range({B}, len(X), {B})", "merge": f"order, range({B}, {whole}, {B})"}
    cut["drop"] = cut["drop stride"] = f"order[: {whole}], range({B}, {whole}, {B})"
    steps = f"range(0, len(X), {B})"
    if law == "skipping" and n is not None:
        parts = f"enumerate(np.array_split(np.arange(len(X) - {n - 1}), {n}))"
        loop = f"for rows in [part + k for k, part in {parts}]:"
    elif law == "skipping":
        end = {"drop": f"len(X) - {B} + 1", "drop stride": f"len(X) - {B}"}.get(last, "len(X)")
        loop = f"for rows in [np.arange(i, min(i + {B}, len(X))) for i in range(0, {end}, {B} + 1)]:"
    elif drawn is None:
        dropped = last.startswith("drop")
        size, steps = (B, f"range(len(X) // {B})") if dropped else (f"min({B}, len(X) - i)", steps)
        chosen = f"rng.choice(len(X), {size}, replace={law == 'replacement'})"
        loop = f"for rows in [{chosen} for i in {steps}]:"
    else:
        loop = f"for rows in np.array_split(order, {n}):" if n is not None else f"for rows in np.split({cut[last]}):"
    once = law in ("one_permutation", "bootstrap", "in_order")
    order = [] if drawn is None else [f"{'' if once else '    '}order = {drawn}"]
    epochs = f"for epoch in range({s.epochs}):"
    return [
        "rng = np.random.default_rng(0)",
        *([*order, epochs] if once else [epochs, *order]),
        f"    {loop}",
        f"        {_STEP[s.backend]}",
    ]


def batch_size(s: Switch) -> Lines:
    """The rows of a batch."""
    return [f"batch_size={s.batch}"]


def epochs(s: Switch) -> Lines:
    """How many epochs."""
    return [f"max_iter={s.epochs}" if s.backend == "sklearn" else f"epochs={s.epochs}"]

"""With which keyword arguments, or lines, a framework takes over the conventions of another. Pure text.

Every line is code for the framework's own training as `harness/calls/keywords.py` writes it. Where no keyword argument
sets a convention, the line is a comment that says so and names what it takes.
"""

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

from harness.calls.native_calls import CLASS, KERAS_NAME, NATIVE_LINES, TORCH_NAME, call, code, keras_loss, keywords
from harness.calls.switched import Lines, Switch, batch_size, epochs, network, no_keyword, number, order, product, start
from harness.contract import OPTIMIZER_CONSTANTS, Config
from harness.conventions.table import CONVENTIONS, THROUGH_FLOAT32, Row
from harness.draws.recipe import Recipe
from harness.registry import declared_by, native_backends, row_of
from harness.support.errors import RequestError, unknown

_OWN = Recipe()


def agree(a: str, b: str, names: Sequence[str], config: Config, recipe: Recipe = _OWN) -> dict[str, Lines]:
    """For each backend of a pair, what it is given so that it follows the other in the conventions `names`.

    `a` and `b` are backends, profiles or "controlled"; only backends have an entry. Both rows are those for `config`,
    and `recipe` is how the experiment draws. Raises `RequestError` for a name that is none.
    """
    for name in names:
        if name not in CONVENTIONS:
            raise RequestError(unknown("convention", name, CONVENTIONS))
    rows = {name: row_of(name, config, recipe) for name in (a, b)}
    pairs = ((a, b), (b, a))
    return {
        own: take_over(own, rows[own], rows[other], names, config) for own, other in pairs if own in native_backends()
    }


def take_over(backend: str, own: Row, other: Row, names: Sequence[str], config: Config) -> Lines:
    """What `backend`, whose row is `own`, is given to follow `other` in the conventions `names`."""
    changed = frozenset(name for name in names if getattr(own, name) != getattr(other, name))
    if backend not in NATIVE_LINES:
        return [_in_words(name, getattr(other, name)) for name in CONVENTIONS if name in changed]
    row = replace(own, **{name: getattr(other, name) for name in changed})
    switch = Switch(backend, own, row, changed, config)
    lines = [line for group, say in _GROUPS for line in (say(switch) if changed & set(group) else [])]
    grouped = {name for group, _ in _GROUPS for name in group}
    return [*lines, *(no_keyword(switch, name) for name in CONVENTIONS if name in changed - grouped)]


def _in_words(name: str, value: Any) -> str:
    """What a backend has to do that declares no lines of code."""
    convention = CONVENTIONS[name]
    formula = convention.formula(value)
    return f"# {convention.title}: {code(value)}{f', {formula}' if formula else ''}"


def _gradient(s: Switch) -> Lines:
    """The loss over rows and outputs, and what it is computed from."""
    lines = []
    if "probabilities" in s.changed:
        if s.backend in ("keras", "torch", "tensorflow") and s.row.probabilities == "logits":
            lines.append("loss from the logits, as it stands")
        elif s.backend == "keras" and s.row.probabilities == "clipped 1e-7":
            last = "keras.layers.Dense(…, activation=lambda z: keras.ops.exp(keras.ops.log_softmax(z)))"
            lines.append(f"{last} at the end, and a loss with from_logits=False; behind a softmax it takes the logits")
        else:
            lines.append(no_keyword(s, "probabilities", "write the loss as a function"))
    if not s.changed & {"reduction", "outputs"}:
        return lines
    if s.backend == "sklearn":
        return [*lines, *_sklearn_scaled(s)]
    rows, outputs = s.row.reduction, s.row.outputs
    if rows == "mean of n + 1":
        return [*lines, no_keyword(s, "reduction", "multiply the loss by n / (n + 1)")]
    if s.backend == "keras" and "outputs" not in s.changed:
        reduction = {"mean": "sum_over_batch_size", "sum": "sum"}[rows]
        return [*lines, f"loss={keras_loss(s.config, reduction=reduction)}"]
    if s.backend == "numpy":
        error = "error" + {"mean": f" / {s.config.n_outputs}", "sum": "", "half sum": ""}[outputs]
        error = f"2 * {error}" if s.config.loss == "mse" and outputs != "half sum" else error
        error += " / len(targets)" if rows == "mean" else ""
        return [*lines, f"error = {error}  # at the end of NeuralNetwork.output_error"]
    factor = {"mean": 1.0, "sum": float(s.config.n_outputs), "half sum": s.config.n_outputs / 2}[outputs]
    factors = [number(factor)] if factor != 1 and s.config.loss != "cross_entropy" else []
    factors += ["len(labels)"] if rows == "sum" else []
    if s.backend == "keras":
        if rows == "sum":
            loss = keras_loss(s.config, reduction="sum")
            return [*lines, f"loss=lambda y, z: {number(factor)} * {loss}(y, z)"]
        return [*lines, f"loss={keras_loss(s.config)}, loss_weights={number(factor)}"]
    return [*lines, f"loss = {' * '.join(['loss', *factors])}  # the mean, before L2 is added"]


def _sklearn_scaled(s: Switch) -> Lines:
    """No argument scales the loss: with SGD the learning rate does it, with Adam epsilon, and alpha is `_l2`'s."""
    factors = s.gradient_scale()
    what = f"# {', '.join(sorted(s.changed & {'reduction', 'outputs'}))}: the loss cannot be scaled, but the step can"
    if s.config.l2 > 0 and not s.changed & set(_L2):
        return [what, *_step(s, factors), *_l2(s)]
    return [what, *_step(s, factors)]


def _step(s: Switch, factors: Sequence[str]) -> Lines:
    """The step scaled by the factors of the loss; nothing where `_sklearn_optimizer` says that argument anyway."""
    said = "epsilon" if s.row.optimizer == "adam" else "learning_rate"
    if said in s.changed:
        return []
    if said == "epsilon":
        return [f"epsilon={product(s.row.epsilon, divisors=factors)}"]
    return [f"learning_rate_init={product(s.learning_rate, factors)}"]


_L2 = ("l2_factor", "l2_divisor", "l2_tensors", "l2_form")


def _l2(s: Switch) -> Lines:
    """L2 under the row, in the units of the framework's own argument."""
    row, value = s.row, _strength(s)
    if row.l2_form == "decoupled":
        return _decoupled(s, value)
    exact = s.own.l2_divisor == row.l2_divisor and not (s.backend == "sklearn" and s.gradient_scale())
    note = [] if exact else ["# exact but for a last batch of another length:"]
    tensors = row.l2_tensors
    if s.backend == "keras":
        lines = [*note, f"kernel_regularizer=keras.regularizers.L2({value})"]
        if tensors == "weights and biases":
            lines.append(f"bias_regularizer=keras.regularizers.L2({value})")
        return [*lines, *(["# not in the last layer"] if tensors == "hidden" else [])]
    if s.backend == "torch":
        return [*note, *_torch_l2(s, value)]
    if s.backend == "sklearn":
        takes = "override `_compute_loss_grad`"
        return [*note, f"alpha={value}", *([no_keyword(s, "l2_tensors", takes)] if "l2_tensors" in s.changed else [])]
    which = {
        "weights": "W for W, b in layers",
        "weights and biases": "w for layer in layers for w in layer",
        "hidden": "W for W, b in layers[:-1]",
        "nothing": "W for W, b in layers",
    }[tensors]
    if s.backend == "tensorflow":
        loss = f"loss += {value} * tf.add_n([tf.nn.l2_loss({which.split()[0]}) for {which.partition(' for ')[2]}])"
        return [*note, loss]
    lines = [*note, f"l2={value}"]
    if tensors == "weights and biases":
        lines.append("# in back_propagation: error.sum(axis=0) + self.config.l2 * self.biases[k]")
    return [*lines, *(["# in back_propagation: none for the last k"] if tensors == "hidden" else [])]


def _strength(s: Switch) -> str:
    """The strength of L2 under the row, as the framework's own argument takes it."""
    strength, divided = s.config.l2 * (2 if s.row.l2_factor == "full" else 1), s.row.l2_divisor != "none"
    if s.row.l2_tensors == "nothing":
        return "0.0"
    if s.row.l2_form == "decoupled":
        return number(strength)
    if s.backend == "sklearn":
        return product(strength, [] if divided else [s.batch], s.gradient_scale())
    return product(strength / (2 if s.backend == "keras" else 1), divisors=[s.batch] if divided else [])


def _torch_l2(s: Switch, value: str) -> Lines:
    if s.row.l2_tensors == "weights and biases":
        return [] if _rebuilt(s) else [f"weight_decay={value}"]
    last = "[:-2]" if s.row.l2_tensors == "hidden" else ""
    return [
        f"weights = [w for w in list(model.parameters()){last} if w.ndim == 2]",
        "rest = [w for w in model.parameters() if id(w) not in set(map(id, weights))]",
        f'groups = {{"params": weights, "weight_decay": {value}}}, {{"params": rest, "weight_decay": 0.0}}',
        *([] if _rebuilt(s) else _constructed(s)),
    ]


def _decoupled(s: Switch, value: str) -> Lines:
    if s.backend in ("keras", "tensorflow"):
        return [f"weight_decay={value}", 'optimizer.exclude_from_weight_decay(var_names=["bias"])']
    if s.backend == "torch" and s.row.optimizer == "adam":
        return [] if _rebuilt(s) else _constructed(s)
    return [no_keyword(s, "l2_form")]


def _own_steps(s: Switch) -> Lines:
    """What no framework has: it takes a step of one's own."""
    return [no_keyword(s, name) for name in ("update_order", "bias_unit") if name in s.changed]


_FORMS = ("momentum_form", "epsilon_place", "bias_correction", "moments_reset", "accumulator")
_NUMBERS = ("learning_rate", "optimizer", "momentum", "nesterov", "beta_1", "beta_2", "rho", "epsilon")
_OPTIMIZER = (*_NUMBERS, "initial_accumulator", *_FORMS)


def _optimizer(s: Switch) -> Lines:
    """The optimizer's arguments, and what is none of them."""
    changed = [name for name in _OPTIMIZER if name in s.changed]
    read = [name for name in changed if CONVENTIONS[name].applies(s.config, s.row)]
    if not read:  # as momentum in Adam, or Nesterov's without any
        return [f"# {name}: nothing that is trained here reads it" for name in changed]
    lines = []
    if _rebuilt(s):
        lines = _sklearn_optimizer(s) if s.backend == "sklearn" else _constructed(s)
    return [*lines, *(line for name in read if name in _FORMS for line in _form(s, name))]


def _rebuilt(s: Switch) -> bool:
    """Whether the optimizer is made with another number."""
    numbers = s.changed & {*_NUMBERS, "initial_accumulator"}
    return any(CONVENTIONS[name].applies(s.config, s.row) for name in numbers)


def _kind(row: Row) -> str:
    """The experiment's name of the optimizer that a row has."""
    if row.optimizer != "sgd" or row.momentum == 0:
        return row.optimizer
    return "nesterov" if row.nesterov else "momentum"


def _constants(s: Switch, named: bool = False) -> dict[str, Any]:
    """The constants that the optimizer reads and that are not the framework's own, or, `named`, that are switched."""
    read = OPTIMIZER_CONSTANTS[_kind(s.row)]
    declared = {name: declared_by(s.backend)[name].at(s.config) for name in read if name in declared_by(s.backend)}
    return {
        name: getattr(s.row, name)
        for name in read
        if name in s.changed or (not named and name != "momentum" and declared.get(name) != getattr(s.row, name))
    }


def _sklearn_optimizer(s: Switch) -> Lines:
    if s.row.optimizer not in ("sgd", "adam"):
        return [f"# optimizer: MLPClassifier has no {s.row.optimizer}: its solvers are lbfgs, sgd and adam"]
    arguments: dict[str, Any] = {}
    if "optimizer" in s.changed:
        arguments["solver"] = s.row.optimizer
    if "learning_rate" in s.changed:
        arguments["learning_rate_init"] = s.learning_rate
    if s.row.optimizer == "sgd" and s.changed & {"momentum", "nesterov", "optimizer"}:
        nesterov = bool(s.row.nesterov and s.row.momentum > 0)
        arguments |= {"momentum": s.row.momentum, "nesterovs_momentum": nesterov}
    arguments |= {} if s.row.optimizer == "sgd" else _constants(s, named=True)
    step = {"learning_rate_init": product(s.learning_rate, s.gradient_scale())}  # also scales the loss, see `_step`
    step = {"epsilon": product(s.row.epsilon, divisors=s.gradient_scale())} if s.row.optimizer == "adam" else step
    said = [f"{key}={step[key]}" if key in step else keywords({key: arguments[key]})[0] for key in arguments]
    return [", ".join(said)] if said else []


def _constructed(s: Switch) -> Lines:
    kind = _kind(s.row)
    if kind == "adagrad_momentum" and s.backend != "numpy":
        return [no_keyword(s, "optimizer")]
    if s.backend == "numpy":
        read = {name: getattr(s.row, name) for name in OPTIMIZER_CONSTANTS[kind] if name in s.changed}
        rate = {"learning_rate": s.learning_rate} if "learning_rate" in s.changed else {}
        return [", ".join(keywords({"optimizer": kind, **rate, **read}))]
    heavy: dict[str, Any] = {} if s.row.momentum == 0 else {"momentum": float(s.row.momentum)}
    heavy |= {"nesterov": True} if heavy and s.row.nesterov else {}
    constants = heavy if s.row.optimizer == "sgd" else _constants(s)
    if s.backend == "torch":
        decoupled = s.row.l2_form == "decoupled" and kind == "adam"
        whole = decoupled or not s.changed & set(_L2) or s.row.l2_tensors == "weights and biases"
        if "beta_1" in constants or "beta_2" in constants:
            constants = {"betas": (s.row.beta_1, s.row.beta_2)} | {
                name: value for name, value in constants.items() if not name.startswith("beta")
            }
        arguments = {"lr": s.learning_rate, **{TORCH_NAME.get(name, name): v for name, v in constants.items()}}
        params, decay = ("model.parameters()", [f"weight_decay={_strength(s)}"]) if whole else ("groups", [])
        name = "AdamW" if decoupled else CLASS.get(kind, "SGD")
        return call(f"optimizer = torch.optim.{name}(", [params, *keywords(arguments), *decay])
    arguments = {"learning_rate": s.learning_rate, **{KERAS_NAME.get(k, k): v for k, v in constants.items()}}
    module = "tf.keras" if s.backend == "tensorflow" else "keras"
    return call(f"optimizer={module}.optimizers.{CLASS.get(kind, 'SGD')}(", keywords(arguments))


def _form(s: Switch, name: str) -> Lines:
    """A convention of the optimizer that no constant says."""
    value, adam = getattr(s.row, name), s.row.optimizer == "adam"
    if name == "momentum_form" and {value, s.own.momentum_form} == {"inside", "outside"}:
        return [f"# momentum_form = {code(value)}: the same steps as long as the learning rate stays; nothing to do"]
    if name == "epsilon_place" and adam and {value, s.own.epsilon_place} == {"hat", "outside"}:
        root = f"(1 - {s.row.beta_2!r}**t) ** 0.5"
        if s.backend == "torch":
            loop = "for group in optimizer.param_groups:  # before step t = 1, 2, …"
            return [loop, f'    group["eps"] = {s.row.epsilon!r} / {root}']
        if s.backend == "sklearn":
            return [f"model._optimizer.epsilon = {s.row.epsilon!r} * {root}  # before step t"]
    helper = {"adam": "PaperAdam", "adagrad": "PaperAdagrad", "rmsprop": "PaperRMSprop"}.get(s.row.optimizer)
    if name == "epsilon_place" and value == "outside" and s.backend in ("keras", "tensorflow") and helper:
        return [no_keyword(s, name, f"see {helper} in backends/keras/optimizers.py")]
    return [no_keyword(s, name)]


def _activations(s: Switch) -> Lines:
    """Constants of the activations."""
    slope, alpha, threshold = s.row.leaky_slope, s.row.elu_alpha, s.row.softplus_threshold
    said = {
        "keras": {
            "leaky_slope": f"activation=lambda z: keras.activations.leaky_relu(z, negative_slope={slope!r})",
            "elu_alpha": f"activation=lambda z: keras.activations.elu(z, alpha={alpha!r})",
            "softplus_threshold": f"activation=lambda z: keras.ops.where(z > {threshold}, z, keras.ops.softplus(z))",
        },
        "tensorflow": {
            "leaky_slope": f"lambda z: tf.nn.leaky_relu(z, alpha={slope!r})",
            "elu_alpha": f"lambda z: tf.keras.activations.elu(z, alpha={alpha!r})",
            "softplus_threshold": f"lambda z: tf.where(z > {threshold}, z, tf.nn.softplus(z))",
        },
        "torch": {
            "leaky_slope": f"nn.LeakyReLU({slope!r})",
            "elu_alpha": f"nn.ELU({alpha!r})",
            # beyond 40 the two are the same number, and much higher exp would overflow
            "softplus_threshold": f"nn.Softplus(threshold={threshold or 40.0})",
        },
        "numpy": {"leaky_slope": f"leaky_slope={slope!r}", "elu_alpha": f"elu_alpha={alpha!r}"},
    }.get(s.backend, {})
    takes = "write the activation as a function"
    names = [name for name in ("leaky_slope", "elu_alpha", "softplus_threshold") if name in s.changed]
    return [said.get(name) or no_keyword(s, name, takes) for name in names]


def _dtype(s: Switch) -> Lines:
    dtype = s.row.dtype
    lines = {
        "numpy": [f'dtype="{dtype}"'],
        "sklearn": [f'X = X.astype("{dtype}")'],
        "tensorflow": [f"dtype=tf.{dtype}  # of every variable", f'X = X.astype("{dtype}")'],
        "keras": [f'keras.config.set_floatx("{dtype}")', f'keras.config.set_dtype_policy("{dtype}")'],
        "torch": [f"torch.set_default_dtype(torch.{dtype})  # before the model", f"X = torch.tensor(X).{_TO[dtype]}()"],
    }
    return lines[s.backend]


_TO = {"float64": "double", "float32": "float"}


def _rounded(s: Switch) -> Lines:
    if not CONVENTIONS["constants"].applies(s.config, s.row):
        return ["# constants: nothing that is trained here reads it"]
    if s.row.dtype == "float32":
        return [no_keyword(s, "constants", "in 1 - beta**t of Adam, see the optimizer's step")]
    through = ", ".join(THROUGH_FLOAT32[s.row.constants])
    if s.row.constants != "exact":
        return ["# constants: float(np.float32(0.9)) for 0.9, of " + through]
    if s.backend == "tensorflow":
        return ['# constants: np.float64(0.9) for 0.9 in every optimizer, and keras.config.set_floatx("float64")']
    return ["# constants: np.float64(0.9) for 0.9 in optimizers; L2 by Penalty of backends/keras/trainer.py"]


def _stop(s: Switch) -> Lines:
    if s.row.stop == "never":
        return ["tol=0.0, n_iter_no_change=np.inf"]
    if s.backend == "keras":
        stopping = 'keras.callbacks.EarlyStopping("loss", min_delta=1e-4, patience=11)'
        return [f"callbacks=[{stopping}]", "# stop: nearly the same: its best is the last loss that counted"]
    return ["# stop: end the loop after more than 10 epochs in a row whose loss is not 1e-4 below the best"]


def _metric(s: Switch) -> Lines:
    names = [name for name in ("accuracy", "auc", "metric_rows", "logged_loss") if name in s.changed]
    return [f"# {name}: {CONVENTIONS[name].values[getattr(s.row, name)]}; the training is the same" for name in names]


_GROUPS: tuple[tuple[tuple[str, ...], Callable[[Switch], Lines]], ...] = (
    (("hidden", "activation"), network),
    (("epochs",), epochs),
    (("batch_size",), batch_size),
    (("init", "bias"), start),
    (("batches", "n_batches", "last_batch"), order),
    (("reduction", "outputs", "probabilities"), _gradient),
    (_L2, _l2),
    (("update_order", "bias_unit"), _own_steps),
    (_OPTIMIZER, _optimizer),
    (("leaky_slope", "elu_alpha", "softplus_threshold"), _activations),
    (("dtype",), _dtype),
    (("constants",), _rounded),
    (("stop",), _stop),
    (("accuracy", "auc", "metric_rows", "logged_loss"), _metric),
)
"""Conventions that one argument says together -> what says them."""

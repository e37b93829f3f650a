"""What a loss is made for: which outputs it is to receive and which targets, looked up by its name.

No framework is imported: an object is known by the names of its class and module, and by its `from_logits`.
"""

import ast
import difflib
import functools
import re
from dataclasses import dataclass, replace
from typing import Any

from harness.support.errors import RequestError, short


@dataclass(frozen=True)
class Loss:
    """What a loss expects to receive.

    `outputs` are "logits", "probabilities", "log-probabilities" or "values"; `unit`, "softmax" or "sigmoid", is what
    makes probabilities of them. `targets` are "labels", "columns" (one a class), "either" (of these), "names" (of
    classes, whatever they are) or "values" (one an output). `shapes` says what becomes of targets `(n,)` and outputs
    `(n, 1)`: the loss "aligns" them itself, it "refuses" them, or their difference "broadcasts". `ignored` is a label
    that stands for no class.
    """

    name: str
    outputs: str
    unit: str
    targets: str
    shapes: str
    ignored: int | None = None


_SOFTMAX = {
    # name: outputs, targets, shapes
    "CrossEntropyLoss cross_entropy": ("logits", "either", "refuses"),
    "NLLLoss nll_loss": ("log-probabilities", "labels", "refuses"),
    "KLDivLoss kl_div": ("log-probabilities", "columns", "refuses"),
    "softmax_cross_entropy_with_logits": ("logits", "columns", "refuses"),
    "sparse_softmax_cross_entropy_with_logits": ("logits", "labels", "refuses"),
    "SparseCategoricalCrossentropy sparse_categorical_crossentropy": ("probabilities", "labels", "aligns"),
    "CategoricalCrossentropy categorical_crossentropy": ("probabilities", "columns", "aligns"),
    "CategoricalFocalCrossentropy categorical_focal_crossentropy": ("probabilities", "columns", "aligns"),
    "log_loss": ("probabilities", "names", "aligns"),
    "KLDivergence kl_divergence kld KLD": ("probabilities", "columns", "aligns"),
}
_SIGMOID = {
    "BCEWithLogitsLoss binary_cross_entropy_with_logits": ("logits", "values", "refuses"),
    "BCELoss": ("probabilities", "values", "refuses"),
    "MultiLabelSoftMarginLoss multilabel_soft_margin_loss": ("logits", "values", "refuses"),
    "sigmoid_cross_entropy_with_logits": ("logits", "values", "refuses"),
    "BinaryCrossentropy binary_crossentropy bce BCE": ("probabilities", "values", "aligns"),
    "BinaryFocalCrossentropy binary_focal_crossentropy": ("probabilities", "values", "aligns"),
}
_VALUES = {
    "MSELoss mse_loss L1Loss l1_loss SmoothL1Loss smooth_l1_loss HuberLoss huber_loss": "broadcasts",
    "MeanSquaredError mean_squared_error mse MSE MeanAbsoluteError mean_absolute_error mae MAE": "aligns",
    "MeanAbsolutePercentageError mean_absolute_percentage_error mape MAPE": "aligns",
    "MeanSquaredLogarithmicError mean_squared_logarithmic_error msle MSLE": "aligns",
    "Huber huber LogCosh log_cosh squared_error": "aligns",
}
LOSSES = (
    {name: Loss(name, *row[:1], "softmax", *row[1:]) for names, row in _SOFTMAX.items() for name in names.split()}
    | {name: Loss(name, *row[:1], "sigmoid", *row[1:]) for names, row in _SIGMOID.items() for name in names.split()}
    | {name: Loss(name, "values", "", "values", row) for names, row in _VALUES.items() for name in names.split()}
)

_AMBIGUOUS = "binary_cross_entropy"
"""A function of probabilities in `torch.nn.functional`, and a word of experiment files for one of logits."""

LIBRARIES = ("torch", "keras", "tf_keras", "tensorflow", "sklearn")
_NAME = re.compile(r"(?P<module>(\w+\.)*)(?P<name>\w+)(?P<arguments>\(.*\))?", re.DOTALL)


def library_of(thing: Any) -> str:
    """The package that the class of an object, or a class or function itself, is from."""
    module = getattr(thing, "__module__", None) or type(thing).__module__
    return str(module).partition(".")[0]


def loss_of(given: Any, outputs: Any = None) -> Loss | None:
    """The loss that is meant by a name such as "torch.nn.BCELoss", an object, a class or a function of a library.

    A name may have arguments: "SparseCategoricalCrossentropy(from_logits=True)". A bare word such as "mse" is read as
    Keras does, unless the `outputs` beside it are a tensor of PyTorch. None for what somebody wrote himself, of which
    nothing is known. Raises `RequestError` for a name of no loss.
    """
    if isinstance(given, str):
        found = _by_name(given)
        bare = "." not in given and found.targets == "values" and not found.unit
        return replace(found, shapes="broadcasts") if bare and library_of(outputs) == "torch" else found
    if isinstance(given, functools.partial):
        of = loss_of(given.func)
        return of and _with(of, given.keywords)
    kinds = given.__mro__ if isinstance(given, type) else (given, *type(given).__mro__)
    for kind in kinds:
        name = getattr(kind, "__name__", "").removesuffix("_v2")
        if library_of(kind) in LIBRARIES and name in (*LOSSES, _AMBIGUOUS):
            return _with(LOSSES.get(name) or _of_probabilities(), _settings(given))
    inner = getattr(given, "fn", None)  # Keras wraps functions
    of = loss_of(inner) if callable(inner) and inner is not given else None
    return of and _with(of, getattr(given, "_fn_kwargs", {}))


def is_known(name: str) -> bool:
    """Whether a name is one of the table, with or without its module and arguments."""
    matched = _NAME.fullmatch(name.strip())
    return matched is not None and matched["name"] in (*LOSSES, _AMBIGUOUS)


def _settings(loss: Any) -> dict[str, Any]:
    names = ("from_logits", "ignore_index", "ignore_class")
    found = {name: getattr(loss, name) for name in names if hasattr(loss, name) and not isinstance(loss, type)}
    return {**getattr(loss, "_fn_kwargs", {}), **found}


def _of_probabilities() -> Loss:
    return replace(LOSSES["BCELoss"], name=_AMBIGUOUS)


def _with(loss: Loss, settings: dict[str, Any]) -> Loss:
    """The loss with its arguments: those that decide what it receives."""
    if loss.outputs == "probabilities" and settings.get("from_logits") is True:
        loss = replace(loss, name=f"{loss.name}(from_logits=True)", outputs="logits")
    for name in ("ignore_index", "ignore_class"):
        if isinstance(settings.get(name), int):
            loss = replace(loss, ignored=settings[name])
    return loss


def _by_name(given: str) -> Loss:
    matched = _NAME.fullmatch(given.strip())
    name = matched["name"] if matched else given
    if matched is None or not is_known(given):
        raise RequestError(
            f"{_unknown(given, name)}; allowed are names of classes and functions of PyTorch, Keras and "
            "scikit-learn, or the loss itself"
        )
    if name == _AMBIGUOUS and not matched["module"]:
        raise RequestError(f"loss = {given!r}: of probabilities (BCELoss) or of logits (BCEWithLogitsLoss)? say which")
    return _with(LOSSES.get(name) or _of_probabilities(), _arguments(given, matched["arguments"] or "()"))


def _arguments(given: str, written: str) -> dict[str, Any]:
    try:
        call = ast.parse(f"loss{written}", mode="eval").body
        assert isinstance(call, ast.Call)
        assert not call.args
        return {keyword.arg or "": ast.literal_eval(keyword.value) for keyword in call.keywords}
    except (SyntaxError, ValueError, AssertionError):
        raise RequestError(
            f"loss = {short(given)}: give its arguments as name=value, as in (from_logits=True)"
        ) from None


def _unknown(given: str, name: str) -> str:
    shown = {known.lower(): known for known in sorted(LOSSES)}
    near = difflib.get_close_matches(name.lower(), shown, n=1, cutoff=0.5)
    return f"unknown loss {short(given)}" + (f": did you mean {shown[near[0]]!r}?" if near else "")

"""Strategies: experiment files that were valid, until something was done to them."""

import json
import math
import tomllib
from datetime import date
from functools import cache
from typing import Any

from hypothesis import strategies as st

from harness.experiment.file import suites
from harness.experiment.sections import SECTIONS

SMALL = """
name = "small"
[data]
name = "iris"
test_fraction = 0.2
validation_fraction = 0.2
scale = "standard"
[network]
hidden = [4]
activation = "tanh"
[training]
batch_size = 16
epochs = 3
learning_rate = 0.1
[sweep]
l2 = [0.0, 0.01]
[run]
backends = ["numpy", "sklearn"]
modes = ["controlled", "native"]
seeds = 2
"""

_KEYS = [(section, key) for section, model in SECTIONS.items() for key in model.model_fields]
_NAMES = sorted({key for _, key in _KEYS} | {"dataset", "case", "point", "fold", "label", "trials", "logspace"})

_TEXTS = {"name", "path", "target", "folder", "rows", "noise", "folds", "fold", "published"}
_LIKELY = [(section, key) for section, key in _KEYS if key not in _TEXTS]
"""What a value of the right type may be given to by itself."""

_READ_WITH = {
    "batch_norm_momentum": ("network", "batch_norm", True),
    "batch_norm_epsilon": ("network", "batch_norm", True),
    "leaky_slope": ("network", "activation", "leaky_relu"),
    "elu_alpha": ("network", "activation", "elu"),
    "huber_delta": ("training", "loss", "huber"),
    "min_delta": ("training", "patience", 2),
    "momentum": ("training", "optimizer", "momentum"),
    "beta_1": ("training", "optimizer", "adam"),
    "beta_2": ("training", "optimizer", "adam"),
    "rho": ("training", "optimizer", "rmsprop"),
    "epsilon": ("training", "optimizer", "adam"),
    "initial_accumulator": ("training", "optimizer", "adagrad"),
    "decay_rate": ("training", "schedule", "exponential"),
    "final_factor": ("training", "schedule", "cosine"),
}

_WORDS = [
    *("", " ", "a", "a" * 2000, "\x00", "\x1b[31m", "é", "\u202e", "..", "/dev/zero", "my.csv", "my.npz", "/", "nan"),
    *("sgd", "adam", "momentum", "perceptron", "relu", "iris", "digits", "xor", "franke", "standard", "full", "native"),
    *(
        "normal(0.1)",
        "normal(1e999)",
        "normal(nan)",
        "uniform(0)",
        "zeros",
        "he_normal",
        "as_weights",
        "step",
        "cosine",
    ),
    *("huber", "mse", "numpy", "torch", "course-2024", "multilabel", "regression", "binary", "float32", "in_order"),
]
_LAYERS = ["dense(3)", "dense(units=3)", "relu", "relu()", "dense(3, use_bias=false)", "batch_norm(0.9, epsilon=0.1)"]
_LAYERS += [
    "dense",
    "dense(0)",
    "dense(3",
    "dense(3, 4)",
    "dense(units)",
    "elu(1e400)",
    "dropout(nan)",
    "no_such(3)",
    ")",
]
_WHOLE = [0, 1, 2, 3, 5, 20, 100, 1000, 10**5, 10**6, 10**9, 10**9 + 1, 2**63 - 1, 2**63, 10**19, 10**309, 10**400]

whole = st.sampled_from([*_WHOLE, *(-number for number in _WHOLE)])
real = st.sampled_from(
    [0.0, -0.0, 1e-320, 1e-12, 0.01, 0.1, 0.5, 0.999999, 1.0, 2.5, 1e5, 1e308, -1.0, math.inf, math.nan]
)
scalar = st.one_of(whole, real, st.sampled_from(_WORDS), st.booleans(), st.text(max_size=8), st.just(date(2024, 1, 1)))
value = st.recursive(
    scalar,
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(st.sampled_from([*_NAMES, "linspace", "loguniform", "uniform", "choice"]), inner, max_size=3)
    ),
    max_leaves=8,
)


def likely(section: str, key: str) -> st.SearchStrategy[Any]:
    """Values of a key that its schema allows, mostly small: what the rest of the file makes of them is the question."""
    return _allowed(SECTIONS[section].model_json_schema()["properties"][key]) | _said(section, key)


def _allowed(schema: dict[str, Any]) -> st.SearchStrategy[Any]:
    if "anyOf" in schema:
        return st.one_of(*map(_allowed, schema["anyOf"]))
    if "enum" in schema:
        return st.sampled_from(schema["enum"])
    if "pattern" in schema:  # of layers
        return st.sampled_from(_LAYERS)
    kind = schema.get("type", "const" if "const" in schema else None)
    if kind == "object":
        needed = {key: _allowed(schema["properties"][key]) for key in schema["required"]}
        others = {key: _allowed(each) for key, each in schema["properties"].items() if key not in needed}
        return st.fixed_dictionaries(needed, optional=others)
    if kind == "array":
        return st.lists(_allowed(schema["items"]), min_size=1, max_size=3)
    if kind == "integer":
        return st.integers(max(0, schema.get("minimum", 0)), 40)
    if kind == "number":
        return st.sampled_from([1e-4, 0.01, 0.5, 0.9, *([1.0, 100.0] if "exclusiveMaximum" not in schema else [])])
    simple = {"boolean": st.booleans(), "string": st.sampled_from(_WORDS), "null": st.nothing()}
    return simple.get(kind, st.just(schema.get("const")))


@cache
def _said(section: str, key: str) -> st.SearchStrategy[Any]:
    """What the suites say of a key."""
    tables = [tomllib.loads(path.read_text()) for path in suites().values()]
    said = [table[section][key] for table in tables if key in table.get(section, {})]
    for axis in (table.get("sweep", {}).get(key) for table in tables):
        said += axis if isinstance(axis, list) else []
    said = [each for each in said if not str(each).endswith(".npz")]  # stands beside its suite
    return st.sampled_from(said) if said else st.nothing()


law = st.builds(
    lambda name, numbers: {name: numbers},
    st.sampled_from(["logspace", "linspace", "loguniform", "uniform", "choice"]),
    st.lists(st.one_of(whole, real), min_size=1, max_size=3),
)


def toml_value(given: Any) -> str:
    """A value as TOML writes it."""
    if isinstance(given, bool):
        return str(given).lower()
    if isinstance(given, str):
        return json.dumps(given.encode("utf-8", "replace").decode(), ensure_ascii=True)
    if isinstance(given, list):
        return "[" + ", ".join(map(toml_value, given)) + "]"
    if isinstance(given, dict):
        return "{" + ", ".join(f"{json.dumps(key)} = {toml_value(item)}" for key, item in given.items()) + "}"
    if isinstance(given, int):
        return hex(given) if given > 10**300 else str(given)
    return given.isoformat() if isinstance(given, date) else repr(float(given))


def toml(table: dict[str, Any]) -> str:
    """A table as TOML."""
    lines = [f"{json.dumps(key)} = {toml_value(item)}" for key, item in table.items() if not isinstance(item, dict)]
    for key, item in table.items():
        if isinstance(item, dict):
            lines += [f"[{json.dumps(key)}]", *(f"{json.dumps(k)} = {toml_value(v)}" for k, v in item.items())]
    return "\n".join(lines)


@st.composite
def mutated_table(draw: st.DrawFn, sensible: bool) -> str:
    """The small experiment, or a suite, in which some keys of its tables have other values, or are gone.

    Sensible ones mostly have values that their keys allow, so that more than the first check is reached.
    """
    name = draw(st.sampled_from(["", "", "", *suites()]))
    table = tomllib.loads(suites()[name].read_text() if name else SMALL)
    kinds = ["set", "set", "axis", *([] if sensible else ["law", "case", "search", "drop", "top", "long"])]
    for _ in range(draw(st.integers(1, 4))):
        kind = draw(st.sampled_from(kinds))
        section, key = draw(st.sampled_from(_LIKELY if sensible else _KEYS))
        if kind == "axis" and sensible and section not in ("network", "training"):
            continue
        if sensible and key in _READ_WITH:
            other, name, read = _READ_WITH[key]
            table.setdefault(other, {})[name] = read
            _forget(table, "sweep", name)
        given = likely(section, key) if sensible and draw(st.integers(0, 19)) else value
        target = table.setdefault(section, {})
        if kind == "set" and isinstance(target, dict):
            _forget(table, "sweep", key)
            target[key] = draw(given)
        elif kind == "drop" and isinstance(target, dict):
            target.pop(key, None)
        elif kind == "top":
            table[draw(st.sampled_from([*SECTIONS, "name", "title", "sweep", "search", "cases"]))] = draw(value)
        elif kind in ("axis", "law", "long"):
            drawn = {
                "axis": st.lists(given, min_size=int(sensible), max_size=4, unique_by=repr),
                "law": law,
                "long": _long(draw),
            }[kind]
            _put(table, "sweep", section, key, draw(drawn))
        elif kind == "case":
            cases = st.fixed_dictionaries({"label": st.sampled_from(["a", "b", "c", 3])}, optional={key: given})
            _put(table, "sweep", section, "case", draw(st.lists(cases, max_size=3)))
        elif kind == "search":
            table["search"] = {"trials": draw(whole), key: draw(law)}
            _forget(table, section, key)
    return toml(table)


def _long(draw: st.DrawFn) -> st.SearchStrategy[Any]:
    """Many values on an axis."""
    count = draw(st.sampled_from([100, 5_000, 50_000, 100_000, 100_001]))
    return st.sampled_from(
        [{"linspace": [0.001, 1, count]}, {"linspace": [1, count, count]}, list(range(1, count // 10))]
    )


def _put(table: dict[str, Any], name: str, section: str, key: str, given: Any) -> None:
    if isinstance(table.setdefault(name, {}), dict):
        table[name][key] = given
        _forget(table, section, key)


def _forget(table: dict[str, Any], section: str, key: str) -> None:
    if isinstance(table.get(section), dict):
        table[section].pop(key, None)


_PIECES = [
    *(
        "[",
        "]",
        "{",
        "}",
        "=",
        ",",
        '"',
        "'",
        '"""',
        "#",
        ".",
        "\n",
        "\r",
        "\x00",
        "\ufeff",
        "[[data]]",
        "[sweep]\n",
        "-",
    ),
    *(
        "9" * 400,
        "9" * 5000,
        "0x" + "f" * 4000,
        "1e999",
        "nan",
        "inf",
        "[" * 500,
        "{a=" * 200,
        "a." * 500,
        "1979-05-27",
    ),
    *("hidden = [1000000000]\n", "hidden = [" + "4," * 50_000 + "4]\n", "seeds = 500000\n", 'init = "."\n', "{}"),
    *("learning_rate = { linspace = [1, 2, 99999] }\n", "epochs = 1000000000\n", "batch_size = 1\n", "folds = 1000\n"),
]


@st.composite
def mutated_text(draw: st.DrawFn) -> bytes:
    """The bytes of the small experiment, or of a suite, cut, doubled, and with pieces in them that belong nowhere."""
    name = draw(st.sampled_from(["", "", *suites()]))
    data = (suites()[name].read_text() if name else SMALL).encode()
    for _ in range(draw(st.integers(1, 4))):
        at = draw(st.integers(0, len(data)))
        length = draw(st.integers(0, 40))
        kind = draw(st.sampled_from(["insert", "insert", "delete", "double", "swap", "bytes", "value", "value"]))
        if kind == "insert":
            data = data[:at] + draw(st.sampled_from(_PIECES)).encode() + data[at:]
        elif kind == "delete":
            data = data[:at] + data[at + length :]
        elif kind == "double":
            data = data[:at] + data[at : at + length] * 2 + data[at + length :]
        elif kind == "bytes":
            data = data[:at] + draw(st.binary(max_size=6)) + data[at:]
        else:
            lines = data.split(b"\n")
            i, j = (draw(st.integers(0, len(lines) - 1)) for _ in range(2))
            if kind == "swap":
                lines[i], lines[j] = lines[j], lines[i]
            elif b"=" in lines[i]:
                lines[i] = lines[i].split(b"=")[0] + b"= " + toml_value(draw(value)).encode()
            data = b"\n".join(lines)
    return data

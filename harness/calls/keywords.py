"""The very lines that each framework is given for a training: its own way, and the harness's. Pure text.

The lines are Python that can be pasted and run. They read `X` `(n, n_inputs)` and `y` as `fit_native` gets them; those
of `controlled_call` as `train` gets them, beside `config`, `start` (weights) and `batches` (epochs). Where no keyword
argument sets a convention, its line is a comment that says so and names what it takes.
"""

from collections.abc import Sequence
from dataclasses import replace

from harness.calls.switch import Switch
from harness.calls.text import Lines, code
from harness.contract import Config
from harness.conventions.table import CONVENTIONS, Row
from harness.draws.recipe import Recipe
from harness.registry import backends, lines_of, native_backends, row_of
from harness.support.errors import RequestError, unknown

_OWN = Recipe()


def native_call(backend: str, config: Config, seed: int = 0) -> Lines:
    """What the backend's native way runs for `config`; a comment with the reason where it has no such training."""
    if backend not in native_backends():
        raise RequestError(unknown("backend with declared conventions", backend, native_backends()))
    lines = lines_of(backend)
    if lines is None:
        return [_no_lines(backend)]
    if config.regularisation:
        return [f"# native mode has no {', '.join(config.regularisation)}: it hands over plain hyperparameters only"]
    if config.optimizer == "perceptron":
        return ["# native mode has no perceptron rule: it hands over plain hyperparameters only"]
    reason = lines.lacks(config, native=True)
    found: Lines = lines.native(config, seed) if reason is None else [f"# {reason}"]
    return found


def controlled_call(backend: str, config: Config) -> Lines:
    """What the backend's adapter runs in mode controlled, helpers of ours among it."""
    if backend not in backends():
        raise RequestError(unknown("backend", backend, backends()))
    lines = lines_of(backend)
    if lines is None:
        return [_no_lines(backend)]
    reason = lines.lacks(config, native=False)
    found: Lines = lines.controlled(config) if reason is None else [f"# {reason}"]
    return found


def _no_lines(backend: str) -> str:
    return f"# {backend} declares no lines of code"


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
    own = native_backends()
    return {one: take_over(one, rows[one], rows[other], names, config) for one, other in pairs if one in own}


def take_over(backend: str, own: Row, other: Row, names: Sequence[str], config: Config) -> Lines:
    """What `backend`, whose row is `own`, is given to follow `other` in the conventions `names`."""
    changed = frozenset(name for name in names if getattr(own, name) != getattr(other, name))
    row = replace(own, **{name: getattr(other, name) for name in changed})
    lines = lines_of(backend)
    if lines is None:
        return [_in_words(name, row) for name in CONVENTIONS if name in changed]
    found: Lines = lines.switched(Switch(own, row, changed, config))
    return found


def _in_words(name: str, row: Row) -> str:
    """What a backend has to do that declares no lines of code."""
    convention, value = CONVENTIONS[name], getattr(row, name)
    formula = convention.formula(value)
    return f"# {convention.title}: {code(value)}{f', {formula}' if formula else ''}"

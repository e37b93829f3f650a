"""The very lines that each framework is given for a training: its own way, and the harness's. Pure text.

The lines are Python that can be pasted and run. They read `X` `(n, n_inputs)` and `y` as `fit_native` gets them; those
of `controlled_call` as `train` gets them, beside `config`, `start` (weights) and `batches` (epochs). Where no keyword
argument sets a convention, its line is a comment that says so and names what it takes.
"""

from collections.abc import Callable, Sequence
from dataclasses import replace

from harness import registry
from harness.calls.backend_lines import BackendLines
from harness.calls.switch import Switch
from harness.calls.text import Lines, code
from harness.contract import Config
from harness.conventions.table import CONVENTIONS, Row
from harness.draws.recipe import Recipe
from harness.registry import backends, lines_of, native_backends, row_of
from harness.support.errors import RequestError, describe, unknown

_OWN = Recipe()


def native_call(backend: str, config: Config, seed: int = 0) -> Lines:
    """What the backend's native way runs for `config`; a comment with the reason where it has no such training."""
    if backend not in native_backends():
        raise RequestError(unknown("backend with declared conventions", backend, native_backends()))
    if config.regularisation:
        return [f"# native mode has no {', '.join(config.regularisation)}: it hands over plain hyperparameters only"]
    if config.optimizer.name == "perceptron":
        return ["# native mode has no perceptron rule: it hands over plain hyperparameters only"]
    return _written(backend, lambda lines: _unless(lines.lacks(config, native=True)) or lines.native(config, seed))


def controlled_call(backend: str, config: Config) -> Lines:
    """What the backend's adapter runs in mode controlled, helpers of ours among it."""
    if backend not in backends():
        raise RequestError(unknown("backend", backend, backends()))
    return _written(backend, lambda lines: _unless(lines.lacks(config, native=False)) or lines.controlled(config))


def _unless(reason: str | None) -> Lines:
    return [] if reason is None else [f"# {reason}"]


def _written(backend: str, write: Callable[[BackendLines], Lines]) -> Lines:
    """What a backend's class writes. Where it fails that is said in its place: a text costs no report."""
    try:
        lines = lines_of(backend)
        return [f"# {backend} declares no lines of code"] if lines is None else write(lines)
    except Exception as error:  # of somebody else's module
        return [f"# the lines of code of {backend} fail: {describe(error)}"]


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
    if registry.backend(backend).lines is None:
        return [_in_words(name, row) for name in CONVENTIONS if name in changed]
    return _written(backend, lambda lines: lines.switched(Switch(own, row, changed, config)))


def _in_words(name: str, row: Row) -> str:
    """What a backend has to do that declares no lines of code."""
    convention, value = CONVENTIONS[name], getattr(row, name)
    formula = convention.formula(value)
    return f"# {convention.title}: {code(value)}{f', {formula}' if formula else ''}"

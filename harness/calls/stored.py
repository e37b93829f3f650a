"""The lines of code behind a stored row: its settings read back into a `Config`, and what its backend ran for that."""

import json
from collections.abc import Mapping
from functools import lru_cache
from typing import Any

from harness.calls.keywords import controlled_call, native_call
from harness.contract import KEYS, Config, constants_of
from harness.draws.generators import native_seed
from harness.network import DEFAULTS
from harness.network.installed import layers
from harness.network.written import layer_of, read
from harness.registry import find, native_backends

_NOT_RUN = ("pending", "unsupported", "not_installed")


def stored_call(row: Mapping[str, Any], base_seed: int) -> list[str]:
    """What was run for a row of the store; `[]` where nothing was, or where nobody declared the backend's lines.

    `row` is one that `Store.rows` gives, `base_seed` the experiment's. Controlled lines are the same in all repeats;
    native ones hold the seed that the framework was given.
    """
    controlled, backend = row["mode"] == "controlled", row["backend"]
    known = find(backend)
    if row["status"] in _NOT_RUN or known is None or known.lines is None:
        return []
    if not controlled and backend not in native_backends():
        return []
    if "network" in row["settings"]:  # which lines of code name by what the short form says
        return []
    settings = json.dumps(row["settings"], sort_keys=True)
    return list(_lines(backend, settings, None if controlled else native_seed(base_seed, row["seed"])))


@lru_cache(maxsize=4096)
def _lines(backend: str, settings: str, seed: int | None) -> tuple[str, ...]:
    """The lines of a controlled training where there is no seed, else of a native one. The settings are JSON."""
    config = config_of(json.loads(settings), native=seed is not None)
    return tuple(controlled_call(backend, config) if seed is None else native_call(backend, config, seed))


def config_of(settings: Mapping[str, Any], native: bool) -> Config:
    """The config whose stored settings these are: the inverse of `harness.planning.identity.settings_of`.

    Native settings hold a constant only where the experiment writes it, but for momentum, which all of them hold: there
    one that is at its default counts as unwritten.
    """
    given = {name: tuple(value) if isinstance(value, list) else value for name, value in settings.items()}
    values = {name: value for name, value in given.items() if name in KEYS}
    shape, activation = _network(settings)
    written = {*constants_of(settings["optimizer"], activation), "dtype"} & values.keys() if native else set()
    if values.get("momentum") == DEFAULTS["momentum"]:
        written -= {"momentum"}
    return Config.of(**{**values, **shape, "written": frozenset(written)})


def _network(settings: Mapping[str, Any]) -> tuple[dict[str, Any], tuple[str, ...]]:
    """The arguments of `Config.of` that say the network, and the activations that the short form has."""
    if "network" in settings:
        first, *texts = settings["network"]
        made = [layer_of(text, layers()) for text in texts]
        n_inputs, n_outputs = read(first)[1][0][1], read(texts[-1])[1][0][1]
        return {"n_inputs": n_inputs, "layers": tuple(made[:-1]), "n_outputs": n_outputs}, ()
    n_inputs, *hidden, n_outputs = settings["layers"]
    activation = tuple(settings["activation"])
    short = {"n_inputs": n_inputs, "hidden": tuple(hidden), "activation": activation, "n_outputs": n_outputs}
    return {**short, "layers": None}, activation

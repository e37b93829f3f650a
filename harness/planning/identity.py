"""What decides a trial's result, as canonical JSON, and the ids that are made of it.

The trials of a cell differ in backend and mode, those of a repeat in few numbers: what they share is written once.
"""

import hashlib
import json
from dataclasses import asdict
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from harness.contract import Config, constants_of
from harness.draws.recipe import SCHEDULES, Recipe
from harness.network import BatchNorm, Network
from harness.network.written import network_text

if TYPE_CHECKING:
    from harness.training.trial import EarlyStopping

SPLIT = ("test_fraction", "validation_fraction", "folds", "fold", "stratify", "scale", "target_scale")
"""The keys of `[data]` that decide a result beside the data themselves."""


def digest(**parts: str) -> str:
    """SHA-256 of the JSON object whose values are given as canonical JSON."""
    text = ",".join(f'"{key}":{parts[key]}' for key in sorted(parts))
    return hashlib.sha256(f"{{{text}}}".encode()).hexdigest()


def canonical(value: Any) -> str:
    """JSON with sorted keys and no spaces; floats as text of 12 significant digits, whole numbers exact."""
    return _encode(_rounded(value))


_encode = json.JSONEncoder(sort_keys=True, separators=(",", ":")).encode


def _rounded(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _rounded(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_rounded(item) for item in value]
    return f"{value:.12g}" if isinstance(value, float) else value


@lru_cache(maxsize=64, typed=True)  # typed: 1 and 1.0 are not the same text
def data_text(fingerprint: str, *split: Any) -> str:
    """The data and how they are split and scaled: the values of `SPLIT`."""
    return canonical({"fingerprint": fingerprint, **dict(zip(SPLIT, split, strict=True))})


@lru_cache(maxsize=64)
def settings_text(
    config: Config, recipe: Recipe, stopping: "EarlyStopping | None", mode: str, given_start: str | None
) -> str:
    """The values of `settings_of`, with the digest of a start that came from a file in place of its name."""
    settings = settings_of(config, recipe, stopping, mode)
    if given_start is not None and "init" in settings:
        settings["init"] = given_start
    return canonical(settings)


def settings_of(config: Config, recipe: Recipe, stopping: "EarlyStopping | None", mode: str) -> dict[str, Any]:
    """The values that take part in a trial. In native mode an unwritten one is the framework's, so not ours."""
    settings: dict[str, Any] = {
        "task": config.task,
        "loss": config.loss.name,
        **_network(config.network),
        "optimizer": config.optimizer.name,
        "learning_rate": config.optimizer.learning_rate,
        "l2": config.penalty.l2,
        "batch_size": config.batch_size,
        "epochs": config.epochs,
    }
    if config.task == "regression":
        settings["output_activation"] = config.loss.output.name
    settings |= config.loss.numbers()
    short = config.network.dense
    constants = (*constants_of(config.optimizer.name, short.get("activation", ())), "dtype")
    if mode == "controlled":
        return settings | {key: config.value(key) for key in constants} | _conventions(config, recipe, stopping)
    settings |= {key: config.value(key) for key in constants if key in config.written}
    if config.optimizer.name in ("momentum", "nesterov"):
        settings["momentum"] = config.value("momentum")  # most frameworks have no default but 0, so it is handed over
    return settings | _beyond_native(config, recipe, stopping)


def _network(network: Network) -> dict[str, Any]:
    """A network under the keys of one that is dense throughout, or, where they cannot write it, under `network`."""
    short = network.dense
    if not short:
        return {"network": network_text(network.input_shape, network.layers)}
    return {"layers": list(network.units), "activation": list(short["activation"])}


def _conventions(config: Config, recipe: Recipe, stopping: "EarlyStopping | None") -> dict[str, Any]:
    """What the harness decides in controlled mode: reduction, start, batches, and what native mode has not."""
    drawn = {key: getattr(recipe, key) for key in ("init", "bias", "batches", "n_batches", "last_batch")}
    return {"reduction": config.reduction, **drawn, **_beyond_native(config, recipe, stopping)}


def _beyond_native(config: Config, recipe: Recipe, stopping: "EarlyStopping | None") -> dict[str, Any]:
    """The parts in use that no framework is handed in native mode: a trial that has one is unsupported there."""
    layers = not config.network.dense  # which then says itself what it drops and normalises
    own = [key for key in config.regularisation if not (layers and key in ("dropout", "batch_norm"))]
    parts: dict[str, Any] = {key: config.value(key) for key in own}
    if "batch_norm" in own:
        parts |= {each.key: config.value(each.key) for each in BatchNorm.constants()}
    if recipe.schedule != "constant":
        parts |= {"schedule": recipe.schedule}
        parts |= {key: getattr(recipe, key) for key in SCHEDULES[recipe.schedule]}
    if stopping is not None:
        parts |= asdict(stopping)
    return {key: list(value) if isinstance(value, tuple) else value for key, value in parts.items()}

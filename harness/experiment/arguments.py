"""An experiment from Python: keys as keyword arguments, data of the caller's own."""

from collections.abc import Mapping
from typing import Any

from harness.experiment.file import SWEEPABLE, Experiment, parse
from harness.experiment.sections import ARRAYS, Data, Network, Run, Section, Training
from harness.support.errors import RequestError, unknown


def parse_arguments(name: str, n: int, settings: Mapping[str, Any]) -> Experiment:
    """An experiment from keys alone, whatever their table, on `n` rows of the caller's own; a list is an axis.

    What is not given is a hidden layer of 50 units, a learning rate of 0.1, 20 epochs, batches of 32 rows (a third of
    all rows, where that is less), and a fifth of the rows each for validation and testing.
    """
    defaults: dict[str, Any] = {"hidden": (50,), "learning_rate": 0.1, "epochs": 20}
    defaults |= {"batch_size": max(1, min(32, n // 3)), "test_fraction": 0.2, "validation_fraction": 0.2}
    table: dict[str, Any] = {"name": name, "data": {"name": ARRAYS}, "sweep": {}}
    sections: dict[str, type[Section]] = {"data": Data, "network": Network, "training": Training, "run": Run}
    if settings.get("layers") is not None:
        del defaults["hidden"]
    for key, value in {**defaults, **settings}.items():
        section = next((name for name, model in sections.items() if key in model.model_fields), None)
        if section is None:
            known = [key for model in sections.values() for key in model.model_fields]
            raise RequestError(unknown("setting", key, known))
        value = as_written(value)
        if key in ("backends", "modes") and isinstance(value, str):
            value = [value]
        is_axis = isinstance(value, list) and key in SWEEPABLE
        if key in ("hidden", "layers") and is_axis:  # a list of numbers or words is one network, of lists several
            is_axis = any(isinstance(item, list) for item in value)
        if is_axis:
            table["sweep"][key] = value
        else:
            table.setdefault(section, {})[key] = value
    return parse(table, name)


def as_written(value: Any) -> Any:
    """A value from Python as a file has it: lists for tuples, ranges and arrays, plain numbers for NumPy's.

    A type, such as `numpy.float32`, is its name.
    """
    if isinstance(value, type):
        return value.__name__
    if hasattr(value, "tolist"):
        value = value.tolist()
    return [as_written(item) for item in value] if isinstance(value, list | tuple | range) else value

"""Which stored rows were made by what is no longer here: by other versions, or by other code of an adapter."""

import json
from collections.abc import Mapping
from typing import Any

from harness import registry
from harness.support.environment import harness_version, numpy_version

MADE_BY = ("harness_version", "numpy_version", "backend_version", "versions", "source")
"""What a row says of what made it; `versions` as JSON text."""

Made = tuple[str | None, ...]
"""The values of `MADE_BY`."""


class Staleness:
    """Says of rows whether they are stale. What is installed is looked up once for all that were made alike."""

    def __init__(self) -> None:
        self._known: dict[tuple[str, Made], bool] = {}

    def of_row(self, row: Mapping[str, Any]) -> bool:
        """Whether a row of the store is stale: what was not run is not."""
        return self.of(row["backend"], row["status"], tuple(row[name] for name in MADE_BY))

    def of(self, backend: str, status: str, made: Made) -> bool:
        """The same, of a row's backend, status and makers."""
        if status in ("pending", "not_installed"):
            return False
        key = backend, made
        if key not in self._known:
            self._known[key] = _is_stale(backend, *made)
        return self._known[key]


def _is_stale(
    backend: str,
    harness: str | None,
    numpy: str | None,
    version: str | None,
    versions: str | None,
    source: str | None,
) -> bool:
    """What is not known, of the row or of what is installed, makes nothing stale."""
    if (harness, numpy) != (harness_version(), numpy_version()):
        return True
    found = registry.find(backend)
    if found is None:
        return False
    installed = found.versions()
    recorded = json.loads(versions or "{}")
    pairs = [(version, found.version()), *((recorded[name], installed.get(name)) for name in recorded)]
    if any(now and before != now for before, now in pairs):
        return True
    return source is not None and found.source() not in (None, source)


def told_version(version: str | None, versions: str | None) -> str | None:
    """The version of a backend in words, with those of what it needs: `0.1 (jax 0.4.30)`. NumPy's is told elsewhere."""
    names = list(recorded := json.loads(versions or "{}"))
    others = [f"{name} {recorded[name]}" for name in names[1:] if name != "numpy"]
    return f"{version} ({', '.join(others)})" if others else version

"""The manifest of a backend: what the harness knows of it without importing its framework."""

import importlib.metadata
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache
from importlib.util import find_spec

from harness.support.errors import short
from harness.support.source import distributions, required_by, source_of_module


@dataclass(frozen=True)
class Backend:
    """A backend by name, everything else as text: no framework is imported before a worker needs it.

    `trainer` is where its adapter is, `"module:Class"`, and `conventions`, `"module:NAME"`, a dict from a convention of
    the table to the `Declared` of its native way; `lines` is a subclass of `harness.calls.backend_lines.BackendLines`,
    which writes them as code. The modules of both must not import the framework either. `requires` are the packages
    that have to be there, the framework first, `install` the command that brings them. `by_default` says whether an
    experiment that names no backends has this one. `environment` are variables that its framework reads when it is
    imported: every worker has those of all backends. `colour` is its own in pictures, `"#0072B2"`.
    """

    name: str
    trainer: str
    requires: tuple[str, ...] = ()
    install: str = ""
    description: str = ""
    conventions: str | None = None
    lines: str | None = None
    by_default: bool = False
    environment: Mapping[str, str] = field(default_factory=dict)
    colour: str = ""

    def __post_init__(self) -> None:
        """Raise `TypeError` for a field of another type than its own."""
        for name in ("name", "trainer", "install", "description", "conventions", "lines"):
            value, optional = getattr(self, name), name in ("conventions", "lines")
            if not (isinstance(value, str) or (optional and value is None)):
                raise TypeError(f"Backend: {name} = {short(value)}: must be a text")
        if not re.fullmatch("(#[0-9a-fA-F]{6})?", str(self.colour)):
            raise TypeError(f"Backend: colour = {short(self.colour)}: must be a text such as '#0072B2'")
        given = self.environment
        if not isinstance(given, Mapping) or not all(isinstance(each, str) for each in (*given, *given.values())):
            raise TypeError(f"Backend: environment = {short(given)}: must be a dict of texts")
        if not isinstance(self.requires, tuple) or not all(isinstance(each, str) for each in self.requires):
            raise TypeError(f"Backend: requires = {short(self.requires)}: must be a tuple of names of packages")

    def missing(self) -> str | None:
        """Why the backend cannot run here, with the command that mends it, or None when it can."""
        absent = [name for name in self.requires if find_spec(name) is None]
        return f"{' and '.join(absent)} not installed; run: {self.install}" if absent else None

    def version(self) -> str:
        """The installed version of the backend's framework (the first of `requires`), or "" when there is none."""
        return version_of(self.requires[0] if self.requires else self._package)

    def versions(self) -> dict[str, str]:
        """The installed versions of all that the backend requires; of a package of its own that version too."""
        module, _, name = self.trainer.partition(":")
        needed = self.requires or (self._package, *required_by(module, name))
        return {package: version for package in needed if (version := version_of(package))}

    def source(self) -> str | None:
        """The hash of the backend's own code, without importing it; None where it is not there."""
        return source_of_module(self.trainer.partition(":")[0])

    @property
    def _package(self) -> str:
        return self.trainer.partition(":")[0].partition(".")[0]


@cache
def version_of(package: str) -> str:
    """Version of the distribution that an import name belongs to, read from its metadata without importing it."""
    for distribution in distributions().get(package, ()):
        return importlib.metadata.version(distribution)
    return ""

"""Which backends there are: a literal table of our own, the profiles of course codes, and other people's packages.

Nothing here imports a framework: a backend is a string until a worker loads it.
"""

import importlib
import importlib.metadata
from dataclasses import dataclass
from functools import cache
from importlib.util import find_spec
from pathlib import Path

from harness.contract import Trainer
from harness.conventions.native import NATIVE
from harness.conventions.profiles import CONTROLLED, PROFILES
from harness.support.errors import NotInstalled, RequestError, unknown
from harness.support.source import required_by, source_of_function, source_of_module

ENTRY_POINTS = "harness.backends"
_PROFILE = "profile"  # stands for the module in the path of a profile's trainer
_READ_BY = ("harness.replay.profile_trainer", "harness.replay.stack")  # what trains under a profile's row


@dataclass(frozen=True)
class Backend:
    """A backend by name: where its trainer is (`"module:Class"`), what it imports, how that is installed."""

    name: str
    trainer: str
    requires: tuple[str, ...] = ()
    install: str = ""
    description: str = ""

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
        """The hash of the backend's own code, or of the profile's, without importing it; None where it is not there."""
        module, _, name = self.trainer.partition(":")
        if module != _PROFILE:
            return source_of_module(module)
        row = PROFILES[name].row.__code__
        return source_of_function(Path(row.co_filename), row.co_name, _READ_BY)

    @property
    def _package(self) -> str:
        return self.trainer.partition(":")[0].partition(".")[0]


_EXTRA = "pip install 'backend-harness[{}]'"

BUILT_IN: tuple[Backend, ...] = (
    Backend("numpy", "backends.numpy:NumpyTrainer", ("numpy",), "pip install numpy", "scratch NumPy"),
    Backend(
        "sklearn",
        "backends.sklearn:SklearnTrainer",
        ("sklearn",),
        "pip install scikit-learn",
        "MLPClassifier, MLPRegressor",
    ),
    Backend(
        "tensorflow",
        "backends.tensorflow:TensorFlowTrainer",
        ("tensorflow",),
        _EXTRA.format("tensorflow"),
        "raw operations under tf.function",
    ),
    Backend(
        "keras",
        "backends.keras:KerasTrainer",
        ("keras", "tensorflow"),
        _EXTRA.format("tensorflow"),
        "Keras 3 on TensorFlow: compile and fit",
    ),
    Backend(
        "torch",
        "backends.torch:TorchTrainer",
        ("torch",),
        _EXTRA.format("torch"),
        "torch.nn modules, autograd and torch.optim",
    ),
    Backend(
        "torch-manual",
        "backends.torch_manual:TorchManualTrainer",
        ("torch",),
        _EXTRA.format("torch"),
        "PyTorch tensors, gradients written by hand",
    ),
)


RESERVED: tuple[str, ...] = ("reference", CONTROLLED, "native", "harness", "all", "none", "true", "false")
"""Names that mean something else where a backend could stand: `reference` is the lane that trains references."""


def taken(name: str) -> str | None:
    """Why no other package can give its backend this name, in words that follow it, or None."""
    plain = name.lower().replace("_", "-")
    if plain in RESERVED:
        return "is a word of the harness's own"
    if plain in PROFILES:
        return "is a profile (see: harness list)"
    if plain in {backend.name for backend in BUILT_IN}:
        return "is a backend already (see: harness list)"
    return None


@cache
def backends() -> dict[str, Backend]:
    """All backends by name: the built-in ones, then those of installed packages.

    Raises `RequestError` where a package gives its backend a name that is taken: no name may stand for two things.
    """
    known = {backend.name: backend for backend in BUILT_IN}
    for point in importlib.metadata.entry_points(group=ENTRY_POINTS):
        distribution = point.dist.name if point.dist else point.module
        reason = taken(point.name)
        if reason is None and point.name in known:
            reason = f"is also the backend {known[point.name].description}"
        if reason is not None:
            raise RequestError(
                f"the package {distribution} has a backend {point.name!r}: {point.name} {reason}; rename it in the "
                f"package's [project.entry-points.{ENTRY_POINTS!r}], or run: pip uninstall {distribution}"
            )
        known[point.name] = Backend(point.name, point.value, description=f"from the package {distribution}")
    return known


def profiles() -> dict[str, Backend]:
    """The profiles of course codes, which experiments can train beside the backends, in native mode."""
    return {
        name: Backend(name, f"{_PROFILE}:{name}", ("numpy",), description=profile.title)
        for name, profile in PROFILES.items()
    }


def backend(name: str) -> Backend:
    """The backend or profile of that name; `RequestError` with the nearest known one otherwise."""
    found = find(name)
    if found is None:
        raise RequestError(unknown("backend", name, (*backends(), *profiles())))
    return found


def find(name: str) -> Backend | None:
    """The backend or profile of that name, or None."""
    return backends().get(name) or profiles().get(name)


def load_trainer(path: str) -> type[Trainer]:
    """Import the trainer class at `"module:Class"`, and with it a framework: for workers and estimators only."""
    module, _, name = path.partition(":")
    if module == _PROFILE:
        trainer: type[Trainer] = importlib.import_module(_READ_BY[0]).profile_trainer(name)
        return trainer
    try:
        trainer = getattr(importlib.import_module(module), name)
    except ModuleNotFoundError as error:
        missing = str(error.name).partition(".")[0]
        raise NotInstalled(f"{error.name} not installed, and {path} imports it; run: pip install {missing}") from None
    if not (isinstance(trainer, type) and issubclass(trainer, Trainer)):
        raise TypeError(f"{path} is not a subclass of harness.contract.Trainer")
    return trainer


@cache
def _distributions() -> dict[str, list[str]]:
    return dict(importlib.metadata.packages_distributions())


@cache
def version_of(package: str) -> str:
    """Version of the distribution that an import name belongs to, read from its metadata without importing it."""
    for distribution in _distributions().get(package, ()):
        return importlib.metadata.version(distribution)
    return ""


def check_row(name: str) -> None:
    """Raise `RequestError` for a name that has no row of the table, and say what can be done with a backend."""
    allowed = (*NATIVE, *PROFILES, CONTROLLED)
    if name in backends() and name not in NATIVE:
        raise RequestError(
            f"backend {name!r} declares no conventions; those that do: {', '.join(allowed)}. "
            f"`harness trace EXP controlled {name} --mode controlled` compares its adapter; a native training that was "
            "recorded is named by `harness explain RUN.npz`"
        )
    if name not in allowed:
        raise RequestError(unknown("backend or profile", name, allowed))

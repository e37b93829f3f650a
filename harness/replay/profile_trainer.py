"""A profile as a backend: in native mode it trains as its course code does, by the replay in NumPy."""

from typing import ClassVar

import numpy as np

from harness.contract import AfterEpoch, Batches, Config, Diverged, NativeFit, Trainer, Weights
from harness.conventions.profile import native_only
from harness.conventions.table import NAN_FIRST
from harness.draws.recipe import Recipe
from harness.draws.sources import DRAWS
from harness.reference.trainer import logits_of
from harness.registry import PROFILES
from harness.replay.outputs import answered
from harness.replay.stack import replay
from harness.replay.training import Member, drawn_member


class ProfileTrainer(Trainer):
    """What all profiles share; `profile_trainer` gives the class of one."""

    requires = ("numpy",)
    profile: ClassVar[str]

    @classmethod
    def unsupported(cls, config: Config) -> str | None:
        profile = PROFILES[cls.profile]
        if config.task not in profile.tasks:
            return f"profile {cls.profile!r} has classes only"
        if profile.optimizers is not None and config.optimizer.name not in profile.optimizers:
            return f"profile {cls.profile!r} has no {config.optimizer.name!r}; it has {', '.join(profile.optimizers)}"
        return None

    def __init__(self, config: Config, start: Weights | None) -> None:
        if start is not None:
            raise NotImplementedError(native_only(self.profile))
        self.config = config

    def train(self, X: np.ndarray, y: np.ndarray, batches: Batches, after_epoch: AfterEpoch) -> None:
        raise NotImplementedError(native_only(self.profile))

    def fit_native(self, X: np.ndarray, y: np.ndarray, seed: int) -> NativeFit:
        member = self._member(X, y, seed)
        self.config, self.row = member.config, member.row
        (result,) = replay([member])
        if result.weights is not None:
            self.set_weights(result.weights)
            return NativeFit(result.epochs_run, {"loss": list(result.logged_loss)})
        if self.row.accuracy != NAN_FIRST:
            raise Diverged("weights not finite")
        self.set_weights(tuple({key: np.full_like(w, np.nan) for key, w in layer.items()} for layer in member.start))
        return NativeFit(result.epochs_run)

    def _member(self, X: np.ndarray, y: np.ndarray, seed: int) -> Member:
        """The training as the profile's code draws it."""
        profile = PROFILES[self.profile]
        seeds = profile.seeds or (seed, 0)
        return drawn_member(self.config, Recipe(), profile.row(self.config), X, y, seeds, DRAWS[profile.draws])

    def answers(self, X: np.ndarray) -> np.ndarray | None:
        return answered(self.row, self.logits(X)) if self.row.accuracy == NAN_FIRST else None

    def logits(self, X: np.ndarray) -> np.ndarray:
        with np.errstate(all="ignore"):
            return logits_of(self.config.network, self._weights, X.astype(self.config.dtype))

    def weights(self) -> Weights:
        return tuple({key: value.copy() for key, value in layer.items()} for layer in self._weights)

    def set_weights(self, weights: Weights) -> None:
        self._weights = weights


def profile_trainer(name: str) -> type[Trainer]:
    """The trainer class of one profile."""
    return type("ProfileTrainer", (ProfileTrainer,), {"name": name, "profile": name})

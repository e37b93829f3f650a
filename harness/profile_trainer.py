"""A profile as a backend: in native mode it trains as its course code does, by the replay in NumPy."""

from typing import ClassVar

import numpy as np

from harness.draws import Recipe
from harness.member import drawn_member
from harness.profiles import PROFILES
from harness.reference import forward
from harness.replay import replay
from harness.trainer import AfterEpoch, Batches, Config, Diverged, NativeFit, Trainer, Weights


class ProfileTrainer(Trainer):
    """What all profiles share; `profile_trainer` gives the class of one."""

    requires = ("numpy",)
    profile: ClassVar[str]

    @classmethod
    def unsupported(cls, config: Config) -> str | None:
        if config.task not in ("multiclass", "binary"):
            return f"profile {cls.profile!r} has classes only"
        return None

    def __init__(self, config: Config, start: Weights | None) -> None:
        if start is not None:
            raise NotImplementedError(f"profile {self.profile!r} is a way to train of its own: it has native mode only")
        self.config = config

    def train(self, X: np.ndarray, y: np.ndarray, batches: Batches, after_epoch: AfterEpoch) -> None:
        raise NotImplementedError(f"profile {self.profile!r} has native mode only")

    def fit_native(self, X: np.ndarray, y: np.ndarray, seed: int) -> NativeFit:
        row = PROFILES[self.profile].row(self.config)
        member = drawn_member(self.config, Recipe(), row, X, y, (seed, 0))
        self.config = member.config
        (result,) = replay([member])
        if result.weights is None:
            raise Diverged("weights not finite")
        self.set_weights(result.weights)
        return NativeFit(result.epochs_run, {"loss": list(result.logged_loss)})

    def logits(self, X: np.ndarray) -> np.ndarray:
        with np.errstate(all="ignore"):
            return forward(self.config, self._weights, X.astype(self.config.dtype))[-1].a

    def weights(self) -> Weights:
        return tuple({key: value.copy() for key, value in layer.items()} for layer in self._weights)

    def set_weights(self, weights: Weights) -> None:
        self._weights = weights


def profile_trainer(name: str) -> type[Trainer]:
    """The trainer class of one profile."""
    return type("ProfileTrainer", (ProfileTrainer,), {"name": name, "profile": name})

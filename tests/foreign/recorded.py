"""The files that users write: those of the recorders with less in them, and those of loops of their own."""

import json
from pathlib import Path
from typing import Any

import numpy as np

from tests.foreign.draw import Training


def keep_only_weights(path: Path, training: Training) -> None:
    """Take out of a recorder's file what a user who noted nothing but weights would not have."""
    if training.recorded["full"]:
        return
    with np.load(path) as file:
        arrays = {name: file[name] for name in file.files}
    settings = json.loads(str(arrays.pop("settings")))
    rates = arrays.pop("learning_rate")
    arrays = {name: array for name, array in arrays.items() if not name.startswith(("gradients", "logits"))}
    add_rates(arrays, settings, rates, training)
    np.savez_compressed(path, settings=json.dumps(settings), **arrays)


class Notebook:
    """What somebody with a loop of his own notes at each step, and how he writes it down."""

    def __init__(self) -> None:
        self.rows: list[Any] = []
        self.epoch: list[int] = []
        self.rates: list[float] = []
        self.loss: list[float] = []
        self.logits: list[np.ndarray] = []
        self.gradients: list[list[np.ndarray]] = []
        self.weights: list[list[np.ndarray]] = []

    def save(self, path: Path, X: np.ndarray, y: np.ndarray, training: Training) -> None:
        """Weights and gradients of a step are lists: W, b, W, b, …"""
        longest = max(map(len, self.rows))
        rows = np.full((len(self.rows), longest), -1)
        for row, numbers in zip(rows, self.rows, strict=True):
            row[: len(numbers)] = numbers
        arrays = {"X": X, "y": y, "rows": rows, "epoch": np.array(self.epoch)} | named("weights", self.weights)
        if training.recorded["full"]:
            arrays |= named("gradients", self.gradients)
            if self.loss:
                arrays["loss"] = np.array(self.loss)
            if self.logits:
                arrays["logits"] = np.zeros((*rows.shape, self.logits[0].shape[1]), self.logits[0].dtype)
                for noted, logits in zip(arrays["logits"], self.logits, strict=True):
                    noted[: len(logits)] = logits
        settings: dict[str, Any] = {"activation": training.truth["activation"]} | training.recorded["settings"]
        if training.truth["task"] == "regression":
            settings["output_activation"] = "identity"
        add_rates(arrays, settings, np.array(self.rates), training)
        np.savez_compressed(path, settings=json.dumps(settings), **arrays)


def named(series: str, steps: list[list[np.ndarray]]) -> dict[str, np.ndarray]:
    return {f"{series}/{i // 2}/{'Wb'[i % 2]}": np.array([step[i] for step in steps]) for i in range(len(steps[0]))}


def add_rates(arrays: dict[str, Any], settings: dict[str, Any], rates: np.ndarray, training: Training) -> None:
    if training.recorded["rate"] == "array":
        arrays["learning_rate"] = rates
    elif training.recorded["rate"] == "settings":
        settings["learning_rate"] = training.truth["learning_rate"]

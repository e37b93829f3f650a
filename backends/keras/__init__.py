"""Keras 3 on TensorFlow: compile and fit."""

from harness.manifest import Backend

BACKEND = Backend(
    "keras",
    "backends.keras.trainer:KerasTrainer",
    requires=("keras", "tensorflow"),
    install="pip install 'backend-harness[tensorflow]'",
    description="Keras 3 on TensorFlow: compile and fit",
    lines="backends.keras.lines:KerasLines",
    conventions="backends.keras.conventions:CONVENTIONS",
    by_default=True,
    environment={"KERAS_BACKEND": "tensorflow"},
    colour="#CC79A7",
)

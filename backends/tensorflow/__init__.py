"""Raw operations under tf.function."""

from harness.manifest import Backend

BACKEND = Backend(
    "tensorflow",
    "backends.tensorflow.trainer:TensorFlowTrainer",
    requires=("tensorflow",),
    install="pip install 'backend-harness[tensorflow]'",
    description="raw operations under tf.function",
    lines="backends.tensorflow.lines:TensorFlowLines",
    conventions="backends.tensorflow.conventions:CONVENTIONS",
    by_default=True,
    environment={"KERAS_BACKEND": "tensorflow"},
    colour="#D55E00",
)

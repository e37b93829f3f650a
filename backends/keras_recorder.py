"""The recorder of trainings in Keras, under the name that scripts know."""

from backends.keras.recorder import *  # noqa: F403

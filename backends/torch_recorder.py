"""The recorder of trainings in PyTorch, under the name that scripts know."""

from backends.torch.recorder import *  # noqa: F403

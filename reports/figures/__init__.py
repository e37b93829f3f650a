"""Figures of a study. Every function takes a `Study` and returns a Matplotlib figure; none keeps state."""

from reports.figures.curves import learning_curves
from reports.figures.heatmaps import (
    accuracy_heatmaps,
    deviation_heatmaps,
    native_difference_heatmaps,
    overview,
)

__all__ = [
    "accuracy_heatmaps",
    "deviation_heatmaps",
    "learning_curves",
    "native_difference_heatmaps",
    "overview",
]

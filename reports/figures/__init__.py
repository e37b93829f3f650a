"""Figures of a study. Every function takes a `Study` and returns a Matplotlib figure; none keeps state."""

from reports.figures.curves import case_curves, learning_curves
from reports.figures.heatmaps import (
    deviation_heatmaps,
    native_difference_heatmaps,
    overview,
    score_heatmaps,
)
from reports.figures.published import published_heatmaps
from reports.figures.scatter import deviation_scatter, score_scatter

__all__ = [
    "case_curves",
    "deviation_heatmaps",
    "deviation_scatter",
    "learning_curves",
    "native_difference_heatmaps",
    "overview",
    "published_heatmaps",
    "score_heatmaps",
    "score_scatter",
]

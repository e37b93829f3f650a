"""Figures of a study. Every function takes a `Study` and returns a Matplotlib figure; none keeps state."""

from reports.figures.activations import activation_functions
from reports.figures.boundary import decision_boundaries
from reports.figures.confusion import confusion_matrices
from reports.figures.curves import case_curves, learning_curves
from reports.figures.differences import difference_heatmaps, native_difference_heatmaps
from reports.figures.heatmaps import deviation_heatmaps, metric_heatmaps, overview, score_heatmaps
from reports.figures.hidden_units import hidden_units
from reports.figures.parity import parity_over_epochs
from reports.figures.published import published_heatmaps
from reports.figures.roc import roc_curves
from reports.figures.samples import misclassified, samples
from reports.figures.scatter import deviation_scatter, score_scatter
from reports.figures.surface import regression_surfaces

__all__ = [
    "activation_functions",
    "case_curves",
    "confusion_matrices",
    "decision_boundaries",
    "deviation_heatmaps",
    "deviation_scatter",
    "difference_heatmaps",
    "hidden_units",
    "learning_curves",
    "metric_heatmaps",
    "misclassified",
    "native_difference_heatmaps",
    "overview",
    "parity_over_epochs",
    "published_heatmaps",
    "regression_surfaces",
    "roc_curves",
    "samples",
    "score_heatmaps",
    "score_scatter",
]

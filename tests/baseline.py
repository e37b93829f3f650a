"""Figures against stored pictures of them.

A baseline is a PNG under `tests/baseline/`. After a change that is meant to be seen, renew the pictures and look at
every one of them before it is committed:

    RENEW_BASELINES=1 python -m pytest tests/test_figures_models.py tests/test_figures_compare.py
"""

import os
from io import BytesIO
from pathlib import Path

import matplotlib
import numpy as np
from matplotlib.figure import Figure
from matplotlib.image import imread

from reports import style

BASELINE = Path(__file__).parent / "baseline"
DPI = 80  # small files
FAR = 48 / 255
"""A pixel differs when a channel is this far off: versions of FreeType smooth the same letters a little differently."""
MOST = 8
"""How many pixels may differ; another digit in a tile changes more."""


def assert_same_picture(figure: Figure, name: str, may_renew: bool = True) -> None:
    """Fail when `figure` does not look like `tests/baseline/NAME.png`."""
    path = BASELINE / f"{name}.png"
    stream = BytesIO()
    with matplotlib.rc_context(style.RC):  # whose font, DejaVu Sans, ships with Matplotlib
        figure.savefig(stream, format="png", dpi=DPI, metadata={"Software": None})
    if may_renew and os.environ.get("RENEW_BASELINES"):
        BASELINE.mkdir(exist_ok=True)
        path.write_bytes(stream.getvalue())
    assert path.exists(), f"no baseline {path}: make it with RENEW_BASELINES=1, and look at it"
    drawn, stored = imread(BytesIO(stream.getvalue())), imread(path)
    assert drawn.shape == stored.shape, f"{name}: {drawn.shape} pixels, the baseline has {stored.shape}"
    differing = int((np.abs(drawn - stored) > FAR).any(axis=-1).sum())
    assert differing <= MOST, f"{name}: {differing} pixels are not those of {path}"

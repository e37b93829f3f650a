"""How weights and biases begin, as code."""

from harness.calls.text import number
from harness.draws.starts import parse_law

# A family of laws -> the variance of a weight times its fan, and which fan: Keras's VarianceScaling.
FAMILY = {
    "glorot": (1.0, "fan_avg"),
    "he": (2.0, "fan_in"),
    "lecun": (1.0, "fan_in"),
    "torch": (1 / 3, "fan_in"),
    "sklearn": (1 / 3, "fan_avg"),
}

NUMPY = {
    "uniform": "rng.uniform(-{s}, {s}, {shape})",
    "normal": "rng.normal(0, {s}, {shape})",
    "truncated_normal": "scipy.stats.truncnorm.rvs(-2, 2, scale={s}, size={shape}, random_state=rng)",
    "zeros": "np.zeros({shape})",
    "constant": "np.full({shape}, {s})",
}
"""How NumPy draws: law -> code with the scale {s} and the shape {shape}."""


def law_in_code(init: str, n_in: str, n_out: str) -> tuple[str, str]:
    """A law of the weights as ("uniform", its bound), ("normal", its deviation), … in code."""
    name, scale = parse_law(init)
    if name in ("normal", "uniform", "truncated_normal", "zeros"):
        return name, number(scale)
    spread, _, law = name.rpartition("_")
    variance, mode = FAMILY[spread]
    fan, variance = (n_in, variance) if mode == "fan_in" else (f"({n_in} + {n_out})", 2 * variance)
    return law, f"({(3 * variance if law == 'uniform' else variance):.12g} / {fan}) ** 0.5"

"""How a training draws: the laws of its start and of its batches, and the schedule of its learning rate."""

from dataclasses import dataclass

BATCHES = ("permutation", "independent", "replacement", "in_order", "one_permutation", "bootstrap", "skipping")
LAST_BATCH = ("keep", "drop", "merge")
SCHEDULES: dict[str, tuple[str, ...]] = {
    "constant": (),
    "step": ("decay_rate", "decay_steps"),
    "exponential": ("decay_rate", "decay_steps"),
    "inverse_time": ("decay_rate", "decay_steps"),
    "cosine": ("decay_steps", "final_factor"),
}
"""Every learning-rate schedule, with the constants that it reads."""


@dataclass(frozen=True)
class Recipe:
    """How start, batches and learning rates are drawn: the harness's part of a training, which no trainer sees.

    `init` is the law of the weights, `bias` a constant, `normal(sd)`, "torch_uniform" (±1/sqrt(n_in), what a
    `torch.nn.Linear` keeps when only its weights are drawn anew) or "as_weights", the law of `init`. `batches` is
    "permutation" (a new one each epoch), "independent" (each step draws its rows without replacement, whatever other
    steps drew), "replacement", "in_order", "one_permutation" (drawn before the first epoch, then always that order),
    "bootstrap" (n rows drawn with replacement, likewise) or "skipping" (in order, one row left out after each batch).
    `n_batches`, where given, stands in for a batch size; `last_batch` says whether a shorter one is kept, dropped, or
    merged with the one before it. Under "drop stride", which no experiment file has, a batch of "skipping" is dropped
    unless the row that is left out after it is there.
    """

    init: str = "glorot_uniform"
    bias: float | str = 0.0
    batches: str = "permutation"
    n_batches: int | None = None
    last_batch: str = "keep"
    schedule: str = "constant"
    decay_rate: float | None = None
    decay_steps: int | None = None
    final_factor: float = 0.0

"""The ways to draw split, start and batches, by the name that an experiment file gives them."""

from collections.abc import Callable
from dataclasses import dataclass

from harness.contract import Batches, Weights
from harness.draws import recipe_2023
from harness.draws.batches import draw_batches
from harness.draws.splits import Rows, draw_split
from harness.draws.starts import draw_start


@dataclass(frozen=True)
class Draws:
    """One way: three functions with the arguments of `draw_split`, `draw_start` and `draw_batches`."""

    split: Callable[..., Rows]
    start: Callable[..., Weights]
    batches: Callable[..., Batches]


DRAWS: dict[str, Draws] = {
    "harness": Draws(draw_split, draw_start, draw_batches),
    "numpy-legacy-2023": Draws(recipe_2023.draw_split, recipe_2023.draw_start, recipe_2023.draw_batches),
}

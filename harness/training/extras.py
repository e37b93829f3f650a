"""What has to come back of a chunk beside its rows, curves and confusion matrices: it weighs more than they do."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from harness.training.metrics import NO_SCORE, Score, score_of
from harness.training.trial import Outcome


@dataclass(frozen=True)
class Keep:
    """Whose weights and predictions a worker sends back, those of a grid over two inputs among them.

    `candidates` says of each trial of the chunk whether it may be chosen; chosen is the best of them, if its score is
    above `bar`, or with `every` all. With `weights` all trials bring their weights, with `epochs` those on the way too.
    """

    candidates: tuple[bool, ...]
    bar: Score = NO_SCORE
    every: bool = False
    weights: bool = False
    epochs: tuple[int, ...] = ()

    def chosen(self, outcomes: Sequence[Outcome]) -> list[int]:
        """Whose predictions are to be sent, by their places in the chunk."""
        able = [i for i, may in enumerate(self.candidates) if may and outcomes[i].weights is not None]
        if self.every or not able:
            return able
        best = max(able, key=lambda i: score_of(outcomes[i].metrics))
        return [best] if score_of(outcomes[best].metrics) > self.bar else []

    def lightened(self, outcome: Outcome) -> Outcome:
        """An outcome that was not chosen, without what need not be sent."""
        outcome = replace(outcome, test_logits=None, grid_logits=None)
        if self.weights:
            return outcome
        return replace(outcome, weights=None, first_epoch_weights=None, checkpoints={})

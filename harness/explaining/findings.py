"""What an explanation is made of: the switches of conventions, their shares, and what was measured of both sides."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from harness.conventions.table import CONVENTIONS
from harness.experiment.file import Cell
from harness.explaining.shares import Gap

REST = "the rest"


@dataclass(frozen=True)
class Switch:
    """One convention in which A and B differ, and what its switch alone changes: from A, and on the way to B last."""

    name: str
    a_value: Any
    b_value: Any
    alone_from_a: float
    alone_from_b: float

    @property
    def title(self) -> str:
        """The convention in words."""
        return CONVENTIONS[self.name].title


@dataclass(frozen=True)
class Share:
    """What a player makes of the replay's gap, in units of the metric: mean over the seeds and its standard error."""

    title: str
    names: tuple[str, ...]
    mean: float
    error: float


@dataclass(frozen=True)
class Findings:
    """What the replay says of a gap: its own gap, the measured one less that, and whose shares it is made of.

    `shares` is empty where some mix of the two diverges: `diverging` then names the conventions that make it so.
    `closing` are the conventions of the smallest set whose switch closes the gap, and `left` what it leaves; both None
    where the replay shows no gap. `trainings` is how many were replayed for this cell.
    """

    replayed: Gap
    remainder: Gap
    switches: tuple[Switch, ...]
    shares: tuple[Share, ...]
    diverging: tuple[str, ...]
    closing: tuple[str, ...] | None
    left: float | None
    trainings: int

    @property
    def single(self) -> dict[str, Share]:
        """Convention -> the share of the player that it is, or is part of; the rest is none."""
        return {name: share for share in self.shares if share.title != REST for name in share.names}

    @property
    def ordered(self) -> list[Switch]:
        """The switches by their shares, the largest first; those of one player together."""
        single = self.single
        return sorted(self.switches, key=lambda s: -abs(single[s.name].mean) if s.name in single else 0.0)


@dataclass(frozen=True)
class ExplainedCell:
    """Two backends in one cell: what was measured of both, and what the replay says of it.

    `losses` and `scores` hold one value a seed of each side, as measured. `gap` is None where some training has no
    loss: `faults` says which, and why. `findings` is None where there is no gap to explain, or where a replay diverges
    that the fit did not, which `faults` says too. `printed` holds the metrics that the two codes take differently, each
    as the two would print it. `keywords` are the lines that make the pair agree, by framework.
    """

    experiment: str
    a: str
    b: str
    cell: Cell
    chosen: str
    metric: str
    score: str
    losses: tuple[tuple[float, ...], tuple[float, ...]]
    scores: tuple[tuple[float, ...], tuple[float, ...]]
    faults: tuple[str, ...]
    failed: bool
    gap: Gap | None
    score_gap: Gap | None
    findings: Findings | None
    printed: Mapping[str, tuple[float, float]] = field(default_factory=dict)
    keywords: Mapping[str, Sequence[str]] = field(default_factory=dict)
    made_on: Mapping[str, str] = field(default_factory=dict)
    # of a side, the conventions in which it has a value that is not in the table, with its formula
    untold: Mapping[str, Mapping[str, str]] = field(default_factory=dict)


def shown(value: Any) -> str:
    """A value as people type it: numbers at 6 digits, layers as `[100, 50]`."""
    if isinstance(value, tuple):
        return str(list(value))
    return f"{value:.6g}" if isinstance(value, float) else str(value)

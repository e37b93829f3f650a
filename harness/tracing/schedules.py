"""Learning rates that nobody recorded, or that fall: by which schedule."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Schedule:
    """A schedule in words, and its rates for every step of a recording."""

    said: str
    rates: np.ndarray


def schedule_of(rates: np.ndarray, epoch: np.ndarray, tolerance: float) -> Schedule | None:
    """The plainest schedule that the first `len(rates)` rates follow within a share of `tolerance`; None for none."""
    if len(rates) == 0 or not (np.isfinite(rates) & (rates > 0)).all():
        return None
    for said, all_rates in _schedules(rates, epoch):
        if (np.abs(all_rates[: len(rates)] - rates) <= tolerance * rates).all():
            return Schedule(said, all_rates)
    return None


def _schedules(rates: np.ndarray, epoch: np.ndarray) -> Iterator[tuple[str, np.ndarray]]:
    """In words and in numbers, the plainest first."""
    steps, n = np.arange(len(epoch)), len(rates)
    for first in _plain(float(rates[0])):
        yield f"{first:.6g} in every step", np.full(len(epoch), first)
    for first in _plain(float(rates[0])):
        for what, t in (("epoch", epoch.astype(float)), ("step", steps.astype(float))):
            if t[n - 1] == t[0]:
                continue
            spread, fall = t[n - 1] - t[0], rates[n - 1] / first
            for factor in _plain(float(fall ** (1 / spread))):
                yield f"{first:.6g}, times {factor:.6g} every {what}", first * factor**t
            for slope in _plain(float((1 / fall - 1) / spread)):
                yield f"{first:.6g} / (1 + {slope:.6g} {what}), {what}s from 0", first / (1 + slope * t)
            whole = t[-1] + 1
            yield (
                f"{first:.6g} down to 0 as a half cosine over the {what}s",
                first * (1 + np.cos(np.pi * t / whole)) / 2,
            )
            yield f"{first:.6g} down to 0 on a line over the {what}s", first * (1 - t / whole)
        for every in range(2, 6):
            t = epoch // every
            if t[n - 1] > 0:
                for factor in _plain(float((rates[n - 1] / first) ** (1 / t[n - 1]))):
                    yield f"{first:.6g}, times {factor:.6g} every {every} epochs", first * factor**t
        held = np.flatnonzero(~np.isclose(rates, rates[0], rtol=1e-4))
        if len(held) and held[0] > 1:  # lasts for so many steps
            t = steps // held[0]
            for factor in _plain(float((rates[n - 1] / first) ** (1 / t[n - 1]))):
                yield f"{first:.6g}, times {factor:.6g} every {held[0]} steps", first * factor**t


def _plain(value: float) -> Iterator[float]:
    """A number with few digits, then with more."""
    if np.isfinite(value):
        yield from dict.fromkeys(float(f"{value:.{digits}g}") for digits in (1, 2, 3, 4, 6, 9, 12))

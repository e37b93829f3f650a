"""The support and parity matrix: what `harness check --full` measured, as a page of Markdown."""

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from harness.checks.covering import FACTORS, Measured

_STATUSES = ("passed", "failed", "unsupported", "stopped")


@dataclass(frozen=True)
class Coverage:
    """All cases of one backend, and its reasons for the levels that it cannot train."""

    backend: str
    version: str
    measured: tuple[Measured, ...]
    reasons: Mapping[tuple[str, str], str]
    checks: Mapping[str, str]  # name -> one of _STATUSES

    def count(self, verdict: str) -> int:
        """How many cases ended with this verdict."""
        return sum(case.verdict == verdict for case in self.measured)

    @property
    def sentence(self) -> str:
        """`torch 2.13.0: 103 cases, all agree; checks: 99 passed, 1 unsupported`."""
        told = [
            f"{self.count(v)} {word}"
            for v, word in (("chaotic", "chaotic"), ("differs", "differ"), ("unchecked", "stopped"))
            if self.count(v)
        ]
        agree = "all agree" if not told else ", ".join([f"{self.count('agrees')} agree", *told])
        ended = Counter(self.checks.values())
        checks = ", ".join(f"{ended[status]} {status}" for status in _STATUSES if ended[status])
        return f"{self.backend} {self.version}: {len(self.measured)} cases, {agree}; checks: {checks}"

    @property
    def failed(self) -> bool:
        """Whether a case differs, a check failed, or one of them was stopped by the time limit."""
        proven = self.count("agrees") + self.count("chaotic") == len(self.measured)
        return not proven or bool({"failed", "stopped"} & set(self.checks.values()))


_INTRODUCTION = """# What every backend supports, and how exactly

Written by `harness check --full -o docs/parity.md`; do not edit it by hand.

A covering array: every pair of parts below is trained together at least once, in a network with two hidden layers, for
five epochs, in mode controlled. A number is the largest deviation of a backend's weights from the reference's among
the float64 cases with that part, and in brackets the floor of that case: how far the reference moves from itself when
only roundings change. A case agrees when its deviation is at most 100 floors, and at least 1e-12 is allowed (1e-4 in
float32). "no" is told why below the tables.
"""


_ALONE = {
    "perceptron": "the perceptron rule",
    "mixed_activations": "another activation in each hidden layer",
    "no_hidden_layer": "no hidden layer",
    "layers_in_any_order": "a list of layers, in any order",
    "batch_of_one": "batches of one row",
    "native": "native mode",
}


def to_markdown(coverages: Iterable[Coverage], made_on: Mapping[str, str]) -> str:
    """The page: totals, a table a factor, and the reasons for what is unsupported."""
    coverages = list(coverages)
    lines = [_INTRODUCTION, *(f"- {coverage.sentence}" for coverage in coverages), ""]
    lines += ["Measured on " + ", ".join(f"{name} {value}" for name, value in made_on.items()) + ".", ""]
    for factor, levels in FACTORS.items():
        lines += [f"## {factor.capitalize()}", "", "| | " + " | ".join(c.backend for c in coverages) + " |"]
        lines += ["|---|" + "---|" * len(coverages)]
        for level in levels:
            cells = (_cell(coverage, factor, level) for coverage in coverages)
            lines.append(f"| {level} | " + " | ".join(cells) + " |")
        lines.append("")
    lines += ["## Parts that stand alone", "", "| | " + " | ".join(c.backend for c in coverages) + " |"]
    lines += ["|---|" + "---|" * len(coverages)]
    for name, label in _ALONE.items():
        cells = (
            {"passed": "yes", "unsupported": "no", "stopped": "stopped"}.get(c.checks.get(name, ""), "**failed**")
            for c in coverages
        )
        lines.append(f"| {label} | " + " | ".join(cells) + " |")
    lines.append("")
    reasons = _reasons(coverages)
    if reasons:
        lines += ["## Why not", "", *reasons, ""]
    return "\n".join(lines)


def _cell(coverage: Coverage, factor: str, level: str) -> str:
    if (factor, level) in coverage.reasons:
        return "no"
    cases = [case for case in coverage.measured if case.case[factor] == level]
    wrong = [case for case in cases if case.verdict not in ("agrees", "chaotic")]
    if wrong:
        return f"**{len(wrong)} of {len(cases)} differ**"
    dtype = level if factor == "dtype" else "float64"
    calm = [case for case in cases if case.verdict == "agrees" and case.case["dtype"] == dtype]
    worst = max(calm, key=lambda case: case.deviation or 0.0, default=None)
    if worst is None:
        return "not tried"
    return f"{worst.deviation or 0.0:.0e} ({worst.floor or 0.0:.0e})"


def _reasons(coverages: Iterable[Coverage]) -> list[str]:
    """One line for each reason of each backend, with all that it excludes."""
    lines = []
    for coverage in coverages:
        levels: dict[str, list[str]] = {}
        for (factor, level), reason in coverage.reasons.items():
            levels.setdefault(reason, []).append(f"{factor} {level}")
        lines += [f"- {coverage.backend}, {', '.join(excluded)}: {reason}." for reason, excluded in levels.items()]
    return lines

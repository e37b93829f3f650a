"""The golden files of `tests/golden/`: digests of what is planned, drawn and said, and the reference's weights.

python -m tools.golden     # renew them, after a change that is meant; say in the commit which moved, and why
"""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from harness.contract import Weights
from harness.support.denormals import flush_denormals
from tools.snapshot import Entry, digest_of, planned_cases, snapshot
from tools.trainings import trained

GOLDEN = Path(__file__).resolve().parent.parent / "tests" / "golden"
PARTS = ("plans", "batches", "rows", "lines")


def digests(parts: dict[str, dict[str, Entry]]) -> dict[str, dict[str, Any]]:
    """What is committed of a snapshot: counts, and a digest of everything else; of plans one a kind."""
    return {
        part: {
            label: {key: value if isinstance(value, int) else digest_of(value) for key, value in entry.items()}
            if part == "plans"
            else digest_of(entry)
            for label, entry in parts[part].items()
        }
        for part in PARTS
    }


def references() -> Iterator[tuple[str, str, Weights, float]]:
    """Label, dtype, weights and floor of the reference, for every covering case."""
    for label, (trials, datasets) in planned_cases():
        if label.endswith(" unwritten"):
            trial = next(trial for trial in trials if trial.mode == "controlled")
            found = dict(trained("reference", trial, trial.prepare(datasets[trial.data.key])))
            yield label, trial.config.dtype, found[""], float(found["floor"][0]["floor"])  # type: ignore[index,misc]


def in_order(label: str, weights: Weights) -> dict[str, np.ndarray]:
    """The arrays of a network by their number, in the order of the layers."""
    arrays = [layer[key] for layer in weights for key in sorted(layer)]
    return {f"{label}/{number}": array for number, array in enumerate(arrays)}


def main() -> None:
    """Renew the files."""
    flush_denormals()
    GOLDEN.mkdir(exist_ok=True)
    for name, content in digests(snapshot()).items():
        (GOLDEN / f"{name}.json").write_text(json.dumps(content, indent=1, sort_keys=True) + "\n")
    arrays: dict[str, np.ndarray] = {}
    for label, _, weights, _ in references():
        arrays |= in_order(label, weights)
    np.savez_compressed(GOLDEN / "reference.npz", **arrays)


if __name__ == "__main__":
    main()

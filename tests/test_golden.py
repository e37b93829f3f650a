"""What every store and every reader relies on: ids, counts, batches, masks, rows of conventions, lines of code.

`python -m tools.golden` made the files of `tests/golden/`. A change that moves one of them is either wrong, or renews
them and says why. The reference's weights are kept as numbers: a witness that shares no code with what trains today.
Their last bits depend on the processor, so they are compared within the rounding of each training.
"""

import copy
import json

import numpy as np
import pytest

from harness.training.parity import judge, largest, tolerance
from tools.golden import GOLDEN, PARTS, digests, in_order, references
from tools.snapshot import snapshot


@pytest.fixture(scope="module")
def today():
    return snapshot()


def moved(part, snapshot_of_today):
    before = json.loads((GOLDEN / f"{part}.json").read_text())
    now = digests(snapshot_of_today)[part]
    return sorted(label for label in {*before, *now} if before.get(label) != now.get(label))


@pytest.mark.parametrize("part", PARTS)
def test_what_is_planned_drawn_and_said_stays(part, today):
    assert not moved(part, today), "python -m tools.compare OLD . says in what they differ"


@pytest.mark.parametrize("part", PARTS)
def test_one_other_entry_is_seen(part, today):
    touched = copy.deepcopy(today)
    label, entry = next(iter(touched[part].items()))
    key = next(iter(entry))
    entry[key] = {"was": entry[key]}
    assert moved(part, touched) == [label]


def apart(witness, label, weights):
    """The largest distance from the kept weights, which must have the same shapes."""
    arrays = in_order(label, weights)
    assert {name: array.shape for name, array in arrays.items()} == {
        name: array.shape for name, array in witness.items() if name.startswith(f"{label}/")
    }
    return max(float(np.abs(array - witness[name]).max()) for name, array in arrays.items())


def test_the_reference_ends_where_it_always_did():
    with np.load(GOLDEN / "reference.npz") as file:
        witness = dict(file)
    seen = set()
    for label, dtype, weights, floor in references():
        far = apart(witness, label, weights)
        assert judge("ok", far, floor, dtype, largest(weights)) == "agrees", f"{label}: {far:.1e}"
        seen |= set(in_order(label, weights))
        weights[0]["W"][0, 0] += 2 * tolerance(floor, dtype, largest(weights))
        assert judge("ok", apart(witness, label, weights), floor, dtype, largest(weights)) == "differs"
    assert seen == set(witness)

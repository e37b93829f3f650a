"""The vocabulary: what an entry owns, the short way to write a network and the long one, the names of weights."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.checks.problem import SMALL, batches_of, compare
from harness.contract import ACTIVATIONS, KEYS, OPTIMIZER_CONSTANTS, Config, structure_of, vary
from harness.draws.weight_file import read_start
from harness.network import (
    CONSTANTS,
    ENTRIES,
    BatchNorm,
    Dense,
    Dropout,
    LeakyReLU,
    Network,
    ReLU,
    Sigmoid,
    Tanh,
)
from harness.network.weights import flatten, renumbered, unflatten
from harness.reference.trainer import Reference
from harness.registry import find, load_trainer

RATES = st.sampled_from([0.0, 0.2, 0.5])
CONFIGS = st.builds(
    lambda layers, optimizer, batch_norm, l1, clip: Config.of(
        5,
        3,
        tuple(units for units, _, _ in layers),
        tuple(name for _, name, _ in layers),
        optimizer=optimizer,
        learning_rate=0.1,
        batch_size=8,
        epochs=2,
        dropout=(0.2, *(rate for _, _, rate in layers)) if any(rate for _, _, rate in layers) else (),
        batch_norm=batch_norm,
        leaky_slope=0.3,
        l1=l1,
        clip_norm=clip,
    ),
    st.lists(st.tuples(st.integers(1, 9), st.sampled_from(list(ACTIVATIONS)), RATES), max_size=4),
    st.sampled_from(list(OPTIMIZER_CONSTANTS)),
    st.booleans(),
    st.sampled_from([0.0, 0.1]),
    st.sampled_from([None, 1.0]),
)


@given(CONFIGS)
def test_the_keys_of_a_config_are_the_config(config):
    assert Config.of(**config.keys) == config
    assert set(config.keys) <= {*KEYS, "written"}
    assert vary(config) == config
    assert hash(vary(config, l2=0.0)) == hash(config)


@given(CONFIGS)
def test_what_the_members_of_a_stack_share_has_none_of_their_numbers(config):
    other = vary(config, learning_rate=0.7, l2=0.5, l1=2 * config.penalty.l1)
    assert structure_of(other) == structure_of(config)
    assert structure_of(vary(config, batch_size=9)) != structure_of(config)
    drops = vary(config, l1=0.0 if config.penalty.l1 else 0.1)
    assert structure_of(drops) != structure_of(config)


@pytest.mark.parametrize("entry", ENTRIES, ids=lambda entry: entry.name)
def test_a_number_is_varied_where_it_is_owned_and_nowhere_else(entry):
    for constant in entry.constants():
        given = constant.default if constant.default is not None else 0.5
        made = entry.of({constant.key: given, "learning_rate": 0.5, "clip_norm": 0.5, "clip_value": 0.5})
        moved = made.with_numbers({constant.key: 0.25, "no_such_key": 9})
        assert moved == replace(made, **{constant.field: 0.25})
        assert made.numbers() | {constant.key: 0.25} == moved.numbers()


def test_entries_that_share_a_key_agree_on_what_it_is():
    for entry in ENTRIES:
        for constant in entry.constants():
            assert replace(constant, field="") == replace(CONSTANTS[constant.key], field="")


LONG = {
    "no activation": (Dense(4), Dense(3)),
    "two activations": (Dense(4), ReLU(), Tanh(), Dense(3)),
    "normalised behind": (Dense(4), ReLU(), BatchNorm(), Dense(3)),
    "one normalised": (Dense(4, use_bias=False), BatchNorm(), ReLU(), Dense(4), ReLU(), Dense(3)),
    "two slopes": (Dense(4), LeakyReLU(0.1), Dense(4), LeakyReLU(0.2), Dense(3)),
    "two epsilons": (
        *(each for e in (1e-5, 1e-3) for each in (Dense(4, use_bias=False), BatchNorm(0.9, e), ReLU())),
        Dense(3),
    ),
    "bias beside batch norm": (Dense(4), BatchNorm(), ReLU(), Dense(3)),
    "dropped before the activation": (Dense(4), Dropout(0.5), ReLU(), Dense(3)),
}


@pytest.mark.parametrize("layers", LONG.values(), ids=LONG)
def test_what_the_short_form_cannot_say_it_does_not_say(layers):
    assert Network((5,), layers).dense == {}


EVERYTHING = (
    *(Dropout(0.1), Dense(6), ReLU(), Tanh(), BatchNorm(0.8), Dropout(0.4), Dropout(0.2)),
    *(Dense(5, use_bias=False), BatchNorm(0.9, 1e-3), LeakyReLU(0.1), Dense(7), Sigmoid(), LeakyReLU(0.2), Dense(4)),
)


def of(layers):
    return replace(vary(SMALL, optimizer="adam", learning_rate=0.01), network=Network((5,), layers))


@pytest.mark.parametrize("backend", ["numpy", "torch", "torch-manual", "tensorflow", "keras"])
def test_every_backend_trains_layers_in_any_order(backend):
    compare(load_trainer(find(backend).trainer), of(EVERYTHING))


@pytest.mark.parametrize("backend", ["numpy", "torch", "torch-manual"])
@pytest.mark.parametrize("layers", LONG.values(), ids=LONG)
def test_so_do_they_what_the_short_form_cannot_say(backend, layers):
    compare(load_trainer(find(backend).trainer), of((*layers[:-1], Dense(4))))


def test_every_layer_that_drops_units_has_draws_of_its_own():
    masks = batches_of(of((Dense(6), Dropout(0.5), Dropout(0.5), Dense(4))))[0].masks
    assert len(masks) == 2
    assert not np.array_equal(*masks)


def test_a_network_says_what_it_owns():
    config = Config.of(
        5, 3, (4,), ("relu",), optimizer="sgd", learning_rate=0.1, batch_size=8, epochs=2, batch_norm=True
    )
    owned = [{key: parameter.shape for key, parameter in each.items()} for _, each in config.network.owners()]
    norm = dict.fromkeys(("gamma", "beta", "mean", "variance"), (4,))
    assert owned == [{"W": (5, 4)}, norm, {"W": (4, 3), "b": (3,)}]


# -- the numbers of weights in files of version 0.1


def of_0_1():
    """Two normalised layers and the last, each group under one number."""
    rng = np.random.default_rng(0)
    arrays = {}
    for k, (n_in, n_out) in enumerate([(5, 4), (4, 6)]):
        arrays[f"{k}/W"] = rng.normal(size=(n_in, n_out))
        arrays |= {f"{k}/{key}": rng.random(n_out) for key in ("gamma", "beta", "mean", "variance")}
    return arrays | {"2/W": rng.normal(size=(6, 3)), "2/b": rng.normal(size=3)}


def test_batch_normalisation_is_found_where_it_stood_before():
    old = of_0_1()
    new = renumbered(old)
    assert list(new)[:5] == ["0/W", "1/gamma", "1/beta", "1/mean", "1/variance"]
    assert new["4/b"] is old["2/b"]
    assert new["3/gamma"] is old["1/gamma"]
    assert renumbered(new) == new
    assert list(flatten(unflatten(old))) == list(new)
    assert renumbered({"0/W": 1, "1/W": 2, "more": 3}) == {"0/W": 1, "1/W": 2, "more": 3}


@pytest.mark.parametrize("prefix", ["", "start/"])
def test_a_start_of_before_is_read(tmp_path, prefix):
    config = Config.of(
        5, 3, (4, 6), ("tanh", "relu"), optimizer="sgd", learning_rate=0.1, batch_size=8, epochs=2, batch_norm=True
    )
    read = []
    for name, arrays in (("old", of_0_1()), ("new", renumbered(of_0_1()))):
        np.savez(tmp_path / f"{name}.npz", **{prefix + key: value for key, value in arrays.items()})
        read.append(read_start(str(tmp_path / f"{name}.npz"), config, "experiment"))
    assert read[0].digest == read[1].digest
    old, new = (Reference(config, each.weights(config)).logits(np.ones((2, 5))) for each in read)
    assert np.array_equal(old, new)

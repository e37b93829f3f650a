"""The constants of all entries, by the keys that an experiment file has for them."""

from harness.network.activations import ACTIVATIONS
from harness.network.layers import BatchNorm, Dense, Dropout, Layer
from harness.network.losses import LOSSES
from harness.network.optimizers import OPTIMIZERS
from harness.network.penalties import CLIPPINGS, Penalty
from harness.network.vocabulary import Constant, Entry

_HIDDEN = [each for each in ACTIVATIONS.values() if each.hidden]

_OWN: list[type[Layer]] = [Dense, *_HIDDEN, Dropout, BatchNorm]

LAYERS: dict[str, type[Layer]] = {layer.name: layer for layer in _OWN}
"""The layers of the harness's own, by name."""

ENTRIES: tuple[type[Entry], ...] = (
    *ACTIVATIONS.values(),
    *(BatchNorm, Dropout),
    *LOSSES.values(),
    *OPTIMIZERS.values(),
    Penalty,
    *CLIPPINGS.values(),
)
"""Every entry of the vocabulary that has a short form."""

CONSTANTS: dict[str, Constant] = {each.key: each for entry in ENTRIES for each in entry.constants()}
"""Every constant by its key. Entries that share one agree on its default and its range."""

DEFAULTS: dict[str, float] = {
    key: each.default for key, each in CONSTANTS.items() if each.default is not None and key != "dropout"
}
"""What a constant is where nothing is said; where nothing is dropped there is no layer that could say it."""

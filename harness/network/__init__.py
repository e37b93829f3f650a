"""The vocabulary: layers, activations, losses, optimizers, penalties. What each of them is stands here alone."""

# every entry is exported by being defined in its module: there is no list of names
from harness.network.activations import *  # noqa: F403
from harness.network.installed import part_of as part_of
from harness.network.keys import CONSTANTS as CONSTANTS
from harness.network.keys import DEFAULTS as DEFAULTS
from harness.network.keys import ENTRIES as ENTRIES
from harness.network.keys import LAYERS as LAYERS
from harness.network.layers import *  # noqa: F403
from harness.network.losses import *  # noqa: F403
from harness.network.network import Network as Network
from harness.network.network import dense_layers as dense_layers
from harness.network.optimizers import *  # noqa: F403
from harness.network.penalties import *  # noqa: F403
from harness.network.vocabulary import Constant as Constant
from harness.network.vocabulary import Entry as Entry

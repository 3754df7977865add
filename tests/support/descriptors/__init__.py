"""One line a module: what the conformance suites need to know of it. A new module adds a line."""

from tests.support.descriptors.descriptor import Descriptor
from tests.support.descriptors.layers import LAYERS
from tests.support.descriptors.nets import NETS
from tests.support.descriptors.recurrent import CORES, SEQUENCE_MODULES

__all__ = ["CORES", "DESCRIPTORS", "Descriptor"]

DESCRIPTORS = [*LAYERS, *NETS, *CORES, *SEQUENCE_MODULES]

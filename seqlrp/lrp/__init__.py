"""Layer-wise relevance propagation through a network, independent of text."""

from seqlrp.engine.attribution import Attribution
from seqlrp.engine.ledger import Entry, Ledger
from seqlrp.lrp.attribution import LRP
from seqlrp.lrp.options import Options
from seqlrp.lrp.propagate import Propagation
from seqlrp.lrp.recurrent.kernels.choice import kernel_on
from seqlrp.lrp.recurrent.reading import SharedReading
from seqlrp.lrp.stabilise import Stabiliser

__all__ = [
    "LRP",
    "Attribution",
    "Entry",
    "Ledger",
    "Options",
    "Propagation",
    "SharedReading",
    "Stabiliser",
    "kernel_on",
]

"""A registry of text classifiers as people write them; importing it enters all of them."""

from samples.architectures import (
    attention,
    cells,
    convolution,
    feedforward,
    habits,
    recurrent,
)
from samples.architectures.registry import (
    ARCHITECTURES,
    BAG,
    OFFSETS,
    PAIRS,
    SENTENCES,
    WORDS,
    Architecture,
    C,
    D,
    H,
    V,
    architecture,
    arguments,
    built,
    inputs,
)

FAMILIES = (attention, cells, convolution, feedforward, habits, recurrent)

__all__ = [
    "ARCHITECTURES",
    "BAG",
    "FAMILIES",
    "OFFSETS",
    "PAIRS",
    "SENTENCES",
    "WORDS",
    "Architecture",
    "C",
    "D",
    "H",
    "V",
    "architecture",
    "arguments",
    "built",
    "inputs",
]

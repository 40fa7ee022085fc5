"""Rules for linear maps, to be named in `LRP(model, rules={...})`; see `seqlrp.lrp.map_rules`."""

from seqlrp.lrp.composite import COMPOSITES
from seqlrp.lrp.map_rules import (
    ZB,
    AlphaBeta,
    Epsilon,
    Flat,
    Gamma,
    MapRule,
    Pass,
    WSquare,
    Zero,
    ZPlus,
)

__all__ = [
    "COMPOSITES",
    "ZB",
    "AlphaBeta",
    "Epsilon",
    "Flat",
    "Gamma",
    "MapRule",
    "Pass",
    "WSquare",
    "ZPlus",
    "Zero",
]

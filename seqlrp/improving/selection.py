"""Chooses which units go, by their scores."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import torch
from torch import Tensor

from seqlrp.improving.criteria import Scores
from seqlrp.improving.unit_sets import UnitSet

SCOPES = ("global", "layer")


def choose(
    scores: Scores, share: float, scope: str, silent: Mapping[UnitSet, Tensor] | None = None
) -> dict[UnitSet, Tensor]:
    """Choose the units with the lowest scores.

    The sets of one module lose as many each, because PyTorch gives all layers and directions of a
    recurrent layer one size. One unit of each set stays.

    Args:
        scores: of each set.
        share: of the units that are removed.
        scope: "global" ranks the units of all modules together, "layer" removes the share of each.
        silent: units that have gone already, which do not count, and stay gone.

    Returns:
        the units of each set that are gone then, int64 in rising order.
    """
    gone = {units: torch.zeros(0, dtype=torch.int64) for units in scores} | dict(silent or {})
    alive = {u: np.setdiff1d(np.arange(u.size), gone[u].cpu().numpy()) for u in scores}
    groups: dict[tuple[str, str], list[UnitSet]] = {}
    for units in scores:
        groups.setdefault((units.module, units.part), []).append(units)
    left_to_remove = round(share * sum(len(a) for a in alive.values()))
    ranked = sorted((float(scores[u][j]), k, j, u) for k, u in enumerate(scores) for j in alive[u])
    lowest = [units for _, _, _, units in ranked[:left_to_remove]]
    chosen = {}
    for group in groups.values():
        count = sum(units in group for units in lowest) / len(group)
        if scope == "layer":
            count = share * len(alive[group[0]])
        most = min(len(alive[units]) for units in group) - 1
        for units in group:
            order = alive[units][np.argsort(scores[units][alive[units]], kind="stable")]
            more = torch.from_numpy(order[: min(round(count), most)].copy())
            chosen[units] = torch.cat([gone[units].cpu(), more]).sort().values
    return chosen

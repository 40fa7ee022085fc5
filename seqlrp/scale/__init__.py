"""Explains any number of documents with many workers, any of which may die."""

from seqlrp.explanations.sampling import draw_sample
from seqlrp.scale.pipeline import Explain
from seqlrp.scale.run import explain
from seqlrp.scale.status import Status, status

__all__ = ["Explain", "Status", "draw_sample", "explain", "status"]

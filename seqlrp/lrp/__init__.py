"""How relevance moves through a network; knows nothing of text."""

from seqlrp.lrp.attribution import LRP, Attribution
from seqlrp.lrp.ledger import Entry, Ledger

__all__ = ["LRP", "Attribution", "Entry", "Ledger"]

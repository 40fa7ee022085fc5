"""Explains LSTM and GRU text classifiers by layer-wise relevance propagation."""

from seqlrp.lrp import LRP

__all__ = ["LRP"]

"""DeepLIFT and DeepSHAP through any model, recurrent layers and their gates included.

`run.py` carries a text and its baseline through the model in lockstep, `table.py` knows which law
each function has, `rules.py` holds the formulas.
"""

from seqlrp.methods.deeplift.explainers import DeepLIFT, DeepSHAP

__all__ = ["DeepLIFT", "DeepSHAP"]

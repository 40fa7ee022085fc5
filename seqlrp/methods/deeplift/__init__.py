"""DeepLIFT and DeepSHAP through any model, recurrent layers and their gates included.

`run.py` runs a text and its baseline through the model in parallel, `table.py` lists the law of
each function, `rules.py` has the formulas.
"""

from seqlrp.methods.deeplift.explainers import DeepLIFT, DeepSHAP

__all__ = ["DeepLIFT", "DeepSHAP"]

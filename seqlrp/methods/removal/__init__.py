"""Methods that remove words and run the model again.

They have no second run on other words, as LRP has, since they follow no function: removal by `unk`
and `delete` changes the ids that the model reads; `zero` misses ids that the model looks up where
PyTorch does not see it, as in NumPy.
"""

"""The laws: how each kind of torch function changes γ and the marks of its values.

Every law takes the run and the call, and returns the value with which the model continues.
Functions that are linear and add nothing are left to automatic differentiation; the laws only
decide what is a constant, where the ε-rule is deferred, and what the ledger records.
"""

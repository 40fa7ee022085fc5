"""Runs a model and tracks which word and which text each tensor element comes from."""

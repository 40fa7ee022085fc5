"""Follows ids, vectors and documents through a run of a model, for every attribution method."""

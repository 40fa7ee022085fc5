"""Makes new classifiers out of given ones: repaired or pruned, with a report of the effect."""

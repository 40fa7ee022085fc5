"""Makes a classifier better: repairs a shortcut, and proves that it helped."""

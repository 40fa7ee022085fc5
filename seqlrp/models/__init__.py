"""Classifiers: networks, the model with its vocabulary and labels, training, saving, prediction."""

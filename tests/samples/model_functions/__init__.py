"""Text classifiers as people write them: each is a function of the layers and of the ids."""

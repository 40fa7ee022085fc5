"""Scripts that reproduce the published tables and measure the whole path."""

"""Controls: trivial methods that a useful explanation must outperform."""

"""Float64 oracles, written from the papers, which share no code with the package."""

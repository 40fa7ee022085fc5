"""Contextual decomposition of recurrent networks."""

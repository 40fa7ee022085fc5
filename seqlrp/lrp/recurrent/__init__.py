"""Relevance through recurrent layers that a model calls as one function."""

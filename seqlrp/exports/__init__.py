"""Highlighted documents outside of the browser: pictures, PDF, LaTeX and terminals."""

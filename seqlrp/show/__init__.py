"""Shows explanations: pages, pictures, plots, LaTeX and the terminal."""

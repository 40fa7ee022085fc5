"""Documents with highlighted words as pictures: PNG, PDF and SVG by Matplotlib."""

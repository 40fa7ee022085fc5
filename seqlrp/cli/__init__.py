"""The command line: thin calls of the functions that Python users call.

Results go to stdout or into files, messages to stderr. What the user got wrong ends with status 2
and a sentence that says what to do. Commands stand by families, one module each.
"""

from seqlrp.cli import training, explaining, measuring  # noqa: I001  (the order of the help)
from seqlrp.cli.application import app, ascii_safe, main

__all__ = ["app", "ascii_safe", "explaining", "main", "measuring", "training"]

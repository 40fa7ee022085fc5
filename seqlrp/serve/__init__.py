"""A live page to try sentences on, and the same questions as a JSON interface.

Needs FastAPI and uvicorn: `pip install "seqlrp[serve]"`.
"""

from __future__ import annotations

from importlib.util import find_spec

from seqlrp.errors import MissingPackageError

if find_spec("fastapi") is None or find_spec("uvicorn") is None:
    raise MissingPackageError(
        'The live page needs FastAPI and uvicorn; run: pip install "seqlrp[serve]"'
    )

from seqlrp.serve.app import create_app
from seqlrp.serve.limits import Limits
from seqlrp.serve.server import serve

__all__ = ["Limits", "create_app", "serve"]

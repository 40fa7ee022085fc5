"""Loads data sets of the Hugging Face hub, or their cached copies where it is out of reach."""

from __future__ import annotations

import contextlib
import importlib.util
import re
import socket
import threading
import time
import urllib.request
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from seqlrp.errors import CorpusError
from seqlrp.text.tables import Table, cause, choose_split, from_dataset

_TIMEOUT = 3.0  # seconds

_NAME = re.compile(r"[\w.-]+(/[\w.-]+)?")


def is_hub_name(name: str) -> bool:
    """Whether the hub could have a data set of that name."""
    if not _NAME.fullmatch(name):
        return False
    # `datasets` takes the names of its own file readers for those, and reads what lies around.
    # Found and not imported: that takes a second or two.
    spec = importlib.util.find_spec("datasets")
    folders = (spec and spec.submodule_search_locations) or ()
    return not any((Path(folder) / "packaged_modules" / name).is_dir() for folder in folders)


def read_hub(name: str, split: str | None) -> Table | None:
    """Load a data set of the hub; where the hub is out of reach, the cached copy, or else None.

    The hub counts as out of reach when it does not answer within 3 seconds.

    Raises:
        CorpusError: the hub has no such data set or split, or it cannot be loaded.
    """
    from huggingface_hub import constants

    probe = None if constants.HF_HUB_OFFLINE else _ConnectionProbe()
    import datasets  # takes a second or two, in which the hub may answer

    reachable = probe is not None and not datasets.config.HF_HUB_OFFLINE and probe.succeeded()
    try:
        # Without a connection, load_dataset would try for half a minute before it took the copy.
        loaded = datasets.load_dataset(name, split=split) if reachable else _cached(name, split)
    except Exception as error:  # of `datasets` and all that it calls: network, files, formats
        raise CorpusError(f"Could not load {name!r} from the hub: {cause(error)}.") from error
    if loaded is None:
        return None
    if isinstance(loaded, dict):
        loaded = loaded[choose_split(name, list(loaded), split)]
    return from_dataset(f"The data set {name!r}", loaded, borrowed=True)


def endpoint() -> str:
    """The address of the hub."""
    from huggingface_hub import constants

    return constants.ENDPOINT


def _cached(name: str, split: str | None) -> Any:
    """The copy of a data set in the cache of `datasets`, or None where there is none."""
    from datasets.packaged_modules.cache.cache import Cache

    try:
        builder = Cache(repo_id=name, dataset_name=name.split("/")[-1], version="auto", hash="auto")
    except ValueError:  # there is no copy
        return None
    builder.download_and_prepare()
    return builder.as_dataset(split=split)


class _ConnectionProbe:
    """Tries to connect to the hub, or to the proxy before it, in a thread.

    In a thread, because the look-up of a host name has no timeout and may take much longer.
    """

    def __init__(self) -> None:
        self._until = time.monotonic() + _TIMEOUT
        self._connected = False
        self._thread = threading.Thread(target=self._connect, daemon=True)
        self._thread.start()

    def succeeded(self) -> bool:
        """Whether the connection is made before the timeout."""
        self._thread.join(max(0.0, self._until - time.monotonic()))
        return self._connected

    def _connect(self) -> None:
        with contextlib.suppress(OSError, ValueError):
            socket.create_connection(_address(), timeout=_TIMEOUT).close()
            self._connected = True


def _address() -> tuple[str, int]:
    url = urlsplit(endpoint())
    proxy = urllib.request.getproxies().get(url.scheme)
    if proxy and not urllib.request.proxy_bypass(url.hostname or ""):
        url = urlsplit(proxy if "://" in proxy else f"http://{proxy}")
    return url.hostname or "", url.port or (443 if url.scheme == "https" else 80)

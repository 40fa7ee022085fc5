"""Data sets of the Hugging Face hub, and a quick answer where the hub is out of reach."""

from __future__ import annotations

import contextlib
import importlib.util
import re
import socket
import threading
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

from seqlrp.errors import CorpusError
from seqlrp.text.tables import Table, cause, choose_split, from_dataset

_PATIENCE = 3.0  # seconds

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
    """Load a data set of the hub; without the hub the copy that is here, or else None.

    The hub is taken for unreachable when it does not answer within 3 seconds.

    Raises:
        CorpusError: the hub has no such data set or split, or it cannot be loaded.
    """
    from huggingface_hub import constants

    knock = None if constants.HF_HUB_OFFLINE else _Knock()
    import datasets  # takes a second or two, in which the hub may answer

    reachable = knock is not None and not datasets.config.HF_HUB_OFFLINE and knock.answered()
    try:
        with contextlib.nullcontext() if reachable else _offline():
            loaded = datasets.load_dataset(name, split=split)
    except Exception as error:  # of `datasets` and all that it calls: network, files, formats
        if not reachable and isinstance(error, OSError):
            return None
        raise CorpusError(f"Could not load {name!r} from the hub: {cause(error)}.") from error
    if isinstance(loaded, dict):
        loaded = loaded[choose_split(name, list(loaded), split)]
    return from_dataset(f"The data set {name!r}", loaded, borrowed=True)


def endpoint() -> str:
    """The address of the hub."""
    from huggingface_hub import constants

    return constants.ENDPOINT


class _Knock:
    """Tries to connect to the hub, or to the proxy before it, in a thread.

    In a thread as the look-up of a name takes no time limit, and may hang for much longer.
    """

    def __init__(self) -> None:
        self._until = time.monotonic() + _PATIENCE
        self._answered = False
        self._thread = threading.Thread(target=self._connect, daemon=True)
        self._thread.start()

    def answered(self) -> bool:
        """Whether an answer came, or comes before patience ends."""
        self._thread.join(max(0.0, self._until - time.monotonic()))
        return self._answered

    def _connect(self) -> None:
        with contextlib.suppress(OSError, ValueError):
            socket.create_connection(_address(), timeout=_PATIENCE).close()
            self._answered = True


def _address() -> tuple[str, int]:
    url = urlsplit(endpoint())
    proxy = urllib.request.getproxies().get(url.scheme)
    if proxy and not urllib.request.proxy_bypass(url.hostname or ""):
        url = urlsplit(proxy if "://" in proxy else f"http://{proxy}")
    return url.hostname or "", url.port or (443 if url.scheme == "https" else 80)


@contextlib.contextmanager
def _offline() -> Iterator[None]:
    """Let `datasets` look for a copy at once, where it would try the network for half a minute."""
    import datasets

    before = datasets.config.HF_HUB_OFFLINE
    datasets.config.HF_HUB_OFFLINE = True
    try:
        yield
    finally:
        datasets.config.HF_HUB_OFFLINE = before

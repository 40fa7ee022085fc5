"""Runs the application on a port of this machine until it is interrupted."""

from __future__ import annotations

import secrets
import socket
from collections.abc import Callable, Iterable, Sequence

import uvicorn

from seqlrp.errors import OptionError
from seqlrp.models.classifier import TextClassifier
from seqlrp.serve.app import create_app
from seqlrp.serve.guard import LOOPBACK, Guard
from seqlrp.serve.limits import Limits


def serve(
    classifier: TextClassifier,
    second: TextClassifier | None = None,
    *,
    names: Sequence[str] = ("model", "second model"),
    about: Sequence[str] = (),
    examples: Iterable[str] = (),
    host: str = "127.0.0.1",
    port: int = 0,
    allowed_hosts: Iterable[str] = (),
    token: str | None = None,
    limits: Limits | None = None,
    ready: Callable[[str], object] = print,
) -> None:
    """Serve the live page of a classifier until Ctrl-C; open requests are finished first.

    Args:
        classifier: the model that answers.
        second: a model that is shown beside it on the same text.
        names: what the page calls the two.
        about: a line on each model, such as when it was saved.
        examples: texts of a corpus, which a reader can take up.
        host: the address to listen at. Any other than this machine's own asks callers for a token.
        port: 0 takes one that is free.
        allowed_hosts: more values of the header `Host` that are this server, such as the name that
            a proxy passes on.
        token: what callers must send; made by chance where `host` is not this machine alone.
        limits: what one request may cost.
        ready: is told the address when the server can be reached.

    Raises:
        OptionError: the address cannot be used.
    """
    local = host in ("127.0.0.1", "localhost", "::1")
    if not local and token is None:
        token = secrets.token_urlsafe(24)
    with _listener(host, port) as listener:
        port = listener.getsockname()[1]
        shown = f"[{host}]" if ":" in host else host
        app = create_app(
            classifier,
            second,
            names=names,
            about=about,
            examples=examples,
            hosts=[*(f"{name}:{port}" for name in {*LOOPBACK, shown}), *allowed_hosts],
            token=token,
            limits=limits,
        )
        listener.listen(128)
        ready(f"http://{shown}:{port}/" + (f"#token={token}" if token else ""))
        uvicorn.Server(_config(app)).run(sockets=[listener])


def _config(app: Guard) -> uvicorn.Config:
    return uvicorn.Config(
        app,
        log_level="warning",
        access_log=False,
        server_header=False,
        timeout_graceful_shutdown=10,
        h11_max_incomplete_event_size=64 * 1024,
    )


def _listener(host: str, port: int) -> socket.socket:
    """A socket that is bound to the address."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    # By this protocol asyncio knows that it may send short answers at once, without waiting 40 ms
    # for the client's acknowledgement of the headers.
    listener = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((host, port))
    except (OSError, OverflowError) as error:
        listener.close()
        raise OptionError(
            f"Cannot listen at {host}, port {port}: {error}.", option="port", got=port
        ) from error
    return listener

"""Turns away what does not come from the page itself or from a program that holds the token.

A server on the own machine can be reached by every page that the user's browser shows. Such a page
can send requests, and by rebinding its own host name to 127.0.0.1 could read the answers. So the
headers `Host` and `Origin` must name this server, and bodies must be JSON, which a page of another
origin cannot send without being asked first.
"""

from __future__ import annotations

import hmac
import json
from collections.abc import Iterable
from typing import Any

from seqlrp.serve.limits import Limits, RequestError

LOOPBACK = ("127.0.0.1", "localhost", "[::1]")
OPEN_PATHS = ("/", "/health")  # these hold nothing of the model
HEADERS = {
    "Cache-Control": "no-store",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
}


class Guard:
    """An ASGI application in front of another one, which checks each request first.

    Args:
        app: the application behind it.
        hosts: the values of `Host` that are this server, such as "127.0.0.1:8000".
        token: what `Authorization: Bearer …` must say; None asks for none.
        limits: the largest body.
    """

    def __init__(self, app: Any, hosts: Iterable[str], token: str | None, limits: Limits) -> None:
        self.app, self.token, self.limits = app, token, limits
        self.hosts = frozenset(host.lower() for host in hosts)

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        """Answer a request with an error, or pass it on."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return

        async def send_with_headers(message: Any) -> None:
            if message["type"] == "http.response.start":
                more = [(k.lower().encode(), v.encode()) for k, v in HEADERS.items()]
                message = {**message, "headers": [*message.get("headers", []), *more]}
            await send(message)

        try:
            self._check(scope)
            body = await self._body(scope, receive)
        except RequestError as error:
            await answer(error, send_with_headers)
            return
        await self.app(scope, body, send_with_headers)

    def _check(self, scope: Any) -> None:
        headers = {name.lower(): value.decode("latin-1") for name, value in scope["headers"]}
        host = headers.get(b"host", "").lower()
        if host not in self.hosts:
            raise RequestError(421, "host", "This server does not answer under that host name.")
        origin = headers.get(b"origin")
        if origin is not None and origin.lower().partition("://")[2] not in self.hosts:
            raise RequestError(403, "origin", "Pages of other origins are not answered.")
        if headers.get(b"sec-fetch-site", "none") not in ("same-origin", "none"):
            raise RequestError(403, "origin", "Pages of other origins are not answered.")
        if self.token is not None and scope["path"] not in OPEN_PATHS:
            given = headers.get(b"authorization", "").encode("utf-8", "replace")
            if not hmac.compare_digest(given, f"Bearer {self.token}".encode()):
                raise RequestError(
                    401, "token", "Send the header 'Authorization: Bearer TOKEN' with the token "
                    "that the server printed."
                )  # fmt: skip
        if scope["method"] == "POST":
            kind = headers.get(b"content-type", "").partition(";")[0].strip().lower()
            if kind != "application/json":
                raise RequestError(415, "content_type", "Send JSON: Content-Type application/json.")

    async def _body(self, scope: Any, receive: Any) -> Any:
        """Read the body, as long as it is not too large; return a `receive` that gives it."""
        parts: list[bytes] = []
        while scope["method"] == "POST":
            message = await receive()
            if message["type"] != "http.request":  # the client is gone
                break
            parts.append(message.get("body", b""))
            if sum(map(len, parts)) > self.limits.bytes:
                raise RequestError(
                    413, "too_large", f"The body is larger than {self.limits.bytes:,} bytes."
                )
            if not message.get("more_body"):
                break
        whole: Any = {"type": "http.request", "body": b"".join(parts), "more_body": False}
        given = iter([whole])

        async def receive_again() -> Any:
            return next(given, None) or await receive()

        return receive_again


async def answer(error: RequestError, send: Any) -> None:
    """Send an error as JSON."""
    body = json.dumps(error.told()).encode()
    headers = [(b"content-type", b"application/json"), (b"content-length", b"%d" % len(body))]
    if error.status in (413, 421):  # what is left of the body is not read
        headers.append((b"connection", b"close"))
    await send({"type": "http.response.start", "status": error.status, "headers": headers})
    await send({"type": "http.response.body", "body": body})

"""Requests to an ASGI application in this process, without a socket."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Sequence
from typing import Any, NamedTuple

HOST = "127.0.0.1:8000"


class Answer(NamedTuple):
    status: int
    headers: dict[str, str]
    body: bytes

    def json(self) -> Any:
        return json.loads(self.body)


async def _request(
    app: Any, method: str, path: str, headers: dict[str, str], body: bytes
) -> Answer:
    sent: list[Any] = []
    parts = [{"type": "http.request", "body": body, "more_body": False}]

    async def receive() -> Any:
        return parts.pop() if parts else {"type": "http.disconnect"}

    async def send(message: Any) -> None:
        sent.append(message)

    scope = {
        "type": "http", "asgi": {"version": "3.0"}, "http_version": "1.1", "method": method,
        "path": path, "raw_path": path.encode(), "root_path": "", "scheme": "http",
        "query_string": b"", "client": ("127.0.0.1", 1), "server": ("127.0.0.1", 8000),
        "headers": [(k.lower().encode(), v.encode()) for k, v in headers.items()],
    }  # fmt: skip
    await app(scope, receive, send)
    start = sent[0]
    found = {name.decode(): value.decode() for name, value in start["headers"]}
    return Answer(start["status"], found, b"".join(m.get("body", b"") for m in sent[1:]))


class Client:
    """Sends requests as the page does, unless headers say otherwise."""

    def __init__(self, app: Any) -> None:
        self.app = app

    def get(self, path: str, **headers: str) -> Answer:
        return asyncio.run(_request(self.app, "GET", path, {"host": HOST, **headers}, b""))

    def post(self, path: str, body: Any, **headers: str) -> Answer:
        return self.post_together([(path, body)], **headers)[0]

    def post_together(self, requests: Sequence[tuple[str, Any]], **headers: str) -> list[Answer]:
        """Send several requests at the same time; a body that is no bytes is sent as JSON."""
        sent = {"host": HOST, "content-type": "application/json", **headers}

        async def all_of_them() -> list[Answer]:
            return await asyncio.gather(
                *(
                    _request(
                        self.app, "POST", path, sent,
                        body if isinstance(body, bytes) else json.dumps(body).encode(),
                    )
                    for path, body in requests
                )
            )  # fmt: skip

        return asyncio.run(all_of_them())

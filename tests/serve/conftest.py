"""The application over a small classifier, and a client of it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from samples.asgi import HOST, Client
from samples.classifiers import small_classifier

from seqlrp.serve import Limits, create_app


@pytest.fixture
def serving() -> Iterator[Any]:
    """Make a client of an application with these options; its threads end with the test."""
    clients: list[Client] = []

    def serve(classifier: Any = None, second: Any = None, **options: Any) -> Client:
        bounds = {name: options.pop(name) for name in {*options} & {*Limits.__annotations__}}
        options["limits"] = Limits(**bounds)
        app = create_app(classifier or small_classifier(), second, hosts=[HOST], **options)
        clients.append(Client(app))
        return clients[-1]

    yield serve
    for client in clients:
        client.app.app.state.service.close()


@pytest.fixture
def client(serving: Any) -> Client:
    one: Client = serving()
    return one

"""The server: its address, its token, its command."""

from __future__ import annotations

import http.client
import json
import queue
import socket
import statistics
import threading
import time
import urllib.error
import urllib.request
from typing import Any
from urllib.parse import urlsplit

import pytest
from samples.classifiers import small_classifier
from samples.commands import refused, run

import seqlrp
from seqlrp.errors import OptionError
from seqlrp.serve import Limits, serve
from seqlrp.text.tokens import SpacyTokenizer


def started(**options: Any) -> str:
    """The address of a server in a thread of this process."""
    told: queue.Queue[str] = queue.Queue()
    options |= {"ready": told.put}
    threading.Thread(target=serve, args=(small_classifier(),), kwargs=options, daemon=True).start()
    return told.get(timeout=60)


def asked(address: str, **headers: str) -> Any:
    request = urllib.request.Request(f"{address}model", headers=headers)
    with urllib.request.urlopen(request, timeout=30) as answer:
        return json.loads(answer.read())


def test_this_machine_needs_no_token() -> None:
    address = started(names=("reviews",))
    assert address.startswith("http://127.0.0.1:")
    assert asked(address)["models"][0]["name"] == "reviews"
    with pytest.raises(urllib.error.HTTPError, match="421"):
        asked(address, Host="evil.example")


def test_other_machines_need_one() -> None:
    address, _, token = started(host="0.0.0.0").partition("#token=")
    assert len(token) >= 32
    address = address.replace("0.0.0.0", "127.0.0.1")
    with pytest.raises(urllib.error.HTTPError, match="401"):
        asked(address)
    assert asked(address, Authorization=f"Bearer {token}")["models"]


def test_a_short_answer_does_not_wait_for_an_acknowledgement() -> None:
    """Headers and body are two packets; a client acknowledges the first after 40 ms."""
    connection = http.client.HTTPConnection(urlsplit(started()).netloc, timeout=30)
    seconds = []
    for _ in range(20):
        begun = time.perf_counter()
        connection.request("GET", "/health")
        connection.getresponse().read()
        seconds.append(time.perf_counter() - begun)
    connection.close()
    assert min(seconds[1:]) < 0.03
    assert statistics.median(seconds[1:]) < 0.04


def test_a_port_that_is_taken() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(OptionError, match=f"port {port}"):
            serve(small_classifier(), port=port)


@pytest.mark.parametrize("name", ["bytes", "texts", "words", "waiting", "seconds"])
def test_limits_are_above_0(name: str) -> None:
    with pytest.raises(OptionError, match=name):
        Limits(**{name: 0})


def test_the_command(
    tmp_path: Any, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    model, corpus = tmp_path / "model", tmp_path / "texts.txt"
    classifier = small_classifier()
    object.__setattr__(classifier, "tokenizer", SpacyTokenizer())
    seqlrp.save(classifier, model)
    corpus.write_text("a good film\na bad plot\n")
    seen: dict[str, Any] = {}

    def told(*classifiers: Any, **options: Any) -> None:
        seen.update(options, count=len(classifiers))
        options["ready"]("http://127.0.0.1:1/")

    monkeypatch.setattr("seqlrp.serve.serve", told)
    status, out, _ = run(capsys, "serve", model, model, "--corpus", corpus, "--max-words", 7)
    assert (status, out.strip()) == (0, "http://127.0.0.1:1/")
    assert seen["count"] == 2
    assert seen["examples"] == ["a good film", "a bad plot"]
    assert seen["limits"] == Limits(words=7)
    assert len(set(seen["names"])) == 2
    assert "Could not read" in refused(capsys, "serve", tmp_path / "nothing")

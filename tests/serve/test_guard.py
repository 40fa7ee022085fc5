"""Who is answered: this machine's own page, and who holds the token."""

from __future__ import annotations

import json
import resource
from functools import cache
from random import Random
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from samples.asgi import HOST, Client
from samples.classifiers import small_classifier
from samples.examples import examples

from seqlrp.serve import create_app

ASKED = {"texts": ["a good film"]}


@pytest.mark.parametrize(("headers", "status"), [
    ({}, 200),
    ({"origin": f"http://{HOST}", "sec-fetch-site": "same-origin"}, 200),
    ({"host": "evil.example:8000"}, 421),  # a name that was rebound to this machine
    ({"host": "127.0.0.1:9"}, 421),
    ({"host": ""}, 421),
    ({"origin": "http://evil.example"}, 403),
    ({"origin": "null"}, 403),
    ({"origin": f"http://{HOST}.evil.example"}, 403),
    ({"sec-fetch-site": "cross-site"}, 403),
    ({"sec-fetch-site": "same-site"}, 403),
    ({"content-type": "text/plain"}, 415),  # what a form of another page can send
    ({"content-type": "application/x-www-form-urlencoded"}, 415),
])  # fmt: skip
def test_where_a_request_comes_from(client, headers, status) -> None:
    answer = client.post("/predict", ASKED, **headers)
    assert answer.status == status
    assert (status == 200) == ("predictions" in answer.json())
    assert not [name for name in answer.headers if name.startswith("access-control")]


def test_a_large_body_is_not_read(serving) -> None:
    client = serving(bytes=1000)
    answer = client.post("/predict", {"texts": ["a" * 2000]})
    assert (answer.status, answer.json()["code"]) == (413, "too_large")


def test_a_token_is_asked_for(serving) -> None:
    client = serving(token="secret")
    assert client.get("/").status == 200
    assert client.get("/health").status == 200
    for headers in ({}, {"authorization": "Bearer secre"}, {"authorization": "Bearer sécret"}):
        assert client.post("/predict", ASKED, **headers).status == 401
        assert client.get("/model", **headers).status == 401
    assert client.post("/predict", ASKED, authorization="Bearer secret").status == 200


def test_the_page_holds_nothing_of_the_model_and_loads_nothing(client) -> None:
    answer = client.get("/")
    assert answer.status == 200
    page = answer.body.decode()
    assert "positive" not in page
    assert "http://" not in page.replace("http://www.w3.org/2000/svg", "")
    policy = answer.headers["content-security-policy"]
    assert "default-src 'none'" in policy
    assert "unsafe" not in policy
    assert "connect-src 'self'" in policy
    assert answer.headers["x-frame-options"] == "DENY"
    schema = client.get("/openapi.json").json()
    assert {"/explain", "/predict", "/model", "/health"} <= set(schema["paths"])
    assert client.get("/docs").status == 404


@cache
def app() -> Any:
    """One application for many requests; starting one answers questions, which takes a while."""
    return create_app(small_classifier(), hosts=[HOST])


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)
FIELDS = st.sampled_from(
    ["texts", "text", "model", "target", "against", "method", "removed", "removal", "most", "x"]
)
BODIES = st.dictionaries(FIELDS, VALUES | st.just(["a good film"]), max_size=5)


def _check(path: str, body: bytes) -> None:
    answer = Client(app()).post(path, body)
    assert answer.status < 500, answer.body
    assert b"Traceback" not in answer.body
    if answer.status != 200:
        assert set(answer.json()) == {"error", "code", "text"}


@examples(40)
@given(st.sampled_from(["/explain", "/predict", "/curves", "/change"]), BODIES)
def test_hostile_json(path, body) -> None:
    _check(path, json.dumps(body).encode("utf-8", "surrogatepass"))


@examples(40)
@given(st.binary(max_size=60))
def test_broken_json(body) -> None:
    _check("/predict", body)


HOSTILE: list[Any] = [
    None, True, -1, 0, 1, 2**70, 1e308, float("nan"), "", "a good film", "\ud800", "\x00\u202e",
    "<script>alert(1)</script>", "lrp", "predicted", "positive", "negative", "occlusion", "zero",
    "delete", "unk", [], ["a good film"], ["a", ""], [[]], [[0]], [[2**40]], [[0, 0, 1]], {},
    {"a": [1]}, "word " * 300, ["x"] * 70,
]  # fmt: skip


def _hostile_body(drawn: Random) -> bytes:
    """JSON of known and unknown fields with odd values; every third body is damaged."""
    fields = [
        "texts",
        "text",
        "model",
        "target",
        "against",
        "method",
        "methods",
        "removed",
        "removal",
        "most",
        "title",
        "x",
    ]
    names = drawn.sample(fields, drawn.randint(0, 5))
    body = {"texts": ["a good film"], "text": "a good film"} if drawn.random() < 0.5 else {}
    if drawn.random() < 0.5 and body:
        del body[drawn.choice(["texts", "text"])]
    body |= {name: drawn.choice(HOSTILE) for name in names}
    raw = bytearray(json.dumps(body).encode("utf-8", "surrogatepass"))
    if drawn.random() < 1 / 3:
        for _ in range(drawn.randint(1, 4)):
            raw[drawn.randrange(len(raw))] = drawn.randrange(256)
        del raw[drawn.randint(1, len(raw)) :]
    return bytes(raw)


@pytest.mark.slow
def test_ten_thousand_hostile_requests_leave_nothing_behind() -> None:
    """No status of 5xx, no traceback, and no memory that grows with the requests."""
    drawn, statuses, peaks = Random(0), set[int](), list[int]()
    client = Client(app())
    paths = ["/explain", "/predict", "/curves", "/change", "/page"]
    for number in range(10_000):
        answer = client.post(drawn.choice(paths), _hostile_body(drawn))
        assert answer.status < 500, answer.body
        assert b"Traceback" not in answer.body
        statuses.add(answer.status)
        if number % 2_000 == 1_999:
            peaks.append(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)
    assert {200, 400, 413, 422} <= statuses
    # What is loaded once, such as the other methods, is loaded by the first 4,000.
    assert peaks[-1] - peaks[1] < 20_000, f"kilobytes: {peaks}"
    assert client.post("/predict", ASKED).status == 200

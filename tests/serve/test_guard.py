"""Who is answered: this machine's own page, and who holds the token."""

from __future__ import annotations

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from samples.asgi import HOST, Client
from samples.classifiers import small_classifier

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


APP = create_app(small_classifier(), hosts=[HOST])
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
    answer = Client(APP).post(path, body)
    assert answer.status < 500, answer.body
    assert b"Traceback" not in answer.body
    if answer.status != 200:
        assert set(answer.json()) == {"error", "code"}


@settings(max_examples=40, deadline=None)
@given(st.sampled_from(["/explain", "/predict", "/curves", "/change"]), BODIES)
def test_hostile_json(path, body) -> None:
    _check(path, json.dumps(body).encode("utf-8", "surrogatepass"))


@settings(max_examples=40, deadline=None)
@given(st.binary(max_size=60))
def test_broken_json(body) -> None:
    _check("/predict", body)

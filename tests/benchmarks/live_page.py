"""Load on the live page: many clients against one request at a time, and server against model.

    python tests/benchmarks/live_page.py MODEL [--clients 32] [--requests 640] [--keys 40]

Clients are threads of a second process and send sentences of 20 words over sockets of this machine.
Printed are, as medians of rounds that alternate:

- requests a second with many clients and with one, and their ratio; texts in a batch;
- the median and the 99th percentile of the time of one request under load;
- the time of the server as a multiple of the model's own time (what `LiveModel` spends on a batch:
  tokens, relevance and the records), under load and for a lone request; for a lone request also as
  a multiple of `LRP(model).attribute(ids)` of the same text, measured in the same rounds;
- in Chromium, if there is one: the time from a key press at the end of a text of 200 words until
  its colours are painted, beside the model's own time for the same key press.
"""

from __future__ import annotations

import argparse
import http.client
import json
import queue
import random
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, NamedTuple

import seqlrp
from seqlrp.serve import serve
from seqlrp.serve.live_model import LiveModel

sys.path.append(str(Path(__file__).parents[1]))
from samples.browser import BROWSER, Browser

ROUNDS = 3
LONE = 40  # requests by one client, for each length
PAINTED = """
  window.found = []; let pressed = 0;
  const field = document.getElementById('text');
  field.addEventListener('keydown', () => { pressed = performance.now(); });
  new MutationObserver(() => requestAnimationFrame(() => setTimeout(() => {
    if (pressed) window.found.push(performance.now() - pressed);
    pressed = 0;
  }))).observe(document.querySelector('.text'), { childList: true });
"""


class Batch(NamedTuple):
    """What the model did at a time: how many texts, in how many seconds."""

    texts: int
    seconds: float


class Watch:
    """Notes every batch of every model that is served."""

    def __init__(self) -> None:
        self._batches: list[Batch] = []
        run = LiveModel._run

        def timed(model: LiveModel, kind: Any, items: Sequence[Any]) -> Sequence[Any]:
            start = time.perf_counter()
            results = run(model, kind, items)
            self._batches.append(Batch(len(items), time.perf_counter() - start))
            return results

        LiveModel._run = timed  # type: ignore[assignment, method-assign]

    def take(self) -> list[Batch]:
        """The batches since the last call."""
        found, self._batches = self._batches, []
        return found


class Client:
    """A connection that is kept open."""

    def __init__(self, port: int) -> None:
        self.connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)

    def explain(self, text: str) -> float:
        """Explain a text; return the seconds until the answer."""
        start = time.perf_counter()
        headers = {"Content-Type": "application/json"}
        self.connection.request("POST", "/explain", json.dumps({"texts": [text]}), headers)
        answer = self.connection.getresponse()
        body = answer.read()
        assert answer.status == 200, body
        return time.perf_counter() - start


def send_all(port: int, clients: int, texts: list[str]) -> dict[str, Any]:
    """Seconds from the first request to the last answer, and of each request."""
    local = threading.local()

    def send(text: str) -> float:
        if not hasattr(local, "client"):
            local.client = Client(port)
        found: float = local.client.explain(text)
        return found

    with ThreadPoolExecutor(clients) as pool:
        list(pool.map(send, texts[: 2 * clients]))
        start = time.perf_counter()
        seconds = list(pool.map(send, texts))
        return {"whole": time.perf_counter() - start, "each": seconds}


def sent_by_a_process(port: int, clients: int, texts: list[str]) -> dict[str, Any]:
    """`send_all` in a process of its own, which does not slow the server's threads."""
    command = [sys.executable, __file__, "--send", str(port), str(clients)]
    done = subprocess.run(command, input=json.dumps(texts), stdout=subprocess.PIPE, text=True,
                          check=True)  # fmt: skip
    return dict(json.loads(done.stdout))


def under_load(port: int, watch: Watch, texts: list[str], clients: int) -> None:
    rates: dict[int, list[float]] = {1: [], clients: []}
    waits, shares, sizes = [], [], []
    for _ in range(ROUNDS):
        for count in rates:
            asked = texts if count > 1 else texts[: len(texts) // 4]
            watch.take()
            found = sent_by_a_process(port, count, asked)
            rates[count].append(len(asked) / found["whole"])
            if count > 1:
                waits += found["each"]
                batches = watch.take()
                sizes.append(statistics.mean(batch.texts for batch in batches))
                each = sum(b.seconds for b in batches) / sum(b.texts for b in batches)
                shares.append(found["whole"] / len(asked) / each)
    one, many = (statistics.median(values) for values in rates.values())
    print(f"requests a second: {many:.0f} from {clients} clients, {one:.0f} from one, "
          f"ratio {many / one:.2f}; {statistics.median(sizes):.1f} texts in a batch")  # fmt: skip
    centiles = statistics.quantiles(waits, n=100)
    print(f"a request under load: median {1000 * centiles[49]:.0f} ms, "
          f"99 % {1000 * centiles[98]:.0f} ms")  # fmt: skip
    print(f"server / model under load: {statistics.median(shares):.2f}")


def lone_requests(
    port: int, watch: Watch, classifier: seqlrp.TextClassifier, texts: list[str]
) -> None:
    client, method = Client(port), seqlrp.LRP(classifier.model)
    client.explain(texts[0])
    served, by_model, by_method = [], [], []
    for text in texts:
        ids = classifier.batch(list(classifier.encode([text]))).ids
        start = time.perf_counter()
        method.attribute(ids, target=0)
        bare = time.perf_counter() - start
        watch.take()
        served.append(client.explain(text))
        by_model.append(served[-1] / watch.take()[0].seconds)
        by_method.append(served[-1] / bare)
    print(f"a lone request of {len(texts[0].split())} words: "
          f"{1000 * statistics.median(served):.1f} ms, "
          f"{statistics.median(by_model):.2f} times the model's own time, "
          f"{statistics.median(by_method):.2f} times LRP.attribute")  # fmt: skip


def key_presses(port: int, watch: Watch, text: str, count: int) -> None:
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as profile:
        browser = Browser(Path(profile))
        try:
            found, model = _pressed(browser, port, watch, text, count)
        finally:
            browser.close()
    beside = [1000 * (whole - own) for whole, own in zip(found, model, strict=True)]
    print(f"key press to colours, {len(text.split())} words, {len(found)} presses: "
          f"{1000 * statistics.median(found):.0f} ms, of which the model "
          f"{1000 * statistics.median(model):.0f} ms; "
          f"beside the model {statistics.median(beside):.0f} ms")  # fmt: skip


def _pressed(
    browser: Browser, port: int, watch: Watch, text: str, count: int
) -> tuple[list[float], list[float]]:
    browser.open(f"http://127.0.0.1:{port}/#try=" + json.dumps({"text": text}).replace(" ", "%20"))

    def until(condition: str) -> None:
        end = time.monotonic() + 60
        while not browser.run(condition):
            assert time.monotonic() < end, condition
            time.sleep(0.02)

    until("document.querySelectorAll('.text u').length > 0")
    browser.run(PAINTED)
    browser.run("(f => { f.focus(); f.setSelectionRange(f.value.length, f.value.length); })"
                "(document.getElementById('text'))")  # fmt: skip
    model: list[float] = []
    for number in range(count):
        watch.take()
        for kind in ("keyDown", "keyUp"):
            browser.send("Input.dispatchKeyEvent", type=kind, key="a", code="KeyA", text="a",
                         windowsVirtualKeyCode=65)  # fmt: skip
        until(f"window.found.length === {number + 1}")
        model.append(watch.take()[-1].seconds)
    return [milliseconds / 1000 for milliseconds in browser.run("window.found")], model


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("model", type=Path, nargs="?")
    parser.add_argument("--clients", type=int, default=32)
    parser.add_argument("--requests", type=int, default=640)
    parser.add_argument("--keys", type=int, default=40)
    parser.add_argument("--send", type=int, nargs=2, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.send:
        port, clients = given.send
        print(json.dumps(send_all(port, clients, json.load(sys.stdin))))
        return
    classifier, watch = seqlrp.load(given.model), Watch()
    told: queue.Queue[str] = queue.Queue()
    options: dict[str, Any] = {"ready": told.put}
    threading.Thread(target=serve, args=(classifier,), kwargs=options, daemon=True).start()
    port = int(told.get().rstrip("/").rpartition(":")[2])
    drawn = random.Random(0)
    words = [w for w in classifier.vocabulary.tokens[2:3000] if w.isalpha()]

    def sentences(count: int, length: int) -> list[str]:
        return [" ".join(drawn.choices(words, k=length)) for _ in range(count)]

    under_load(port, watch, sentences(given.requests, 20), given.clients)
    for length in (20, 200):
        lone_requests(port, watch, classifier, sentences(LONE, length))
    if BROWSER is None:
        print("no Chromium on this machine: no key presses")
    else:
        key_presses(port, watch, sentences(1, 200)[0], given.keys)


if __name__ == "__main__":
    main()

"""Load on the live page: many clients against one request at a time, and server against model.

    python tests/benchmarks/live_page.py MODEL [--clients 32] [--requests 640]

Sentences of 20 words, sent over sockets of this machine. Prints requests a second with many clients
and with one, their ratio, the median and the 99th percentile of the time of one request, and the
median time of a lone request of 20 and of 200 words as a multiple of `seqlrp.explain` of the same
text in this process, measured in the same rounds.
"""

from __future__ import annotations

import argparse
import http.client
import json
import queue
import random
import statistics
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import seqlrp
from seqlrp.serve import serve


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


def throughput(port: int, texts: list[str], clients: int) -> tuple[float, list[float]]:
    """Requests a second, and the seconds of each."""
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
        return len(texts) / (time.perf_counter() - start), seconds


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("model", type=Path)
    parser.add_argument("--clients", type=int, default=32)
    parser.add_argument("--requests", type=int, default=640)
    given = parser.parse_args()
    classifier = seqlrp.load(given.model)
    told: queue.Queue[str] = queue.Queue()
    options: dict[str, Any] = {"ready": told.put}
    threading.Thread(target=serve, args=(classifier,), kwargs=options, daemon=True).start()
    port = int(told.get().rstrip("/").rpartition(":")[2])
    drawn = random.Random(0)
    words = [w for w in classifier.vocabulary.tokens[2:3000] if w.isalpha()]
    texts = [" ".join(drawn.choices(words, k=20)) for _ in range(given.requests)]

    rates: dict[int, list[float]] = {1: [], given.clients: []}
    waits: list[float] = []
    for _ in range(3):
        for clients in rates:
            rate, seconds = throughput(port, texts, clients)
            rates[clients].append(rate)
            waits += seconds if clients > 1 else []
    one, many = (statistics.median(values) for values in rates.values())
    print(f"requests a second: {many:.0f} from {given.clients} clients, {one:.0f} from one, "
          f"ratio {many / one:.2f}")  # fmt: skip
    centiles = statistics.quantiles(waits, n=100)
    print(f"seconds of a request under load: median {centiles[49]:.3f}, 99 % {centiles[98]:.3f}")
    client = Client(port)
    for length in (20, 200):
        ratios, served = [], []
        for _ in range(40):
            text = " ".join(drawn.choices(words, k=length))
            start = time.perf_counter()
            seqlrp.explain(classifier, [text], progress=False)
            alone = time.perf_counter() - start
            served.append(client.explain(text))
            ratios.append(served[-1] / alone)
        print(f"{length} words: {1000 * statistics.median(served):.1f} ms, "
              f"{statistics.median(ratios):.2f} times seqlrp.explain")  # fmt: skip


if __name__ == "__main__":
    main()

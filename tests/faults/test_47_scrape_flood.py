"""Row 47: the metrics port is flooded, and held open by clients that never finish a request."""

import contextlib
import socket
import threading
import urllib.request
from collections.abc import Iterator

from tests.support.mail import deployment, queue_worker
from tests.support.operator_bench import OperatorBench

LORISES = 200
SCRAPERS = 4
MOST = 4


@contextlib.contextmanager
def slow_loris(port: int) -> Iterator[None]:
    """Hold connections open with half a request each."""
    with contextlib.ExitStack() as stack:
        for _ in range(LORISES):
            held = stack.enter_context(socket.create_connection(("127.0.0.1", port), 5))
            held.sendall(b"GET /metrics HTTP/1.1\r\nHost: x\r\nX-")
        yield


@contextlib.contextmanager
def flood(port: int) -> Iterator[list[int]]:
    """Scrape without a pause; give the sizes of the answers."""
    stop, sizes = threading.Event(), list[int]()

    def scrape() -> None:
        while not stop.is_set():
            with contextlib.suppress(OSError):
                url = f"http://127.0.0.1:{port}/metrics"
                with urllib.request.urlopen(url, timeout=5) as answer:
                    sizes.append(len(answer.read()))

    threads = [threading.Thread(target=scrape) for _ in range(SCRAPERS)]
    for thread in threads:
        thread.start()
    try:
        yield sizes
    finally:
        stop.set()
        for thread in threads:
            thread.join(10)


def test_row_47_decisions_do_not_wait_for_scrapers(operated: OperatorBench) -> None:
    operated.place.apply(operated.secret, deployment(), queue_worker(maxReplicas=MOST))
    operator = operated.start()
    operated.await_leader(operator)
    operated.place.await_told("Ready")

    with slow_loris(operator.port), flood(operator.port) as sizes:
        operated.enqueue(2000)
        operated.await_replicas(MOST, within_s=3)
        assert operator.get("/livez")[0] == 200

    assert sizes

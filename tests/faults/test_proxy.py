"""The fault proxy does what its plans say: the network rows stand on it."""

import socket
import threading
import time
from collections.abc import Iterator

import pytest
from tests.support.fault_proxy import GOOD, SILENT, FaultProxy, Plan


@pytest.fixture
def echo() -> Iterator[tuple[str, int]]:
    """Serve an echo; what arrived is in `heard`."""
    server = socket.create_server(("127.0.0.1", 0))

    def answer(client: socket.socket) -> None:
        with client:
            while chunk := client.recv(65_536):
                client.sendall(chunk)

    def accept() -> None:
        while True:
            try:
                client, _ = server.accept()
            except OSError:
                return
            threading.Thread(target=answer, args=(client,), daemon=True).start()

    threading.Thread(target=accept, daemon=True).start()
    yield server.getsockname()
    server.close()


def client_of(proxy: FaultProxy) -> socket.socket:
    client = socket.create_connection(("127.0.0.1", proxy.port))
    client.settimeout(5)
    return client


def test_a_good_plan_passes_everything(echo: tuple[str, int]) -> None:
    with FaultProxy(echo) as proxy, client_of(proxy) as client:
        client.sendall(b"x" * 100_000)
        size = 0
        while size < 100_000:
            size += len(client.recv(65_536))
        assert size == 100_000


def test_a_delay_holds_in_both_directions(echo: tuple[str, int]) -> None:
    with FaultProxy(echo) as proxy, client_of(proxy) as client:
        proxy.plan = Plan(delay_s=0.1)
        began_s = time.monotonic()
        client.sendall(b"x")
        assert client.recv(1) == b"x"
        assert 0.2 <= time.monotonic() - began_s < 1.0


def test_lost_chunks_come_late_but_come(echo: tuple[str, int]) -> None:
    with FaultProxy(echo, seed=3) as proxy, client_of(proxy) as client:
        proxy.plan = Plan(loss=0.5, loss_delay_s=0.05)
        slow = 0
        for _ in range(20):
            began_s = time.monotonic()
            client.sendall(b"x")
            assert client.recv(1) == b"x"
            slow += time.monotonic() - began_s >= 0.05
        assert 5 <= slow <= 20


def test_bandwidth_is_bounded(echo: tuple[str, int]) -> None:
    with FaultProxy(echo) as proxy, client_of(proxy) as client:
        proxy.plan = Plan(bytes_per_s=10_000)
        began_s = time.monotonic()
        client.sendall(b"x" * 2_000)
        got = b""
        while len(got) < 2_000:
            got += client.recv(4_096)
        assert time.monotonic() - began_s >= 0.4


def test_silence_keeps_the_connection_and_swallows_the_bytes(echo: tuple[str, int]) -> None:
    with FaultProxy(echo) as proxy, client_of(proxy) as client:
        proxy.plan = SILENT
        client.sendall(b"lost")
        client.settimeout(0.3)
        with pytest.raises(TimeoutError):
            client.recv(1)
        proxy.plan = GOOD
        client.settimeout(5)
        client.sendall(b"x")
        assert client.recv(8) == b"x"


def test_a_connection_is_truncated_after_so_many_bytes(echo: tuple[str, int]) -> None:
    with FaultProxy(echo) as proxy, client_of(proxy) as client:
        proxy.plan = Plan(cut_after_bytes=15)
        client.sendall(b"0123456789")
        got = b""
        while chunk := client.recv(100):
            got += chunk
        assert got == b"01234"  # ten went there, five came back


@pytest.mark.parametrize("must_pass", [True, False])
def test_a_marker_cuts_one_connection_before_or_after_it_was_passed(must_pass: bool) -> None:
    heard: list[bytes] = []
    with socket.create_server(("127.0.0.1", 0)) as server:

        def listen() -> None:
            with server.accept()[0] as peer:
                while chunk := peer.recv(100):
                    heard.append(chunk)
                heard.append(b"end")

        listener = threading.Thread(target=listen, daemon=True)
        listener.start()
        with FaultProxy(server.getsockname()) as proxy, client_of(proxy) as client:
            cut = proxy.cut_at(b"COMMIT", must_pass=must_pass)
            client.sendall(b"COMMIT")
            assert cut.wait(5)
            assert client.recv(1) == b""
            listener.join(5)

    assert heard == ([b"COMMIT", b"end"] if must_pass else [b"end"])


def test_it_refuses_and_cuts_all(echo: tuple[str, int]) -> None:
    with FaultProxy(echo) as proxy, client_of(proxy) as client:
        client.sendall(b"x")
        assert client.recv(1) == b"x"
        proxy.cut_all()
        assert client.recv(1) == b""
        proxy.plan = Plan(refuses=True)
        with client_of(proxy) as refused:
            assert refused.recv(1) == b""
        assert proxy.accepted == 2

"""Row 21: packets of open connections are dropped on their way, in a network of the test's own."""

import os
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from tests.support.fault_proxy import FaultProxy, socket_of, through
from tests.support.waiting import wait_until
from tests.support.worker_process import Bench, WorkerProcess

pytestmark = pytest.mark.system
OURS, THEIRS = "10.213.7.1", "10.213.7.2"
DETECTED_WITHIN_S = 10.0


def run(*command: str) -> None:
    subprocess.run(command, check=True, capture_output=True)


@contextmanager
def network() -> Iterator[str]:
    """Make a network namespace that reaches this one by a cable; give its name."""
    assert os.geteuid() == 0, "this test makes a network: run make faults as root"
    name, cable = f"qw-{os.getpid()}", f"qw{os.getpid()}"
    run("ip", "netns", "add", name)
    try:
        run("ip", "link", "add", cable, "type", "veth", "peer", "name", "eth0", "netns", name)
        run("ip", "address", "add", f"{OURS}/30", "dev", cable)
        run("ip", "link", "set", cable, "up")
        for command in (f"address add {THEIRS}/30 dev eth0", "link set eth0 up", "link set lo up"):
            run("ip", "-n", name, *command.split())
        yield name
    finally:
        run("ip", "netns", "delete", name)
        if not os.listdir("/run/netns"):  # noqa: PTH208 - names are enough
            # `ip` leaves a shared mount behind, which a local cluster would find in its way.
            subprocess.run(["umount", "/run/netns"], check=False, capture_output=True)


def drop(name: str, ports: list[int]) -> None:
    """Lose all packets of these connections, both ways; nobody is told."""
    shown = ", ".join(map(str, ports))
    rules = f"""
        table inet lost {{
          chain leaving {{ type filter hook output priority 0; tcp sport {{ {shown} }} drop; }}
          chain coming {{ type filter hook input priority 0; tcp dport {{ {shown} }} drop; }}
        }}
    """
    subprocess.run(
        ["ip", "netns", "exec", name, "nft", "-f", "-"], input=rules, text=True, check=True
    )


def test_every_connection_notices_lost_packets_within_ten_seconds(dsn: str, bench: Bench) -> None:
    with (
        network() as name,
        FaultProxy(socket_of(dsn), host=OURS) as proxy,
        WorkerProcess(
            through(dsn, proxy),
            through=lambda command: ["ip", "netns", "exec", name, *command],
        ) as worker,
    ):
        worker.ready()
        wait_until(lambda: len(proxy.client_ports()) >= 4, what="all are connected")
        before = proxy.accepted
        drop(name, proxy.client_ports())
        began_s = time.monotonic()
        (job,) = bench.enqueue("sleeper", seconds=0.1)
        wait_until(
            lambda: proxy.accepted >= before + 4,
            within_s=DETECTED_WITHIN_S + 10,
            what="all are opened anew",
            every_s=0.05,
        )
        took_s = time.monotonic() - began_s
        bench.until_gone(job)
        log = worker.log

    assert took_s <= DETECTED_WITHIN_S
    assert "lease lost" not in log

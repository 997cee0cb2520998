"""`kubectl queueworker get --watch` on a terminal, and without one."""

import errno
import json
import os
import pty
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import partial
from pathlib import Path

import pytest
from tests.support.controlplane import ApiServer
from tests.support.mail import Place, deployment, pod, queue_worker, secret
from tests.support.waiting import wait_until

RUN = "import sys; from queueworker_operator.__main__ import kubectl; sys.exit(kubectl())"

END = "nothing that anybody prints"


@pytest.fixture
def place(crd: ApiServer, namespace: str, dsn: str) -> Place:
    place = Place(server=crd, namespace=namespace)
    place.apply(deployment(replicas=1), queue_worker(), secret(dsn))
    place.add_pod(pod("mail-worker-a"))
    return place


def command(place: Place, *words: str) -> list[str]:
    flags = ["--kubeconfig", str(place.server.kubeconfig), "-n", place.namespace]
    return [sys.executable, "-c", RUN, "get", "--watch", *words, *flags]


@contextmanager
def on_a_terminal(place: Place, **more: str) -> Iterator[tuple["subprocess.Popen[bytes]", int]]:
    ours, theirs = pty.openpty()
    known = {"TERM": "xterm", "COLUMNS": "50", "LINES": "20", "PATH": os.environ["PATH"]}
    started = subprocess.Popen(
        command(place),
        stdin=theirs,
        stdout=theirs,
        stderr=theirs,
        env=known | more,
        start_new_session=True,
    )
    os.close(theirs)
    try:
        yield started, ours
    finally:
        if started.poll() is None:
            started.kill()
        os.close(ours)


def read_until(terminal: int, words: str, *, within_s: float = 30.0) -> str:
    os.set_blocking(terminal, False)
    text, end_s = "", time.monotonic() + within_s
    while words not in text:
        assert time.monotonic() < end_s, text
        with suppress(BlockingIOError):
            try:
                text += os.read(terminal, 65536).decode(errors="replace")
            except OSError as exc:  # the other end is closed, which Linux calls an error
                if exc.errno != errno.EIO:
                    raise
                return text
        time.sleep(0.05)
    return text


def test_on_a_terminal_the_tree_changes_in_place_and_ctrl_c_leaves_the_last_one(
    place: Place,
) -> None:
    with on_a_terminal(place) as (started, terminal):
        first = read_until(terminal, "mail-worker-a")
        place.add_pod(pod("mail-worker-new", ready=False))
        read_until(terminal, "mail-worker-new")
        os.killpg(started.pid, signal.SIGINT)
        left = read_until(terminal, END)

        assert started.wait(20) == 0
    assert "\x1b[?1049h" in first
    assert "\x1b[32m" in first
    assert "mail-worker-new" in left.rpartition("\x1b[?1049l")[2]
    assert "Traceback" not in left


def test_no_color_takes_the_colours_and_leaves_the_rest(place: Place) -> None:
    with on_a_terminal(place, NO_COLOR="1") as (started, terminal):
        text = read_until(terminal, "mail-worker-a")
        os.killpg(started.pid, signal.SIGINT)
        assert started.wait(20) == 0

    assert re.findall(r"\x1b\[[0-9;]*3[0-7]m", text) == []


def test_without_a_terminal_each_look_is_plain_text_or_a_line_of_json(
    place: Place, tmp_path: Path
) -> None:
    log = tmp_path / "log"

    def has_looked_twice(shown: str) -> bool:
        return log.read_text().count(shown) >= 2

    for words, shown in ((), "mail-worker-a  ready"), (("-o", "json"), '"pod": "mail-worker-a"'):
        with log.open("wb") as output:
            started = subprocess.Popen(command(place, *words), stdout=output, stderr=output)
        wait_until(partial(has_looked_twice, shown), within_s=30, what="two looks")
        started.send_signal(signal.SIGINT)
        assert started.wait(20) == 0
        assert "\x1b" not in log.read_text()
    assert all(json.loads(line) for line in log.read_text().splitlines())

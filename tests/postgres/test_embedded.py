import os
import pwd
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest

from queueworker import EmbeddedServerError, embedded
from queueworker.cluster import Cluster
from queueworker.dsn import Dsn

pytestmark = pytest.mark.postgres

IS_ROOT = os.geteuid() == 0
START = "import sys; from queueworker import embedded; print(embedded.start(sys.argv[1]))"


@pytest.fixture
def place() -> Iterator[Path]:
    """Give a directory for one server; nothing of it is left afterwards."""
    path = Path(tempfile.mkdtemp(prefix="qw-"))
    yield path / "db"
    embedded.remove(path / "db")
    shutil.rmtree(path)


def version_of(dsn: str) -> int:
    with psycopg.connect(dsn) as conn:
        return conn.info.server_version // 10_000


def test_a_server_starts_stops_and_starts_again_with_its_data(place: Path) -> None:
    dsn = embedded.start(place)
    with psycopg.connect(dsn) as conn:
        conn.execute("CREATE TABLE kept (x int)")
    assert embedded.start(place) == dsn == embedded.dsn(place)
    assert embedded.stop(place)
    assert not embedded.stop(place)
    with pytest.raises(EmbeddedServerError, match="queueworker db start"):
        embedded.dsn(place)
    with psycopg.connect(embedded.start(place)) as conn:
        found = conn.execute("SELECT to_regclass('kept')").fetchone()

    assert found == ("kept",)
    assert version_of(dsn) >= 15


def test_a_server_outlives_the_process_that_started_it_and_any_other_stops_it(place: Path) -> None:
    started = subprocess.run(
        [sys.executable, "-c", START, str(place)], check=True, capture_output=True, text=True
    )
    dsn = started.stdout.strip()

    assert version_of(dsn) >= 15
    assert embedded.stop(place)
    with pytest.raises(psycopg.OperationalError):
        version_of(dsn)


def test_a_server_that_went_down_without_a_shutdown_starts_again(place: Path) -> None:
    embedded.start(place)
    pid_file = Cluster.at(place).pid_file
    os.kill(int(pid_file.read_text().split("\n")[0]), signal.SIGQUIT)
    deadline_s = time.monotonic() + 20
    while pid_file.exists():
        assert time.monotonic() < deadline_s

    assert version_of(embedded.start(place)) >= 15


@pytest.mark.skipif(not IS_ROOT, reason="an ordinary user reaches only what is its own")
def test_root_opens_no_directory_to_others_for_the_servers_user(place: Path) -> None:
    place.parent.chmod(0o700)
    dsn = embedded.start(place)
    home = Cluster.at(place).home

    assert version_of(dsn) >= 15
    assert place.parent.stat().st_mode & 0o777 == 0o700
    assert place not in home.parents
    assert home.stat().st_mode & 0o077 == 0


@pytest.mark.skipif(not IS_ROOT, reason="the other tests run as an ordinary user already")
def test_an_ordinary_user_starts_a_server_of_its_own(place: Path) -> None:
    user = pwd.getpwnam("nobody")
    place.parent.chmod(0o755)
    setpriv = shutil.which("setpriv")
    assert setpriv, "install util-linux"
    os.chown(place.parent, user.pw_uid, user.pw_gid)
    # The right to read alone: the interpreter may stand in root's home.
    become = [setpriv, f"--reuid={user.pw_uid}", f"--regid={user.pw_gid}", "--clear-groups"]
    become += ["--inh-caps=+dac_read_search", "--ambient-caps=+dac_read_search"]
    become += ["--securebits=+no_setuid_fixup"]  # else access(2), by which initdb looks, forgets it
    started = subprocess.run(
        [*become, sys.executable, "-c", START, str(place)],
        check=True,
        capture_output=True,
        text=True,
        cwd="/",
    )

    assert version_of(started.stdout.strip()) >= 15
    assert (place / "data").stat().st_uid == user.pw_uid


def test_a_long_path_gets_a_socket_with_a_short_one(place: Path) -> None:
    long = place / ("x" * 60) / ("y" * 60)
    try:
        dsn = embedded.start(long)

        assert version_of(dsn) >= 15
    finally:
        embedded.remove(long)


@pytest.mark.parametrize("name", ["my db", "o'brien", 'a "b" $HOME `id`', "one,two=3", "größe"])
def test_a_path_may_hold_any_characters(place: Path, name: str) -> None:
    odd = place / name
    try:
        dsn = embedded.start(odd)

        assert version_of(dsn) >= 15
        assert Dsn.parse(dsn).parameters == psycopg.conninfo.conninfo_to_dict(dsn)
        assert (Cluster.at(odd).home / "log").exists()
    finally:
        embedded.remove(odd)
    assert not odd.exists()


def test_a_directory_of_another_user_is_refused(place: Path) -> None:
    if not IS_ROOT:
        pytest.skip("only root can make another user's directory")
    place.mkdir()
    os.chown(place, 12345, 12345)
    place.parent.chmod(0o755)

    with pytest.raises(EmbeddedServerError, match="another user"):
        embedded.start(place)

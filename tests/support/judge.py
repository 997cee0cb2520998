"""Every run of an operator is judged at its end: O1 to O7, and nobody else wrote replicas.

Who starts an operator in a test hands over a `Judge`, so that none runs unjudged. Where others write
the replicas too, the test says so by `@pytest.mark.others_write(Others.…)`: these are all there are.
"""

import enum
import json
from base64 import b64decode
from collections.abc import Callable, Collection, Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from typing import Any

import psycopg
from tests.support.operator_story import broken, story, written
from tests.support.postgres import Connection
from tests.support.size_watch import Namespace, Size, SizeWatch

READABLE = """
    SELECT pg_postmaster_start_time(), current_database()
    WHERE has_table_privilege(to_regclass('queueworker.decision'), 'SELECT')
"""


class Others(enum.Enum):
    """Why somebody else than the operator may write the replicas of its targets in a test."""

    RIVAL = "kubectl scales the Deployment against the operator, until it gives way"
    HPA = "an HPA scales the Deployment while the operator only compares"


class Unjudged(enum.Enum):
    """Why the writes to one Deployment of a run are left out."""

    FLAPPING = "it is moved up and down past what is kept of its history, to fire an alert"


@dataclass(frozen=True, slots=True, kw_only=True)
class Judge:
    """Who watches a namespace until its operators have ended."""

    sizes: SizeWatch


@contextmanager
def judged(
    place: Namespace,
    databases: Callable[[], Collection[Connection]],
    others: Others | None = None,
    unjudged: dict[str, Unjudged] | None = None,
) -> Iterator[Judge]:
    """Hold all that operators write in a namespace during a block to O1 to O7, at its end.

    `databases` are asked for then: those that may hold the decisions. `unjudged` are Deployments.
    """
    sizes = SizeWatch(place)
    try:
        yield Judge(sizes=sizes)
        sizes.catch_up()
    finally:
        sizes.stop()
    left_out = {f"{place.namespace}/{name}" for name in unjudged or ()}
    told = story(place, sizes, databases(), written(place, sizes))
    found = [one for one in broken(told) if one.target not in left_out]
    assert found == [], found
    foreign = _foreign(place, sizes, told.bounds)
    if others is None:
        assert foreign == [], f"{foreign} is nobody's decision: mark the test others_write, or mend"
    else:
        assert foreign, f"nobody wrote but the operator: not {others}"


def _foreign(place: Namespace, sizes: SizeWatch, targets: Collection[str]) -> list[Size]:
    return [
        size
        for size in sizes.sizes
        if size.is_write and not size.is_ours and f"{place.namespace}/{size.name}" in targets
    ]


@contextmanager
def judged_by_its_secrets(
    place: Namespace, others: Others | None = None, unjudged: dict[str, Unjudged] | None = None
) -> Iterator[Judge]:
    """Do so with the databases that the namespace's Secrets lead to; some may be away."""
    with (
        ExitStack() as opened,
        judged(place, lambda: _connected(place, opened), others, unjudged) as judge,
    ):
        yield judge


def _connected(place: Namespace, opened: ExitStack) -> list[Connection]:
    """Connect to each readable database once. What another one holds is not found: O7 is broken."""
    listed = json.loads(place.kubectl("get", "secrets", "-o", "json"))["items"]
    keys = {b64decode(text) for body in listed for text in body.get("data", {}).values()}
    conns: dict[tuple[Any, ...], Connection] = {}
    for dsn in sorted(keys):
        with suppress(psycopg.Error, UnicodeError):  # a test's Secrets hold anything
            conn = psycopg.connect(dsn.decode(), autocommit=True, connect_timeout=3)
            opened.enter_context(conn)
            if identity := conn.execute(READABLE).fetchone():
                conns[identity] = conn
    return list(conns.values())

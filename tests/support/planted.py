"""Bugs to plant in the product: in a statement's text, in a function of a throw-away database, or in
a client's logic. Where the product has changed so that a bug no longer fits, planting it fails."""

import re
from collections.abc import AsyncIterator, Callable, Iterable, Iterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from importlib.resources import files
from pathlib import PurePosixPath
from typing import Any

import psycopg
import pytest
from tests.support.postgres import CANARY

import queueworker.enqueue as producing
from queueworker import statements
from queueworker.errors import StaleToken
from queueworker.job import Job
from queueworker.store import OpenClaims, QueueRow, completion

Plant = Callable[[psycopg.Connection[Any], pytest.MonkeyPatch], None]
Change = tuple[str, str]
"""(pattern, replacement)."""


@dataclass(frozen=True, slots=True)
class Bug:
    """A broken protocol, and the promise that it breaks."""

    name: str
    plant: Plant
    invariant: str


@dataclass(frozen=True, slots=True)
class _Queries:
    """The package's files, some of the statements replaced."""

    texts: Mapping[str, str]
    path: PurePosixPath = field(default_factory=PurePosixPath)

    def joinpath(self, *parts: str) -> "_Queries":
        return _Queries(self.texts, self.path.joinpath(*parts))

    def read_text(self, encoding: str) -> str:
        replaced = self.texts.get(self.path.stem)
        return _text(self.path.stem, encoding) if replaced is None else replaced


def _text(name: str, encoding: str = "utf-8") -> str:
    return files("queueworker").joinpath("queries", f"{name}.sql").read_text(encoding)


def changed(text: str, changes: Iterable[Change], where: str) -> str:
    for pattern, replacement in changes:
        text, count = re.subn(pattern, replacement, text)
        assert count, f"the bug no longer fits {where}: {pattern!r} is not there; plant it anew"
    return text


def in_statements(names: str, *changes: Change) -> Plant:
    def plant(_conn: psycopg.Connection[Any], patch: pytest.MonkeyPatch) -> None:
        planted: object = vars(statements)["files"]("queueworker")
        texts: dict[str, str] = dict(planted.texts) if isinstance(planted, _Queries) else {}
        for name in names.split():
            texts[name] = changed(texts.get(name, _text(name)), changes, name)
        patch.setattr(statements, "files", lambda _package: _Queries(texts))

    return plant


def in_function(name: str, *changes: Change) -> Plant:
    def plant(conn: psycopg.Connection[Any], _patch: pytest.MonkeyPatch) -> None:
        row = conn.execute(
            "SELECT pg_get_functiondef(%s::regproc)", (f"queueworker.{name}",)
        ).fetchone()
        assert row is not None
        conn.execute(changed(row[0], changes, name).encode())

    return plant


def in_schema(query: str) -> Plant:
    def plant(conn: psycopg.Connection[Any], _patch: pytest.MonkeyPatch) -> None:
        conn.execute(query.encode())

    return plant


def in_client(owner: object, name: str, broken: object) -> Plant:
    def plant(_conn: psycopg.Connection[Any], patch: pytest.MonkeyPatch) -> None:
        patch.setattr(owner, name, broken)

    return plant


def all_of(*plants: Plant) -> Plant:
    def plant(conn: psycopg.Connection[Any], patch: pytest.MonkeyPatch) -> None:
        for each in plants:
            each(conn, patch)

    return plant


def nothing(_conn: psycopg.Connection[Any], _patch: pytest.MonkeyPatch) -> None:
    """Leave the product as it is."""


def forget_statements() -> None:
    """Make the next use of a statement read its text anew."""
    statements.statement.cache_clear()
    statements.partition_statement.cache_clear()


@asynccontextmanager
async def _another(
    conn: psycopg.AsyncConnection[Any],
) -> AsyncIterator[psycopg.AsyncConnection[Any]]:
    """Give a connection beside the caller's, without its transaction."""
    other = await psycopg.AsyncConnection.connect(
        f"{conn.info.dsn} password={CANARY}", autocommit=True
    )
    async with other:
        yield other


_complete_in = completion.complete_in
_enqueue = producing.enqueue


async def _complete_outside(
    conn: psycopg.AsyncConnection[Any], queue: QueueRow, job_id: int, token: int
) -> None:
    async with _another(conn) as other:
        await _complete_in(other, queue, job_id, token)


async def _complete_and_hope(
    conn: psycopg.AsyncConnection[Any], queue: QueueRow, job_id: int, token: int
) -> None:
    try:
        await _complete_in(conn, queue, job_id, token)
    except StaleToken:
        return


async def _enqueue_outside(conn: psycopg.AsyncConnection[Any], job: Job) -> int | None:
    async with _another(conn) as other:
        return await _enqueue(other, job)


def _close_at_the_first_end(_self: OpenClaims, tokens: Iterable[int]) -> Iterator[int]:
    return iter(set(tokens))


TOKEN_MAY_REPEAT = all_of(
    in_schema("ALTER TABLE queueworker.claim DROP CONSTRAINT claim_pkey"),
    in_statements("complete", (r"WHERE c\.token = f\.token", r"\g<0> LIMIT 1")),
)
OURS = r"j\.token = g\.token"
NEXT_TOKEN = r"\(SELECT nextval\('queueworker\.job_token'\)\)"

PLANTED = (
    Bug(
        "acknowledges by id alone",
        in_statements(
            "complete_succeeded",
            (f" AND {OURS}", ""),
            (r"RETURNING j\.id, j\.token", "RETURNING g.id, g.token"),
        ),
        "I3",
    ),
    Bug(
        "acknowledges under any of the batch's tokens",
        in_statements("complete_succeeded", (OURS, "j.token IN (SELECT token FROM given)")),
        "I3",
    ),
    Bug(
        "fences with the attempt's number",
        all_of(TOKEN_MAY_REPEAT, in_statements("claim", (NEXT_TOKEN, "attempt + 1"))),
        "I3",
    ),
    Bug(
        "claims under the last token",
        all_of(
            TOKEN_MAY_REPEAT,
            in_statements("claim", (NEXT_TOKEN, "(SELECT last_value FROM queueworker.job_token)")),
        ),
        "I3",
    ),
    Bug("claims what is running", in_statements("claim", (r" AND j\.token = 0", "")), "I4"),
    Bug(
        "claims without a record for the rescue",
        in_statements("claim", (r"HAVING max\(", "HAVING false AND max(")),
        "I1",
    ),
    Bug(
        "rescues by the last renewal, whatever the lease says",
        in_function("remove_expired_workers", (r"expires_at <", "renewed_at <")),
        "I4",
    ),
    Bug(
        "rescues without looking at the token",
        in_function("rescue_claim", (r"token = \$2", "token > 0 * $2")),
        "I4",
    ),
    Bug(
        "rescues and keeps the token",
        in_function("rescue_claim", (r"SET token = 0, ", "SET ")),
        "I3",
    ),
    Bug(
        "renews by a client's clock, five minutes slow",
        in_statements(
            "worker_renew",
            (
                r"expires_at = clock_timestamp\(\)",
                "expires_at = clock_timestamp() - interval '5 min'",
            ),
        ),
        "I4",
    ),
    Bug(
        "gives a job back at its old position",
        in_statements(
            "complete", (r"pos = 0 \* nextval\([^,]*?nextval\(\([^)]*\)\),", "pos = j.pos,")
        ),
        "I1",
    ),
    Bug(
        "raises a floor over positions that are not decided",
        in_function(
            "sweep_drawn",
            (r"drawers := open_drawers\(q, xid\)", "drawers := '{}'"),
        ),
        "I1",
    ),
    Bug(
        "retries and keeps the token",
        in_statements("complete", (r"SET token = 0,\s+pos = NULL", "SET pos = NULL")),
        "I3",
    ),
    Bug(
        "buries a job and leaves it in the queue",
        all_of(
            in_schema("ALTER TABLE queueworker.dead_job DROP CONSTRAINT dead_job_pkey"),
            in_statements(
                "complete",
                (
                    r"died AS \(\s+DELETE FROM \{partition\} AS j\s+USING given AS g",
                    "died AS (\n  UPDATE {partition} AS j SET token = 0 FROM given AS g",
                ),
            ),
        ),
        "I2",
    ),
    Bug(
        "counts a success twice",
        in_statements("complete_succeeded", (r" s\.jobs,", " s.jobs * 2,")),
        "I7",
    ),
    Bug(
        "charges nobody for a crash",
        in_function("rescue_claim", (r"crash_count = crash_count \+ 1,", "")),
        "I8",
    ),
    Bug(
        "never gives a crashing job up",
        in_function("rescue_claim", (r"crash_count >= 2", "crash_count >= 9")),
        "I8",
    ),
    Bug(
        "charges a release as an attempt",
        in_statements("complete", (r"attempt = attempt - 1,", "")),
        "I7",
    ),
    Bug(
        "accepts an acknowledgement after the release",
        in_statements(
            "complete_succeeded",
            (OURS, "j.token IN (g.token, 0)"),
            (r"RETURNING j\.id, j\.token", "RETURNING g.id, g.token"),
        ),
        "I9",
    ),
    Bug(
        "completes outside of the handler's transaction",
        in_client(completion, "complete_in", _complete_outside),
        "I5",
    ),
)
MORE = (
    Bug(
        "hides a stale token from the handler",
        in_client(completion, "complete_in", _complete_and_hope),
        "I5",
    ),
    Bug(
        "enqueues outside of the caller's transaction",
        in_client(producing, "enqueue", _enqueue_outside),
        "I1",
    ),
    Bug(
        "closes a claim at its first end",
        in_client(OpenClaims, "closing", _close_at_the_first_end),
        "I1",
    ),
    Bug(
        "promotes a due job away",
        in_function(
            "promote",
            (
                r"UPDATE queueworker\.%1\$I SET pos = 0 \* nextval\(\$4\) \+ nextval\(\$5\)",
                "DELETE FROM queueworker.%1$I",
            ),
        ),
        "I1",
    ),
    Bug(
        "forgets unique keys",
        in_schema(
            "CREATE FUNCTION forget_key() RETURNS trigger LANGUAGE plpgsql AS"
            " $$ BEGIN NEW.unique_key := NULL; RETURN NEW; END $$;"
            "CREATE TRIGGER forget_key BEFORE INSERT ON queueworker.job"
            " FOR EACH ROW EXECUTE FUNCTION forget_key()"
        ),
        "I1",
    ),
    Bug(
        "records no failure of a retried attempt",
        in_statements(
            "complete", (r"SELECT id, attempt, token, failure, error FROM retried\s+UNION ALL", "")
        ),
        "I7",
    ),
    Bug(
        "ignores priorities",
        in_statements(
            "claim", (r"ORDER BY h\.priority DESC, first\.pos", "ORDER BY h.priority, first.pos")
        ),
        "I6",
    ),
    Bug(
        "takes the youngest first",
        in_statements("claim", (r"j\.lane_id, j\.pos\n", "j.lane_id, j.pos DESC\n")),
        "I6",
    ),
)

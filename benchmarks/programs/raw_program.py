"""Plain inserts: the least that an enqueue of the product could cost."""

import asyncio
import itertools
import json
import os
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime

import psycopg
from psycopg import sql

from benchmarks.programs.producer import Payload, Producer, produce

DSN = os.environ.get("BENCH_DSN", "")
FIND = """
    SELECT c.relname, coalesce(array_to_string(c.reloptions, ', '), '')
    FROM pg_class AS c JOIN queueworker.queue AS q ON c.relname = q.part
    WHERE q.name = 'bench' AND c.relnamespace = 'queueworker'::regnamespace
"""
CREATE = """
    CREATE TABLE raw_job (LIKE queueworker.{part} INCLUDING DEFAULTS INCLUDING INDEXES
      INCLUDING STORAGE INCLUDING CONSTRAINTS);
    CREATE SEQUENCE raw_id;
"""
INSERT = """
    INSERT INTO raw_job (id, pos, run_at, lane_id, queue_id, max_attempts, args)
    SELECT id, id, clock_timestamp(), 1, 1, 5, args
    FROM (SELECT nextval('raw_id') AS id, args FROM unnest(%s::text[]::jsonb[]) AS args) AS given
    RETURNING id
"""
SINGLE = """
    INSERT INTO raw_job (id, pos, run_at, lane_id, queue_id, max_attempts, args)
    SELECT id, id, clock_timestamp(), 1, 1, 5, %s::text::jsonb
    FROM nextval('raw_id') AS id
    RETURNING id
"""
COPY = "COPY raw_job (id, pos, run_at, lane_id, queue_id, max_attempts, args) FROM STDIN"


def install() -> None:
    """Make a table like the product's partition: columns, indexes, storage, settings."""
    with psycopg.connect(DSN, autocommit=True) as conn:
        row = conn.execute(FIND).fetchone()
        if row is None:
            raise SystemExit("the queue `bench` has no partition")
        part, options = row
        conn.execute(sql.SQL(CREATE).format(part=sql.Identifier(part)))
        if options:
            settings = sql.SQL(options)  # as the catalog writes them
            conn.execute(sql.SQL("ALTER TABLE raw_job SET ({})").format(settings))


@asynccontextmanager
async def opened() -> AsyncIterator[Producer]:
    """Open a connection of its own."""
    conn = await psycopg.AsyncConnection.connect(DSN, autocommit=True)
    ids = itertools.count(1 << 40)

    async def single(_task: str, payload: Payload) -> object:
        cursor = await conn.execute(SINGLE, (json.dumps(payload),), prepare=True, binary=True)
        return await cursor.fetchone()

    async def many(_task: str, payloads: list[Payload]) -> object:
        texts = [json.dumps(payload) for payload in payloads]
        cursor = await conn.execute(INSERT, (texts,), prepare=True, binary=True)
        return await cursor.fetchall()

    async def copy(_task: str, payloads: list[Payload]) -> object:
        now = datetime.now(UTC).isoformat()
        lines = []
        for payload in payloads:
            number = next(ids)
            lines.append(f"{number}\t{number}\t{now}\t1\t1\t5\t{json.dumps(payload)}\n")
        async with conn.cursor() as cursor, cursor.copy(COPY) as stream:
            await stream.write("".join(lines))
        return len(lines)

    async with conn:
        yield Producer(single=single, many=many, copy=copy)


if __name__ == "__main__":
    if sys.argv[1:] == ["install"]:
        install()
    else:
        asyncio.run(produce(opened, sys.argv[1:]))

"""A schema that others may create in, and temporary objects, take over nothing of ours."""

import asyncio

import psycopg
import pytest
from tests.support.engine import bury, engine, load, release, retry, succeed
from tests.support.postgres import Connection

from queueworker.connection import connect_sync
from queueworker.dsn import Dsn
from queueworker.enqueue import enqueue_many_sync, enqueue_sync
from queueworker.job import Job
from queueworker.schema import migrate
from queueworker.store.dead import Selection

pytestmark = pytest.mark.postgres

# Functions of Postgres that take any array: one for a certain array is the better match.
OVERLOADS = """
CREATE TABLE public.hijacked (name text);
GRANT ALL ON public.hijacked TO PUBLIC;
DO $do$
DECLARE
  element text;
BEGIN
  FOREACH element IN ARRAY ARRAY['int', 'bigint', 'smallint', 'text', 'jsonb', 'uuid', 'float8'] LOOP
    EXECUTE format($sql$
      CREATE FUNCTION public.cardinality(%1$s[]) RETURNS int LANGUAGE plpgsql AS $$ BEGIN
        INSERT INTO public.hijacked VALUES ('cardinality'); RETURN pg_catalog.cardinality($1); END $$;
      CREATE FUNCTION public.array_position(%1$s[], %1$s) RETURNS int LANGUAGE plpgsql AS $$ BEGIN
        INSERT INTO public.hijacked VALUES ('array_position');
        RETURN pg_catalog.array_position($1, $2); END $$;
      CREATE FUNCTION public.array_fill(%1$s, int[]) RETURNS %1$s[] LANGUAGE plpgsql AS $$ BEGIN
        INSERT INTO public.hijacked VALUES ('array_fill'); RETURN pg_catalog.array_fill($1, $2); END $$;
      CREATE FUNCTION public.array_length(%1$s[], int) RETURNS int LANGUAGE plpgsql AS $$ BEGIN
        INSERT INTO public.hijacked VALUES ('array_length'); RETURN pg_catalog.array_length($1, $2); END $$;
      CREATE FUNCTION public.unnest(%1$s[]) RETURNS SETOF %1$s LANGUAGE plpgsql AS $$ BEGIN
        INSERT INTO public.hijacked VALUES ('unnest');
        RETURN QUERY SELECT * FROM pg_catalog.unnest($1); END $$;
      CREATE FUNCTION public.to_jsonb(%1$s) RETURNS jsonb LANGUAGE plpgsql AS $$ BEGIN
        INSERT INTO public.hijacked VALUES ('to_jsonb'); RETURN pg_catalog.to_jsonb($1); END $$;
      CREATE AGGREGATE public.array_agg(%1$s) (sfunc = pg_catalog.array_append, stype = %1$s[]);
    $sql$, element);
  END LOOP;
END $do$;
"""


def hijacked(conn: Connection) -> list[tuple[str]]:
    return conn.execute("SELECT DISTINCT name FROM public.hijacked ORDER BY 1").fetchall()


def test_the_overloads_do_take_over_where_the_search_path_is_open(conn: Connection) -> None:
    conn.execute(OVERLOADS)
    conn.execute("SELECT cardinality(ARRAY[1]::bigint[]), array_position(ARRAY[1], 1)")

    assert hijacked(conn) == [("array_position",), ("cardinality",)]


def test_a_hostile_schema_takes_over_no_migration(empty_dsn: str) -> None:
    with psycopg.connect(empty_dsn, autocommit=True) as conn:
        conn.execute(OVERLOADS)
        migrate(conn, create_roles=True)
        conn.execute("SELECT queueworker.ensure_queue('mail')")
        uses = conn.execute(
            "SELECT p.proname FROM pg_depend AS d JOIN pg_proc AS p ON p.oid = d.refobjid"
            " WHERE d.refclassid = 'pg_proc'::regclass AND p.pronamespace = 'public'::regnamespace"
            " AND d.classid = 'pg_attrdef'::regclass"
        ).fetchall()

        assert hijacked(conn) == []
        assert uses == []  # no default calls another's function


def test_a_hostile_schema_takes_over_no_statement_of_a_worker(dsn: str, conn: Connection) -> None:
    conn.execute(OVERLOADS)

    async def scenario() -> int:
        async with engine(dsn, "mail", is_pinned=True) as e:
            await e.enqueue(6)
            worker = await e.worker()
            await e.store.renew(worker, 30, load(busy=1))
            jobs = await e.claim(worker, 5, started=2)
            await e.store.mark_started(jobs[0].token, 3)
            ends = [succeed(jobs[0]), retry(jobs[1]), bury(jobs[2]), release(jobs[3])]
            refused = await e.store.complete(e.queue, ends)
            await e.store.complete(e.queue, [succeed(jobs[4])])
            await e.expire(worker)
            await e.sweep()
            await e.store.dead_list(Selection(queue="mail"))
            await e.store.dead_find([jobs[2].id])
            await e.store.queue_list()
            await e.store.lag(["mail"])
            await e.store.worker_state(["mail"])
            return len(refused)

    assert asyncio.run(scenario()) == 0
    assert hijacked(conn) == []


def test_a_hostile_schema_takes_over_no_producer_and_no_command(dsn: str, conn: Connection) -> None:
    conn.execute(OVERLOADS)
    job = Job(task="a", queue="mail", args={"n": 1})
    with connect_sync(Dsn.parse(dsn), application_name="test") as mine:
        enqueue_sync(mine, job)
        enqueue_many_sync(mine, [job] * 3)
    # In the caller's own session, too.
    with psycopg.connect(dsn) as mine:
        enqueue_sync(mine, job)
        enqueue_many_sync(mine, [job] * 3)

    assert hijacked(conn) == []


def test_temporary_objects_of_a_session_shadow_nothing(dsn: str, conn: Connection) -> None:
    name = "temporary_producer"
    conn.execute(f"DROP ROLE IF EXISTS {name}")
    conn.execute(f"CREATE ROLE {name} LOGIN IN ROLE queueworker_enqueue")
    with psycopg.connect(dsn.replace("user=postgres", f"user={name}"), autocommit=True) as mine:
        for table in ("queue", "lane", "job", "job_default", "stat", "pg_roles"):
            mine.execute(f"CREATE TEMP TABLE {table} (id int, name text)")
        mine.execute(
            "CREATE FUNCTION pg_temp.ensure_queue(text) RETURNS int LANGUAGE sql AS 'SELECT 1/0'"
        )
        mine.execute("SELECT queueworker.enqueue('fresh', 'a')")
        mine.execute("SELECT queueworker.enqueue('fresh', 'a', unique_key => 'k')")
        left = mine.execute("SELECT count(*) FROM pg_temp.job").fetchone()
    stored = conn.execute("SELECT count(*) FROM queueworker.jobs WHERE queue = 'fresh'").fetchone()

    assert (left, stored) == ((0,), (2,))

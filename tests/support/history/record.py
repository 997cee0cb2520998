"""The triggers that write the log, what the clients write beside it, and how both are read."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import psycopg
from tests.support.history.events import (
    Counts,
    Event,
    History,
    Idle,
    Kind,
    LeaseChange,
    LeaseKind,
    Pair,
    Place,
    Write,
)

RECORD = """
CREATE SEQUENCE history_seq;
CREATE TABLE history (
  seq bigint PRIMARY KEY DEFAULT nextval('history_seq'), at timestamptz NOT NULL DEFAULT clock_timestamp(),
  xid xid8 NOT NULL DEFAULT pg_current_xact_id(), kind text NOT NULL, job_id bigint NOT NULL, token bigint NOT NULL,
  attempt int, crash_count int, queue_id int, lane_id int, pos bigint, run_at timestamptz, unique_key text
);
CREATE TABLE history_lease (
  seq bigint PRIMARY KEY DEFAULT nextval('history_seq'), kind text, worker_id uuid, at timestamptz,
  expires_at timestamptz
);
CREATE TABLE history_holder (token bigint, worker_id uuid);
-- In-transaction effects, and a store outside that compares fencing numbers.
CREATE TABLE effect (job_id bigint NOT NULL, token bigint NOT NULL);
CREATE TABLE external_store (job_id bigint PRIMARY KEY, token bigint NOT NULL);
CREATE TABLE external_log (seq bigserial PRIMARY KEY, job_id bigint NOT NULL, token bigint NOT NULL);

CREATE FUNCTION note_job() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER SET search_path = public AS $$
DECLARE
  what text;
  owner bigint := 0;
  by_whom text;
  j queueworker.job;
BEGIN
  IF TG_OP <> 'UPDATE' OR (old.token > 0 AND new.token > 0) THEN
    GET DIAGNOSTICS by_whom = PG_CONTEXT;
  END IF;
  IF TG_OP = 'INSERT' THEN
    -- Rows on their way to another partition have not ended, and come in no more than once.
    what := CASE WHEN by_whom ~ 'queue_create|move_' THEN 'promoted' ELSE 'enqueued' END;
    j := new;
  ELSIF TG_OP = 'DELETE' THEN
    IF by_whom ~ 'queue_create|move_' THEN
      RETURN NULL;
    END IF;
    j := old;
    owner := old.token;
    what := CASE WHEN by_whom ~ 'cancel|queue_(drop|empty)' THEN 'cancelled' WHEN old.token = 0 THEN 'vanished'
      ELSE 'succeeded' END;
  ELSE
    j := new;
    owner := old.token;
    IF new.token > 0 AND new.token <> old.token THEN
      what := CASE WHEN by_whom ~ 'isolate' THEN 'isolated' ELSE 'claimed' END;
      owner := new.token;
    ELSIF old.token > 0 AND (new.token = 0 OR new.pos IS DISTINCT FROM old.pos) THEN
      what := CASE WHEN new.pos IS NULL THEN 'failed' WHEN new.crash_count > old.crash_count THEN 'lost'
        ELSE 'released' END;
    ELSIF new.pos IS DISTINCT FROM old.pos THEN
      what := 'promoted';
    END IF;
  END IF;
  IF what IS NOT NULL THEN
    INSERT INTO history (kind, job_id, token, attempt, crash_count, queue_id, lane_id, pos, run_at, unique_key)
    VALUES (what, j.id, owner, j.attempt, j.crash_count, j.queue_id, j.lane_id, j.pos, j.run_at, j.unique_key);
  END IF;
  RETURN NULL;
END $$;
CREATE TRIGGER note_job AFTER INSERT OR UPDATE OR DELETE ON queueworker.job
FOR EACH ROW EXECUTE FUNCTION note_job();

CREATE FUNCTION note_dead() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER SET search_path = public AS $$
BEGIN
  INSERT INTO history (kind, job_id, token, queue_id, lane_id) VALUES ('buried', new.id, 0, new.queue_id, new.lane_id);
  RETURN NULL;
END $$;
CREATE TRIGGER note_dead AFTER INSERT ON queueworker.dead_job FOR EACH ROW EXECUTE FUNCTION note_dead();

CREATE FUNCTION note_lease() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER SET search_path = public AS $$
DECLARE
  by_whom text;
BEGIN
  IF TG_OP = 'INSERT' THEN
    INSERT INTO history_lease (kind, worker_id, at, expires_at)
    VALUES ('gained', new.id, new.renewed_at, new.expires_at);
  ELSIF TG_OP = 'DELETE' THEN
    GET DIAGNOSTICS by_whom = PG_CONTEXT;
    INSERT INTO history_lease (kind, worker_id, at, expires_at)
    VALUES (CASE WHEN by_whom LIKE '%expired%' THEN 'removed' ELSE 'ended' END, old.id, clock_timestamp(), old.expires_at);
  ELSIF new.renewed_at <> old.renewed_at THEN
    INSERT INTO history_lease (kind, worker_id, at, expires_at)
    VALUES ('renewed', new.id, new.renewed_at, new.expires_at);
  ELSIF new.expires_at < old.expires_at THEN
    INSERT INTO history_lease (kind, worker_id, at, expires_at)
    VALUES ('ended', new.id, clock_timestamp(), new.expires_at);
  END IF;
  RETURN NULL;
END $$;
CREATE TRIGGER note_lease AFTER INSERT OR UPDATE OR DELETE ON queueworker.worker
FOR EACH ROW EXECUTE FUNCTION note_lease();

CREATE FUNCTION note_holder() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER SET search_path = public AS $$
BEGIN
  INSERT INTO history_holder VALUES (new.token, new.worker_id);
  RETURN NULL;
END $$;
CREATE TRIGGER note_holder AFTER INSERT ON queueworker.claim FOR EACH ROW EXECUTE FUNCTION note_holder();
"""
READ = """
SELECT h.kind, h.job_id, h.token, extract(epoch FROM h.at)::float8, coalesce(h.attempt, 0),
  coalesce(h.crash_count, 0), h.queue_id, h.lane_id, coalesce(l.priority, 0), h.pos,
  coalesce(extract(epoch FROM h.run_at)::float8, 0), h.unique_key, h.xid::text
FROM history AS h LEFT JOIN queueworker.lane AS l ON l.id = h.lane_id ORDER BY h.seq
"""
LEASES = """
SELECT kind, worker_id::text, extract(epoch FROM at)::float8, extract(epoch FROM expires_at)::float8, seq::int
FROM history_lease ORDER BY seq
"""
COUNTS = """
SELECT sum(c.succeeded)::bigint, sum(c.retried)::bigint, sum(c.released + c.rescued)::bigint
FROM (
  SELECT succeeded, retried, released, rescued FROM queueworker.queue_counter
  UNION ALL SELECT succeeded, retried, released, rescued FROM queueworker.stat
) AS c
"""
BURIED = "buried"


@dataclass
class Journal:
    """What the clients know."""

    committed: list[int] = field(default_factory=list)
    rolled_back: list[int] = field(default_factory=list)
    keys: dict[int, str] = field(default_factory=dict)
    left_alone: set[int] = field(default_factory=set)
    writes: list[Write] = field(default_factory=list)
    started: set[Pair] = field(default_factory=set)
    ttl_s: dict[str, float] = field(default_factory=dict)
    idles: list[Idle] = field(default_factory=list)
    handed: list[Sequence[Place]] = field(default_factory=list)
    strict_queues: set[int] = field(default_factory=set)

    @property
    def refused(self) -> int:
        """Give how many writes the database has turned away."""
        return sum(not write.is_accepted for write in self.writes)


def record(conn: psycopg.Connection[Any]) -> None:
    """Make the database log every change of a job and of a lease from now on."""
    conn.execute(RECORD)


def read(conn: psycopg.Connection[Any], journal: Journal, *, bound_s: float = 3.0) -> History:
    """Read the log in the database's order, and lay the clients' knowledge beside it."""
    counts = conn.execute(COUNTS).fetchone() or (0, 0, 0)
    return History(
        events=fold(conn.execute(READ).fetchall()),
        leases=[LeaseChange(LeaseKind(kind), *rest) for kind, *rest in conn.execute(LEASES)],
        holders=dict(conn.execute("SELECT token, worker_id::text FROM history_holder").fetchall()),
        effects=_pairs(conn, "SELECT job_id, token FROM effect"),
        external=_pairs(conn, "SELECT job_id, token FROM external_log ORDER BY seq"),
        failures=set(_pairs(conn, "SELECT job_id, token FROM queueworker.failure")),
        counts=Counts(succeeded=counts[0], retried=counts[1], given_back=counts[2]),
        bound_s=bound_s,
        committed=journal.committed,
        rolled_back=journal.rolled_back,
        keys=journal.keys,
        left_alone=journal.left_alone,
        writes=journal.writes,
        started=journal.started,
        ttl_s=journal.ttl_s,
        idles=journal.idles,
        handed=journal.handed,
        strict_queues=journal.strict_queues,
    )


def _pairs(conn: psycopg.Connection[Any], query: str) -> list[Pair]:
    return [(job_id, token) for job_id, token in conn.execute(query)]


def fold(rows: Sequence[tuple[Any, ...]]) -> list[Event]:
    """Make one event of a burial: the row leaves `job` and enters `dead_job` in one transaction."""
    buried = {(row[1], row[-1]) for row in rows if row[0] == BURIED}
    left = {(row[1], row[-1]) for row in rows if row[0] in {"succeeded", "vanished"}}
    events = []
    for kind, *columns, xid in rows:
        pair = (columns[0], xid)
        if kind == BURIED:
            if pair not in left:
                events.append(Event(Kind.DEAD, *columns))
        elif kind in {"succeeded", "vanished"} and pair in buried:
            events.append(Event(Kind.DEAD, *columns))
        else:
            events.append(Event(Kind(kind), *columns))
    return events

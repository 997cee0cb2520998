"""The history checker: does a log of what the database did keep the delivery contract?

The log comes from triggers (`record`), in the database's order. `accepted` comes from the clients:
the writes that the database told them it had taken.

I1  every enqueued job ends in exactly one terminal event (or is known to be left alone)
I2  at most one terminal event per job
I3  no write is accepted under a token that does not own the job
I7  every start ends once: started = completed + failed + released + lost
"""

from collections import defaultdict
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Any

import psycopg


class Kind(Enum):
    ENQUEUED = "enqueued"
    CLAIMED = "claimed"
    SUCCEEDED = "succeeded"
    DEAD = "dead"
    FAILED = "failed"
    RELEASED = "released"
    LOST = "lost"


TERMINAL = {Kind.SUCCEEDED, Kind.DEAD}
ENDS = {Kind.SUCCEEDED, Kind.DEAD, Kind.FAILED, Kind.RELEASED, Kind.LOST}


@dataclass(frozen=True, slots=True)
class Event:
    kind: Kind
    job_id: int
    token: int = 0


@dataclass(frozen=True, slots=True)
class Violation:
    invariant: str
    job_id: int
    text: str


def check(
    log: Sequence[Event], accepted: Iterable[Event] = (), left_alone: Collection[int] = ()
) -> list[Violation]:
    """Give every broken promise; none means that the history keeps the contract."""
    by_job: dict[int, list[Event]] = defaultdict(list)
    for event in log:
        by_job[event.job_id].append(event)
    found = [violation for job_id, events in by_job.items() for violation in _job(job_id, events)]
    found += [
        Violation("I1", job_id, "enqueued, never finished")
        for job_id, events in by_job.items()
        if job_id not in left_alone and not any(event.kind in TERMINAL for event in events)
    ]
    ended = {(event.kind, event.job_id, event.token) for event in log if event.kind in ENDS}
    written: set[tuple[int, int]] = set()
    for event in accepted:
        if (event.kind, event.job_id, event.token) not in ended:
            found.append(Violation("I3", event.job_id, f"{event} was accepted under a stale token"))
        if (event.job_id, event.token) in written:
            found.append(Violation("I3", event.job_id, f"{event} was accepted twice"))
        written.add((event.job_id, event.token))
    return found


def _job(job_id: int, events: Sequence[Event]) -> Iterable[Violation]:
    owner, last_token, terminals = 0, 0, 0
    if events[0].kind is not Kind.ENQUEUED:
        yield Violation("I1", job_id, "ran without having been enqueued")
    for event in events:
        if event.kind is Kind.CLAIMED:
            yield from _claim(event, owner, last_token, terminals)
            owner = last_token = event.token
        elif event.kind in ENDS:
            if event.token != owner:
                yield Violation("I3", job_id, f"{event} while {owner} owned the job")
            owner = 0
            terminals += event.kind in TERMINAL
    if owner:
        yield Violation("I7", job_id, f"start {owner} never ended")
    if terminals > 1:
        yield Violation("I2", job_id, f"{terminals} terminal events")


def _claim(event: Event, owner: int, last_token: int, terminals: int) -> Iterable[Violation]:
    if owner:
        yield Violation("I7", event.job_id, f"start {owner} never ended before {event.token}")
    if event.token <= last_token:
        yield Violation("I3", event.job_id, f"token {event.token} after {last_token}")
    if terminals:
        yield Violation("I2", event.job_id, "claimed after its end")


RECORD = """
CREATE TABLE history (seq bigserial, kind text, job_id bigint, token bigint);
CREATE FUNCTION note_history() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER AS $$
BEGIN
  IF TG_OP = 'INSERT' THEN
    INSERT INTO public.history (kind, job_id, token) VALUES ('enqueued', new.id, 0);
  ELSIF TG_OP = 'DELETE' THEN
    INSERT INTO public.history (kind, job_id, token) VALUES (
      CASE WHEN EXISTS (SELECT FROM queueworker.dead_job WHERE id = old.id) THEN 'dead'
        ELSE 'succeeded' END, old.id, old.token);
  ELSIF old.token = 0 AND new.token > 0 THEN
    INSERT INTO public.history (kind, job_id, token) VALUES ('claimed', old.id, new.token);
  ELSIF old.token > 0 AND new.token <> old.token THEN
    INSERT INTO public.history (kind, job_id, token) VALUES (
      CASE WHEN new.pos IS NULL THEN 'failed' WHEN new.crash_count > old.crash_count THEN 'lost'
        ELSE 'released' END, old.id, old.token);
  END IF;
  RETURN NULL;
END $$;
CREATE TRIGGER note_history AFTER INSERT OR UPDATE OR DELETE ON queueworker.job
FOR EACH ROW EXECUTE FUNCTION note_history();
"""


def record(conn: psycopg.Connection[Any]) -> None:
    """Make the database log every change of a job from now on."""
    conn.execute(RECORD)


def read(conn: psycopg.Connection[Any]) -> list[Event]:
    """Read the log in the database's order."""
    rows = conn.execute("SELECT kind, job_id, token FROM history ORDER BY seq").fetchall()
    return [Event(Kind(kind), job_id, token) for kind, job_id, token in rows]

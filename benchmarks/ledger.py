"""Every completion as the database made it, for the scenarios that kill and restart workers."""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

from benchmarks.running import Process, Site, Start, await_first_job
from benchmarks.systems import Command

CREATE = """
    CREATE TABLE public.completed (job_id bigint, token bigint, at timestamptz);
    CREATE FUNCTION public.note_completed() RETURNS trigger LANGUAGE plpgsql AS $$
    BEGIN
      INSERT INTO public.completed SELECT id, token, clock_timestamp() FROM gone;
      RETURN NULL;
    END $$;
"""
TRIGGER = """
    DO $$ BEGIN
      EXECUTE format('CREATE TRIGGER note AFTER DELETE ON queueworker.%I REFERENCING OLD TABLE AS gone
        FOR EACH STATEMENT EXECUTE FUNCTION public.note_completed()',
        (SELECT part FROM queueworker.queue WHERE name = 'bench'));
    END $$
"""
COMPLETED = "SELECT job_id, token, extract(epoch FROM at)::float8 FROM public.completed"


def begin(place: Site, workers: int) -> None:
    """Start workers, then write down every completed job, in the transaction that completes it.

    Names are qualified: a rescue deletes poison jobs under a search path of its own.
    """
    place.conn.execute(CREATE)
    place.conn.execute(TRIGGER)
    place.start_workers(workers)
    await_first_job(place)
    place.conn.execute("TRUNCATE public.completed")


def start_tracked(
    place: Site, rate_per_s: float, seconds: float, nap_s: float
) -> tuple[Process, int]:
    """Start to enqueue jobs whose starts are written down; give the program and its number."""
    number = len(list(place.folder.glob("*.log")))
    interpreter = place.system.producer.arguments[0]
    program = Command(arguments=(interpreter, "-m", "benchmarks.programs.tracked"))
    return place.start(program, str(rate_per_s), str(seconds), str(nap_s)), number


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """What became of all tracked jobs."""

    lost: int
    completed_twice: int
    stale_accepted: int
    run_twice: int
    charged: int


def judge(place: Site, sent: int, starts: Sequence[Start]) -> Verdict:
    """Compare what was enqueued and started with what the database says was completed.

    A completion is stale when a newer token of the job had started before it.
    """
    rows = place.conn.execute(COMPLETED).fetchall()
    by_job = defaultdict(list)
    for start in starts:
        by_job[start.job_id].append(start)
    stale = sum(
        any(start.token > token and start.started_at_s < at_s for start in by_job[job_id])
        for job_id, token, at_s in rows
    )
    done = {job_id for job_id, _, _ in rows}
    return Verdict(
        lost=sent - len(done),
        completed_twice=len(rows) - len(done),
        stale_accepted=stale,
        run_twice=sum(len(runs) > 1 for runs in by_job.values()),
        charged=sum(max(run.attempt for run in runs) > 1 for runs in by_job.values()),
    )

"""A real trace, compressed, into a queue of each scaler at once: late jobs and pod-hours.

Beside KEDA's queue there is a QueueWorker in `mode: DryRun`: it must write nothing.
"""

import json
import random
import time
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass, field, replace

from benchmarks.figures import percentile
from benchmarks.keda import agreement, ledger
from benchmarks.keda.api import DEPLOYMENTS, Api, Body
from benchmarks.keda.ground import Ground, ground, running_operator
from benchmarks.keda.pool import Pool, running_pool
from benchmarks.keda.replicas import Replicas
from benchmarks.keda.resources import Queue, Scaler, queue_worker
from benchmarks.keda.rival import keda_version, running_keda
from benchmarks.machine import ROOT
from queueworker_operator.kube.api import FIELD_MANAGER
from queueworker_operator.traces import read_rows

FILE = ROOT / "tests/scenarios/traces/azure.csv"
TRACE_S, SHARE, TOKEN_S, SHORTEST_S = 3600.0, 0.35, 0.03, 0.05
PROMISE_S, SLOTS, MOST = 30.0, 2, 8
TICK_S, SAMPLE_EVERY_S, SAY_EVERY_S, DRAIN_S = 0.1, 0.25, 30.0, 60.0
ENQUEUE = "SELECT id FROM queueworker.enqueue_many(%s, 'work', %s::jsonb[]) AS id"
DEPTHS = """
    SELECT queue, count(*) FROM queueworker.jobs WHERE state IN ('ready', 'running') GROUP BY queue
"""


@dataclass(slots=True, kw_only=True)
class Run:
    """One run; `enqueued_s` is by job, `depths` are (time, jobs that wait or run) by queue."""

    place: Ground
    queues: list[Queue]
    begun_s: float
    enqueued_s: dict[int, tuple[str, float]] = field(default_factory=dict)
    depths: dict[str, list[tuple[float, int]]] = field(default_factory=dict)


def trace(minutes: float, delay_s: float, say: Callable[[str], None]) -> Body:
    """Replay an hour of real arrivals in `minutes`; pods take `delay_s` to become Ready."""
    queues = [
        Queue(
            name=scaler.value.replace(", ", "-"),
            scaler=scaler,
            slots=SLOTS,
            most=MOST,
            start_within=f"{PROMISE_S:g}s",
            start_delay_s=delay_s,
        )
        for scaler in Scaler
    ]
    watcher = replace(queues[1], mode="DryRun")
    with ExitStack() as stack:
        place = stack.enter_context(ground())
        stack.enter_context(running_operator(place))
        stack.enter_context(running_keda(place))
        pool = stack.enter_context(running_pool(place))
        replicas = Replicas(place.api)
        place.apply([one for queue in queues for one in queue.objects()])
        place.apply([queue_worker(watcher)])
        run = Run(place=place, queues=queues, begun_s=time.time())
        _replay(run, _arrivals(minutes * 60), minutes * 60, say)
        ended_s = time.time()
        return {
            "keda_version": keda_version(),
            "trace": FILE.name,
            "minutes": minutes,
            "start_up_s": delay_s,
            "promise_s": PROMISE_S,
            **{queue.scaler.value: _figures(run, pool, queue, ended_s) for queue in queues},
            "agreement": {
                queue.scaler.value: agreement.agreement(
                    queue, run.depths[queue.name], replicas.series[queue.name]
                )
                for queue in queues[1:]
            },
            "dry_run": _dry_run(place.api, watcher),
        }


def _arrivals(lasts_s: float) -> list[tuple[float, float]]:
    """Give (time, length) of a share of the trace's jobs, its times compressed."""
    rng, speed = random.Random(1), lasts_s / TRACE_S  # noqa: S311 a sample
    return [
        (
            float(row["t_s"]) * speed,
            max(SHORTEST_S, float(row["generated_tokens"]) * TOKEN_S),
        )
        for row in read_rows(FILE)
        if rng.random() < SHARE
    ]


def _replay(
    run: Run, arrivals: list[tuple[float, float]], lasts_s: float, say: Callable[[str], None]
) -> None:
    due, sampled_s, said_s = 0, 0.0, 0.0
    while (now_s := time.time() - run.begun_s) < lasts_s + DRAIN_S:
        first = due
        while due < len(arrivals) and arrivals[due][0] <= now_s:
            due += 1
        if due > first:
            _enqueue(run, [length_s for _, length_s in arrivals[first:due]])
        if now_s - sampled_s >= SAMPLE_EVERY_S:
            sampled_s = now_s
            _sample(run)
        if now_s - said_s >= SAY_EVERY_S:
            said_s = now_s
            depths = {name: series[-1][1] for name, series in run.depths.items()}
            say(f"{now_s:.0f} s of {lasts_s + DRAIN_S:.0f}: jobs waiting or running {depths}")
        time.sleep(TICK_S)


def _enqueue(run: Run, lengths_s: list[float]) -> None:
    jobs = [json.dumps({"seconds": round(seconds, 3)}) for seconds in lengths_s]
    for queue in run.queues:
        at_s = time.time()
        for (job,) in run.place.conn.execute(ENQUEUE, [queue.name, jobs]).fetchall():
            run.enqueued_s[job] = (queue.name, at_s)


def _sample(run: Run) -> None:
    counts = dict(run.place.conn.execute(DEPTHS).fetchall())
    for queue in run.queues:
        depths = run.depths.setdefault(queue.name, [])
        depths.append((time.time(), counts.get(queue.name, 0)))


def _figures(run: Run, pool: Pool, queue: Queue, ended_s: float) -> Body:
    entries = [one for one in ledger.read(run.place.folder / "ledger") if one.queue == queue.name]
    first_s = {
        job: lines[0].at_s for job, lines in ledger.by_job(entries).items() if job in run.enqueued_s
    }
    jobs = {job: at_s for job, (name, at_s) in run.enqueued_s.items() if name == queue.name}
    waits_s = [first_s.get(job, ended_s) - at_s for job, at_s in jobs.items()]
    pods = [
        pool.gone_s.get(pod, ended_s) - created_s
        for pod, (name, created_s) in pool.created_s.items()
        if name == queue.name
    ]
    return {
        "jobs": len(jobs),
        "not_started": len(jobs.keys() - first_s.keys()),
        "late_percent": round(100 * sum(wait > PROMISE_S for wait in waits_s) / len(waits_s), 2),
        "wait_p50_s": round(percentile(waits_s, 0.5), 2),
        "wait_p99_s": round(percentile(waits_s, 0.99), 2),
        "pod_hours": round(sum(pods) / 3600, 3),
        "pods_started": len(pods),
        "interrupted": len(ledger.interrupted(entries)),
    }


def _dry_run(api: Api, watcher: Queue) -> Body:
    """Name who wrote to the Deployment beside which a QueueWorker only watched."""
    fields = api.get(f"{DEPLOYMENTS}/{watcher.name}")["metadata"]["managedFields"]
    writers = sorted({entry["manager"] for entry in fields})
    resource = f"/apis/queueworker.dev/v1alpha1/namespaces/bench/queueworkers/{watcher.name}"
    status = api.get(resource).get("status", {})
    return {
        "writers": writers,
        "wrote": FIELD_MANAGER in writers,
        "desired": status.get("replicas", {}).get("desired"),
    }

"""`python -m tests.faults.operator`: what the operator promises in a fault, at full length, in figures.

outage: the database of 200 queues is away for 10 minutes
leaders: the leader is killed 20 times
kills: the operator is killed before and after each kind of write

Each prints its figures and fails where a promise is broken. `make tools` builds what it needs.
"""

import argparse
import contextlib
import re
import sys
import tempfile
import time
import uuid
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

from tests.faults.conftest import CRD
from tests.faults.test_31_operator_killed import API_WRITES, DATABASE_WRITES, Scene, kill_at
from tests.support import postgres
from tests.support.controlplane import ApiServer, run_api_server
from tests.support.fault_proxy import GOOD, Plan
from tests.support.history.operator import Span
from tests.support.mail import Place, deployment, queue_worker
from tests.support.operator_bench import OperatorBench, operator_bench
from tests.support.operator_process import Operator, grant
from tests.support.waiting import wait_until

WOKEN = 10
MOST_GAP_S = 16.0
RIGHT_AGAIN_WITHIN_S = 5.0
CONVERGED_WITHIN_S = 10.0
AGE = re.compile(r"^queueworker_metric_age_seconds\{.*\} ([\d.e+-]+)$", re.MULTILINE)

NewBench = Callable[[], contextlib.AbstractContextManager[OperatorBench]]


@contextlib.contextmanager
def stage() -> Iterator[NewBench]:
    """Run an API server and a Postgres; give what makes a bench of its own on them."""
    with run_api_server() as api, postgres.running_server() as server:
        api.define(CRD)
        template = postgres.make_template(server)
        yield lambda: bench_of(api, server, template)


@contextlib.contextmanager
def bench_of(api: ApiServer, server: str, template: str) -> Iterator[OperatorBench]:
    name = f"fault-{uuid.uuid4().hex[:8]}"
    api.kubectl("create", "namespace", name)
    grant(api, name)
    with (
        tempfile.TemporaryDirectory() as folder,
        postgres.fresh_database(server, template) as dsn,
        operator_bench(Place(server=api, namespace=name), dsn, Path(folder)) as bench,
    ):
        yield bench


def outage(bench: OperatorBench, options: argparse.Namespace) -> Iterator[tuple[str, bool]]:
    """Take the database away from many queues; ten of them get a burst meanwhile."""
    names = [f"q{number}" for number in range(options.queues)]
    for name in names:
        bench.enqueue(30, name)
    for first in range(0, len(names), 50):
        some = names[first : first + 50]
        bench.place.apply(bench.secret, *(body for name in some for body in pair(name)))
    operator = bench.start()
    wait_until(
        lambda: all(bench.sizes.now.get(name, 0) > 0 for name in names),
        within_s=120,
        what="all are scaled",
    )
    time.sleep(5)
    sizes, tried, began, began_s = (
        dict(bench.sizes.now),
        bench.database.accepted,
        time.time(),
        time.monotonic(),
    )
    bench.database.plan = Plan(refuses=True)
    bench.database.cut_all()
    time.sleep(options.seconds)
    changed = sum(bench.sizes.now[name] != sizes[name] for name in names)
    yield f"replica changes while it was away: {changed}", changed == 0
    away_s, tries = time.monotonic() - began_s, bench.database.accepted - tried
    rate = tries / away_s
    yield f"connection attempts: {tries} in {away_s:.0f} s, {rate:.2f}/s", rate <= 1.0
    for name in names[:WOKEN]:
        bench.enqueue(2000, name)
    ended = time.time()
    bench.database.plan = GOOD
    returned_s = time.monotonic()
    right_s = until_right(bench, operator, names, sizes) - returned_s
    yield (
        f"all {len(names)} read anew and {WOKEN} bursts answered {right_s:.1f} s after its return",
        right_s <= RIGHT_AGAIN_WITHIN_S,
    )
    yield from verdict(bench, blind=[Span(from_s=began, to_s=ended)])


def pair(name: str) -> tuple[dict[str, Any], dict[str, Any]]:
    target = {"kind": "Deployment", "name": name}
    return deployment(name), queue_worker(name, scaleTargetRef=target, queues=[name])


def until_right(
    bench: OperatorBench, operator: Operator, names: Sequence[str], sizes: dict[str, int]
) -> float:
    """Wait until every queue was read anew and the bursts are answered; give the time then."""

    def is_right() -> bool:
        # A scrape of so many takes the operator's time: not before it may be right.
        if not all(bench.sizes.now[name] > sizes[name] for name in names[:WOKEN]):
            return False
        ages = [float(text) for text in AGE.findall(operator.get("/metrics")[1])]
        return len(ages) == len(names) and max(ages) < RIGHT_AGAIN_WITHIN_S

    wait_until(is_right, within_s=60, what="it is right again", every_s=0.2)
    return time.monotonic()


def leaders(bench: OperatorBench, options: argparse.Namespace) -> Iterator[tuple[str, bool]]:
    """Kill the leader again and again; a size is asked for at each kill."""
    bench.enqueue(1)
    bench.place.apply(bench.secret, deployment(), queue_worker(replicas=1))
    leader = bench.start("operator-0", bench.another_way())
    bench.await_leader(leader)
    standby = bench.start("operator-1", bench.another_way())
    bench.await_replicas(1)
    gaps, writes = [], []
    for number in range(options.times):
        time.sleep(2 + number % 5 * 0.4)  # at another moment between two renewals each time
        leader.process.kill()
        killed_s = time.monotonic()
        bench.ask(number + 2)
        bench.await_leader(standby, within_s=30)
        gaps.append(time.monotonic() - killed_s)
        bench.await_replicas(number + 2, within_s=10)
        writes.append(time.monotonic() - killed_s)
        leader, standby = standby, bench.start(f"operator-{number + 2}", bench.another_way())
    gaps.sort(), writes.sort()
    told = f"{gaps[len(gaps) // 2]:.1f} s (median), {gaps[-1]:.1f} s (longest)"
    yield f"{len(gaps)} kills: next leader after {told}", gaps[-1] <= MOST_GAP_S
    yield f"next write after {writes[len(writes) // 2]:.1f} s, {writes[-1]:.1f} s (longest)", True
    yield from verdict(bench)


def kills(new_bench: NewBench) -> Iterator[tuple[str, bool]]:
    """Kill the operator at each kind of write, before and after it."""
    for what in (*API_WRITES, *DATABASE_WRITES):
        for moment in ("before", "after"):
            with new_bench() as bench:
                scene = Scene(bench)
                kill_at(scene, what, moment)
                began_s = time.monotonic()
                bench.start()  # a pod that goes before it has listed the pods keeps its lease
                scene.run_to_its_end()
                took_s = time.monotonic() - began_s
                yield (
                    f"killed {moment} {what}: same end {took_s:.1f} s later",
                    (took_s <= CONVERGED_WITHIN_S),
                )
                yield from verdict(bench)


def verdict(bench: OperatorBench, **more: Any) -> Iterator[tuple[str, bool]]:
    """Judge all that was written by O1 to O7."""
    broken = bench.check(**more)
    yield f"{len(bench.writes())} writes, {len(broken)} promises of O1 to O7 broken", not broken
    for one in broken[:5]:
        yield f"{one.law} {one.target}: {one.text}", False


def main(arguments: Sequence[str]) -> int:
    parser = argparse.ArgumentParser(
        prog="python -m tests.faults.operator",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("what", choices=["outage", "leaders", "kills"])
    parser.add_argument("--queues", type=int, default=200)
    parser.add_argument("--seconds", type=float, default=600.0, help="how long the outage lasts")
    parser.add_argument("--times", type=int, default=20, help="how often the leader is killed")
    options = parser.parse_args(arguments)
    is_good = True
    with stage() as new_bench, contextlib.ExitStack() as stack:
        if options.what == "kills":
            lines = kills(new_bench)
        else:
            run = {"outage": outage, "leaders": leaders}[options.what]
            lines = run(stack.enter_context(new_bench()), options)
        for line, is_kept in lines:
            print("ok    " if is_kept else "BROKEN", line, flush=True)
            is_good = is_good and is_kept
    return 0 if is_good else 1


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))

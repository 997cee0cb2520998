"""Twenty databases, and what one that hangs changes for the others: nothing, it should be.

It hangs and answers by turns within one run, so that a slower minute of the machine is in both: what
counts is the difference within each pair of neighbouring periods.
"""

import random
import statistics
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass

from tests.support.fault_proxy import GOOD, SILENT, FaultProxy

from benchmarks.cluster import Cluster, queue_worker, running_cluster, secret
from benchmarks.errors import NotCompleted
from benchmarks.figures import median_interval
from benchmarks.judged import judged
from benchmarks.operated import Operator, running_operator
from benchmarks.running import Site, site
from benchmarks.scenario import Case, Options, Sample, Scenario
from benchmarks.scenarios.reaction import ENQUEUE_ONE, Burst, answered, await_idle
from benchmarks.server import Server
from benchmarks.span import Meter, foreign_load
from benchmarks.systems import System
from queueworker.cluster import Cluster as ServerFiles

DATABASES, QUEUES, PAIRS, BURSTS = 20, 7, 12, 5
SETTLE_S, SECONDS, SEED = 4.0, 5.0, 7  # of each period: until it shows, and of its bursts
READ_SUM, READ_COUNT = (
    "queueworker_metric_read_seconds_sum",
    "queueworker_metric_read_seconds_count",
)
FAILURES = "queueworker_metric_read_failures_total"


@dataclass(frozen=True, slots=True, kw_only=True)
class Period:
    """What was seen of the databases that answer: each burst's answer, and their mean read.

    While all answer, a twentieth of the reads are those of the first database, by way of its proxy.
    """

    answers_ms: tuple[float, ...]
    read_ms: float

    @property
    def answer_ms(self) -> float:
        """Give the median of the answers."""
        return statistics.median(self.answers_ms)


def cases(systems: Sequence[System], _options: Options) -> list[Case]:
    """Give the one case: both are in one run."""
    variant = f"one of {DATABASES} hangs by turns"
    return [Case(system=system, variant=variant) for system in systems]


def measure(server: Server, case: Case, options: Options) -> Sample:
    """Time bursts into all databases but the first, whose way swallows everything by turns."""
    path = ServerFiles.at(server.path).socket_directory / ".s.PGSQL.5432"
    pairs = options.jobs_of(PAIRS)
    with ExitStack() as stack:
        places = [stack.enter_context(site(server, case.system)) for _ in range(DATABASES)]
        proxy = stack.enter_context(FaultProxy(str(path)))
        cluster = stack.enter_context(running_cluster())
        first = f"postgresql://postgres@127.0.0.1:{proxy.port}/{places[0].database}"
        bursts: list[Burst] = []
        for number, place in enumerate(places):
            dsn = server.url(place.database) if number else first
            bursts += _fill(cluster, place, number, dsn)
        stack.enter_context(judged(cluster, [place.conn for place in places]))
        operator = stack.enter_context(running_operator(cluster))
        stack.enter_context(cluster.watched())
        for place in places:
            await_idle(place, QUEUES)
        others = bursts[QUEUES:]
        random.Random(SEED).shuffle(others)  # noqa: S311
        turns = Turns(proxy, cluster, operator, iter(others), options.duration_s or SECONDS)
        meter = Meter(server, places[1].conn)
        before = meter.read()
        found = [turns.pair(hangs_first=bool(number % 2)) for number in range(pairs)]
        return {**told(found), "foreign_load": foreign_load(before, meter.read())}


def _fill(cluster: Cluster, place: Site, number: int, dsn: str) -> list[Burst]:
    queues = [f"queue-{at}" for at in range(QUEUES)]
    for queue in queues:
        place.conn.execute(ENQUEUE_ONE, (queue,))
    place.conn.execute("DELETE FROM queueworker.job")
    cluster.create([secret(f"db-{number}", dsn)])
    names = [f"worker-{number}-{at}" for at in range(QUEUES)]
    pairs = list(zip(names, queues, strict=True))
    cluster.create(
        body for name, queue in pairs for body in queue_worker(name, f"db-{number}", queues=[queue])
    )
    return [(place, queue, name) for name, queue in pairs]


class Turns:
    """Lets the first database hang or answer, and times bursts into the others meanwhile."""

    def __init__(
        self,
        proxy: FaultProxy,
        cluster: Cluster,
        operator: Operator,
        bursts: Iterator[Burst],
        seconds: float,
    ) -> None:
        self._proxy = proxy
        self._cluster = cluster
        self._operator = operator
        self._bursts = bursts
        self._seconds = seconds
        self._chance = random.Random(SEED)  # noqa: S311

    def pair(self, *, hangs_first: bool) -> tuple[Period, Period]:
        """Give a period in which all answer, and one in which the first database hangs."""
        if hangs_first:
            hanging = self._hanging()
            return self._period(), hanging
        return self._period(), self._hanging()

    def _hanging(self) -> Period:
        failed = self._operator.metric(FAILURES)
        self._proxy.plan = SILENT
        try:
            period = self._period()
        finally:
            self._proxy.plan = GOOD
            self._proxy.cut_all()  # what a connection has lost does not come back
        if self._operator.metric(FAILURES) == failed:
            raise NotCompleted("the database that should hang was read")
        return period

    def _period(self) -> Period:
        time.sleep(SETTLE_S)
        spent_s, reads = self._operator.metric(READ_SUM), self._operator.metric(READ_COUNT)
        answers_ms = []
        for _ in range(BURSTS):
            time.sleep(self._chance.uniform(0.2, 1.8) * self._seconds / BURSTS)
            answers_ms.append(round(answered(self._cluster, next(self._bursts)) * 1000, 1))
        spent_s = self._operator.metric(READ_SUM) - spent_s
        reads = self._operator.metric(READ_COUNT) - reads
        return Period(answers_ms=tuple(answers_ms), read_ms=round(1000 * spent_s / reads, 3))


def told(pairs: Sequence[tuple[Period, Period]]) -> Sample:
    """Give the medians of both kinds, and the paired differences with their 95 % interval."""
    calm, hang = zip(*pairs, strict=True)
    figures: Sample = {"pairs": len(pairs)}
    for what in ("answer_ms", "read_ms"):
        values = [(getattr(one, what), getattr(other, what)) for one, other in pairs]
        low, middle, high = median_interval([other - one for one, other in values])
        figures |= {
            what: round(statistics.median(one for one, _ in values), 3),
            f"{what}_beside_a_hang": round(statistics.median(other for _, other in values), 3),
            f"{what}_more": round(middle, 3),
            f"{what}_more_from": round(low, 3),
            f"{what}_more_to": round(high, 3),
        }
    return figures | {
        "all_answer_each_ms": [one.answers_ms for one in calm],
        "one_hangs_each_ms": [one.answers_ms for one in hang],
        "all_answer_reads_ms": [one.read_ms for one in calm],
        "one_hangs_reads_ms": [one.read_ms for one in hang],
    }


SCENARIO = Scenario(
    name="bulkhead",
    summary=(
        "from a commit to the scale, and a read, of 19 databases while one more hangs and while it"
        " answers, by turns; `more`: median of the paired differences, with its 95 % interval"
    ),
    cases=cases,
    measure=measure,
    repeats=1,
    with_rivals=False,
)

"""Random faults against one live system under load; at the end the history is checked.

`python -m tests.faults.mix --seed 7 --rounds 20`: the same seed gives the same faults in the same
order with the same numbers; how the processes interleave is the machine's.
"""

import argparse
import random
import signal
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import ExitStack, suppress
from dataclasses import replace

import psycopg
from tests.support import history
from tests.support.history import History, Journal, Kind, Violation
from tests.support.mix_tasks import APP
from tests.support.own_server import FAST_STOP, IMMEDIATE_STOP, OwnServer, own_server
from tests.support.waiting import wait_until
from tests.support.worker_process import WorkerProcess

TTL_S = 2.0
LEASE = {"QUEUEWORKER_LEASE_TTL_S": str(TTL_S)}
WORKERS = 3
GRACE_S = 5.0
END_WITHIN_S = 90.0
BOUND_S = 60.0  # no order is asserted while servers restart and workers stand still
ENQUEUE = "SELECT queueworker.enqueue('mix', %s, %s::jsonb, max_attempts => %s)"
KILL = (
    "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity"
    " WHERE application_name LIKE 'queueworker%'"
)


class System:
    """A server, workers that are replaced when they die, and a producer that never rests."""

    def __init__(self, server: OwnServer, stack: ExitStack, rng: random.Random) -> None:
        self.server = server
        self.rng = rng
        self.journal = Journal()
        self.workers: list[WorkerProcess] = []
        self.statuses: Counter[int] = Counter()
        self._stack = stack
        self._is_producing = True
        self._producer = threading.Thread(target=self._produce, args=(rng.random(),), daemon=True)

    def start(self) -> None:
        with psycopg.connect(self.server.dsn, autocommit=True) as conn:
            conn.execute("SELECT queueworker.queue_create('mix')")
            history.record(conn)
        self.tend()
        for worker in self.workers:
            worker.ready()
        self._producer.start()

    def tend(self) -> None:
        """Start a worker for each that is gone."""
        for worker in list(self.workers):
            if (status := worker.process.poll()) is not None:
                self.statuses[status] += 1
                self.workers.remove(worker)
        while len(self.workers) < WORKERS:
            self.workers.append(self._stack.enter_context(self._worker()))

    def any(self) -> WorkerProcess:
        self.tend()
        return self.rng.choice(self.workers)

    def enqueue(self, task: str, args: str = "{}", most: int = 50) -> None:
        with psycopg.connect(self.server.dsn, autocommit=True) as conn:
            row = conn.execute(ENQUEUE, (task, args, most)).fetchone()
            if row is not None:
                self.journal.committed.append(row[0])

    def finish(self) -> History:
        """Stop the load, let everything end, give the history."""
        self._is_producing = False
        self._producer.join(30)
        wait_until(self._is_empty, within_s=END_WITHIN_S, what="all jobs end")
        for worker in self.workers:
            self.statuses[worker.stop(2 * GRACE_S)] += 1
        with psycopg.connect(self.server.dsn, autocommit=True) as conn:
            past = history.read(conn, self.journal, bound_s=BOUND_S)
            left = conn.execute("SELECT count(*) FROM queueworker.claim").fetchone()
            assert left == (0,), f"{left} claims are left"
        return replace(past, external=None)

    def _worker(self) -> WorkerProcess:
        flags = ("--app", APP, "--queue", "mix", "--grace", str(GRACE_S))
        return WorkerProcess(self.server.dsn, *flags, environ=LEASE)

    def _is_empty(self) -> bool:
        self.tend()
        with suppress(psycopg.OperationalError), psycopg.connect(self.server.dsn) as conn:
            return conn.execute("SELECT count(*) FROM queueworker.job").fetchone() == (0,)
        return False

    def _produce(self, seed: float) -> None:
        rng = random.Random(seed)
        while self._is_producing:
            # An enqueue whose answer is lost is known to nobody: it may be there or not.
            with (
                suppress(psycopg.OperationalError),
                psycopg.connect(self.server.dsn, autocommit=True) as conn,
            ):
                while self._is_producing:
                    self._enqueue_some(conn, rng)
                    time.sleep(0.02)
            time.sleep(0.1)

    def _enqueue_some(self, conn: psycopg.Connection, rng: random.Random) -> None:
        ids: list[int] = []
        with conn.transaction() as block:
            for _ in range(rng.choice([1, 1, 3])):
                task = rng.choices(["steady", "flaky", "broken"], [90, 8, 2])[0]
                args = f'{{"seconds": {rng.uniform(0, 0.1):.3f}}}' if task == "steady" else "{}"
                row = conn.execute(ENQUEUE, (task, args, 2 if task == "broken" else 50)).fetchone()
                ids += [row[0]] if row else []
            if rng.random() < 0.05:
                self.journal.rolled_back += ids
                raise psycopg.Rollback(block)
        if ids[0] not in self.journal.rolled_back[-3:]:
            self.journal.committed += ids


def kill(system: System) -> None:
    system.any().signal(signal.SIGKILL)


def roll(system: System) -> None:
    worker = system.any()
    status = worker.stop(GRACE_S + 1)
    assert status == 0 or "ready: " not in worker.log, worker.log


def hurry(system: System) -> None:
    worker = system.any()
    worker.signal(signal.SIGTERM)
    time.sleep(0.1)
    worker.signal(signal.SIGTERM)
    worker.wait(GRACE_S + 1)


def freeze(system: System) -> None:
    worker = system.any()
    worker.signal(signal.SIGSTOP)
    time.sleep(system.rng.choice([0.5, 1.5]) * TTL_S)
    worker.signal(signal.SIGCONT)


def flag(system: System) -> None:
    drain = "SELECT queueworker.set_drain(ARRAY(SELECT id FROM queueworker.worker), %s)"
    for is_set in (True, False):
        with psycopg.connect(system.server.dsn, autocommit=True) as conn:
            conn.execute(drain, (is_set,))
        time.sleep(0.5)


def cut(system: System) -> None:
    for _ in range(system.rng.choice([1, 3])):
        system.server.execute(KILL)
        time.sleep(0.2)


def restart(system: System) -> None:
    system.server.stop(FAST_STOP)
    system.server.start()


def crash_server(system: System) -> None:
    system.server.stop(IMMEDIATE_STOP)
    time.sleep(system.rng.choice([0.0, 1.0]))
    system.server.start()


FAULTS: dict[str, Callable[[System], None]] = {
    "kill -9": kill,
    "SIGTERM": roll,
    "SIGTERM twice": hurry,
    "SIGSTOP": freeze,
    "drain flag": flag,
    "sessions killed": cut,
    "server restart": restart,
    "server crash": crash_server,
    "a job crashes its worker": lambda system: system.enqueue("crash"),
    "a job crashes its child": lambda system: system.enqueue("crash_child"),
    "a job forks": lambda system: system.enqueue("fork", most=1),
    "a job blocks the loop": lambda system: system.enqueue("block", '{"seconds": 3.0}'),
    "a job holds the lock": lambda system: system.enqueue("hold", '{"seconds": 3.0}'),
}


def plan(seed: int, rounds: int) -> tuple[list[str], random.Random]:
    """Choose the faults: all of them in random order, again and again."""
    rng = random.Random(seed)
    order: list[str] = []
    while len(order) < rounds:
        order += rng.sample(list(FAULTS), len(FAULTS))
    return order[:rounds], rng


def violations(past: History) -> list[Violation]:
    """Check a history of real workers, which do not tell what they wrote.

    A worker may give a job back inside its lease, and another may take it: of jobs that were
    given back, I4 cannot be told from the log alone.
    """
    given_back = {event.job_id for event in past.events if event.kind is Kind.RELEASED}
    found = history.check(past)
    return [item for item in found if item.invariant != "I4" or item.job_id not in given_back]


def run(seed: int, rounds: int, pause_s: float = 1.0) -> list[Violation]:
    """Mix faults; give every broken promise."""
    order, rng = plan(seed, rounds)
    print(f"seed {seed}: {', '.join(order)}", flush=True)
    with own_server() as server, ExitStack() as stack:
        system = System(server, stack, rng)
        system.start()
        for number, name in enumerate(order, 1):
            began_s = time.monotonic()
            FAULTS[name](system)
            time.sleep(rng.uniform(0.2, 1.8) * pause_s)
            system.tend()
            print(f"{number:4d} {name:26s} {time.monotonic() - began_s:5.1f} s", flush=True)
        past = system.finish()
    found = violations(past)
    ends = Counter(event.kind.value for event in past.events)
    print(f"{len(past.committed)} jobs, {dict(ends)}, workers ended with {dict(system.statuses)}")
    for violation in found[:20]:
        print(f"BROKEN {violation}")
    print(f"seed {seed}: {'broken' if found else 'the history keeps the contract'}", flush=True)
    return found


def main(arguments: Sequence[str]) -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.faults.mix", description=__doc__)
    parser.add_argument("--seed", type=int, default=random.SystemRandom().randrange(10**6))
    parser.add_argument("--rounds", type=int, default=20)
    options = parser.parse_args(arguments)
    return 1 if run(options.seed, options.rounds) else 0


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))

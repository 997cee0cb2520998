"""The operator as processes between two proxies, and the history of all that it wrote.

One proxy stands before the API server, one before Postgres. `check` judges the history.
"""

import contextlib
import json
import subprocess
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Self

import psycopg
from tests.support.api_proxy import ApiProxy, Seen
from tests.support.ending import end
from tests.support.fault_proxy import FaultProxy, socket_of, through
from tests.support.history.operator import Broken, Write
from tests.support.mail import Place, secret
from tests.support.operator_process import (
    Operator,
    command,
    environment,
    kubeconfig_of_account,
)
from tests.support.operator_story import broken, story, written
from tests.support.postgres import Connection
from tests.support.size_watch import SizeWatch
from tests.support.waiting import wait_until

READY_WITHIN_S = 60.0
STOP_WITHIN_S = 30.0
ENQUEUE = "SELECT queueworker.enqueue_many(%s, 'send', array_fill('{}'::jsonb, ARRAY[%s]))"


@dataclass(slots=True, kw_only=True)
class OperatorBench:
    """Operators of one namespace; use it as a context."""

    place: Place
    dsn: str
    folder: Path
    api: ApiProxy
    database: FaultProxy
    sizes: SizeWatch
    conn: Connection
    started: list[tuple[Operator, ApiProxy, float]] = field(default_factory=list)
    stack: contextlib.ExitStack = field(default_factory=contextlib.ExitStack)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        for operator, _api, _at_s in self.started:
            self.end(operator)
        self.sizes.stop()
        self.stack.close()

    @property
    def secret(self) -> dict[str, Any]:
        """The Secret that leads through the database's proxy."""
        return secret(through(self.dsn, self.database))

    def start(
        self,
        pod: str = "operator-0",
        api: ApiProxy | None = None,
        environ: Mapping[str, str] | None = None,
    ) -> Operator:
        """Start an operator in a pod of that name, and wait until it is ready."""
        operator = self.spawn(pod, api, environ)
        wait_until(
            lambda: "operator ready" in operator.log.read_text() or not is_alive(operator),
            within_s=READY_WITHIN_S,
            what="the operator is ready",
            every_s=0.02,
        )
        assert is_alive(operator), operator.log.read_text()[-3000:]
        return operator

    def spawn(
        self,
        pod: str = "operator-0",
        api: ApiProxy | None = None,
        environ: Mapping[str, str] | None = None,
    ) -> Operator:
        """Start an operator and do not wait."""
        api = api or self.api
        number = len(self.started)
        home = self.folder / f"operator-{number}"
        home.mkdir()
        server = replace(self.place.server, url=api.url)
        kubeconfig = kubeconfig_of_account(server, self.place.namespace, home)
        log = home / "log"
        settings = {"QUEUEWORKER_OPERATOR_POD_NAME": pod, **(environ or {})}
        with log.open("wb") as output:
            process = subprocess.Popen(
                command("run", "--port", "0"),
                stdout=output,
                stderr=output,
                env=dict(environment(kubeconfig, **settings)),
            )
        operator = Operator(process=process, log=log)
        self.started.append((operator, api, time.time()))
        return operator

    def another_way(self) -> ApiProxy:
        """Give a proxy of its own to the API server, for a second operator."""
        return self.stack.enter_context(ApiProxy(self.place.server))

    def end(self, operator: Operator) -> None:
        """Stop an operator in order, if it still runs; nothing may be left of it."""
        if not end(operator.process, STOP_WITHIN_S):
            raise AssertionError(f"not stopped: {operator.log.read_text()[-3000:]}")

    def enqueue(self, count: int, queue: str = "mail") -> float:
        """Enqueue jobs; give the time of the commit (epoch seconds)."""
        self.conn.execute(ENQUEUE, (queue, count))
        return time.time()

    def ask(self, replicas: int, name: str = "mail") -> None:
        """Set the replicas of a QueueWorker by hand, as `kubectl scale` does."""
        self.place.kubectl("scale", f"queueworker/{name}", f"--replicas={replicas}")

    def await_replicas(
        self, count: int, *, within_s: float = 10.0, name: str = "mail-worker"
    ) -> float:
        """Wait until the API server has these replicas; give the seconds waited."""
        began_s = time.monotonic()
        wait_until(
            lambda: self.sizes.now.get(name) == count,
            within_s=within_s,
            what=f"{name} has {count} replicas (now {self.sizes.now.get(name)})",
            every_s=0.02,
        )
        return time.monotonic() - began_s

    def await_leader(self, operator: Operator, *, within_s: float = 20.0) -> float:
        """Wait until an operator holds the Lease; give the seconds waited."""
        began_s = time.monotonic()
        wait_until(
            lambda: any(line["message"] == "leader" for line in operator.lines()),
            within_s=within_s,
            what="it leads",
            every_s=0.02,
        )
        return time.monotonic() - began_s

    def check(self, **more: Any) -> list[Broken]:
        """Give the promises of O1 to O7 that were broken so far."""
        self.sizes.catch_up()
        return broken(story(self.place, self.sizes, [self.conn], self.writes(), **more))

    def writes(self) -> list[Write]:
        """Give what operators wrote to `/scale`, in the API server's order."""
        asked = {version_of(seen): (seen, api) for api in self._ways() for seen in api.scales()}
        found = []
        for write in written(self.place, self.sizes):
            if write.version in asked:
                seen, api = asked[write.version]
                base = int(json.loads(seen.body)["metadata"].get("resourceVersion") or 0)
                found.append(replace(write, base=base, writer=self._writer(seen, api)))
        return found

    def _ways(self) -> list[ApiProxy]:
        return list({id(api): api for _, api, _ in self.started}.values())

    def _writer(self, seen: Seen, api: ApiProxy) -> str:
        """Name the process: the last one that was started on this way before."""
        numbers = [
            number
            for number, (_, way, at_s) in enumerate(self.started)
            if way is api and at_s <= seen.at_s
        ]
        return f"operator {numbers[-1]}"


def version_of(seen: Seen) -> int:
    """Give the version that an accepted write to `/scale` made."""
    return int(json.loads(seen.answer)["metadata"]["resourceVersion"])


def is_alive(operator: Operator) -> bool:
    return operator.process.poll() is None


@contextlib.contextmanager
def operator_bench(place: Place, dsn: str, folder: Path) -> Iterator[OperatorBench]:
    """Make a bench for a namespace whose rights are granted; what was written is judged at the end."""
    with (
        ApiProxy(place.server) as api,
        FaultProxy(socket_of(dsn)) as database,
        psycopg.connect(dsn, autocommit=True) as conn,
        OperatorBench(
            place=place,
            dsn=dsn,
            folder=folder,
            api=api,
            database=database,
            sizes=SizeWatch(place),
            conn=conn,
        ) as bench,
    ):
        yield bench
        bench.api.fault = None
        assert bench.check() == []

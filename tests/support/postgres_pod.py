"""The Postgres that runs in the cluster, reached through a port-forward."""

import contextlib
from collections.abc import Iterator
from string import Template
from typing import Any, LiteralString

import psycopg
from psycopg import sql
from tests.support.cluster import Cluster
from tests.support.port_forward import PortForward
from tests.support.tools import ROOT
from tests.support.waiting import wait_until

MANIFEST = ROOT / "tests/e2e/manifests/postgres.yaml"
PASSWORD = "canary-7f3a-secret"
TEMPLATE = "queueworker"
POD = "deployment/postgres"


class PostgresPod:
    """Databases for tests; `TEMPLATE` is the migrated one that they are copied from."""

    def __init__(self, cluster: Cluster) -> None:
        self.cluster = cluster
        self._forward = PortForward(cluster, POD, 5432)

    def start(self, image: str) -> None:
        """Start the server and wait until it answers."""
        manifest = Template(MANIFEST.read_text()).substitute(postgres=image)
        self.cluster.kubectl("apply", "-f", "-", stdin=manifest)
        self.cluster.kubectl("rollout", "status", POD, "--timeout=120s", within_s=130)
        self.execute("postgres", f"CREATE DATABASE {TEMPLATE}")

    def dsn(self, database: str, user: str = "postgres") -> str:
        """Give the address as pods use it."""
        host = f"postgres.{self.cluster.namespace}.svc.cluster.local"
        return f"postgresql://{user}:{PASSWORD}@{host}:5432/{database}"

    def connect(self, database: str) -> psycopg.Connection[tuple[Any, ...]]:
        """Connect as the superuser from where the tests run."""
        return psycopg.connect(
            host="127.0.0.1",
            port=self._forward.port(),
            user="postgres",
            password=PASSWORD,
            dbname=database,
            autocommit=True,
            connect_timeout=5,
        )

    def execute(self, database: str, *statements: LiteralString | sql.Composed) -> None:
        """Run statements as the superuser."""
        with self.connect(database) as conn:
            for statement in statements:
                conn.execute(statement)

    def query(
        self, database: str, statement: LiteralString, parameters: dict[str, Any] | None = None
    ) -> list[tuple[Any, ...]]:
        """Run one query as the superuser and give its rows."""
        with self.connect(database) as conn:
            return conn.execute(statement, parameters).fetchall()

    def create(self, database: str) -> None:
        """Copy the migrated template."""
        names = {"new": sql.Identifier(database), "old": sql.Identifier(TEMPLATE)}
        self.execute("postgres", sql.SQL("CREATE DATABASE {new} TEMPLATE {old}").format(**names))

    def drop(self, database: str) -> None:
        """Remove a database and whoever is connected to it."""
        name = sql.Identifier(database)
        self.execute("postgres", sql.SQL("DROP DATABASE {} WITH (FORCE)").format(name))

    @contextlib.contextmanager
    def outage(self) -> Iterator[None]:
        """Stop the server at once, as a crash does; it comes back, with its data, at the end."""
        stop = "touch /data/hold && pg_ctl -D /data/pg stop -m immediate"
        with contextlib.suppress(Exception):  # the container ends under the command
            self.cluster.kubectl("exec", POD, "--", "bash", "-c", stop)
        wait_until(self._is_held, within_s=30, what="the server is stopped")
        try:
            yield
        finally:
            self.cluster.kubectl("exec", POD, "--", "rm", "/data/hold")
            self.cluster.kubectl("rollout", "status", POD, "--timeout=60s", within_s=70)

    def stop_forwarding(self) -> None:
        """End the port-forward."""
        self._forward.stop()

    def _is_held(self) -> bool:
        pods = self.cluster.find("pods", selector="app=postgres")
        statuses = [status for pod in pods for status in pod["status"]["containerStatuses"]]
        running = all("running" in status["state"] for status in statuses)
        return running and not any(status["ready"] for status in statuses)

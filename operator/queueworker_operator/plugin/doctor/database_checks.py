"""PURE: the way to the database, its rights, its tables, its limits."""

import re
from collections.abc import Sequence

from queueworker_operator.lag import QueueLag
from queueworker_operator.lag.examine import SCHEMA_VERSION
from queueworker_operator.plugin.doctor.facts import Facts, NotKnown, policy_of
from queueworker_operator.plugin.doctor.finding import Finding, fail, fine, warn
from queueworker_operator.plugin.tree import age
from queueworker_operator.text import counted

MIGRATE = "queueworker migrate --create-roles    # as the schema's owner"
GRANT = "GRANT queueworker_operator TO {role};"
PROVE = (
    "add sslmode=verify-full and sslrootcert=system to the Secret's connection string; for an authority "
    "that the system does not know, leave sslrootcert out and mount its file: docs/howto/managed-postgres.md"
)
VERIFIED = {"verify-ca", "verify-full"}
KUBERNETES_FROM = (1, 33)
POSTGRES_FROM, POSTGRES_TO = 15, 18
CONNECTIONS_A_WORKER = 4
RESERVED = 3
BLOATED_ROWS, BLOATED_SHARE = 100_000, 4
LONG_TRANSACTION_S = 3600.0
OLD_IDS, TOO_OLD_IDS = 500_000_000, 1_000_000_000


def secret(facts: Facts) -> Finding:
    """Is the Secret there, with a connection string under its key?"""
    name = _secret_name(facts)
    if facts.secret_fault:
        key = (facts.spec["database"]["secretRef"]).get("key", "dsn")
        return fail(
            facts.secret_fault,
            f"{facts.kubectl} create secret generic {name} --from-literal={key}=postgresql://USER:PASSWORD@HOST/DATABASE",
        )
    return fine(f"Secret {name} leads to {facts.address.get().place}")


def _secret_name(facts: Facts) -> str:
    return str(((facts.spec.get("database") or {}).get("secretRef") or {}).get("name", ""))


def tls(facts: Facts) -> Finding:
    """Is the way to the server encrypted, and the server proven to be the right one?"""
    address = facts.address.get()
    if address.local:
        return fine("nothing but this machine is between: a socket or loopback")
    if not facts.server.get().encrypted:
        return warn(
            "the connection is not encrypted: passwords and jobs can be read on the way", PROVE
        )
    if address.sslmode not in VERIFIED:
        return warn(f"encrypted, but sslmode={address.sslmode} does not prove who answers", PROVE)
    return fine(f"encrypted, sslmode={address.sslmode}")


def database(facts: Facts) -> Finding:
    """Does it answer, as a primary?"""
    if facts.refused:
        return fail(
            facts.refused,
            f"{facts.kubectl} edit secret {_secret_name(facts)}    # its user and password",
        )
    server = facts.server.get()
    if server.standby:
        return fail("it is a standby, which takes no writes", "point the Secret at the primary")
    return fine(f"Postgres {server.version}, a primary, as role {server.role}")


def grants(facts: Facts) -> Finding:
    """May the role do what the operator does, and no more?"""
    rights, role = facts.rights.get(), facts.server.get().role
    if rights.missing:
        return fail(f"functions are missing: {_listed(rights.missing)}", MIGRATE)
    if rights.refused:
        return fail(f"{role} may not call {_listed(rights.refused)}", GRANT.format(role=role))
    if facts.server.get().superuser:
        return warn(
            f"{role} is a superuser: the operator needs one role only",
            f"CREATE ROLE mail_operator LOGIN PASSWORD '...'; {GRANT.format(role='mail_operator')}",
        )
    return fine(f"{role} may do all that the operator does")


def versions(facts: Facts) -> Finding:
    """Do Kubernetes, Postgres, the schema and the workers fit?"""
    kubernetes = facts.cluster.server_version.get()
    found = re.match(r"v(\d+)\.(\d+)", kubernetes)
    if found is None or (int(found[1]), int(found[2])) < KUBERNETES_FROM:
        return warn(
            f"Kubernetes {kubernetes} is older than what is tested (1.33)", "upgrade the cluster"
        )
    postgres, schema = facts.server.get(), facts.schema_version.get()
    if schema < SCHEMA_VERSION:
        return fail(
            f"the schema has version {schema}, this program needs {SCHEMA_VERSION}", MIGRATE
        )
    if not POSTGRES_FROM <= postgres.major <= POSTGRES_TO:
        return warn(
            f"Postgres {postgres.version} is not tested: {POSTGRES_FROM} to {POSTGRES_TO} are",
            "move the database to a tested version",
        )
    others = {worker.version for worker in facts.workers.get()} - {facts.cluster.own_version}
    if others:
        return warn(
            f"workers of version {_listed(sorted(others))} beside this program's {facts.cluster.own_version}",
            f"{facts.kubectl} rollout status deployment {facts.target}",
        )
    return fine(f"Kubernetes {kubernetes}, Postgres {postgres.version}, schema {schema}")


def queues(facts: Facts) -> Finding:
    """Do the queues exist, may they be claimed from, and does somebody know the tasks?"""
    lags, wanted = facts.lags.get(), [str(name) for name in facts.spec.get("queues") or ()]
    if lags.refused:
        raise NotKnown(str(next(iter(lags.refused.values()))))
    missing = [name for name in wanted if name not in lags.rows]
    if missing:
        return warn(
            f"the database has no queue {missing[0]}: nothing was ever enqueued there",
            "queueworker stats    # names those that there are",
        )
    rows = [lags.rows[name] for name in wanted]
    for row in rows:
        if row.paused:
            return warn(f"queue {row.queue} is paused", f"queueworker queue resume {row.queue}")
        if row.ready and not row.workers and (pods := _ready_pods(facts)):
            return fail(
                f"{counted(row.ready, f'job of {row.queue} waits', f'jobs of {row.queue} wait')}, "
                f"{counted(pods, 'pod is', 'pods are')} ready, and none serves it: "
                "compare with --queue of their command",
                f"{facts.kubectl} get deployment {facts.target} -o yaml",
            )
        if unknown := _unknown_tasks(row):
            return fail(
                f"no live worker of {row.queue} knows task {unknown}",
                f"queueworker job cancel --queue {row.queue} --task {unknown}    # or deploy a worker that has it",
            )
    dead = sum(row.dead for row in rows)
    if dead:
        return warn(
            counted(dead, "dead letter"),
            f"kubectl queueworker dead {facts.name} -n {facts.namespace}",
        )
    waiting = counted(sum(row.ready for row in rows), "job waits", "jobs wait")
    return fine(f"{len(rows)} found, {waiting}, no dead letters")


def _ready_pods(facts: Facts) -> int:
    """Count the target's ready pods; Ready means that a worker registered its queues."""
    status = (facts.deployment.value or {}).get("status") or {}
    return int(status.get("readyReplicas") or 0)


def _unknown_tasks(row: QueueLag) -> str:
    if not row.workers or row.draining_workers:
        return ""
    unknown = [
        task for task, jobs in row.ready_by_task.items() if jobs and task not in row.worker_tasks
    ]
    return min(unknown, default="")


def indexes(facts: Facts) -> Finding:
    """Has each table of jobs the indexes that claims and completions walk?"""
    missing = facts.missing_indexes.get()
    if missing:
        return fail(
            f"an index is missing or invalid: {_listed(missing)}",
            _index_command(missing[0]),
        )
    return fine("every table of jobs has its indexes")


def _index_command(missing: str) -> str:
    part, _, columns = missing.partition(" ")
    if columns == "(id)":
        return f"ALTER TABLE queueworker.{part} ADD PRIMARY KEY (id);"
    return f"CREATE INDEX CONCURRENTLY ON queueworker.{part} {columns} WHERE pos IS NOT NULL;"


def bloat(facts: Facts) -> Finding:
    """Are there tables of mostly dead rows?"""
    for table in facts.tables.get():
        if table.dead > BLOATED_ROWS and table.dead > BLOATED_SHARE * table.live:
            return warn(
                f"{table.name} has {counted(table.dead, 'dead row')} beside {table.live:,} living ones "
                f"({table.size_bytes / 1e6:.0f} MB)",
                f"VACUUM (VERBOSE) queueworker.{table.name};",
            )
    return fine("no table is mostly dead rows")


def transactions(facts: Facts) -> Finding:
    """Does an old transaction keep dead rows, and do transaction ids run out?"""
    server = facts.server.get()
    ids = server.transaction_id_age
    freeze = "VACUUM (FREEZE, VERBOSE);"
    if ids > TOO_OLD_IDS:
        return fail(
            f"the oldest transaction id is {ids:,} old: at 2,000,000,000 writes stop", freeze
        )
    if ids > OLD_IDS:
        return warn(f"the oldest transaction id is {ids:,} old", freeze)
    oldest_s = server.oldest_transaction_s
    if oldest_s is None:
        raise NotKnown(
            f"{server.role} may not see other sessions: GRANT pg_read_all_stats TO {server.role};"
        )
    if oldest_s > LONG_TRANSACTION_S:
        return warn(
            f"a transaction is open for {age(oldest_s)}: no dead row is removed meanwhile",
            "SELECT pid, usename, state, xact_start, query FROM pg_stat_activity ORDER BY xact_start;",
        )
    return fine(f"the oldest transaction is {age(oldest_s)} old, ids {ids:,}")


def connections(facts: Facts) -> Finding:
    """Does the server have connections left for all pods there may be?"""
    server, most = facts.server.get(), policy_of(facts).max_replicas
    there = len(facts.workers.get())
    more = CONNECTIONS_A_WORKER * max(0, most - there)
    left = server.max_connections - server.connections - RESERVED
    told = f"{server.connections} of {server.max_connections} are in use; {counted(most, 'pod')} would need {more} more"
    if more > left:
        return warn(
            told,
            f"ALTER SYSTEM SET max_connections = {server.connections + RESERVED + more + 20};    -- and restart; or lower maxReplicas",
        )
    return fine(told)


def _listed(names: Sequence[str]) -> str:
    shown = ", ".join(names[:3])
    return shown if len(names) <= 3 else f"{shown} and {len(names) - 3} more"  # noqa: PLR2004

"""PURE: all checks, in the order in which one would look."""

from collections.abc import Callable, Mapping
from dataclasses import replace

from queueworker_operator.plugin.doctor import database_checks as of_database
from queueworker_operator.plugin.doctor import resource_checks as of_resource
from queueworker_operator.plugin.doctor import target_checks as of_target
from queueworker_operator.plugin.doctor.facts import Facts, NotKnown
from queueworker_operator.plugin.doctor.finding import Finding, Level
from queueworker_operator.plugin.doctor.identity import identity

CHECKS: Mapping[str, Callable[[Facts], Finding]] = {
    "definition": of_resource.definition,
    "operator": of_resource.operator,
    "resource": of_resource.resource,
    "promise": of_resource.promise,
    "target": of_target.target,
    "pods": of_target.pods,
    "rivals": of_target.rivals,
    "grace": of_target.grace,
    "signals": of_target.signals,
    "identity": identity,
    "secret": of_database.secret,
    "database": of_database.database,
    "tls": of_database.tls,
    "grants": of_database.grants,
    "versions": of_database.versions,
    "clock": of_resource.clock,
    "queues": of_database.queues,
    "indexes": of_database.indexes,
    "bloat": of_database.bloat,
    "transactions": of_database.transactions,
    "connections": of_database.connections,
}


def examine(facts: Facts) -> tuple[Finding, ...]:
    """Judge all; what cannot be known is UNKNOWN, never OK."""
    return tuple(_judged(name, facts) for name in CHECKS)


def _judged(name: str, facts: Facts) -> Finding:
    try:
        return replace(CHECKS[name](facts), check=name)
    except NotKnown as exc:
        return Finding(check=name, level=Level.UNKNOWN, said=str(exc))

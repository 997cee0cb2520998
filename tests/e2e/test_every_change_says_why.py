"""Every change of replicas carries its reason: in an Event, in the status, in the database."""

from collections.abc import Callable
from typing import Any

from tests.support.deployed import Deployed
from tests.support.workload import Workload

from queueworker_operator.controller.record import replay

DECISIONS = "SELECT record FROM queueworker.decisions(%(key)s, 200)"


def test_events_status_and_decisions_tell_the_same(install: Callable[[Workload], Deployed]) -> None:
    deployed = install(Workload(name="reasons", slots=2, start_within="60s", max_replicas=4))
    with deployed.watch() as watch:
        deployed.enqueue(120, seconds=0.5)
        deployed.wait_for_jobs(within_s=120)
        deployed.wait_for_replicas(0, within_s=180)

    records = decisions(deployed)
    writes = [record for record in records if record["asked"] is not None]

    assert watch.replicas[0] == 0
    assert len(watch.replicas) >= 3
    assert [record["asked"] for record in writes] == watch.replicas[1:]
    assert {told(record) for record in writes} <= events(deployed)
    assert last_decision(deployed) in [
        (r["decision"]["current"], r["decision"]["desired"], *told(r)) for r in records
    ]
    assert all(replay(record).desired == record["decision"]["desired"] for record in records)
    assert deployed.reconcile().each_ran_once, deployed.reconcile()


def decisions(deployed: Deployed) -> list[dict[str, Any]]:
    """Give the recorded decisions, oldest first."""
    key = f"{deployed.cluster.namespace}/{deployed.workload.name}"
    return [record for (record,) in reversed(deployed.query(DECISIONS, key=key))]


def told(record: dict[str, Any]) -> tuple[str, str]:
    return record["decision"]["reason"], record["decision"]["message"]


def events(deployed: Deployed) -> set[tuple[str, str]]:
    """Give reason and message of every Event about the QueueWorker."""
    fields = f"involvedObject.kind=QueueWorker,involvedObject.name={deployed.workload.name}"
    found = deployed.cluster.find("events", fields=fields)
    return {(event["reason"], event["message"]) for event in found}


def last_decision(deployed: Deployed) -> tuple[int, int, str, str]:
    last = deployed.status()["lastDecision"]
    return last["from"], last["to"], last["reason"], last["message"]

"""Who may view or edit a namespace may do the same with its QueueWorkers, by the cluster's own roles."""

import pytest
from tests.support.cluster import Cluster, CommandFailed
from tests.support.operator_release import OperatorRelease
from tests.support.waiting import wait_until

READ, WRITE = ("get", "list", "watch"), ("create", "patch", "delete")


@pytest.mark.parametrize(("role", "also"), [("view", ()), ("edit", WRITE), ("admin", WRITE)])
def test_a_role_of_the_cluster_covers_queue_workers(
    operator: OperatorRelease, role: str, also: tuple[str, ...]
) -> None:
    cluster, user = operator.cluster, f"a-{role}"
    cluster.kubectl("create", "rolebinding", user, f"--clusterrole={role}", f"--user={user}")
    try:
        wait_until(lambda: may(cluster, user, "list"), within_s=20, what="the role is aggregated")
        granted = {verb for verb in READ + WRITE if may(cluster, user, verb)}
    finally:
        cluster.kubectl("delete", "rolebinding", user)

    assert granted == {*READ, *also}
    assert not may(cluster, "nobody-else", "list")


def may(cluster: Cluster, user: str, verb: str) -> bool:
    """Ask the API server; a no is an exit code of 1."""
    try:
        return cluster.kubectl("auth", "can-i", verb, "queueworkers", f"--as={user}") == "yes\n"
    except CommandFailed:
        return False

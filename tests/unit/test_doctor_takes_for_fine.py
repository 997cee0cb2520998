"""What looks like a fault to doctor and is none, and what looks fine and is not."""

from tests.support import patient
from tests.support.ailments import found, hpa, signed, target, tls, with_ready_pods
from tests.support.patient import cluster, healthy, lags, lease, server

from queueworker_operator.plugin.doctor.facts import Read
from queueworker_operator.plugin.doctor.finding import Level


def test_no_worker_at_all_is_not_a_queue_of_another_name() -> None:
    scaled_in = healthy(lags=lags(workers=0, ready=3), deployment=with_ready_pods(0))

    assert found("queues", scaled_in).level is Level.OK


def test_a_grace_as_long_as_the_pods_is_fine() -> None:
    same = target(env=[{"name": "QUEUEWORKER_GRACE_S", "value": "30"}])

    assert found("grace", healthy(deployment=same)).level is Level.OK


def test_a_dry_run_beside_another_scaler_is_fine() -> None:
    beside = healthy(body=patient.body(mode="DryRun"), scalers=hpa())

    assert found("rivals", beside).level is Level.OK


def test_the_operator_of_a_release_that_is_gone_is_no_rival() -> None:
    body = signed(shop="2025-12-31T23:59:00Z", ops="2025-12-31T20:00:00Z")

    assert found("rivals", healthy(body=body)).level is Level.OK


def test_the_operator_of_another_team_does_not_stand_for_ones_own() -> None:
    leases = Read([lease(namespace="teamb"), lease("2025-12-31T00:00:00Z", namespace="teama")])
    theirs = healthy(body=signed(teama="2025-12-31T00:00:00Z"), cluster=cluster(leases=leases))

    finding = found("operator", theirs)
    assert finding.level is Level.FAIL
    assert "the Lease in teama; the last renewal was 24h ago" in finding.said
    assert finding.remedy.startswith("kubectl -n teama logs")
    assert found("resource", theirs).level is Level.WARN
    assert "was Ready when an operator last wrote" in found("resource", theirs).said


def test_the_operator_that_took_a_queueworker_over_is_the_one_that_counts() -> None:
    """The first one lives on, for other namespaces."""
    body = signed(ops="2025-12-31T20:00:00Z", shop="2025-12-31T23:00:00Z")
    alone = cluster(leases=Read([lease(namespace="ops")]))
    both = cluster(leases=Read([lease(namespace="ops"), lease(namespace="shop")]))

    gone = found("operator", healthy(body=body, cluster=alone))
    assert (gone.level, gone.said) == (
        Level.FAIL,
        "the operator in shop, which wrote the status, has no Lease now",
    )
    assert "in shop, renewed 2s ago" in found("operator", healthy(body=body, cluster=both)).said


def test_nobody_can_read_along_on_a_socket() -> None:
    local = healthy(address=tls("prefer", local=True), server=server(encrypted=False))

    assert found("tls", local).level is Level.OK


def test_sessions_that_the_role_may_not_see_are_not_taken_for_none() -> None:
    finding = found("transactions", healthy(server=server(oldest_transaction_s=None)))

    assert finding.level is Level.UNKNOWN
    assert "GRANT pg_read_all_stats TO mail_operator;" in finding.said

"""What operators write in tests is judged at the end: a record that is gone or wrong is found."""

from collections.abc import Callable
from pathlib import Path

import pytest
from tests.support.controlplane import ApiServer
from tests.support.judge import Others, judged_by_its_secrets
from tests.support.mail import Place, deployment, queue_worker, secret
from tests.support.operator_process import grant, kubeconfig_of_account, running_operator
from tests.support.postgres import Connection
from tests.support.waiting import wait_until

Plant = Callable[[Place, Connection], object]

ENQUEUE = "SELECT queueworker.enqueue_many('mail', 'send', array_fill('{}'::jsonb, ARRAY[500]))"
SCALE = ("scale", "deployment/mail-worker")
FALSE_RECORD = """
    UPDATE queueworker.decision
    SET record = jsonb_set(record, '{decision,desired}', to_jsonb((record->>'asked')::int - 1))
    WHERE record->>'asked' IS NOT NULL
"""
PLANTED: dict[str, tuple[Plant, str]] = {
    "a record that is gone": (
        lambda _, conn: conn.execute("DELETE FROM queueworker.decision"),
        "has no decision",
    ),
    "a record that says another number": (
        lambda _, conn: conn.execute(FALSE_RECORD),
        "comes out again",
    ),
    "a bound that the replicas do not keep": (
        lambda place, _: place.kubectl(
            *("patch", "queueworker", "mail", "--type=merge", "-p", '{"spec":{"maxReplicas":1}}')
        ),
        "is not in 0..1",
    ),
    "a size that no operator wrote": (
        lambda place, _: place.kubectl(*SCALE, "--replicas=3"),
        "writer='kubectl'.* is nobody's decision",
    ),
    "a size of 0 that nobody decided, nor signed": (
        lambda place, _: place.kubectl(*SCALE, "--replicas=0"),
        "->0 has no decision",
    ),
    "a record that is gone, of a resource that is gone too": (
        lambda place, conn: (
            place.kubectl("delete", "queueworker", "mail"),
            conn.execute("DELETE FROM queueworker.decision"),
        ),
        "has no decision",
    ),
}


@pytest.fixture
def scene(crd: ApiServer, namespace: str) -> Place:
    """Give a namespace in which the operator has its rights."""
    grant(crd, namespace)
    return Place(server=crd, namespace=namespace)


@pytest.mark.parametrize("planted", PLANTED.values(), ids=PLANTED)
def test_it_is_found_at_the_end(
    scene: Place, dsn: str, conn: Connection, tmp_path: Path, planted: tuple[Plant, str]
) -> None:
    plant, found = planted
    scene.apply(deployment(), queue_worker(), secret(dsn))

    with pytest.raises(AssertionError, match=found):
        scaled_and_judged(scene, conn, tmp_path, plant)


def test_a_run_that_keeps_all_promises_passes_and_its_writes_are_seen(
    scene: Place, dsn: str, conn: Connection, tmp_path: Path
) -> None:
    scene.apply(deployment(), queue_worker(), secret(dsn))

    seen = scaled_and_judged(scene, conn, tmp_path)

    assert seen == [scene.replicas()]


def test_who_is_said_to_write_too_must_do_so(
    scene: Place, dsn: str, conn: Connection, tmp_path: Path
) -> None:
    scene.apply(deployment(), queue_worker(), secret(dsn))

    with pytest.raises(AssertionError, match=r"nobody wrote but the operator: not Others\.RIVAL"):
        scaled_and_judged(scene, conn, tmp_path, others=Others.RIVAL)


def scaled_and_judged(
    scene: Place,
    conn: Connection,
    folder: Path,
    plant: Plant = lambda *_: None,
    others: Others | None = None,
) -> list[int]:
    """Let an operator answer a burst, then plant a bug; give the writes that were judged."""
    kubeconfig = kubeconfig_of_account(scene.server, scene.namespace, folder)
    with judged_by_its_secrets(scene, others) as judge:
        with running_operator(judge, kubeconfig, folder / "log"):
            conn.execute(ENQUEUE)
            wait_until(lambda: scene.replicas() > 1, within_s=30, what="scaled")
        plant(scene, conn)
    return [size.replicas for size in judge.sizes.sizes if size.is_ours]

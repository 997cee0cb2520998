"""Secrets and databases: missing, changed, away, and several."""

import json
from collections.abc import Iterator

import psycopg
import pytest
from tests.support.mail import Place, deployment, enqueue, queue_worker, secret
from tests.support.operator_process import (
    Start,
)
from tests.support.postgres import CANARY, Connection, fresh_database
from tests.support.waiting import wait_until


def test_a_missing_secret_is_named_and_picked_up_when_it_appears(
    place: Place, start: Start, dsn: str, conn: Connection
) -> None:
    enqueue(conn, 200)
    place.apply(deployment(), queue_worker())
    start()
    told = place.await_condition("MetricsAvailable", "SecretNotFound")
    assert "Secret mail-db does not exist" in told["message"]
    assert place.condition("Ready")["status"] == "False"

    place.apply(secret(dsn))

    wait_until(lambda: place.replicas() > 0, within_s=20, what="scaled")


def test_a_secret_without_the_key_names_the_key(place: Place, start: Start, dsn: str) -> None:
    place.apply(deployment(), queue_worker(), secret(dsn) | {"stringData": {"url": dsn}})
    start()

    told = place.await_condition("MetricsAvailable", "SecretInvalid")

    assert "no key dsn" in told["message"]


def test_a_rotated_secret_is_read_again_as_soon_as_the_database_refuses_the_old_one(
    place: Place, start: Start, dsn: str, conn: Connection
) -> None:
    enqueue(conn, 200)
    outdated = dsn.replace("user=postgres", "user=rotated_away")
    place.apply(deployment(), queue_worker(), secret(outdated))
    start()
    told = place.await_condition("MetricsAvailable", "AccessRefused")
    assert "check the Secret" in told["message"]

    place.apply(secret(dsn))

    wait_until(lambda: place.replicas() > 0, within_s=20, what="scaled with the new Secret")


def test_an_unreachable_database_holds_the_replicas_and_hides_the_password(
    place: Place, start: Start
) -> None:
    nowhere = f"host=/nonexistent user=mail password={CANARY} dbname=mail"
    place.apply(deployment(replicas=7), queue_worker(), secret(nowhere))
    start()

    told = wait_until(
        lambda: (
            found
            if (found := place.condition("MetricsAvailable")).get("status") == "False"
            else None
        ),
        within_s=15,
        what="MetricsAvailable is False",
    )

    assert place.replicas() == 7
    assert CANARY not in json.dumps(place.get("queueworker", "mail"))
    assert told["message"]


@pytest.fixture
def other_dsn(server: str, template: str) -> Iterator[str]:
    with fresh_database(server, template) as address:
        yield address


def test_each_of_two_databases_has_a_loop_of_its_own(
    place: Place, other_dsn: str, start: Start, dsn: str, conn: Connection
) -> None:
    enqueue(conn, 100)
    with psycopg.connect(other_dsn, autocommit=True) as other:
        enqueue(other, 400)
    target = {"kind": "Deployment", "name": "other-worker"}
    reference = {"secretRef": {"name": "other-db"}}
    place.apply(deployment(), deployment("other-worker"), secret(dsn))
    place.apply(secret(other_dsn, "other-db"), queue_worker())
    place.apply(queue_worker("other", scaleTargetRef=target, database=reference))
    start()

    wait_until(lambda: place.replicas("other-worker") > 0, within_s=15, what="other scaled")
    wait_until(lambda: place.replicas() > 0, within_s=15, what="mail scaled")

    assert place.replicas("other-worker") > place.replicas()

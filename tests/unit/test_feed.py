"""Watch events in any order: kopf keeps the order of one object only, not of one name."""

import asyncio
from typing import Any

from queueworker_operator.handlers.others import Others
from queueworker_operator.handlers.relist import Relisting
from queueworker_operator.handlers.roster import Roster
from queueworker_operator.handlers.watch import Feed
from queueworker_operator.kube import Client, Credentials
from queueworker_operator.target.cache import ClusterCache

PLACE = ("shop", "mail")


def body(uid: str, version: int) -> dict[str, Any]:
    meta = {"namespace": "shop", "name": "mail", "uid": uid, "resourceVersion": str(version)}
    return {"metadata": meta, "spec": {"replicas": version}}


def fed(kind: str, *events: tuple[str, dict[str, Any]]) -> tuple[Roster, ClusterCache]:
    """Feed the events of `kind` and give what is known then."""
    roster, cache = Roster(), ClusterCache(lambda: 0.0, lambda: 0.0)
    client = Client(Credentials(server="https://127.0.0.1:1"))
    relisting = Relisting(client, roster, cache, namespaces=(None,), wake=lambda: None)
    others = Others("ops", clock=lambda: 0.0, warn=lambda *_: None)
    feed = Feed(roster, cache, relisting, lambda: None, others)

    async def scene() -> None:
        for event_type, known in events:
            await getattr(feed, f"on_{kind}")({"type": event_type, "object": known})

    asyncio.run(scene())
    return roster, cache


def test_a_late_deletion_does_not_hide_the_object_made_anew() -> None:
    events = (("ADDED", body("old", 1)), ("ADDED", body("new", 3)), ("DELETED", body("old", 2)))

    roster, _ = fed("queue_worker", *events)
    _, cache = fed("deployment", *events)

    member, deployment = roster.get("shop/mail"), cache.deployment(*PLACE)
    assert member is not None
    assert member.uid == "new"
    assert deployment is not None
    assert deployment.uid == "new"


def test_a_late_deletion_does_not_end_the_pod_of_the_same_name() -> None:
    events = (("ADDED", body("old", 1)), ("ADDED", body("new", 3)), ("DELETED", body("old", 2)))

    _, cache = fed("pod", *events)

    assert list(cache.uids_of_pods()) == [PLACE]
    assert [pod.uid for pod in cache.gone_since(0)] == ["old"]


def test_a_late_change_of_the_old_object_does_not_replace_the_new_one() -> None:
    events = (("ADDED", body("old", 1)), ("ADDED", body("new", 3)), ("MODIFIED", body("old", 2)))

    roster, _ = fed("queue_worker", *events)
    _, cache = fed("deployment", *events)

    member, deployment = roster.get("shop/mail"), cache.deployment(*PLACE)
    assert member is not None
    assert member.uid == "new"
    assert deployment is not None
    assert deployment.replicas == 3


def test_a_deletion_is_a_deletion() -> None:
    events = (("ADDED", body("old", 1)), ("DELETED", body("old", 2)))

    roster, _ = fed("queue_worker", *events)
    _, cache = fed("deployment", *events)

    assert roster.get("shop/mail") is None
    assert cache.deployment(*PLACE) is None

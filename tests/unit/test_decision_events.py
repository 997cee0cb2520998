"""A decision becomes an event."""

from tests.support.manifests import NOW, body

from queueworker_operator.decision.model import (
    Decision,
    Reason,
)
from queueworker_operator.resource import (
    decision_event,
    parse,
)


def test_an_event_carries_the_decisions_words() -> None:
    decision = Decision(desired=9, current=6, reason=Reason.BACKLOG, message="6->9: " + "x" * 2000)

    event = decision_event(parse(body()), decision, NOW, "suffix")

    assert event["metadata"] == {"name": "mail.suffix", "namespace": "shop"}
    assert event["involvedObject"]["uid"] == "u"
    assert (event["type"], event["reason"]) == ("Normal", "Backlog")
    assert len(event["message"]) == 1024


def test_an_event_of_a_very_long_name_still_has_a_valid_one() -> None:
    long = body() | {"metadata": body()["metadata"] | {"name": "m" * 229 + "-" + "n" * 20}}
    decision = Decision(desired=9, current=6, reason=Reason.BACKLOG, message="6->9")

    event = decision_event(parse(long), decision, NOW, "suffix")

    assert event["metadata"]["name"] == "m" * 229 + ".suffix"

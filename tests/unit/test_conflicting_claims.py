"""Of two QueueWorkers on one target or queue the older wins."""

from queueworker_operator.resource import (
    Claim,
    ConditionReason,
    find_conflicts,
)


def claim(key: str, created_at: str, target: str, *queues: str, database: str = "db") -> Claim:
    place = ("shop", target)
    return Claim(
        key=key, created_at=created_at, target=place, database=database, queues=tuple(queues)
    )


def test_the_older_claim_wins_and_a_conflicted_one_blocks_nobody() -> None:
    found = find_conflicts(
        [
            claim("shop/c", "3", "other", "b"),
            claim("shop/b", "2", "worker", "b"),
            claim("shop/a", "1", "worker", "a"),
        ]
    )

    assert set(found) == {"shop/b"}
    assert found["shop/b"].reason is ConditionReason.DUPLICATE_TARGET
    assert "shop/a is older" in found["shop/b"].message


def test_the_same_queue_name_in_two_databases_is_no_conflict() -> None:
    claims = [claim("a", "1", "x", "mail"), claim("b", "2", "y", "mail", database="other")]

    assert find_conflicts(claims) == {}


def test_an_overlapping_queue_is_a_conflict() -> None:
    claims = [claim("a", "1", "x", "mail", "reports"), claim("b", "2", "y", "reports")]

    assert find_conflicts(claims)["b"].reason is ConditionReason.OVERLAPPING_QUEUES

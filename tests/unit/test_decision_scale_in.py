"""Which pods go first."""

from queueworker_operator.decision.scale_in import PodLoad, Victim, choose, finished


def load(
    pod: str, *, busy: int = 0, held: int = 0, draining: bool = False, age_s: float = 60.0
) -> PodLoad:
    return PodLoad(
        pod=pod, worker_id=f"w-{pod}", busy=busy, held=held, draining=draining, age_s=age_s
    )


def names(victims: tuple[Victim, ...]) -> list[str]:
    return [victim.pod for victim in victims]


def test_pods_without_a_worker_go_first_then_idle_then_least_busy_then_newest() -> None:
    workers = [
        load("busy", busy=9),
        load("old-light", busy=1, age_s=900.0),
        load("new-light", busy=1, age_s=20.0),
        load("holding", held=1, age_s=5.0),
        load("idle"),
    ]

    victims = choose(workers, ["busy", "starting", "old-light", "new-light", "holding", "idle"], 5)

    assert names(victims) == ["starting", "idle", "holding", "new-light", "old-light"]
    assert victims[0].worker_ids == ()
    assert victims[1].worker_ids == ("w-idle",)


def test_a_pod_that_drains_already_stays_the_victim() -> None:
    workers = [load("idle"), load("drains", busy=2, draining=True)]

    assert names(choose(workers, ["idle", "drains"], 1)) == ["drains"]


def test_workers_of_other_pods_and_more_than_all_pods_are_no_matter() -> None:
    workers = [load("elsewhere"), load("here", busy=1)]

    assert names(choose(workers, ["here"], 3)) == ["here"]
    assert choose(workers, ["here"], -1) == ()


def test_two_workers_of_one_pod_count_together() -> None:
    second = PodLoad(pod="two", worker_id="w-2", busy=3, held=0, draining=False, age_s=9.0)
    workers = [load("two", busy=1), second, load("one", busy=2)]

    assert names(choose(workers, ["two", "one"], 1)) == ["one"]
    assert choose(workers, ["two"], 1) == (Victim(pod="two", worker_ids=("w-2", "w-two")),)


def test_a_victim_is_finished_when_it_holds_no_job_and_takes_none() -> None:
    victims = tuple(Victim(pod=pod, worker_ids=(f"w-{pod}",)) for pod in ("a", "b", "c", "d"))
    workers = [
        load("a", draining=True),
        load("b", busy=1, draining=True),
        load("c", held=1, draining=True),
    ]

    assert finished(victims, workers) == ("a", "d")


def test_an_idle_pod_that_was_not_told_yet_is_not_finished() -> None:
    assert finished((Victim(pod="a", worker_ids=("w-a",)),), [load("a")]) == ()

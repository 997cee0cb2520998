"""Scale-in, step by step: drain, wait, end; and back again."""

from collections.abc import Sequence
from dataclasses import replace

from queueworker_operator.controller.scale_in import (
    LEAVES_WITHIN_S,
    Found,
    ScaleIn,
    Scene,
    Step,
    step,
)
from queueworker_operator.decision.scale_in import PodLoad

PODS = ("a", "b", "c")


def load(pod: str, busy: int = 0, *, draining: bool = False) -> PodLoad:
    return PodLoad(
        pod=pod,
        worker_id=f"id-{pod}",
        busy=busy,
        held=0,
        draining=draining,
        age_s=100.0,
        oldest_start_age_s=5.0 if busy else None,
    )


IDLE = tuple(load(pod) for pod in PODS)


def scene(
    wanted: int, loads: Sequence[PodLoad] = IDLE, pods: Sequence[str] = PODS, now_s: float = 0.0
) -> Scene:
    return Scene(
        now_s=now_s,
        wanted=wanted,
        pods=pods,
        loads=loads,
        starting=0,
        patience_s=30.0,
        spare_s=300.0,
    )


def found(loads: Sequence[PodLoad], drained: set[str], ending: int) -> Found:
    return Found(pods=PODS, ending=ending, loads=loads, drained=drained)


def draining(done: Step, *, busy: int = 0) -> tuple[PodLoad, ...]:
    """Let the victims' workers have heard of their drain."""
    victims = {victim.pod for victim in done.memory.victims}
    return tuple(replace(load(pod, busy), draining=pod in victims) for pod in PODS)


def test_a_victim_is_drained_before_anything_is_ended() -> None:
    first = step(ScaleIn(), scene(wanted=1))

    assert len(first.drain) == 1
    assert first.retire == ()


def test_an_idle_pod_goes_before_a_busy_one() -> None:
    loads = (load("a", busy=2), load("b"), load("c", busy=1))

    assert step(ScaleIn(), scene(wanted=1, loads=loads)).drain == ("id-b",)


def test_a_worker_that_has_not_heard_of_its_drain_is_not_ended() -> None:
    first = step(ScaleIn(), scene(wanted=1))

    assert step(first.memory, scene(wanted=1)).retire == ()


def test_a_drained_pod_without_a_job_is_ended() -> None:
    first = step(ScaleIn(), scene(wanted=1))
    second = step(first.memory, scene(wanted=1, loads=draining(first)))

    assert [f"id-{pod}" for pod in second.retire] == list(first.drain)


def test_a_drained_pod_with_a_job_is_waited_for() -> None:
    first = step(ScaleIn(), scene(wanted=1))
    second = step(first.memory, scene(wanted=1, loads=draining(first, busy=1), now_s=10.0))

    assert (second.retire, second.undo, second.drain) == ((), (), ())


def test_demand_back_undoes_the_drain() -> None:
    first = step(ScaleIn(), scene(wanted=2))
    second = step(first.memory, scene(wanted=0, loads=()))

    assert set(second.undo) == set(first.drain)
    assert not second.memory.is_under_way


def test_less_to_remove_undoes_the_busier_drain() -> None:
    first = step(ScaleIn(), scene(wanted=2, pods=("a", "b"), loads=IDLE[:2]))
    loads = (load("a", busy=3, draining=True), load("b", busy=1, draining=True))

    assert step(first.memory, scene(wanted=1, pods=("a", "b"), loads=loads)).undo == ("id-a",)


def test_a_job_longer_than_the_patience_frees_its_pod_and_another_is_drained() -> None:
    first = step(ScaleIn(), scene(wanted=1))
    later = step(first.memory, scene(wanted=1, loads=draining(first, busy=1), now_s=31.0))

    assert later.undo == first.drain
    assert len(later.drain) == 1
    assert later.drain != first.drain


def test_when_all_pods_run_long_jobs_the_scale_in_is_blocked_and_says_so() -> None:
    memory, now_s, told = ScaleIn(), 0.0, Step(memory=ScaleIn())
    for _ in range(4):
        loads = tuple(
            replace(load(pod, busy=1), draining=pod in {v.pod for v in memory.victims})
            for pod in PODS
        )
        told = step(memory, scene(wanted=1, loads=loads, now_s=now_s))
        memory, now_s = told.memory, now_s + 31.0

    assert told.drain == ()
    assert told.blocked.startswith("1 of 1 pod to remove still ran jobs after 30 s")


def test_an_ended_pod_that_is_still_listed_is_not_chosen_again() -> None:
    first = step(ScaleIn(), scene(wanted=1))
    second = step(first.memory, scene(wanted=1, loads=draining(first)))
    memory = second.memory.retire(second.retire, 1.0)

    third = step(memory, scene(wanted=1, loads=draining(first), now_s=2.0))

    assert len(third.drain) == 1
    assert third.drain != first.drain


def test_a_pod_that_was_not_the_one_ended_works_again() -> None:
    first = step(ScaleIn(), scene(wanted=1))
    memory = first.memory.retire([victim.pod for victim in first.memory.victims], 0.0)

    late = step(memory, scene(wanted=0, now_s=LEAVES_WITHIN_S + 1))

    assert late.undo == first.drain
    assert not late.memory.is_under_way


def test_a_ready_pod_without_a_worker_row_is_never_ended() -> None:
    nobody = step(ScaleIn(), scene(wanted=1, loads=()))

    assert nobody.memory.victims == {}
    assert "QUEUEWORKER_POD_NAME" in nobody.blocked


def test_a_pod_that_is_still_starting_is_ended_without_a_drain() -> None:
    only_a = replace(scene(wanted=1, loads=(load("a", busy=1),), pods=("a", "new")), starting=1)
    first = step(ScaleIn(), only_a)
    second = step(first.memory, only_a)

    assert first.drain == ()
    assert second.retire == ("new",)


def test_a_victim_whose_worker_registers_meanwhile_is_drained_first() -> None:
    only_a = replace(scene(wanted=1, loads=(load("a", busy=1),), pods=("a", "new")), starting=1)
    first = step(ScaleIn(), only_a)
    second = step(first.memory, replace(only_a, loads=(load("a", busy=1), load("new")), starting=0))

    assert second.retire == ()
    assert second.drain == ("id-new",)


def test_drains_that_an_earlier_controller_began_are_taken_over() -> None:
    memory = ScaleIn().adopt(found(IDLE, {"id-c"}, ending=0), 0.0)

    loads = (load("a"), load("b"), load("c", draining=True))

    assert step(memory, scene(wanted=1, loads=loads)).retire == ("c",)
    assert step(memory, scene(wanted=0, loads=loads)).undo == ("id-c",)


def test_a_pod_that_is_about_to_end_is_not_asked_to_work_again_by_the_next_controller() -> None:
    """The one before scaled the target in, and was killed before the pod ended."""
    loads = (load("a", busy=1, draining=True), load("b"), load("c", draining=True))
    memory = ScaleIn().adopt(found(loads, {"id-a", "id-c"}, ending=1), 0.0)

    here = scene(wanted=0, loads=loads)

    assert step(memory, here).undo == ("id-a",)  # a pod too many, and this one works
    assert step(memory, replace(here, pods=("a", "b"))).memory.leaving == {}
    assert "id-c" in step(memory, replace(here, now_s=LEAVES_WITHIN_S + 1)).undo


def test_a_pod_of_two_workers_is_let_go_of_after_the_patience() -> None:
    busier, other = load("a", busy=2), replace(load("a", busy=1), worker_id="id-second")
    first = step(ScaleIn(), scene(wanted=1, loads=(busier, other), pods=("a",)))
    drained = (replace(busier, draining=True), other)

    later = step(first.memory, scene(wanted=1, loads=drained, pods=("a",), now_s=29.0))
    last = step(later.memory, scene(wanted=1, loads=drained, pods=("a",), now_s=31.0))

    assert first.drain == ("id-a", "id-second")
    assert (later.undo, later.drain, later.retire) == ((), (), ())
    assert last.undo == ("id-a", "id-second")
    assert last.blocked

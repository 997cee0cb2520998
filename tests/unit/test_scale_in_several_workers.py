"""Pods with more than one worker: a container for each, or several processes in one."""

from collections.abc import Collection
from dataclasses import replace

from queueworker_operator.controller.scale_in import Found, ScaleIn, Scene, Step, step
from queueworker_operator.decision.scale_in import PodLoad

PODS = ("a", "b")


def loads(drained: Collection[str] = (), busy: Collection[str] = ()) -> tuple[PodLoad, ...]:
    return tuple(
        PodLoad(
            pod=pod,
            worker_id=worker_id,
            busy=int(worker_id in busy),
            held=0,
            draining=worker_id in drained,
            age_s=100.0,
        )
        for pod in PODS
        for worker_id in (f"{pod}1", f"{pod}2")
    )


def after(memory: ScaleIn, found: tuple[PodLoad, ...], wanted: int = 1) -> Step:
    scene = Scene(
        now_s=0.0,
        wanted=wanted,
        pods=PODS,
        loads=found,
        starting=0,
        patience_s=30.0,
        spare_s=300.0,
    )
    return step(memory, scene)


def test_all_workers_of_a_pod_drain_before_it_ends() -> None:
    first = after(ScaleIn(), loads(busy=("b1",)))
    half = after(first.memory, loads(drained=("a1",), busy=("b1",)))
    whole = after(half.memory, loads(drained=("a1", "a2"), busy=("b1",)))

    assert first.drain == ("a1", "a2")
    assert half.retire == ()
    assert whole.retire == ("a",)


def test_demand_that_is_back_undoes_the_drain_of_all_of_them() -> None:
    first = after(ScaleIn(), loads())

    assert after(first.memory, loads(drained=first.drain), wanted=0).undo == first.drain


def test_the_pod_whose_workers_have_less_to_do_together_stays_the_victim() -> None:
    both = after(ScaleIn(), loads(), wanted=2)

    kept = after(both.memory, loads(drained=both.drain, busy=("a1",)), wanted=1)

    assert set(kept.undo) == {"a1", "a2"}


def test_a_pod_with_a_worker_that_registered_since_is_chosen_anew_whole() -> None:
    first = after(ScaleIn(), loads(busy=("b1",)))
    late = PodLoad(pod="a", worker_id="a3", busy=0, held=0, draining=False, age_s=1.0)

    again = after(first.memory, (*loads(drained=first.drain, busy=("b1",)), late))

    assert again.undo == ("a1", "a2")
    assert again.drain == ("a1", "a2", "a3")
    assert again.retire == ()


def test_a_worker_that_ended_while_its_pod_drains_holds_it_up_no_longer() -> None:
    first = after(ScaleIn(), loads(busy=("b1",)))
    left = tuple(load for load in loads(drained=("a2",), busy=("b1",)) if load.worker_id != "a1")

    assert after(first.memory, left).retire == ("a",)


def test_a_new_controller_takes_over_the_drains_of_all_workers_of_a_pod() -> None:
    found = tuple(replace(load, draining=load.pod == "a") for load in loads())
    adopted = ScaleIn().adopt(
        Found(pods=PODS, ending=0, loads=found, drained=("a1", "a2")), now_s=0.0
    )

    assert adopted.worker_ids() == ("a1", "a2")
    assert after(adopted, found).retire == ("a",)

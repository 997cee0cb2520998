"""What is read out of a run beside KEDA, by hand."""

from pathlib import Path

from benchmarks.keda import ledger
from benchmarks.keda.agreement import agreement
from benchmarks.keda.pool import Removal
from benchmarks.keda.reaction import Burst, reached_s
from benchmarks.keda.resources import Queue, Scaler, queue_worker, scaled_object
from benchmarks.keda.worker import Seat, make_app, shared

from queueworker_operator.resource.spec import parse


def removal(
    pod: str,
    at_s: float,
    *,
    is_busy: bool = False,
    idle: tuple[str, ...] = (),
    busy: tuple[str, ...] = (),
    queue: str = "mail",
) -> Removal:
    return Removal(at_s=at_s, queue=queue, pod=pod, is_busy=is_busy, idle=idle, busy=busy)


def test_a_busy_pod_is_wrongly_chosen_only_beside_an_idle_one_that_stays() -> None:
    fair = removal("a", 10.0, is_busy=True)
    also_fair = removal("b", 20.0, is_busy=True, idle=("c",))
    its_neighbour = removal("c", 20.1, is_busy=False)
    wrong = removal("d", 30.0, is_busy=True, idle=("e",))

    assert ledger.wrong([fair, also_fair, its_neighbour, wrong]) == [wrong]


def test_pods_of_a_queue_that_end_together_are_one_step() -> None:
    first, second = removal("a", 10.0), removal("b", 10.3)
    later, elsewhere = removal("c", 20.0, busy=("d",)), removal("x", 10.1, queue="reports")

    steps = ledger.steps([first, elsewhere, second, later])

    assert steps == [[first, second], [later], [elsewhere]]
    assert [ledger.had_busy(step) for step in steps] == [False, True, False]


def test_a_job_is_interrupted_when_a_start_of_it_has_no_end(tmp_path: Path) -> None:
    path = tmp_path / "ledger"
    path.write_text(
        "1.0 start mail a 7 1\n2.0 end mail a 7 1\n"
        "1.0 start mail b 8 1\n3.0 start mail a 8 2\n4.0 end mail a 8 2\n"
    )

    assert ledger.interrupted(ledger.read(path)) == [8]


def test_a_reaction_ends_when_the_size_is_reached_after_the_commit() -> None:
    queue = Queue(name="mail", scaler=Scaler.KEDA)
    burst = Burst(queue=queue, committed_s=100.0)

    assert reached_s([(90.0, 100), (95.0, 0), (104.0, 1), (119.0, 100)], burst, 100) == 19.0
    assert reached_s([(104.0, 1)], burst, 100) is None


def test_both_scalers_get_the_same_queue_and_bounds() -> None:
    queue = Queue(name="mail", scaler=Scaler.OURS, slots=4, least=1, most=30)

    ours, theirs = queue_worker(queue), scaled_object(queue)

    assert parse(ours).policy.max_replicas == theirs["spec"]["maxReplicaCount"] == 30
    assert ours["spec"]["minReplicas"] == theirs["spec"]["minReplicaCount"] == 1
    assert "queue = 'mail'" in theirs["spec"]["triggers"][0]["metadata"]["query"]


def test_only_the_tuned_rival_is_tuned() -> None:
    default = scaled_object(Queue(name="mail", scaler=Scaler.KEDA))["spec"]
    tuned = scaled_object(Queue(name="mail", scaler=Scaler.KEDA_TUNED))["spec"]

    assert "pollingInterval" not in default
    assert tuned["pollingInterval"] == 1


def test_a_worker_tells_what_it_runs(tmp_path: Path) -> None:
    seat = Seat(
        number=3,
        pod="a",
        namespace="bench",
        queue="mail",
        slots=1,
        grace_s=30.0,
        dsn="postgresql:///x",
        folder=tmp_path,
    )
    [task] = make_app(seat).tasks

    assert task.name == "work"
    assert shared(tmp_path)[seat.number] == 0


def test_the_model_is_compared_second_by_second_at_its_best_phases() -> None:
    queue = Queue(name="mail", scaler=Scaler.KEDA, most=100)
    depths = [(1000.0 + second, 100) for second in range(150)]
    steps = [(1010.0, 1), (1013.0, 4), (1028.0, 8), (1043.0, 16), (1058.0, 32), (1073.0, 64)]

    found = agreement(queue, depths, [(900.0, 0), *steps, (1088.0, 100)])
    other = agreement(queue, depths, [(900.0, 0), (1010.0, 50)])

    assert found["within_one_percent"] == 100.0
    assert other["within_one_percent"] < 50.0

from hypothesis import given
from hypothesis import strategies as st

from queueworker.enqueue import plan
from queueworker.enqueue.plan import CopyStep, Step, single, steps
from queueworker.job import Job
from queueworker.statements import query


def job(n: int = 0, **options: object) -> Job:
    return Job(**{"task": "t", "queue": "q", "args": {"n": n}, **options})  # type: ignore[arg-type]


jobs = st.lists(
    st.builds(
        job,
        st.integers(0, 9),
        task=st.sampled_from("ab"),
        priority=st.integers(0, 1),
        unique_key=st.sampled_from([None, "k"]),
        delay_s=st.sampled_from([None, 1.0]),
    )
)


@given(jobs, st.booleans())
def test_every_job_is_in_one_step(batch: list[Job], may_copy: bool) -> None:
    places = [place for step in steps(batch, may_copy=may_copy) for place in step.places]

    assert sorted(places) == list(range(len(batch)))


def test_plain_jobs_of_one_kind_are_one_statement() -> None:
    (step,) = steps([job(n) for n in range(1000)], may_copy=True)

    assert isinstance(step, Step)
    assert step.query == query("enqueue_batch")


def test_a_large_batch_is_copied_where_the_role_may_and_cut_where_not() -> None:
    batch = [job(n) for n in range(plan.COPY_FROM_JOBS * 2)]
    (copied,) = steps(batch, may_copy=True)
    cut = steps(batch, may_copy=False)

    assert isinstance(copied, CopyStep)
    assert [len(step.places) for step in cut] == [plan.MAX_BATCH_JOBS] * 2


def test_a_statement_stays_below_its_size() -> None:
    batch = [job(args={"x": "y" * 1_000_000})] * 40
    sizes = [len(step.parameters[2]) for step in steps(batch, may_copy=False)]  # type: ignore[union-attr,index,arg-type]

    assert max(sizes) <= plan.MAX_BATCH_BYTES + 41
    assert len(sizes) == 3


def test_a_plain_job_takes_the_lean_statement_and_another_the_full_one() -> None:
    assert single(job()).query == query("enqueue_usual")
    assert single(job(priority=1)).query == query("enqueue")
    assert single(job(delay_s=1)).query == single(job(unique_key="k")).query == query("enqueue_any")

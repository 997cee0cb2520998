"""Policies, samples, targets and states to draw: whatever a decision may meet."""

from hypothesis import strategies as st
from tests.support.samples import AT_S, learned, sample

from queueworker_operator.decision.decide import decide, observe
from queueworker_operator.decision.model import (
    Mode,
    Objective,
    Policy,
    Replicas,
    Sample,
    Saturation,
)
from queueworker_operator.decision.recurrence import Season
from queueworker_operator.decision.state import (
    Evidence,
    Guard,
    GuardMode,
    State,
    Tally,
)

counts = st.integers(0, 100_000)
seconds = st.floats(0, 10_000)
policies = st.builds(
    lambda low, more, **fields: Policy(min_replicas=low, max_replicas=low + more, **fields),
    low=st.integers(0, 20),
    more=st.integers(0, 100),
    start_within_s=st.sampled_from([1.0, 5.0, 30.0, 120.0, 3600.0]),
    slots_per_pod=st.none() | st.integers(1, 50),
    mode=st.sampled_from([Mode.AUTO, Mode.DRY_RUN]),
    late_percent=st.sampled_from([0.01, 0.5, 50.0]),
    objective=st.sampled_from(Objective),
    saturation=st.sampled_from(Saturation),
)
replicas_seen = st.builds(
    lambda starting, ready, draining, **fields: Replicas(
        current=ready + len(starting),
        ready=ready,
        starting_ages_s=tuple(starting),
        draining=min(draining, ready),
        **fields,
    ),
    starting=st.lists(st.floats(0, 1000), max_size=20),
    ready=st.integers(0, 60),
    draining=st.integers(0, 5),
    start_up_count=st.integers(0, 50),
    start_up_sum_s=st.floats(0, 1000),
    start_up_sq_sum_s2=st.floats(0, 50_000),
    rollout=st.booleans(),
)

guards = st.just(Guard()) | st.builds(
    Guard,
    mode=st.sampled_from([GuardMode.DOWN, GuardMode.HOLD, GuardMode.UP]),
    cap=st.integers(1, 60),
    before=st.integers(1, 60),
    from_pods=st.integers(4, 60),
    base=st.builds(
        Tally, finished=st.floats(0, 1e4), busy_s=st.floats(0, 1e5), seconds=st.floats(0, 1e3)
    ),
    since_s=st.floats(AT_S - 500, AT_S),
    settled_s=st.none() | st.floats(AT_S - 500, AT_S),
    first=st.booleans(),
    streak=st.integers(0, 1),
    failed=st.integers(0, 3),
    bound_at_s=st.floats(AT_S - 500, AT_S),
)
evidences = st.builds(
    Evidence,
    ticks=st.lists(
        st.tuples(st.floats(0, 1000), st.floats(0, 3000), st.floats(0.1, 60)), max_size=40
    ).map(tuple),
    fastest_s=st.floats(0, 10),
    dispersion=st.floats(1, 45),
)

seasons = st.sampled_from(
    [
        Season(),
        Season(
            minute=int(AT_S // 60), whole=True, hours=((900,) * 3,) * 60, scores=30, plain_loss=1.0
        ),
    ]
)


@st.composite
def samples(draw: st.DrawFn, *, after_s: float = 0.0) -> Sample:
    """Draw any sample: counters that fit together or not."""
    return sample(
        after_s,
        ready=draw(counts),
        oldest_age_s=draw(seconds),
        running=draw(st.integers(0, 3000)),
        enqueued_total=draw(counts),
        announced_total=draw(counts),
        finished_total=draw(counts),
        busy_slot_seconds_total=draw(st.floats(0, 1e6)),
        service_count=draw(counts),
        service_sum_s=draw(st.floats(0, 1e6)),
        service_sq_sum_s2=draw(st.floats(0, 1e9)),
        started_total=draw(counts),
        late_total=draw(counts),
        due_5s=tuple(draw(st.lists(st.integers(0, 500), max_size=60))),
        slots_per_pod=draw(st.none() | st.integers(1, 50)),
        unclaimable=draw(st.integers(0, 100)),
    )


@st.composite
def histories(draw: st.DrawFn) -> tuple[Policy, State]:
    """Draw what a few samples in a row, with counters that also fall, leave behind."""
    policy = draw(policies)
    state = learned(
        tight=draw(st.booleans()),
        guard=draw(guards),
        evidence=draw(evidences),
        season=draw(seasons),
    )
    for tick in range(draw(st.integers(0, 4))):
        seen, replicas = draw(samples(after_s=5.0 * (tick + 1))), draw(replicas_seen)
        state = observe(policy, state, seen, replicas)
        _, state = decide(policy, state, seen, replicas)
    return policy, state

"""Do the writes of operators keep their promises? Pure: what the API server and the database saw.

O1  replicas are written within the bounds that the resource gives
O2  nothing is scaled in while the data are missing, stale or refused
O3  the direction is reversed no more often than `reversals_bound`
O4  writes form one chain: each names the version it was decided on, none is overtaken, and an
    operator that another one has followed writes nothing more
O5  what is wanted is reached within 10 s after the last fault, and kept
O6  a restart alone changes nothing
O7  every write has a recorded decision of less than 90 s before it that says so, and decides the
    same when made again
"""

from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any

Target = str
"""namespace/name of a Deployment."""

CONVERGED_WITHIN_S = 10.0
SCALED_OUT_ON_DATA_OF_S = 15.0
# A write that fails again and again is recorded anew each 60 s.
RECORDED_WITHIN_S = 90.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Write:
    """Replicas that an operator wrote and the API server accepted.

    `base` is the version that it named (None: unknown, 0: none), `version` what came of it.
    """

    target: Target
    at_s: float
    before: int
    replicas: int
    version: int
    base: int | None = None
    writer: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Recorded:
    """One entry of a QueueWorker's history of decisions."""

    target: Target
    at_s: float
    record: Mapping[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Span:
    """Some time (epoch seconds), `target` None: of all targets."""

    from_s: float
    to_s: float
    target: Target | None = None

    def holds(self, write: Write) -> bool:
        is_its = self.target in (None, write.target)
        return is_its and self.from_s <= write.at_s <= self.to_s


@dataclass(frozen=True, slots=True, kw_only=True)
class Story:
    """What happened. `blind` are spans without data, `restarts` those in which only that happened.

    `wanted` is what each target must be at in the end, `last_fault_s` when the last fault was over.
    """

    writes: Sequence[Write]
    decisions: Sequence[Recorded]
    bounds: Mapping[Target, tuple[int, int]]
    blind: Sequence[Span] = ()
    restarts: Sequence[Span] = ()
    last_fault_s: float | None = None
    wanted: Mapping[Target, int] = field(default_factory=dict)
    reversals_bound: int = 2


@dataclass(frozen=True, slots=True)
class Broken:
    """One broken promise of an operator."""

    law: str
    target: Target
    text: str


def check(story: Story, replay: Callable[[Mapping[str, Any]], int]) -> list[Broken]:
    """Give every broken promise; `replay` makes a recorded decision again."""
    by_target: dict[Target, list[Write]] = defaultdict(list)
    for write in sorted(story.writes, key=lambda write: write.version):
        by_target[write.target].append(write)
    found = [*_data(story), *_restarts(story), *_followed(story)]
    for target, writes in by_target.items():
        found += _bounds(story, target, writes)
        found += _reversals(story, target, writes)
        found += _chain(target, writes)
        found += _recorded(story, target, writes)
    return [*found, *_converged(story, by_target), *_replayed(story, replay)]


def _bounds(story: Story, target: Target, writes: Sequence[Write]) -> Iterator[Broken]:
    least, most = story.bounds[target]
    for write in writes:
        # On its way in it may be above the most, never further than it was.
        if not least <= write.replicas <= max(most, write.before - 1):
            yield Broken("O1", target, f"{write.replicas} is not in {least}..{most}")


def _data(story: Story) -> Iterator[Broken]:
    for write in story.writes:
        if write.replicas < write.before and any(span.holds(write) for span in story.blind):
            yield Broken("O2", write.target, f"{write.before}->{write.replicas} without data")
    for decision in story.decisions:
        record, asked = decision.record, decision.record["asked"]
        is_blind = record["sample"] is None or record["blind_s"] > SCALED_OUT_ON_DATA_OF_S
        if asked is not None and asked < record["replicas"]["current"] and is_blind:
            yield Broken("O2", decision.target, f"asked for {asked} without a sample")


def _reversals(story: Story, target: Target, writes: Sequence[Write]) -> Iterator[Broken]:
    ways = [write.replicas > write.before for write in writes if write.replicas != write.before]
    turns = sum(one != other for one, other in pairwise(ways))
    if turns > story.reversals_bound:
        yield Broken("O3", target, f"{turns} reversals, {story.reversals_bound} are the bound")


def _chain(target: Target, writes: Sequence[Write]) -> Iterator[Broken]:
    for write in writes:
        if write.base == 0:
            yield Broken("O4", target, f"{write.replicas} was written on no version")
        elif write.base is not None and write.base >= write.version:
            yield Broken("O4", target, f"version {write.version} rests on {write.base}")
    for one, other in pairwise(writes):
        if other.base is not None and other.base < one.version:
            text = f"{other.replicas} overtook {one.replicas} of version {one.version}"
            yield Broken("O4", target, text)


def _followed(story: Story) -> Iterator[Broken]:
    """A writer that was followed by another never writes again."""
    gone: set[str] = set()
    current = ""
    for write in sorted(story.writes, key=lambda write: write.version):
        if write.writer in gone:
            yield Broken(
                "O4", write.target, f"{write.writer} wrote after {current} had followed it"
            )
        elif write.writer != current:
            gone.add(current)
            current = write.writer


def _converged(story: Story, by_target: Mapping[Target, Sequence[Write]]) -> Iterator[Broken]:
    if story.last_fault_s is None:
        return
    for target, wanted in story.wanted.items():
        writes = by_target.get(target, ())
        if writes and writes[-1].replicas != wanted:
            yield Broken("O5", target, f"ends at {writes[-1].replicas}, {wanted} is wanted")
        late_s = max((write.at_s for write in writes), default=0.0) - story.last_fault_s
        if late_s > CONVERGED_WITHIN_S:
            yield Broken("O5", target, f"still written {late_s:.1f} s after the last fault")


def _restarts(story: Story) -> Iterator[Broken]:
    for write in story.writes:
        if any(span.holds(write) for span in story.restarts):
            yield Broken("O6", write.target, f"a restart wrote {write.before}->{write.replicas}")


def _recorded(story: Story, target: Target, writes: Sequence[Write]) -> Iterator[Broken]:
    """Each write takes the next decision that asked for it; more may have asked: their write failed."""
    asked = [
        (entry.at_s, (entry.record["replicas"]["current"], entry.record["asked"]))
        for entry in sorted(story.decisions, key=lambda entry: entry.at_s)
        if entry.target == target and entry.record["asked"] is not None
    ]
    for write in writes:
        change = (write.before, write.replicas)
        ages = {
            place: write.at_s - at_s for place, (at_s, what) in enumerate(asked) if what == change
        }
        place = next((place for place, age_s in ages.items() if age_s < RECORDED_WITHIN_S), None)
        if place is not None:
            del asked[: place + 1]
        elif ages:
            text = f"{write.before}->{write.replicas} was decided {min(ages.values()):.0f} s before"
            yield Broken("O7", target, text)
        else:
            yield Broken("O7", target, f"{write.before}->{write.replicas} has no decision")


def _replayed(story: Story, replay: Callable[[Mapping[str, Any]], int]) -> Iterator[Broken]:
    for entry in story.decisions:
        record = entry.record
        desired, current, asked = (
            record["decision"]["desired"],
            record["replicas"]["current"],
            record["asked"],
        )
        again = replay(record)
        if again != desired:
            yield Broken("O7", entry.target, f"{desired} was decided, {again} comes out again")
        if asked is not None and asked != desired and not desired < asked < current:
            yield Broken("O7", entry.target, f"{desired} was decided, {asked} asked for")

"""One policy over one workload: a decision each second, as the operator makes them."""

from collections.abc import Callable
from dataclasses import dataclass, field

from queueworker_operator.simulate.crew import DrainedCrew, RandomCrew
from queueworker_operator.simulate.model import Conditions, Workload
from queueworker_operator.simulate.policy import Scaler
from queueworker_operator.simulate.reading import Reader
from queueworker_operator.simulate.result import Account, Change, Moment, Outcome, figures_of
from queueworker_operator.simulate.world import World

MOMENTS = 480
TELL_EVERY = 500

Told = Callable[[float], None]


@dataclass(slots=True)
class Trail:
    """What is kept of a run for its figures and its picture."""

    every_s: int
    changes: list[Change] = field(default_factory=list)
    moments: list[Moment] = field(default_factory=list)
    oldest_s: float = 0.0

    def note(self, world: World, asked: int) -> None:
        """Keep this second, where it matters."""
        oldest_at_s = world.waiting.oldest_at_s()
        if oldest_at_s is not None:
            self.oldest_s = max(self.oldest_s, world.now_s - oldest_at_s)
        if int(world.now_s) % self.every_s == 0:
            moment = Moment(
                at_s=world.now_s,
                backlog=world.waiting.count,
                oldest_s=self.oldest_s,
                asked=asked,
                pods=len(world.fleet.pods) + len(world.fleet.ending),
                running=world.running,
            )
            self.moments.append(moment)
            self.oldest_s = 0.0


def simulate(
    workload: Workload, conditions: Conditions, scaler: Scaler, tell: Told | None = None
) -> Outcome:
    """Run `scaler`; `tell` hears now and then which share of the time is over."""
    world = World(workload, conditions)
    reader = Reader(world, workload, conditions)
    crew = (DrainedCrew if scaler.drains else RandomCrew)(world, conditions)
    memory, asked = scaler.begin(conditions.seed), conditions.pods
    seconds = int(workload.lasts_s)
    trail = Trail(every_s=max(1, seconds // MOMENTS))
    for second in range(seconds):
        world.advance(float(second))
        desired, memory = scaler.step(memory, reader)
        if desired != asked:
            trail.changes.append(Change(at_s=world.now_s, before=asked, after=desired))
            asked = desired
        crew.follow(desired)
        trail.note(world, asked)
        if tell is not None and second % TELL_EVERY == 0:
            tell(second / seconds)
    world.advance(workload.lasts_s)
    return _outcome(scaler.name, workload, conditions, (world, trail))


def _outcome(
    name: str, workload: Workload, conditions: Conditions, run: tuple[World, Trail]
) -> Outcome:
    world, trail = run
    left = [workload.lasts_s - workload.at_s[job] for job in world.waiting if world.is_new(job)]
    account = Account(
        waits_s=[*world.waits_s, *left],
        promise_s=conditions.promise_s,
        lasts_s=workload.lasts_s,
        pod_seconds=world.fleet.pod_seconds(world.now_s),
        work_pod_seconds=workload.work_s / conditions.slots,
        interrupted=world.interrupted,
        most=world.fleet.most,
    )
    return Outcome(
        policy=name,
        jobs=len(workload.at_s),
        figures=figures_of(account, trail.changes),
        changes=tuple(trail.changes),
        moments=tuple(trail.moments),
    )

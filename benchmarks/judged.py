"""What an operator writes during a measurement is judged like in a test: each change by its record."""

from collections.abc import Collection, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from tests.support.operator_story import broken, story, written
from tests.support.size_watch import Namespace, SizeWatch

from benchmarks.errors import NotCompleted
from benchmarks.server import Connection


@dataclass(slots=True)
class Verdict:
    """How many changes of replicas there were, and how many records came to the same when made again."""

    changes: int = 0
    replayed: int = 0

    def figures(self) -> dict[str, int]:
        """Give both for a table."""
        return {"changes": self.changes, "replayed": self.replayed}


@contextmanager
def judged(place: Namespace, conns: Collection[Connection]) -> Iterator[Verdict]:
    """Follow all replicas of a namespace until the block ends, in which an operator runs and ends.

    A Deployment that is only compared (DryRun) is somebody else's. A measurement that repeats itself
    goes up and down as often as it likes: reversals are not bounded.

    Raises:
        NotCompleted: a change breaks O1 to O7: it has no record, say, or one that decides otherwise.
    """
    sizes, verdict = SizeWatch(place), Verdict()
    try:
        yield verdict
        sizes.catch_up()
    finally:
        sizes.stop()
    compared = {
        f"{place.namespace}/{body['spec']['scaleTargetRef']['name']}"
        for body in sizes.queue_workers.values()
        if body["spec"].get("mode") == "DryRun"
    }
    writes = [write for write in written(place, sizes) if write.target not in compared]
    told = story(place, sizes, conns, writes, reversals_bound=len(writes))
    if found := broken(told):
        raise NotCompleted(f"{len(found)} promises were broken, such as {found[0]}")
    verdict.changes, verdict.replayed = len(told.writes), len(told.decisions)

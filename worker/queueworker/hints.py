"""Where the scan of each lane starts: past the dead entries, never past a ready job for long.

A *floor* is the database's bound: no ready job at or below, but those of transactions that have been
open for long, for which the sweep looks itself; a *hint* is where this worker's last claim ended. A
job that commits late stands behind the hint: the sweep reports it, or an empty claim goes down to
the floors. Such low scans walk dead entries, so together they get 5 % of the time; yet one a second is
always allowed: where all is slow, a low scan is no slower than another claim, and jobs wait for it.
"""

from collections.abc import Sequence

from queueworker.job import ClaimedJob
from queueworker.store import LaneRow, SweptLane

LOW_SCAN_SHARE = 20
LEAST_LOW_SCAN_GAP_S, LONGEST_LOW_SCAN_GAP_S = 0.02, 1.0


class LaneHints:
    """The lanes of one queue that this worker may claim from, and their scan starts."""

    def __init__(self) -> None:
        self.lanes: tuple[LaneRow, ...] = ()
        self._tasks: dict[int, str] = {}
        self._floors: dict[int, int] = {}
        self._hints: dict[int, int] = {}
        self._next_low_s = 0.0
        self._is_low = False

    @property
    def ids(self) -> list[int]:
        """Give the lanes' ids."""
        return [lane.id for lane in self.lanes]

    @property
    def starts(self) -> list[int]:
        """Give the position after which each lane is scanned, in the order of `lanes`."""
        return [self._hints[lane.id] for lane in self.lanes]

    def task_of(self, lane_id: int) -> str:
        """Give the task of a lane that was learned, even if it is not offered any more."""
        return self._tasks[lane_id]

    def learn(self, lanes: Sequence[LaneRow]) -> bool:
        """Take the queue's lanes; give whether there are new ones."""
        known = {lane.id for lane in self.lanes}
        self.lanes = tuple(lanes)
        for lane in lanes:
            self._tasks[lane.id] = lane.task
            self._floors[lane.id] = lane.floor
            self._hints[lane.id] = max(self._hints.get(lane.id, 0), lane.floor)
        return any(lane.id not in known for lane in lanes)

    def claimed(self, jobs: Sequence[ClaimedJob], began_s: float, now_s: float) -> None:
        """Move the hints to where this claim ended; an empty one may go down next time."""
        if self._is_low:
            gap_s = max(LEAST_LOW_SCAN_GAP_S, LOW_SCAN_SHARE * (now_s - began_s))
            self._next_low_s = now_s + min(gap_s, LONGEST_LOW_SCAN_GAP_S)
            self._is_low = False
        # A lane's jobs come in the order of their positions: its last one wins.
        for lane, pos in {job.lane: job.pos for job in jobs}.items():
            self._hints[lane] = max(self._hints.get(lane, 0), pos)
        if not jobs:
            self.lower(now_s)

    def lower(self, now_s: float) -> None:
        """Start the next scan at the floors, if the budget allows."""
        if now_s >= self._next_low_s:
            self._hints.update({lane.id: self._floors[lane.id] for lane in self.lanes})
            self._is_low = True

    def swept(self, rows: Sequence[SweptLane], now_s: float) -> bool:
        """Take a sweep's findings; give whether one of them is a job behind the hints."""
        is_behind = False
        for row in rows:
            if row.lane not in self._floors:
                continue
            self._floors[row.lane] = row.floor  # lower than before where a long transaction ended
            self._hints[row.lane] = max(self._hints[row.lane], row.floor)
            first = row.first_ready_pos
            if first is not None and first <= self._hints[row.lane] and now_s >= self._next_low_s:
                self._hints[row.lane] = first - 1
                self._is_low = is_behind = True
        return is_behind

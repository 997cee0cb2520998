"""Jobs that wait: highest priority first, then first come, first served."""

from collections import deque
from collections.abc import Iterator

from queueworker_operator.simulate.model import Workload


class Waiting:
    """Indices of the workload's jobs, in lanes by priority."""

    def __init__(self, workload: Workload) -> None:
        self.count = 0
        self._at_s = workload.at_s
        self._priority = workload.priority
        order = sorted(set(workload.priority) or {0}, reverse=True)
        self._lanes: dict[int, deque[int]] = {priority: deque() for priority in order}
        self._only = self._lanes[order[0]] if len(order) == 1 else None

    def push(self, job: int) -> None:
        """Add a job that became ready."""
        self.count += 1
        self._lane(job).append(job)

    def put_back(self, job: int) -> None:
        """Add a job that was interrupted: it is the oldest."""
        self.count += 1
        self._lane(job).appendleft(job)

    def pop(self) -> int:
        """Take the job to start next; there must be one."""
        self.count -= 1
        if self._only is not None:
            return self._only.popleft()
        return next(lane for lane in self._lanes.values() if lane).popleft()

    def oldest_at_s(self) -> float | None:
        """Give when the oldest job became ready."""
        return min((self._at_s[lane[0]] for lane in self._lanes.values() if lane), default=None)

    def __iter__(self) -> Iterator[int]:
        for lane in self._lanes.values():
            yield from lane

    def _lane(self, job: int) -> deque[int]:
        return self._only if self._only is not None else self._lanes[self._priority[job]]

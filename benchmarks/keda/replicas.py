"""The replicas that each Deployment is asked for, as a watch sees them."""

import threading
import time
from collections import defaultdict
from collections.abc import Callable

from benchmarks.errors import NotCompleted
from benchmarks.keda.api import DEPLOYMENTS, Api

Series = list[tuple[float, int]]
"""(Unix seconds, replicas from then on); the first is what was there at the beginning."""


class Replicas:
    """Follows `spec.replicas` of all Deployments."""

    def __init__(self, api: Api) -> None:
        self.series: defaultdict[str, Series] = defaultdict(list)
        self._api = api
        self._changed = threading.Condition()
        threading.Thread(target=self._follow, daemon=True).start()

    def now(self, name: str) -> int:
        """Give the replicas of a Deployment."""
        series = self.series[name]
        return series[-1][1] if series else -1

    def until(self, holds: Callable[[], bool], *, within_s: float, what: str) -> None:
        """Wait for a state; each change is looked at."""
        with self._changed:
            if not self._changed.wait_for(holds, within_s):
                raise NotCompleted(f"not within {within_s:g} s: {what}; look at the folder's logs")

    def _follow(self) -> None:
        for kind, body in self._api.watch(DEPLOYMENTS):
            at_s, name, count = time.time(), body["metadata"]["name"], body["spec"]["replicas"]
            if kind != "DELETED" and self.now(name) != count:
                with self._changed:
                    self.series[name].append((at_s, count))
                    self._changed.notify_all()

"""PURE: what was enqueued against what the ledger says was done."""

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Reconciliation:
    """Job ids that do not add up; empty everywhere when each job ran once."""

    left: int
    lost: frozenset[int]
    unknown: frozenset[int]
    run_twice: frozenset[int]
    stale: frozenset[int]

    @property
    def each_ran_once(self) -> bool:
        """Tell whether every job is accounted for, by one run each."""
        return self.none_is_lost and not self.run_twice

    @property
    def none_is_lost(self) -> bool:
        """Tell whether every job ran, and a later run always under a larger token."""
        return not (self.left or self.lost or self.unknown or self.stale)


def reconcile(
    enqueued: Iterable[int], finished: Iterable[tuple[int, int]], left: int
) -> Reconciliation:
    """Compare ids that were enqueued with runs (job id, token) that ended, in their order."""
    tokens: dict[int, list[int]] = defaultdict(list)
    for job_id, token in finished:
        tokens[job_id].append(token)
    wanted, done = frozenset(enqueued), frozenset(tokens)
    return Reconciliation(
        left=left,
        lost=wanted - done,
        unknown=done - wanted,
        run_twice=frozenset(job_id for job_id, runs in tokens.items() if len(runs) > 1),
        stale=frozenset(job_id for job_id, runs in tokens.items() if runs != sorted(set(runs))),
    )

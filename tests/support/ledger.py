"""The ledger that test and example tasks write: who ran which job, and how often."""

from collections import Counter
from collections.abc import Collection
from dataclasses import dataclass
from typing import Any

import psycopg

CREATE = """
CREATE TABLE IF NOT EXISTS ledger (
  job_id bigint NOT NULL,
  attempt int NOT NULL,
  token bigint NOT NULL,
  worker text NOT NULL DEFAULT '',
  started_at timestamptz NOT NULL DEFAULT clock_timestamp(),
  note text NOT NULL DEFAULT ''
)
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Reconciliation:
    """Enqueued jobs against ledger rows."""

    jobs: int
    completed_once: int
    lost: tuple[int, ...]
    run_twice: tuple[int, ...]
    unknown: tuple[int, ...]

    @property
    def is_clean(self) -> bool:
        return not (self.lost or self.run_twice or self.unknown)


def create(conn: psycopg.Connection[Any]) -> None:
    conn.execute(CREATE)


def read(conn: psycopg.Connection[Any], note: str | None = None) -> list[int]:
    """Give the job ids of all rows, or of those with this note."""
    rows = conn.execute(
        "SELECT job_id FROM ledger WHERE note = coalesce(%s, note)", (note,)
    ).fetchall()
    return [job_id for (job_id,) in rows]


def reconcile(enqueued: Collection[int], ran: Collection[int]) -> Reconciliation:
    """Compare what was enqueued with what ran."""
    wanted, runs = set(enqueued), Counter(ran)
    return Reconciliation(
        jobs=len(wanted),
        completed_once=sum(1 for job_id in wanted if runs[job_id] == 1),
        lost=tuple(sorted(wanted - set(runs))),
        run_twice=tuple(sorted(job_id for job_id, count in runs.items() if count > 1)),
        unknown=tuple(sorted(set(runs) - wanted)),
    )

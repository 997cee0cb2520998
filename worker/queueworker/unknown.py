"""Jobs of tasks that no live worker of their queue knows: they wait, and are to be told of."""

from collections.abc import Mapping
from difflib import get_close_matches

from queueworker.store import LagRow
from queueworker.text import counted


def unknown_tasks(row: LagRow) -> Mapping[str, str]:
    """Say of each such task what waits, and which name was meant; nothing where no worker lives."""
    if not row.workers:
        return {}
    return {
        task: f"queue {row.queue}: {counted(jobs, 'ready job')} of task {task!r}:"
        f" no live worker knows it{_meant(task, row)}"
        for task, jobs in row.ready_by_task.items()
        if task not in row.worker_tasks
    }


def _meant(task: str, row: LagRow) -> str:
    near = get_close_matches(task, row.worker_tasks, n=1)
    return f" (did you mean {near[0]!r}?)" if near else ""

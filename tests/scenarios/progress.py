"""What was measured is kept in a file, line by line: a run that was cut short goes on.

A line counts for the code that it was measured with; a changed controller is measured again.
"""

import hashlib
import json
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import asdict, dataclass
from functools import cache
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.progress import track
from tests.scenarios.measure import SETTINGS_BY_NAME, Measured, Task

from queueworker_operator.simulate.result import Figures

Measure = Callable[[Task], Measured]
HERE = Path(__file__).parent
OPERATOR = HERE.parent.parent / "operator" / "queueworker_operator"
WORKLOADS = (HERE / "catalogue.py", HERE / "shapes.py", HERE / "measure.py")


@cache
def code(*, rivals: bool) -> str:
    """Give a digest of all code that figures depend on; those of rivals not on the controller."""
    folders = ("simulate", "lag") if rivals else ("simulate", "lag", "decision", "controller")
    found = [path for folder in folders for path in sorted((OPERATOR / folder).rglob("*.py"))]
    texts = b"".join(path.read_bytes() for path in (*WORKLOADS, *found))
    return hashlib.sha256(texts).hexdigest()[:16]


@dataclass(frozen=True, slots=True, kw_only=True)
class Kept:
    """The file of what was measured so far."""

    path: Path

    def read(self) -> dict[Task, Measured]:
        """Give what it holds; a last line that was cut off is measured again."""
        if not self.path.exists():
            return {}
        found: dict[Task, Measured] = {}
        for line in self.path.read_text().splitlines():
            try:
                line_found = json.loads(line)
            except json.JSONDecodeError:
                continue
            one = from_json(line_found)
            if line_found["code"] == code(rivals=one.task.rivals):
                found[one.task] = one
        return found

    def add(self, measured: Measured) -> None:
        """Write one down."""
        self.path.parent.mkdir(parents=True, exist_ok=True)
        with self.path.open("a") as out:
            found = asdict(measured) | {"code": code(rivals=measured.task.rivals)}
            out.write("\n" + json.dumps(found))


def from_json(found: dict[str, Any]) -> Measured:
    """Read one back."""
    task = found["task"] | {"setting": SETTINGS_BY_NAME[found["task"]["setting"]["name"]]}
    heard, calm, unguarded = found["saturated_s"], found["calm"], found["unguarded"]
    return Measured(
        task=Task(**task),
        figures={name: Figures(**figures) for name, figures in found["figures"].items()},
        pods=found["pods"],
        saturated_s=(heard[0], heard[1]) if heard else None,
        calm=Figures(**calm) if calm else None,
        unguarded=Figures(**unguarded) if unguarded else None,
        unguarded_pods=found["unguarded_pods"],
    )


def run(todo: Sequence[Task], kept: Kept, measure: Measure, processes: int) -> Iterator[Measured]:
    """Measure what is not kept yet, with a bar on stderr; give all."""
    known = kept.read()
    missing = [task for task in todo if task not in known]
    yield from (known[task] for task in todo if task in known)
    with ProcessPoolExecutor(processes) as pool:
        futures = [pool.submit(measure, task) for task in missing]
        done = as_completed(futures)
        for future in track(done, "workloads", len(missing), console=Console(stderr=True)):
            kept.add(future.result())
            yield future.result()

"""The command line: the operator beside real KEDA, on a real control plane with fake nodes."""

import argparse
import json
import signal
import sys
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

from benchmarks import machine
from benchmarks.errors import BenchmarkError
from benchmarks.keda.api import Body
from benchmarks.keda.crash import crash
from benchmarks.keda.reaction import reaction
from benchmarks.keda.scale_in import scale_in
from benchmarks.keda.trace import trace

SCENARIOS: dict[str, Callable[[argparse.Namespace], Body]] = {
    "reaction": lambda given: reaction(given.bursts, given.rounds, say),
    "scale-in": lambda given: scale_in(given.removals, given.minutes * 60, say),
    "trace": lambda given: trace(given.minutes, given.delay, say),
    "crash": lambda given: crash(given.kills, say),
}
RESULTS = Path(__file__).parents[1] / "results" / "keda.json"


def main(arguments: list[str] | None = None) -> int:
    """Run one scenario, and put its figures beside those of the others."""
    given = _parser().parse_args(arguments)
    # By SIGTERM too the servers are stopped and their files removed.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
    begun_s = time.monotonic()
    try:
        figures = SCENARIOS[given.name](given)
    except BenchmarkError as error:
        print(f"benchmarks: {error}", file=sys.stderr)
        return 1
    figures = {**figures, **_circumstances(time.monotonic() - begun_s)}
    _keep(given.json, _name(given), figures)
    print(json.dumps(figures, indent=1))
    return 0


def say(text: str) -> None:
    """Print progress."""
    print(text, file=sys.stderr, flush=True)


def _name(given: argparse.Namespace) -> str:
    """Give the name under which the figures are kept: a trace has one for each start-up time."""
    return f"trace-{given.delay:g}s" if given.name == "trace" else str(given.name)


def _circumstances(seconds: float) -> Body:
    return {
        "commit": machine.commit(),
        "at": datetime.now(UTC).isoformat(timespec="seconds"),
        "seconds": round(seconds),
        "machine": machine.machine(),
    }


def _keep(path: Path, name: str, figures: Body) -> None:
    kept = json.loads(path.read_text()) if path.exists() else {}
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps({**kept, name: figures}, indent=1) + "\n")


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.keda", description=__doc__)
    parser.add_argument("name", choices=list(SCENARIOS))
    parser.add_argument("--json", type=Path, default=RESULTS, metavar="OUT")
    parser.add_argument("--removals", type=int, default=1000, metavar="PODS")
    parser.add_argument("--minutes", type=float, default=8, help="at most (8)")
    parser.add_argument("--delay", type=float, default=15, help="start-up of the pods, s (15)")
    parser.add_argument("--kills", type=int, default=200)
    parser.add_argument("--bursts", type=int, default=200, help="to queues of ours (200)")
    parser.add_argument("--rounds", type=int, default=12, help="to queues of each rival (12)")
    return parser

"""The command line of the benchmarks."""

import argparse
import json
import signal
import sys
from pathlib import Path

from benchmarks import machine, page
from benchmarks.errors import BenchmarkError, RivalUnavailable
from benchmarks.journal import Journal
from benchmarks.run import Plan, execute
from benchmarks.scenario import Options
from benchmarks.scenarios import SCENARIOS, scenario
from benchmarks.systems import OURS, RIVALS, System, Tuning, system
from benchmarks.table import table

SHORT = 0.25


def main(arguments: list[str] | None = None) -> int:
    """Run one scenario, or write the page; give the exit status."""
    given = _parser().parse_args(arguments)
    # By SIGTERM too the server is stopped and its files are removed.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
    try:
        if given.name == "page":
            print("\n".join(f"written: {path}" for path in page.write()))
            return 0
        return _run(given)
    except BenchmarkError as error:
        print(f"benchmarks: {error}", file=sys.stderr)
        return 1


def _run(given: argparse.Namespace) -> int:
    chosen = scenario(given.name)
    out = given.json or page.RESULTS / f"{chosen.name}.json"
    if given.skip_done and _is_done(out):
        print(f"{chosen.name}: {out} is of this commit, skipped", file=sys.stderr)
        return 0
    plan = Plan(
        scenario=chosen,
        systems=_systems(given, with_rivals=chosen.with_rivals),
        options=Options(
            processes=given.processes,
            jobs=given.jobs,
            duration_s=given.duration,
            rate_per_s=given.rate,
            size=given.size,
            share=SHORT if given.short else 1.0,
        ),
        repeats=given.repeats or chosen.repeats,
        is_strict=given.strict,
    )
    versions = [(one.name, one.tuning.value, one.version) for one in plan.systems]
    fingerprint = json.dumps([chosen.name, repr(plan.options), versions, machine.commit()])
    journal = Journal(out, fingerprint)
    result = execute(plan, journal)
    out.write_text(json.dumps(result, indent=1) + "\n")
    journal.close()
    print(table(result))
    print(f"written to {out}", file=sys.stderr)
    failed = [row for row in result["rows"] if row.get("errors")]  # type: ignore[attr-defined]
    return 1 if failed else 0


def _is_done(out: Path) -> bool:
    return out.exists() and json.loads(out.read_text())["commit"] == machine.commit()


def _systems(given: argparse.Namespace, *, with_rivals: bool) -> list[System]:
    rivals = given.rivals if with_rivals else ()
    systems = []
    for name in (OURS, *rivals):
        for tuning in given.tunings:
            print(f"preparing {name} ({tuning.value}) ...", file=sys.stderr, flush=True)
            try:
                systems.append(system(name, tuning))
            except RivalUnavailable as error:
                print(f"  left out: {error}", file=sys.stderr)
    return systems


def _parser() -> argparse.ArgumentParser:
    known = "\n".join(f"  {one.name:10} {one.summary}" for one in SCENARIOS.values())
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks",
        description=__doc__,
        epilog=f"scenarios:\n{known}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("name", metavar="NAME", help="a scenario (below), or page")
    parser.add_argument("--json", type=Path, metavar="OUT", help="where the result is written")
    parser.add_argument(
        "--rivals",
        type=lambda text: tuple(filter(None, text.split(","))),
        default=(),
        help=f"any of {','.join(RIVALS)}; none unless given",
    )
    parser.add_argument(
        "--tunings",
        type=lambda text: tuple(Tuning(part) for part in text.split(",")),
        default=(Tuning.BEST,),
        help="best, default, or best,default",
    )
    parser.add_argument(
        "--processes",
        type=lambda text: tuple(int(part) for part in text.split(",")),
        help="worker processes, such as 1,2,4",
    )
    parser.add_argument("--repeats", type=int, help="runs of each case, alternating")
    parser.add_argument("--jobs", type=int, help="jobs a run instead of each system's own count")
    parser.add_argument("--duration", type=float, metavar="SECONDS", help="of timed scenarios")
    parser.add_argument("--rate", type=float, metavar="JOBS_PER_S", help="of timed scenarios")
    parser.add_argument("--size", type=int, metavar="ROWS", help="of scenarios with a backlog")
    parser.add_argument("--short", action="store_true", help="a quarter of the usual jobs")
    parser.add_argument("--skip-done", action="store_true", help="skip a result of this commit")
    parser.add_argument("--strict", action="store_true", help="refuse a machine that is busy")
    return parser

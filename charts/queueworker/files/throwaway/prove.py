"""`helm test`: one job waits, the operator starts a pod for it, the pod does it.

The Deployment has no pod and nobody here may change that: a job that is done was scaled for.
"""

import os
import sys
import time
import urllib.request

import psycopg
from prepare import prepare

DONE_WITHIN_S = float(os.environ["DONE_WITHIN_SECONDS"])
ENQUEUE = "SELECT queueworker.enqueue('demo', 'pretend', '{\"seconds\": 0.1}')"
WAITING = "SELECT count(*) FROM queueworker.jobs"
DECISIONS = """
    SELECT record #>> '{decision,current}', record #>> '{decision,desired}', record #>> '{decision,message}'
    FROM queueworker.decisions(%s, 200)
"""


def main() -> int:
    """Run the test and give the exit code."""
    for path in ("/livez", "/readyz"):
        with urllib.request.urlopen(os.environ["OPERATOR_URL"] + path, timeout=5) as answer:  # noqa: S310
            print(f"operator {path}: {answer.status}", flush=True)
    conn = prepare()
    conn.execute(ENQUEUE)
    done_after_s = seconds_until_done(conn)
    for current, desired, message in reversed(conn.execute(DECISIONS, (key(),)).fetchall()):
        print(f"decided {current} -> {desired}: {message}")
    if done_after_s is None:
        print(f"the job of QueueWorker {key()} was not done within {DONE_WITHIN_S:.0f} s.")
        print(f"See: kubectl describe queueworker,deployment {name()} --namespace {namespace()}")
        return 1
    print(f"the operator scaled from 0, and the job was done {done_after_s:.1f} s after its commit")
    return 0


def seconds_until_done(conn: psycopg.Connection) -> float | None:
    """Wait for the job; None when it took too long."""
    began_s = time.monotonic()
    while (waited_s := time.monotonic() - began_s) < DONE_WITHIN_S:
        if conn.execute(WAITING).fetchone() == (0,):
            return waited_s
        time.sleep(0.1)
    return None


def key() -> str:
    """Give the QueueWorker's key in the decisions."""
    return f"{namespace()}/{name()}"


def namespace() -> str:
    """Give the namespace of the QueueWorker."""
    return os.environ["QUEUEWORKER_NAMESPACE"]


def name() -> str:
    """Give the QueueWorker's name, and its Deployment's."""
    return os.environ["QUEUEWORKER_NAME"]


if __name__ == "__main__":
    sys.exit(main())

"""The demo's load: make the database ready, make the promise, then a burst of jobs again and again."""

import json
import os
import signal
import ssl
import sys
import time
import urllib.request
from pathlib import Path
from typing import Any

import psycopg
from prepare import prepare

ACCOUNT = Path("/var/run/secrets/kubernetes.io/serviceaccount")
PROMISE = Path(__file__).with_name("queueworker.json")
READY = Path("/tmp/ready")  # noqa: S108 the pod's own folder, which the readiness probe looks at
MADE_WITHIN_S = 60.0
JOB_S = 2.0
BURST = """
    SELECT count(*)
    FROM queueworker.enqueue_many('demo', 'pretend', array_fill(%(args)s::jsonb, ARRAY[%(count)s]))
"""


def main() -> None:
    """Load the queue until SIGTERM."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    count, every_s = int(os.environ["BURST_JOBS"]), float(os.environ["BURST_EVERY_SECONDS"])
    conn = prepare()
    make_promise()
    READY.touch()
    while True:
        enqueue(conn, count)
        print(f"{count} jobs of {JOB_S:.0f} s enqueued; the next in {every_s:.0f} s", flush=True)
        time.sleep(every_s)


def enqueue(conn: psycopg.Connection, count: int) -> None:
    """Enqueue one burst in one transaction."""
    conn.execute(BURST, {"args": json.dumps({"seconds": JOB_S}), "count": count})


def make_promise() -> None:
    """Apply the QueueWorker. It belongs to the Deployment that it scales, and goes with it."""
    promise = json.loads(PROMISE.read_text())
    namespace, target = promise["metadata"]["namespace"], promise["spec"]["scaleTargetRef"]["name"]
    deployment = call("GET", f"/apis/apps/v1/namespaces/{namespace}/deployments/{target}")
    owner = {"apiVersion": "apps/v1", "kind": "Deployment", "name": target}
    owner["uid"] = deployment["metadata"]["uid"]
    promise["metadata"]["ownerReferences"] = [owner]
    kind = f"/apis/{promise['apiVersion']}/namespaces/{namespace}/queueworkers"
    name = promise["metadata"]["name"]
    call("PATCH", f"{kind}/{name}?fieldManager=demo&force=true", promise)
    print(f"QueueWorker {name} is applied", flush=True)


def call(method: str, path: str, body: Any = None) -> Any:
    """Call the API server as the pod's account; a definition just made may take a moment."""
    deadline_s = time.monotonic() + MADE_WITHIN_S
    while True:
        try:
            return call_once(method, path, body)
        except OSError as refused:  # urllib's errors are all of this kind
            if time.monotonic() > deadline_s:
                raise
            print(f"waiting for the API server: {refused}", flush=True)
            time.sleep(0.5)


def call_once(method: str, path: str, body: Any) -> Any:
    """Make one call; a PATCH applies."""
    request = urllib.request.Request(
        f"https://kubernetes.default.svc{path}",
        method=method,
        data=None if body is None else json.dumps(body).encode(),
        headers={
            "Authorization": f"Bearer {(ACCOUNT / 'token').read_text()}",
            "Content-Type": "application/apply-patch+yaml",
        },
    )
    trusted = ssl.create_default_context(cafile=str(ACCOUNT / "ca.crt"))
    with urllib.request.urlopen(request, timeout=10, context=trusted) as answer:  # noqa: S310
        return json.load(answer)


if __name__ == "__main__":
    main()

"""One scene for the screens of the documentation, on a real API server and a real Postgres."""

import uuid
from datetime import UTC, datetime

import psycopg
from tests.support.controlplane import ApiServer
from tests.support.decisions import store_history
from tests.support.mail import Body, Place, deployment, pod, queue_worker, secret

NAMESPACE = "shop"
PODS = ("mail-worker-7d4b9-2xk8q", "mail-worker-7d4b9-9fz6m", "mail-worker-7d4b9-c4v7t")
STARTING = "mail-worker-7d4b9-q8w2r"
HPA: Body = {
    "apiVersion": "autoscaling/v2",
    "kind": "HorizontalPodAutoscaler",
    "metadata": {"name": "mail-worker"},
    "spec": {
        "scaleTargetRef": {"apiVersion": "apps/v1", "kind": "Deployment", "name": "mail-worker"},
        "maxReplicas": 3,
    },
}
REGISTER = """
SELECT queueworker.register_worker(%s, %s, 'shop', 'node-1', '0.1.0', ARRAY['mail'], ARRAY['send_mail'], 10, 60)
"""
BUSY = """
UPDATE queueworker.worker SET busy = %s, held = %s WHERE pod = %s
"""
DRAIN = "SELECT queueworker.drain_for(array_agg(id), 3600) FROM queueworker.worker WHERE pod = %s"
STOP = "UPDATE queueworker.worker SET draining = true WHERE pod = %s"
RENEW = """
UPDATE queueworker.worker
SET oldest_start_at = clock_timestamp() - interval '4 s', expires_at = clock_timestamp() + interval '13 s',
  drain_at = CASE WHEN drain THEN clock_timestamp() - interval '12 s' ELSE drain_at END
"""
CONDITIONS = {
    "Ready": "True",
    "MetricsAvailable": "True",
    "ScalingLimited": "False",
    "Saturated": "False",
    "WorkersHealthy": "True",
    "Paused": "False",
    "Conflicted": "False",
}


def set_up(server: ApiServer, dsn: str) -> Place:
    """Bring it all about: `dsn` is of the schema's owner, the resource has a role of least rights."""
    if "namespace/shop" not in server.kubectl("get", "namespaces", "-o", "name").split():
        server.kubectl("create", "namespace", NAMESPACE)
    place = Place(server=server, namespace=NAMESPACE)
    with psycopg.connect(dsn, autocommit=True) as conn:
        conn.execute("DROP ROLE IF EXISTS mail_operator")
        conn.execute("CREATE ROLE mail_operator LOGIN")
        conn.execute("GRANT queueworker_operator, pg_read_all_stats TO mail_operator")
        conn.execute("SELECT queueworker.ensure_queue('mail')")
        for name in PODS:
            conn.execute(REGISTER, (uuid.uuid4(), name))
        for busy in ((7, 3, PODS[0]), (2, 0, PODS[1]), (1, 0, PODS[2])):
            conn.execute(BUSY, busy)
        conn.execute(DRAIN, [PODS[1]])
        conn.execute("DROP INDEX queueworker.job_default_lane_id_pos_idx")
    store_history(dsn, f"{NAMESPACE}/mail")
    own = dsn.replace("user=postgres", "user=mail_operator")
    place.apply(deployment(replicas=4), queue_worker(maxReplicas=40), secret(own), HPA, lease())
    for name in (*PODS, STARTING):
        made = pod(name, ready=name != STARTING)
        made["spec"]["nodeName"] = "node-1"
        place.add_pod(made)
    place.kubectl("delete", "pod", PODS[2], "--wait=false", "--grace-period=40")
    with psycopg.connect(dsn, autocommit=True) as conn:
        conn.execute(STOP, [PODS[2]])
    place.patch_status("mail", status())
    return place


def renew(dsn: str) -> None:
    """Renew the leases as living workers do."""
    with psycopg.connect(dsn, autocommit=True) as conn:
        conn.execute(RENEW)


def lease() -> Body:
    now = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
    spec = {
        "holderIdentity": "queueworker-6c9f-x2b_1",
        "renewTime": now,
        "leaseDurationSeconds": 600,
    }
    meta = {"name": "queueworker-operator"}
    return {
        "apiVersion": "coordination.k8s.io/v1",
        "kind": "Lease",
        "metadata": meta,
        "spec": spec,
    }


def status() -> Body:
    now = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    return {
        "observedGeneration": 1,
        "replicas": {"desired": 4, "current": 4, "ready": 2, "starting": 1, "draining": 1},
        "backlog": {
            "ready": 31,
            "oldestSeconds": 3,
            "running": 10,
            "scheduled": 0,
            "arrivalsPerSecond": 12.5,
            "serviceSeconds": 1.5,
            "startUpSeconds": 8.0,
        },
        "lastDecision": {
            "time": now,
            "from": 3,
            "to": 4,
            "reason": "Backlog",
            "message": "3->4: 31 waiting (oldest 3s) + 12.5/s arriving x 1.5s/job",
        },
        "conditions": [
            {
                "type": kind,
                "status": value,
                "reason": "AsExpected",
                "message": "",
                "observedGeneration": 1,
                "lastTransitionTime": now,
            }
            for kind, value in CONDITIONS.items()
        ],
    }

"""kill -9 of a pod's processes on its node, which neither Kubernetes nor the pod expects."""

from tests.support.cluster import Cluster, Resource

# On the node's own process list: every process in a cgroup of the pod, but the one of `pause`.
KILL = """
import os, signal, sys
uid = sys.argv[1]
for name in filter(str.isdigit, os.listdir("/proc")):
    try:
        with open(f"/proc/{name}/cgroup") as cgroup, open(f"/proc/{name}/comm") as command:
            is_victim = any(u in cgroup.read() for u in (uid, uid.replace("-", "_")))
            if is_victim and command.read().strip() != "pause":
                os.kill(int(name), signal.SIGKILL)
                print("killed", name, flush=True)
    except (FileNotFoundError, ProcessLookupError):
        pass
"""


class Killer:
    """A privileged pod on a node that sees the node's processes; `start` it before it is needed."""

    def __init__(self, cluster: Cluster, image: str, victim: Resource) -> None:
        self._cluster = cluster
        self._victim = victim
        self._name = f"killer-of-{victim['metadata']['name']}"
        self._image = image

    def start(self) -> None:
        """Start the pod and wait until it can kill."""
        self._cluster.apply(self._pod())
        self._cluster.kubectl("wait", "--for=condition=Ready", f"pod/{self._name}")

    def kill(self) -> int:
        """Kill the victim's processes; give how many."""
        command = ["python3", "-c", KILL, self._victim["metadata"]["uid"]]
        printed = self._cluster.kubectl("exec", self._name, "--", *command)
        return printed.count("killed")

    def stop(self) -> None:
        """Remove the pod."""
        self._cluster.delete(self._pod())

    def _pod(self) -> Resource:
        container = {
            "name": "killer",
            "image": self._image,
            "command": ["sleep", "600"],
            "securityContext": {"privileged": True, "runAsUser": 0},
        }
        return {
            "apiVersion": "v1",
            "kind": "Pod",
            "metadata": {"name": self._name},
            "spec": {
                "hostPID": True,
                "nodeName": self._victim["spec"]["nodeName"],
                "terminationGracePeriodSeconds": 0,
                "containers": [container],
            },
        }

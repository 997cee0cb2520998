"""What Prometheus scrapes of a cluster from outside: each pod's port, by way of the API server.

Debian's Prometheus is built without the discovery of Kubernetes: targets are written to a file.
"""

import base64
import json
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from tests.support.cluster import Cluster
from tests.support.prometheus import honors_labels


class PodTargets:
    """The targets of one namespace; `folder` holds the file and the way to the API server."""

    def __init__(self, cluster: Cluster, folder: Path) -> None:
        self._cluster = cluster
        self._folder = folder
        shown = cluster.kubectl("config", "view", "--raw", "--minify", "--flatten", "-o", "json")
        config = json.loads(shown)
        self._server = urlsplit(config["clusters"][0]["cluster"]["server"])
        self._keys = {
            "ca_file": self._kept("ca", config["clusters"][0]["cluster"]),
            "cert_file": self._kept("cert", config["users"][0]["user"]),
            "key_file": self._kept("key", config["users"][0]["user"]),
        }

    def scrape(self, job: str) -> dict[str, Any]:
        """Describe how the pods of `operator` or `workers` are scraped: as by the chart's monitor."""
        return {
            "job_name": job,
            "honor_labels": honors_labels(job),
            "scheme": self._server.scheme,
            "tls_config": self._keys,
            "file_sd_configs": [{"files": [str(self._file(job))], "refresh_interval": "2s"}],
        }

    def write(self, job: str, selector: str) -> None:
        """Take the running pods of the selector as the targets of `operator` or `workers`."""
        targets = [self._target(pod) for pod in self._pods(selector)]
        self._file(job).write_text(json.dumps(targets))

    def _file(self, job: str) -> Path:
        return self._folder / f"{job}.json"

    def _pods(self, selector: str) -> list[str]:
        found = self._cluster.find("pods", selector=selector, fields="status.phase=Running")
        return [
            body["metadata"]["name"]
            for body in found
            if "deletionTimestamp" not in body["metadata"]
        ]

    def _target(self, pod: str) -> dict[str, Any]:
        namespace = self._cluster.namespace
        path = f"/api/v1/namespaces/{namespace}/pods/{pod}:8080/proxy/metrics"
        labels = {"__metrics_path__": path, "namespace": namespace, "pod": pod}
        return {"targets": [self._server.netloc], "labels": labels}

    def _kept(self, kind: str, entry: dict[str, str]) -> str:
        names = {
            "ca": "certificate-authority-data",
            "cert": "client-certificate-data",
            "key": "client-key-data",
        }
        path = self._folder / f"{kind}.pem"
        path.write_bytes(base64.b64decode(entry[names[kind]]))
        return str(path)

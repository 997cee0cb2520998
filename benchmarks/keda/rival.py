"""Real KEDA: its operator and its metrics adapter as processes, its resources, its certificate."""

import base64
import subprocess
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.support.controlplane import free_port

from benchmarks.errors import ProgramFailed, RivalUnavailable
from benchmarks.keda.api import Body
from benchmarks.keda.ground import Ground, await_true
from benchmarks.keda.resources import authentication
from benchmarks.machine import ROOT

Command = list[str | Path]

HOME = "keda"
KINDS = ("scaledobjects", "triggerauthentications")
SERVICE = "keda-metrics-apiserver"
NAMES = ("keda-operator.keda.svc.cluster.local", "keda-operator.keda.svc", f"{SERVICE}.keda.svc")
METRICS = "/apis/external.metrics.k8s.io/v1beta1"
API_SERVICE = "/apis/apiregistration.k8s.io/v1/apiservices/v1beta1.external.metrics.k8s.io"
# At its default of 20 requests a second, KEDA that polls each second hangs when some 40 queues
# wake at once: its reads leave nothing for its writes.
FAST = ("--kube-api-qps=200", "--kube-api-burst=300")


@dataclass(frozen=True, slots=True, kw_only=True)
class _Ports:
    grpc: int
    adapter: int


def keda_version() -> str:
    """Give the version that is built."""
    for line in (ROOT / "hack/tools/keda/go.mod").read_text().splitlines():
        words = line.removeprefix("require").split()
        if words[:1] == ["github.com/kedacore/keda/v2"]:
            return words[1]
    raise RivalUnavailable("hack/tools/keda/go.mod does not name KEDA")


@contextmanager
def running_keda(place: Ground) -> Iterator[None]:
    """Run KEDA until the block ends; it answers for external metrics by then."""
    tools = _tools()
    certificates = _certificates(place.folder)
    ports = _Ports(grpc=free_port(), adapter=free_port())
    kubeconfig = str(place.cluster.kubeconfig)
    environment = {
        "KUBECONFIG": kubeconfig,
        "POD_NAMESPACE": HOME,
        "KEDA_CLUSTER_OBJECT_NAMESPACE": HOME,
        "WATCH_NAMESPACE": "",
    }
    place.cluster.kubectl("create", "namespace", HOME)
    place.cluster.kubectl("apply", "--server-side", "-f", tools / "keda-crds.yaml")
    await_true(
        lambda: all(_is_served(place, kind) for kind in KINDS), "KEDA's resources are served"
    )
    place.apply([_service(), _api_service(certificates, ports.adapter), authentication()])
    with ExitStack() as stack:
        operator: Command = [tools / "keda-operator", *_operator_flags(certificates, ports), *FAST]
        stack.enter_context(place.program("keda-operator", operator, environment))
        adapter: Command = [
            tools / "keda-adapter",
            *_adapter_flags(certificates, ports, kubeconfig),
        ]
        stack.enter_context(place.program("keda-adapter", adapter, environment))
        await_true(lambda: _is_available(place), "KEDA answers for external metrics")
        yield


def _tools() -> Path:
    printed = subprocess.run(
        [ROOT / "hack/tools/build", "path", "keda"], check=True, capture_output=True, text=True
    )
    tools = Path(printed.stdout.strip())
    if not tools.exists():
        raise RivalUnavailable("KEDA is not built: run hack/tools/build keda (15 minutes, once)")
    return tools


def _is_served(place: Ground, kind: str) -> bool:
    try:
        place.api.get(f"/apis/keda.sh/v1alpha1/{kind}")
    except ProgramFailed:
        return False
    return True


def _is_available(place: Ground) -> bool:
    conditions = place.api.get(API_SERVICE).get("status", {}).get("conditions", [])
    return any(one["type"] == "Available" and one["status"] == "True" for one in conditions)


def _certificates(folder: Path) -> Path:
    """Make one certificate that is its own authority, for both programs and both directions."""
    made = folder / "certificates"
    made.mkdir()
    names = ",".join(f"DNS:{name}" for name in (*NAMES, "localhost"))
    request = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2"]
    extensions = [f"subjectAltName={names}", "extendedKeyUsage=serverAuth,clientAuth"]
    added = [word for one in extensions for word in ("-addext", one)]
    files: Command = ["-keyout", made / "tls.key", "-out", made / "tls.crt"]
    subprocess.run(
        [*request, "-subj", "/CN=keda", *added, *files], check=True, capture_output=True, timeout=60
    )
    (made / "ca.crt").write_bytes((made / "tls.crt").read_bytes())
    return made


def _operator_flags(certificates: Path, ports: _Ports) -> list[str]:
    return [
        "--enable-cert-rotation=false",
        f"--cert-dir={certificates}",
        f"--metrics-service-bind-address=127.0.0.1:{ports.grpc}",
        f"--metrics-bind-address=127.0.0.1:{free_port()}",
        f"--health-probe-bind-address=127.0.0.1:{free_port()}",
    ]


def _adapter_flags(certificates: Path, ports: _Ports, kubeconfig: str) -> list[str]:
    return [
        f"--authentication-kubeconfig={kubeconfig}",
        f"--authorization-kubeconfig={kubeconfig}",
        f"--lister-kubeconfig={kubeconfig}",
        f"--secure-port={ports.adapter}",
        f"--port={free_port()}",
        f"--cert-dir={certificates}",
        f"--tls-cert-file={certificates}/tls.crt",
        f"--tls-private-key-file={certificates}/tls.key",
        f"--client-ca-file={certificates}/ca.crt",
        f"--metrics-service-address=127.0.0.1:{ports.grpc}",
        f"--metrics-service-grpc-authority={NAMES[0]}",
    ]


def _service() -> Body:
    """Lead the API server to this machine: endpoints must not be loopback addresses."""
    return {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"name": SERVICE, "namespace": HOME},
        "spec": {"type": "ExternalName", "externalName": "localhost"},
    }


def _api_service(certificates: Path, port: int) -> Body:
    authority = base64.b64encode((certificates / "ca.crt").read_bytes()).decode()
    return {
        "apiVersion": "apiregistration.k8s.io/v1",
        "kind": "APIService",
        "metadata": {"name": "v1beta1.external.metrics.k8s.io"},
        "spec": {
            "group": "external.metrics.k8s.io",
            "version": "v1beta1",
            "groupPriorityMinimum": 100,
            "versionPriority": 100,
            "caBundle": authority,
            "service": {"name": SERVICE, "namespace": HOME, "port": port},
        },
    }

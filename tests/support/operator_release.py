"""The operator as users install it: by the chart."""

from dataclasses import dataclass

from tests.support.cluster import Cluster, run
from tests.support.helm import helm_path
from tests.support.images import Images, repository_and_tag
from tests.support.tools import ROOT

RELEASE = "queueworker"
DEPLOYMENT = "deployment/queueworker"
CHART = ROOT / "charts" / "queueworker"


@dataclass(frozen=True, slots=True, kw_only=True)
class OperatorRelease:
    """A helm release of the chart in the tests' namespace."""

    cluster: Cluster
    images: Images
    owner_secret: str

    def install(self) -> None:
        """Install and wait for the operator and the migration."""
        settings = [f"--set-string={name}={value}" for name, value in self._values().items()]
        wait = ["--wait", "--wait-for-jobs", "--timeout=180s"]
        self._helm("install", RELEASE, str(CHART), *wait, *settings)
        self.cluster.kubectl("rollout", "status", DEPLOYMENT, "--timeout=60s", within_s=70)

    def uninstall(self) -> str:
        """Uninstall; give what helm says."""
        return self._helm("uninstall", RELEASE, "--wait", "--timeout=60s")

    def log(self) -> str:
        """Give the end of the operator's log."""
        return self.cluster.kubectl("logs", DEPLOYMENT, "--tail=200", "--all-containers")

    def _helm(self, *arguments: str) -> str:
        return run(helm_path(), *self.cluster.flags, *arguments, within_s=200)

    def _values(self) -> dict[str, str]:
        operator, operator_tag = repository_and_tag(self.images.operator)
        worker, worker_tag = repository_and_tag(self.images.worker)
        return {
            "image.repository": operator,
            "image.tag": operator_tag,
            "migrate.image.repository": worker,
            "migrate.image.tag": worker_tag,
            "migrate.secretRef.name": self.owner_secret,
        }

"""The operator as users install it: by the chart."""

from dataclasses import dataclass

from tests.support.cluster import Cluster, CommandFailed, run
from tests.support.helm import HELM_4, HelmRelease, helm_path
from tests.support.images import Images, repository_and_tag
from tests.support.tools import ROOT

RELEASE = "queueworker"
QUEUE_WORKERS = "queueworkers.queueworker.dev"  # the definition
DEPLOYMENT = "deployment/queueworker"
STATUSES = "jsonpath={range .items[*]}{.metadata.name}: {.status}{'\\n'}{end}"
CHART = ROOT / "charts" / "queueworker"


@dataclass(frozen=True, slots=True, kw_only=True)
class OperatorRelease:
    """A helm release of the chart in a namespace; without an owner's Secret nothing is migrated."""

    cluster: Cluster
    images: Images
    owner_secret: str = ""
    helm: HelmRelease = HELM_4

    def install(self, *flags: str) -> None:
        """Install and wait for the operator and the migration."""
        self._bring("install", *flags)

    def upgrade(self, *flags: str) -> None:
        """Change the values, and wait."""
        self._bring("upgrade", *flags)

    def rollback(self, revision: int) -> None:
        """Return to an earlier revision, and wait."""
        self._helm("rollback", RELEASE, str(revision), "--wait", "--timeout=60s")

    def test(self) -> str:
        """Run `helm test`; give what it says, with the pod's own words."""
        command = (helm_path(self.helm), *self.cluster.flags, "test", RELEASE, "--timeout=150s")
        return run("bash", "-c", 'exec "$0" "$@" 2>&1', *command, within_s=200)

    def uninstall(self) -> str:
        """Uninstall; give what helm says."""
        return self._helm("uninstall", RELEASE, "--wait", "--timeout=60s")

    def describe(self) -> str:
        """Give resources, events and the pods' logs as text."""
        asked: list[tuple[str, ...]] = [
            ("get", "queueworkers,deployments,pods", "-o", "wide"),
            ("get", "queueworkers", "-o", STATUSES),
            ("get", "events", "--sort-by=.lastTimestamp"),
            ("logs", DEPLOYMENT, "--tail=200"),
        ]
        asked += [
            ("logs", pod["metadata"]["name"], "--tail=15", when)
            for pod in self.cluster.find("pods", selector="app.kubernetes.io/name!=queueworker")
            for when in ("--previous=true", "--previous=false")
        ]
        return "\n".join(self._answer(*question) for question in asked)

    def _answer(self, *question: str) -> str:
        try:
            return f"$ kubectl {' '.join(question)}\n{self.cluster.kubectl(*question)}"
        except CommandFailed:
            return ""  # no such pod any more, or no earlier container

    def _bring(self, verb: str, *flags: str) -> None:
        settings = [f"--set-string={name}={value}" for name, value in self._values().items()]
        wait = ["--wait", "--wait-for-jobs", "--timeout=180s"]
        self._helm(verb, RELEASE, str(CHART), *wait, *settings, *flags)
        self.cluster.kubectl("rollout", "status", DEPLOYMENT, "--timeout=60s", within_s=70)

    def _helm(self, *arguments: str) -> str:
        return run(helm_path(self.helm), *self.cluster.flags, *arguments, within_s=200)

    def _values(self) -> dict[str, str]:
        operator, operator_tag = repository_and_tag(self.images.operator)
        worker, worker_tag = repository_and_tag(self.images.worker)
        postgres, postgres_tag = repository_and_tag(self.images.postgres)
        return {
            "image.repository": operator,
            "image.tag": operator_tag,
            "migrate.image.repository": worker,
            "migrate.image.tag": worker_tag,
            "migrate.secretRef.name": self.owner_secret,
            "demo.postgres.image.repository": postgres,
            "demo.postgres.image.tag": postgres_tag,
        }

"""Three commands from an empty cluster to watching it scale, as the page has them."""

import contextlib
import os
import subprocess
import time
from base64 import b64decode
from collections.abc import Callable, Iterator
from pathlib import Path

import psycopg
import pytest
import yaml
from tests.support.cluster import Cluster, names, restricted_namespace
from tests.support.helm import helm_path
from tests.support.images import Images, repository_and_tag
from tests.support.judge import Judge, judged
from tests.support.pages import blocks
from tests.support.port_forward import PortForward
from tests.support.postgres import Connection
from tests.support.tools import ROOT, tool_path
from tests.support.waiting import wait_until

PAGE = ROOT / "docs/howto/install.md"
SEEN_WITHIN_S = 90.0
ZERO_WITHIN_S = 115.0  # the next burst comes after 120 s
BY_THE_DEMO = "deployments,pods,services,secrets,configmaps,roles,queueworkers"
COLUMNS = ["NAME", "READY", "MODE", "BACKLOG", "OLDEST", "DESIRED", "CURRENT", "REASON", "AGE"]


@pytest.fixture
def demo(empty_cluster: Cluster) -> Iterator[Cluster]:
    """Give the demo's namespace, which admits restricted pods alone."""
    empty_cluster.kubectl("get", "namespaces")
    with restricted_namespace("demo") as cluster:
        yield cluster


@pytest.fixture
def folder(images: Images, tmp_path: Path) -> Path:
    """Give a folder with the chart, and the names of the images in the page's file."""
    (page,) = [block.text for block in blocks(PAGE) if block.title == "images.yaml"]
    values = yaml.safe_load(page) | {"demo": {"postgres": {"image": {}}}}
    for place, image in (
        (values["image"], images.operator),
        (values["migrate"]["image"], images.worker),
        (values["demo"]["postgres"]["image"], images.postgres),
    ):
        place["repository"], place["tag"] = repository_and_tag(image)
    (tmp_path / "images.yaml").write_text(yaml.safe_dump(values))
    (tmp_path / "charts").symlink_to(ROOT / "charts")
    return tmp_path


def test_three_commands_lead_from_an_empty_cluster_to_watching_it_scale(
    demo: Cluster, folder: Path, measure: Callable[[str], None]
) -> None:
    (page,) = [block.text for block in blocks(PAGE) if block.title == "demo"]
    first, second, third = page.splitlines()

    began_s = time.monotonic()
    with judged_demo(demo) as judge:
        for command in (first, second):
            subprocess.run(["bash", "-c", command], cwd=folder, env=environment(), check=True)
        seen = watch(third, folder)
        seen_after_s = time.monotonic() - began_s
        wait_until(lambda: replicas(demo) == 0, within_s=ZERO_WITHIN_S, what="no worker is left")
        zero_after_s = time.monotonic() - began_s
    measure(
        f"demo: three commands to {seen} pods, seen after {seen_after_s:.0f} s; 0 after {zero_after_s:.0f} s"
    )

    assert seen_after_s <= SEEN_WITHIN_S
    assert [size.replicas for size in judge.sizes.sizes if size.is_ours][-1] == 0
    subprocess.run(
        ["bash", "-c", "helm uninstall queueworker --namespace demo --wait"],
        env=environment(),
        check=True,
    )
    wait_until(lambda: left(demo) == [], within_s=30, what="nothing of the demo is left")


@contextlib.contextmanager
def judged_demo(demo: Cluster) -> Iterator[Judge]:
    """Hold what the operator writes to O1 to O7, by the decisions in the demo's own Postgres."""
    with (
        PortForward(demo, "deployment/queueworker-demo-postgres", 5432) as forward,
        contextlib.ExitStack() as opened,
        judged(demo, lambda: [opened.enter_context(connected(demo, forward))]) as judge,
    ):
        yield judge


def connected(demo: Cluster, forward: PortForward) -> Connection:
    held = demo.get("secret", "queueworker-demo-owner-db")["data"]["dsn"]
    return psycopg.connect(
        b64decode(held).decode(), hostaddr="127.0.0.1", port=forward.port(), autocommit=True
    )


def environment() -> dict[str, str]:
    """Let the commands find helm, kubectl and the cluster."""
    programs = f"{helm_path().parent}:{tool_path('kubectl').parent}"
    return os.environ | {"PATH": f"{programs}:{os.environ['PATH']}"}


def watch(command: str, folder: Path) -> int:
    """Watch until more than one pod is asked for; give how many."""
    shown = subprocess.Popen(
        ["bash", "-c", f"exec {command}"],
        cwd=folder,
        env=environment(),
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        assert shown.stdout is not None
        for line in shown.stdout:
            row = dict(zip(COLUMNS, line.split(), strict=False))
            if row.get("CURRENT", "").isdecimal() and int(row["CURRENT"]) > 1:
                return int(row["CURRENT"])
    finally:
        shown.terminate()
        shown.wait()
        if shown.stdout is not None:
            shown.stdout.close()
    raise AssertionError("the watch has ended")


def replicas(cluster: Cluster) -> int:
    """Give the number of workers that are asked for."""
    return int(cluster.get("deployment", "queueworker-demo")["spec"]["replicas"])


def left(cluster: Cluster) -> list[str]:
    """Name what the release has left."""
    return names(cluster.find(BY_THE_DEMO, selector="app.kubernetes.io/instance=queueworker"))

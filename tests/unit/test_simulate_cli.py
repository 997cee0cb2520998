"""`queueworker-operator simulate`: one command from a trace to figures."""

import json
from pathlib import Path
from xml.etree import ElementTree as ET

import pytest

from queueworker_operator.cli import main

KEYS = {
    "late_fraction",
    "wait_p50_s",
    "wait_p95_s",
    "wait_p99_s",
    "pod_hours",
    "work_pod_hours",
    "cost_ratio",
    "scale_events_per_hour",
    "reversals_per_hour",
    "interrupted_jobs",
    "max_replicas",
}
MANIFEST = """\
apiVersion: queueworker.dev/v1alpha1
kind: QueueWorker
metadata: {name: mail}
spec:
  scaleTargetRef: {name: mail}
  queues: [mail]
  database: {secretRef: {name: mail-db}}
  startWithin: 30s
  maxReplicas: 20
"""
DEPLOYMENT = """\
---
apiVersion: apps/v1
kind: Deployment
metadata: {name: mail}
spec:
  template:
    spec:
      terminationGracePeriodSeconds: 60
      containers:
        - {name: worker, command: [queueworker, worker, --concurrency, "7"]}
"""

SCALED_OBJECT = """\
apiVersion: keda.sh/v1alpha1
kind: ScaledObject
metadata: {name: mail}
spec:
  scaleTargetRef: {name: mail}
  maxReplicaCount: 20
  triggers:
    - type: postgresql
      metadata: {query: "SELECT ceil(count(*)::decimal / 4) FROM jobs", targetQueryValue: "1"}
"""


@pytest.fixture
def files(tmp_path: Path) -> list[str]:
    trace, manifest = tmp_path / "trace.csv", tmp_path / "queueworker.yaml"
    trace.write_text("t_s,arrivals\n0,100\n60,200\n120,20\n")
    manifest.write_text(MANIFEST)
    return ["simulate", "--trace", str(trace), "--manifest", str(manifest)]


def test_every_policy_has_its_row_and_its_figures(
    files: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "figures.json"

    code = main([*files, "--json", str(out)])

    shown, figures = capsys.readouterr().out, json.loads(out.read_text())
    assert code == 0
    assert list(figures) == ["dbc", "keda", "keda-tuned", "keda-two", "kpa", "clairvoyant"]
    assert all(set(one) == KEYS for one in figures.values())
    assert "320 jobs" in shown
    assert "promise 30 s" in shown
    assert [name for name in figures if f"\n{name} " not in shown] == []


def test_a_seed_gives_the_same_figures_again(files: list[str], tmp_path: Path) -> None:
    texts = []
    for name in ("one", "two"):
        out = tmp_path / name
        main([*files, "--policy", "dbc", "--policy", "kpa", "--seed", "7", "--json", str(out)])
        texts.append(out.read_text())

    assert texts[0] == texts[1]
    assert list(json.loads(texts[0])) == ["dbc", "kpa"]


def test_slots_come_from_the_deployment_or_the_flag(
    files: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "queueworker.yaml").write_text(MANIFEST + DEPLOYMENT)

    main([*files, "--policy", "dbc"])
    by_manifest = capsys.readouterr().out
    main([*files, "--policy", "dbc", "--slots", "2"])
    by_flag = capsys.readouterr().out

    assert "pods of 7 slots" in by_manifest
    assert "pods of 2 slots" in by_flag


def test_a_schedule_is_kept_from_the_time_at_which_the_trace_begins(
    files: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    scheduled, out = tmp_path / "scheduled.yaml", tmp_path / "figures.json"
    window = "{cron: 0 8 * * 1-5, timezone: Europe/Berlin, minReplicas: 19, duration: 1h}"
    scheduled.write_text(f"{MANIFEST}  schedule: [{window}]\n")
    command = [*files, "--policy", str(scheduled), "--json", str(out)]

    refused = main(command)
    most = []
    for moment in ("2026-03-02T08:00+01:00", "2026-03-02T08:00", "2026-03-01T08:00+01:00"):
        main([*command, "--starts-at", moment])
        most.append(json.loads(out.read_text())["scheduled.yaml"]["max_replicas"])

    assert refused == 2
    assert (
        "scheduled.yaml: spec.schedule needs to know when the trace begins: give --starts-at"
        in (capsys.readouterr().err)
    )
    assert most[0] == 19
    assert max(most[1:]) < 19


def test_files_are_policies_too(
    files: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    other, keda = tmp_path / "other.yaml", tmp_path / "keda.yaml"
    other.write_text(MANIFEST.replace("maxReplicas: 20", "maxReplicas: 1"))
    keda.write_text(SCALED_OBJECT)
    out = tmp_path / "figures.json"

    code = main([*files, "--policy", str(other), "--policy", str(keda), "--json", str(out)])
    figures = json.loads(out.read_text())
    keda.write_text("kind: Secret\nmetadata: {name: x}\n")
    refused = main([*files, "--policy", str(keda)])

    assert (code, list(figures)) == (0, ["other.yaml", "keda.yaml"])
    assert figures["other.yaml"]["max_replicas"] == 1
    assert refused == 1
    assert "must hold one QueueWorker or ScaledObject" in capsys.readouterr().err


def test_the_picture_shows_each_policy_over_time_and_against_the_others(
    files: list[str], tmp_path: Path
) -> None:
    out = tmp_path / "run.svg"

    main([*files, "--policy", "dbc", "--policy", "keda", "--plot", str(out)])

    root = ET.fromstring(out.read_text())  # noqa: S314 - our own drawing
    words = [element.text for element in root.iter() if element.text]
    assert {"trace.csv", "oldest wait, s", "pods", "promise 30 s", "late against pod-hours"} <= set(
        words
    )
    assert words.count("keda") == 3  # two legends and a dot
    assert len(root.findall(".//{*}circle")) == 2


@pytest.mark.parametrize(
    ("manifest", "words"),
    [
        (None, "cannot be read (No such file or directory): check its path"),
        ("kind: Deployment\nmetadata: {name: x}\n", "must hold one QueueWorker: it holds none"),
        (MANIFEST + "---\n" + MANIFEST, "it holds 2 of them"),
        (MANIFEST.replace("maxReplicas", "maxReplica"), "did you mean maxReplicas?"),
        (MANIFEST.replace("30s", "soon"), "is not a duration"),
        ("a: [", "is not readable as YAML"),
    ],
)
def test_a_bad_manifest_is_one_line(
    files: list[str],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    manifest: str | None,
    words: str,
) -> None:
    file = tmp_path / "queueworker.yaml"
    file.unlink() if manifest is None else file.write_text(manifest)

    code = main(files)

    (line,) = capsys.readouterr().err.splitlines()
    assert code == 1
    assert words in line


@pytest.mark.parametrize(
    ("flags", "words"),
    [
        (["--policy", "dcb"], "there is no policy 'dcb': choose of dbc"),
        (["--slots", "0"], "--slots is 0: give 1 or more"),
        (["--json", "/nowhere/at/all.json"], "create /nowhere/at"),
    ],
)
def test_a_flag_that_cannot_be_used_is_one_line(
    files: list[str], capsys: pytest.CaptureFixture[str], flags: list[str], words: str
) -> None:
    code = main([*files, *flags])

    (line,) = capsys.readouterr().err.splitlines()
    assert code == 2
    assert words in line


@pytest.mark.parametrize(
    "flags",
    [
        ["--service-s", "0"],
        ["--service-cv", "-1"],
        ["--hours", "x"],
        ["--starts-at", "soon"],
    ],
)
def test_a_number_out_of_range_is_refused(files: list[str], flags: list[str]) -> None:
    with pytest.raises(SystemExit) as refused:
        main([*files, *flags])

    assert refused.value.code == 2

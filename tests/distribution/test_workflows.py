"""What CI and a release do exists here, asks for few rights, and names exactly what it runs.

The workflows are linted here; they have not run on a forge yet (CONTRIBUTING.md says so).
"""

import os
import re
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).parents[2]
WORKFLOWS = {path.stem: path for path in (ROOT / ".github/workflows").glob("*.yml")}
BODIES = {name: yaml.safe_load(path.read_text()) for name, path in WORKFLOWS.items()}
JOBS = [(name, job) for name, body in BODIES.items() for job in body["jobs"]]
RELEASE = BODIES["release"]["jobs"]


def steps(workflow: str, job: str) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = BODIES[workflow]["jobs"][job].get("steps", [])
    return found


def runs(workflow: str, job: str) -> str:
    """Give all that a job runs by itself."""
    return "\n".join(step.get("run", "") for step in steps(workflow, job))


def uses(workflow: str, job: str) -> list[str]:
    """Name the actions of a job."""
    return [step["uses"].split("@")[0] for step in steps(workflow, job) if "uses" in step]


def make_targets() -> set[str]:
    printed = subprocess.run(
        ["make", "help"], cwd=ROOT, capture_output=True, text=True, check=True
    ).stdout
    return set(re.findall(r"^  make (\S+)", printed, re.MULTILINE))


def test_there_is_a_workflow_for_each_change_and_one_for_a_release() -> None:
    assert set(WORKFLOWS) == {"ci", "release"}


@pytest.mark.parametrize(("workflow", "job"), JOBS)
def test_every_command_of_a_job_exists(workflow: str, job: str) -> None:
    text = runs(workflow, job)
    scripts = re.findall(r"(?<![\w/.-])hack/[\w/-]+", text)
    targets = [
        word
        for called in re.findall(r"\bmake((?: -C \S+| [A-Z_]+=\S+| [a-z0-9-]+)+)", text)
        for word in re.sub(r"-C \S+", "", called).split()
        if "=" not in word
    ]

    assert text or "uses" in BODIES[workflow]["jobs"][job]
    assert [name for name in scripts if not os.access(ROOT / name, os.X_OK)] == []
    assert set(targets) <= make_targets()


@pytest.mark.parametrize("workflow", sorted(WORKFLOWS))
def test_every_action_is_pinned_by_a_commit_and_says_its_version(workflow: str) -> None:
    used = re.findall(r"uses: (\S+)(.*)", WORKFLOWS[workflow].read_text())
    pinned = re.compile(r"[\w-]+/[\w-]+@[0-9a-f]{40}")

    loose = [
        name
        for name, remark in used
        if not name.startswith("./")
        and not (pinned.fullmatch(name) and re.fullmatch(r" # v\d+\.\d+\.\d+", remark))
    ]

    assert loose == []


@pytest.mark.parametrize(("workflow", "job"), JOBS)
def test_a_job_has_the_rights_that_it_names_and_no_others(workflow: str, job: str) -> None:
    body = BODIES[workflow]
    allowed = {"contents", "packages", "id-token", "attestations"}

    assert body["permissions"] == {}
    assert set(body["jobs"][job]["permissions"]) <= allowed
    if workflow == "ci":
        assert body["jobs"][job]["permissions"] == {"contents": "read"}


def test_one_job_alone_may_write_to_the_repository() -> None:
    writers = [job for job in RELEASE if RELEASE[job]["permissions"].get("contents") == "write"]

    assert writers == ["release"]


def test_ci_runs_what_the_contributing_page_names() -> None:
    named = re.findall(r"^(make \S+)", (ROOT / "CONTRIBUTING.md").read_text(), re.MULTILINE)
    everything = "\n".join(runs("ci", job) for job in BODIES["ci"]["jobs"])

    assert {"make test", "make e2e", "make workflows", "make audit"} <= set(named)
    for command in ("make test", "make e2e", "make workflows", "make audit"):
        assert command in everything


def test_nothing_is_released_before_the_checks_have_passed() -> None:
    assert RELEASE["checks"]["uses"] == "./.github/workflows/ci.yml"
    assert RELEASE["dist"]["needs"] == "checks"
    assert all("needs" in body for job, body in RELEASE.items() if job != "checks")


def needed(job: str) -> set[str]:
    """Name all jobs that must have ended well before this one starts."""
    named = RELEASE[job].get("needs", [])
    first = {named} if isinstance(named, str) else set(named)
    return first.union(*map(needed, first))


def test_nothing_leaves_before_one_approval_of_everything() -> None:
    """The environment `release` is what asks: its reviewers stand in the repository's settings."""
    before = needed("approval") | {"approval"}

    assert RELEASE["approval"]["environment"] == "release"
    assert [job for job in RELEASE if RELEASE[job].get("environment") == "release"] == ["approval"]
    assert all(job in before or "approval" in needed(job) for job in RELEASE)
    for job in before - {"approval"}:
        assert RELEASE[job]["permissions"] == {"contents": "read"}


def test_what_cannot_be_taken_back_is_published_after_all_that_can() -> None:
    assert {"images", "chart"} <= needed("pypi")


def test_the_tag_of_a_release_is_the_version_and_the_build_is_repeated() -> None:
    text = runs("release", "dist")

    assert 'test "$GITHUB_REF_NAME" = "v$(hack/version)"' in text
    assert "diff -r dist" in text


def test_both_images_are_built_for_two_architectures_signed_and_listed() -> None:
    (build,) = [s for s in steps("release", "images") if "build-push" in s.get("uses", "")]
    images = {one["image"] for one in RELEASE["images"]["strategy"]["matrix"]["include"]}
    listed = re.findall(r"^list (\S+)", (ROOT / "hack/sbom").read_text(), re.MULTILINE)
    text = runs("release", "images")

    assert build["with"]["platforms"] == "linux/amd64,linux/arm64"
    assert (build["with"]["sbom"], build["with"]["provenance"]) == (True, "mode=max")
    assert images == set(listed)
    assert 'cosign sign --yes --recursive "$SUBJECT"' in text
    assert 'cosign attest --yes --type cyclonedx --predicate "$SBOM" "$SUBJECT"' in text
    assert "actions/attest-build-provenance" in uses("release", "images")


def test_the_chart_is_pushed_signed_and_attested() -> None:
    text = runs("release", "chart")

    assert "helm push dist/chart/*.tgz" in text
    assert 'cosign sign --yes "$SUBJECT"' in text
    assert "actions/attest-build-provenance" in uses("release", "chart")


def artifacts(job: str, action: str) -> set[str]:
    """Name what a job of the release hands on, or takes."""
    found = [s for s in steps("release", job) if f"actions/{action}-artifact@" in s.get("uses", "")]
    return {step["with"]["name"] for step in found}


@pytest.mark.parametrize("job", sorted(RELEASE))
def test_what_a_job_takes_was_handed_on_by_one_that_it_waits_for(job: str) -> None:
    given = set().union(*(artifacts(before, "upload") for before in needed(job)))

    assert artifacts(job, "download") <= given


def test_the_base_of_each_image_is_kept_up_to_date_where_it_can_be_read() -> None:
    updates = yaml.safe_load((ROOT / ".github/dependabot.yml").read_text())["updates"]
    [docker] = [one for one in updates if one["package-ecosystem"] == "docker"]
    built = {
        "/" + one["dockerfile"].removesuffix("/Dockerfile")
        for one in RELEASE["images"]["strategy"]["matrix"]["include"]
    }

    assert set(docker["directories"]) == built
    for folder in built:
        # Dependabot does not follow an ARG (dependabot/dependabot-core#2057).
        [base] = re.findall(
            r"^FROM (.*)$", (ROOT / f".{folder}/Dockerfile").read_text(), re.MULTILINE
        )
        assert re.fullmatch(r"[\w./-]+:[\w.-]+(@sha256:[0-9a-f]{64})?", base)


def test_python_packages_are_published_without_a_stored_token() -> None:
    (publish,) = [s for s in steps("release", "pypi") if "pypi-publish" in s.get("uses", "")]

    assert publish["with"] == {"packages-dir": "upload", "attestations": True}
    assert RELEASE["pypi"]["permissions"] == {"id-token": "write"}
    secrets = re.findall(r"secrets\.(\w+)", WORKFLOWS["release"].read_text())
    assert set(secrets) == {"GITHUB_TOKEN"}


@pytest.mark.timeout(180)
def test_zizmor_finds_nothing_to_misuse() -> None:
    options = ["--offline", "--no-progress", "--persona", "pedantic"]
    done = subprocess.run(
        [ROOT / "hack/release-tool", "zizmor", *options, ".github"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )

    assert done.returncode == 0, done.stdout


@pytest.mark.tools
def test_actionlint_finds_nothing_wrong() -> None:
    folder = subprocess.run(
        [ROOT / "hack/tools/build", "path", "actionlint"],
        capture_output=True,
        text=True,
        check=True,
    ).stdout.strip()
    done = subprocess.run(
        [f"{folder}/actionlint", *WORKFLOWS.values()],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )

    assert done.returncode == 0, done.stdout + done.stderr

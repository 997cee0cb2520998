"""What is released is the same whoever builds it, says one version, and lists what it holds."""

import json
import os
import re
import shutil
import subprocess
import tomllib
from collections.abc import Mapping
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pytest
import yaml
from tests.support.chart import CHART, named, pod_specs, render
from tests.support.pages import block_of

ROOT = Path(__file__).parents[2]
VERSION = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"]
SOURCES = (
    *("pyproject.toml", "README.md", "LICENSE", ".gitignore"),
    *("operator", "worker", "charts", "crds", "hack"),
)
IMAGES = {"queueworker": "run", "queueworker-operator": "operator"}


def run(*command: str | Path, folder: Path = ROOT, environ: Mapping[str, str] | None = None) -> str:
    return subprocess.run(
        command,
        cwd=folder,
        env={**os.environ, **(environ or {})},
        capture_output=True,
        text=True,
        check=True,
        timeout=120,
    ).stdout


def copy_of_the_tree(folder: Path) -> Path:
    """Copy what is built to another place and another time, with other modes."""
    folder.mkdir()
    for name in SOURCES:
        source, target = ROOT / name, folder / name
        if source.is_dir():
            junk = shutil.ignore_patterns("__pycache__", "tools")
            shutil.copytree(source, target, symlinks=True, ignore=junk)
        else:
            shutil.copy(source, target)
    for path in folder.rglob("*"):
        if not path.is_symlink():
            path.chmod(path.stat().st_mode & ~0o077)
            os.utime(path, (1_000_000_000, 1_000_000_000))
    (folder / ".venv").symlink_to(ROOT / ".venv")
    (folder / "tests").symlink_to(ROOT / "tests")
    return folder


def test_wheel_sdist_and_chart_are_the_same_bytes_built_elsewhere_at_another_time(
    tmp_path: Path,
) -> None:
    other = copy_of_the_tree(tmp_path / "other")
    epoch = {"SOURCE_DATE_EPOCH": "1700000000"}

    run("hack/dist", tmp_path / "a", environ=epoch)
    run("hack/dist", tmp_path / "b", folder=other, environ=epoch)

    one, two = (
        {str(p.relative_to(d)): p.read_bytes() for p in d.rglob("*") if p.is_file()}
        for d in (tmp_path / "a", tmp_path / "b")
    )
    names = [f"queueworker-{VERSION}-py3-none-any.whl", f"queueworker-{VERSION}.tar.gz"]
    assert sorted(one) == sorted([*names, f"chart/queueworker-{VERSION}.tgz"])
    assert one == two


def step(job: dict[str, Any], name: str) -> dict[str, Any]:
    """Give the step of a workflow's job that has this id or name."""
    [found] = [one for one in job["steps"] if name in (one.get("id"), one.get("name"))]
    return dict(found)


def outputs_of(script: str, folder: Path, environ: Mapping[str, str]) -> dict[str, str]:
    """Run a step's script; give what it wrote as the step's outputs."""
    told = folder / "outputs"
    told.unlink(missing_ok=True)
    run("bash", "-ec", script, folder=folder, environ={**environ, "GITHUB_OUTPUT": str(told)})
    return dict(line.split("=", 1) for line in told.read_text().splitlines())


def test_the_released_chart_runs_the_images_that_the_release_pushed(tmp_path: Path) -> None:
    release = yaml.safe_load((ROOT / ".github/workflows/release.yml").read_text())
    images, chart = release["jobs"]["images"], release["jobs"]["chart"]
    tree = copy_of_the_tree(tmp_path / "tree")
    runner = release["env"] | {
        "GITHUB_REPOSITORY_OWNER": "Some-One",
        "SOURCE_DATE_EPOCH": "1700000000",
    }
    pushed: set[str] = set()
    outputs: dict[str, str] = {}
    for number, leg in enumerate(images["strategy"]["matrix"]["include"]):
        image, digest = leg["image"], f"sha256:{number:064x}"
        name = outputs_of(step(images, "name")["run"], tree, {**runner, "IMAGE": image})["image"]
        pushed.add(f"{name}@{digest}")
        known = {"IMAGE": image, "DIGEST": digest}
        told = outputs_of(step(images, "pushed")["run"], tree, known)
        outputs |= {f"${{{{ steps.pushed.outputs.{key} }}}}": value for key, value in told.items()}
    needs = {
        f"${{{{ needs.images.outputs.{k} }}}}": outputs[v] for k, v in images["outputs"].items()
    }
    pack = step(chart, "Pack, with the images that were pushed")

    given = {name: needs[value] for name, value in pack["env"].items()}
    run("bash", "-ec", pack["run"], folder=tree, environ={**runner, **given})

    [archive] = tree.glob("dist/chart/*.tgz")
    specs = pod_specs(
        render("--set", "demo.enabled=true,migrate.secretRef.name=owner", chart=archive)
    )
    rendered = {
        container["image"]
        for spec in specs.values()
        for container in (*spec["containers"], *spec.get("initContainers", ()))
    }
    assert len(pushed) == 2
    assert rendered == pushed | {"postgres:18"}
    assert all(name.startswith("ghcr.io/some-one/") for name in pushed)


@pytest.mark.parametrize("pin", ["queueworker=", "queueworker=latest", f"other=sha256:{'0' * 64}"])
def test_a_chart_whose_images_have_no_digest_is_not_packed(pin: str, tmp_path: Path) -> None:
    packed = subprocess.run(
        [ROOT / "hack/chart", tmp_path, "registry.example.org", pin],
        capture_output=True,
        text=True,
        check=False,
    )

    assert packed.returncode == 1
    assert pin.partition("=")[0] in packed.stderr
    assert list(tmp_path.iterdir()) == []


def test_the_page_verifies_and_installs_what_the_release_signs_and_pushes() -> None:
    workflow = ROOT / ".github/workflows/release.yml"
    release = yaml.safe_load(workflow.read_text())
    push = step(release["jobs"]["chart"], "push")["run"]
    registry, owner = release["env"]["REGISTRY"], "${GITHUB_REPOSITORY_OWNER,,}"
    chart = f"{registry}/OWNER/charts/queueworker"
    words = block_of("docs/howto/install.md", "cosign verify").text.replace("\\\n", " ").split()

    assert f'charts="$REGISTRY/{owner}/charts"\n' in push
    assert words[:3] == ["cosign", "verify", f"{chart}:{VERSION}"]
    assert words[words.index("install") + 2] == f"oci://{chart}"
    assert words[words.index("--version") + 1] == VERSION
    signer = words[words.index("--certificate-identity") + 1]
    built_by = f"{workflow.relative_to(ROOT)}@refs/tags/v{VERSION}"
    assert signer == f"https://github.com/OWNER/REPOSITORY/{built_by}"


def test_one_version_is_told_by_package_chart_and_image_tags() -> None:
    chart = yaml.safe_load((CHART / "Chart.yaml").read_text())
    deployment = named(render(), "Deployment", "queueworker")
    (container,) = deployment["spec"]["template"]["spec"]["containers"]

    assert run("hack/version").strip() == VERSION
    assert version("queueworker") == VERSION
    assert (chart["version"], chart["appVersion"]) == (VERSION, VERSION)
    assert container["image"].endswith(f":{VERSION}")


@pytest.mark.timeout(240)
def test_the_sbom_of_an_image_lists_exactly_the_pinned_packages_with_their_hashes(
    tmp_path: Path,
) -> None:
    run("hack/sbom", tmp_path)

    for image, pins in IMAGES.items():
        pinned = dict(
            re.findall(
                r"^([\w.-]+)==([\w.]+)",
                (ROOT / f"requirements/{pins}.txt").read_text(),
                re.MULTILINE,
            )
        )
        bom = json.loads((tmp_path / f"{image}.cdx.json").read_text())
        listed = {one["name"]: one["version"] for one in bom["components"]}
        assert bom["bomFormat"] == "CycloneDX"
        assert bom["metadata"]["component"]["version"] == VERSION
        assert listed == pinned
        assert all(one["externalReferences"][0]["hashes"] for one in bom["components"])


def test_an_image_installs_the_requirements_that_its_sbom_is_made_of() -> None:
    for pins, folder in (("run", "worker"), ("operator", "operator")):
        dockerfile = (ROOT / folder / "Dockerfile").read_text()
        assert f"COPY requirements/{pins}.txt" in dockerfile
        assert "--require-hashes" in dockerfile


def test_an_audit_that_could_look_nothing_up_fails_and_says_so() -> None:
    nowhere = dict.fromkeys(("HTTPS_PROXY", "https_proxy"), "http://127.0.0.1:9")

    done = subprocess.run(
        [ROOT / "hack/audit", ROOT / "requirements/run.txt"],
        env=os.environ | nowhere,
        capture_output=True,
        text=True,
        check=False,
        timeout=100,
    )

    assert done.returncode == 1
    assert "NOT AUDITED" in done.stderr

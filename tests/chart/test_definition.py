"""The resource definition in the chart is the one in crds/, to the letter."""

import shutil
import tarfile
from pathlib import Path

import pytest
import yaml
from tests.support.chart import CHART, DEFINITION, HelmFailed, named, render, render_text
from tests.support.helm import HELM_3, run_helm

from queueworker_operator.resource import SPEC_FIELDS

IN_CHART = "files/queueworkers.queueworker.dev.yaml"


def package(folder: Path) -> Path:
    done = run_helm("package", CHART, "--destination", folder)
    assert done.returncode == 0, done.stderr
    return next(folder.glob("*.tgz"))


def test_the_release_installs_the_definition_to_the_letter() -> None:
    definition = yaml.safe_load(DEFINITION.read_text())

    assert DEFINITION.read_text().strip() in render_text()
    assert named(render(), "CustomResourceDefinition") == definition


def test_uninstalling_keeps_the_definition_and_with_it_every_queueworker() -> None:
    annotations = named(render(), "CustomResourceDefinition")["metadata"]["annotations"]

    assert annotations["helm.sh/resource-policy"] == "keep"


def test_the_definition_can_be_left_to_another_release() -> None:
    kinds = {body["kind"] for body in render("--set", "crds.install=false")}

    assert "CustomResourceDefinition" not in kinds
    assert "Deployment" in kinds


def test_the_package_holds_the_definition_itself_and_renders_it(tmp_path: Path) -> None:
    archive = package(tmp_path)

    with tarfile.open(archive) as opened:
        member = opened.getmember(f"queueworker/{IN_CHART}")
        content = opened.extractfile(member)
        assert member.isreg()
        assert content is not None
        assert content.read() == DEFINITION.read_bytes()
    expected = yaml.safe_load(DEFINITION.read_text())
    for release in (None, HELM_3):
        objects = (
            render(chart=archive) if release is None else render(chart=archive, release=release)
        )
        assert named(objects, "CustomResourceDefinition") == expected


@pytest.mark.parametrize("content", [None, ""], ids=["missing", "empty"])
def test_a_chart_without_the_definition_is_refused_with_the_remedy(
    content: str | None, tmp_path: Path
) -> None:
    chart = Path(shutil.copytree(CHART, tmp_path / "queueworker"))
    (chart / IN_CHART).unlink()
    if content is not None:
        (chart / IN_CHART).write_text(content)

    with pytest.raises(HelmFailed, match=rf"{IN_CHART} is missing.*set crds\.install=false"):
        render(chart=chart)
    assert named(render("--set", "crds.install=false", chart=chart), "Deployment", "queueworker")


def test_double_braces_in_a_description_are_not_a_template(tmp_path: Path) -> None:
    chart = Path(shutil.copytree(CHART, tmp_path / "queueworker"))
    words = "Example: {{ .Values.replicas }} and {{ broken."
    definition = yaml.safe_load(DEFINITION.read_text())
    definition["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["description"] = words
    (chart / IN_CHART).write_text(yaml.safe_dump(definition))

    assert named(render(chart=chart), "CustomResourceDefinition") == definition


def test_the_operator_knows_exactly_the_fields_of_the_definition() -> None:
    version = yaml.safe_load(DEFINITION.read_text())["spec"]["versions"][0]
    spec = version["schema"]["openAPIV3Schema"]["properties"]["spec"]

    assert set(spec["properties"]) == SPEC_FIELDS

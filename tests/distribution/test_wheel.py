"""What a user gets from `pip install`: small, typed, and without the operator's dependencies."""

import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
FOREIGN = ("kopf", "kubernetes", "numpy", "aiohttp", "yaml", "rich")


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("dist")
    command = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--no-build-isolation"]
    subprocess.run([*command, "-w", str(folder), str(ROOT)], check=True, timeout=120)
    (built,) = folder.glob("*.whl")
    return built


@pytest.fixture(scope="module")
def clean_python(tmp_path_factory: pytest.TempPathFactory, wheel: Path) -> Path:
    folder = tmp_path_factory.mktemp("clean")
    subprocess.run([sys.executable, "-m", "venv", str(folder)], check=True, timeout=120)
    python = folder / "bin" / "python"
    pip = [str(python), "-m", "pip", "install", "--quiet"]
    requirements = str(ROOT / "requirements" / "run.txt")
    subprocess.run([*pip, "--require-hashes", "-r", requirements], check=True, timeout=120)
    subprocess.run([*pip, "--no-deps", str(wheel)], check=True, timeout=120)
    return python


def test_the_wheel_holds_every_file_that_the_packages_read(wheel: Path) -> None:
    inside = set(zipfile.ZipFile(wheel).namelist())
    wanted = {
        str(path.relative_to(ROOT / half))
        for half in ("worker", "operator")
        for pattern in ("**/*.py", "**/*.sql", "**/py.typed")
        for path in (ROOT / half).glob(pattern)
    }

    assert wanted - inside == set()
    assert "queueworker/py.typed" in inside


@pytest.mark.timeout(240)
def test_a_clean_environment_imports_queueworker_without_the_operators_parts(
    clean_python: Path,
) -> None:
    code = (
        "import sys, queueworker, queueworker.cli\n"
        f"print(sorted(name for name in {FOREIGN!r} if name in sys.modules))\n"
    )
    done = subprocess.run(
        [str(clean_python), "-c", code], capture_output=True, text=True, check=True, timeout=60
    )
    installed = subprocess.run(
        [str(clean_python), "-m", "pip", "list", "--format=freeze"],
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    ).stdout

    assert done.stdout.strip() == "[]"
    assert not any(line.startswith(FOREIGN) for line in installed.splitlines())


@pytest.mark.timeout(240)
def test_the_operator_command_names_its_extra_when_it_is_missing(clean_python: Path) -> None:
    def run(*arguments: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [str(clean_python.parent / "queueworker-operator"), *arguments],
            capture_output=True,
            text=True,
            check=False,
            timeout=60,
        )

    done, helped = run("run"), run("--help")

    assert done.returncode != 0
    assert "python -m pip install '.[operator]'" in done.stderr
    assert "Traceback" not in done.stderr
    assert (helped.returncode, helped.stderr) == (0, "")
    assert "python -m pip install '.[operator]'" in helped.stdout

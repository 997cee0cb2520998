"""What is drawn is there."""

import re
import subprocess
import sys
import tomllib

from tests.support.pages import ROOT, block_of

from queueworker.schema.migrate import ROLES


def test_the_drawing_of_the_decision_names_modules_that_exist() -> None:
    text = block_of("docs/explanation/controller.md", "──observe──").text
    named = set(re.findall(r"\b\w+\.py\b", text))
    there = {path.name for path in (ROOT / "operator/queueworker_operator/decision").glob("*.py")}

    assert len(named) > 10
    assert named - there == set()


def test_the_pictures_of_the_architecture_are_drawn_from_their_text() -> None:
    done = subprocess.run(
        [sys.executable, ROOT / "hack/drawings.py", "--check"],
        capture_output=True,
        text=True,
        check=False,
        timeout=30,
    )

    assert done.returncode == 0, done.stderr


def test_every_picture_is_on_the_page_and_fits_its_sheet() -> None:
    page = (ROOT / "docs/explanation/architecture.md").read_text()
    for name in tomllib.loads((ROOT / "hack/drawings.toml").read_text()):
        picture = (ROOT / f"docs/images/{name}.svg").read_text()
        width, *_ = re.findall(r'viewBox="0 0 ([\d.]+) ', picture)
        edges = [
            (float(x), float(x) + float(wide))
            for x, wide in re.findall(r'<rect x="([\d.-]+)" y="[\d.-]+" width="([\d.]+)"', picture)
        ]

        assert f"../images/{name}.svg" in page
        assert min(left for left, _ in edges) >= 0
        assert max(right for _, right in edges) <= float(width)


def test_the_roles_that_are_drawn_are_those_of_the_schema() -> None:
    boxes = tomllib.loads((ROOT / "hack/drawings.toml").read_text())["parts"]["boxes"]
    drawn = {rights for *_, rights in boxes if rights.startswith("queueworker_")}

    assert drawn == set(ROLES) - {"queueworker_reader"}

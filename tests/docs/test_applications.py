"""The how-tos that write a whole application work from top to bottom, with the real framework."""

from pathlib import Path

import pytest
from tests.support.pages import ROOT
from tests.support.reader import environment, follow

APPLICATIONS = ["django", "flask", "fastapi", "from-celery", "from-procrastinate"]


@pytest.mark.parametrize(
    "page", ["django", "flask", "fastapi", "from-celery", "from-procrastinate"]
)
def test_an_application_works_to_the_letter(page: str, dsn: str, tmp_path: Path) -> None:
    follow(ROOT / f"docs/howto/{page}.md", tmp_path, environment(dsn, tmp_path))

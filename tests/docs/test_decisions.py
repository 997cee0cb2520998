"""The pages about decisions do what they say, on a history as an operator leaves it."""

from pathlib import Path

import pytest
import yaml
from tests.support.decisions import store_history
from tests.support.pages import ROOT, blocks
from tests.support.reader import environment, follow

from queueworker_operator.decision.model import Mode
from queueworker_operator.resource import parse

ABOUT_DECISIONS = ["why", "dry-run"]


@pytest.mark.parametrize("page", ABOUT_DECISIONS)
def test_a_page_about_decisions_works_from_top_to_bottom(
    page: str, dsn: str, tmp_path: Path
) -> None:
    store_history(dsn, "shop/mail")
    follow(ROOT / f"docs/howto/{page}.md", tmp_path, environment(dsn, tmp_path))


def test_the_manifest_of_the_dry_run_is_one() -> None:
    [block] = [b for b in blocks(ROOT / "docs/howto/dry-run.md") if b.title == "queueworker.yaml"]

    assert parse(yaml.safe_load(block.text)).policy.mode is Mode.DRY_RUN

"""The pages about decisions do what they say, on a history as an operator leaves it."""

import os
from pathlib import Path

import pytest
import yaml
from tests.docs.test_pages import ROOT, blocks, follow
from tests.support.decisions import store_history

from queueworker_operator.decision.model import Mode
from queueworker_operator.resource import parse


@pytest.mark.parametrize("page", ["why", "dry-run"])
def test_a_page_about_decisions_works_from_top_to_bottom(
    page: str, dsn: str, tmp_path: Path
) -> None:
    store_history(dsn, "shop/mail")
    environment = {
        "PATH": f"{ROOT / '.venv/bin'}:{os.environ['PATH']}",
        "HOME": str(tmp_path),
        "QUEUEWORKER_DSN": dsn,
    }

    follow(ROOT / f"docs/howto/{page}.md", tmp_path, environment)


def test_the_manifest_of_the_dry_run_is_one() -> None:
    [block] = [b for b in blocks(ROOT / "docs/howto/dry-run.md") if b.title == "queueworker.yaml"]

    assert parse(yaml.safe_load(block.text)).policy.mode is Mode.DRY_RUN

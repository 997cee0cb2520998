"""The how-tos do what they say, command by command."""

import os
from pathlib import Path

import psycopg
import pytest
from tests.docs.test_pages import ROOT, follow


@pytest.mark.parametrize(
    "page",
    [
        "cancel",
        "dead-letters",
        "queues",
        "retention",
        "troubleshooting",
        "watch-queues",
        "write-tasks",
    ],
)
def test_a_how_to_works_from_top_to_bottom(page: str, dsn: str, tmp_path: Path) -> None:
    with psycopg.connect(dsn, autocommit=True) as conn:
        conn.execute("SELECT queueworker.ensure_queue('mail')")
    environment = {
        "PATH": f"{ROOT / '.venv/bin'}:{os.environ['PATH']}",
        "HOME": str(tmp_path),
        "QUEUEWORKER_DSN": dsn,
    }

    follow(ROOT / f"docs/howto/{page}.md", tmp_path, environment)

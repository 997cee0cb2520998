"""Prometheus' own checker, and the chart's rules tried on series by it."""

import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import yaml
from tests.support.chart import CHART

RULES = CHART / "rules/alerts.yaml"

Body = dict[str, Any]


def promtool(*arguments: str | Path, folder: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        ["promtool", *arguments], cwd=folder, capture_output=True, text=True, check=False
    )


def failures(folder: Path, series: Sequence[Body], expected: Sequence[Body]) -> str:
    """Try the rules on series of one value a minute; tell what came otherwise than expected."""
    test = {"interval": "1m", "input_series": series, "alert_rule_test": expected}
    tests = {"rule_files": ["alerts.yaml"], "evaluation_interval": "1m", "tests": [test]}
    shutil.copy(RULES, folder / "alerts.yaml")
    (folder / "tests.yaml").write_text(yaml.safe_dump(tests))
    done = promtool("test", "rules", "tests.yaml", folder=folder)
    return "" if done.returncode == 0 else done.stdout + done.stderr

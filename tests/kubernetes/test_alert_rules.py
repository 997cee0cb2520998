"""Each alert fires on what it is for and keeps still otherwise, by promtool's own tests."""

import shutil
import subprocess
from pathlib import Path

import pytest
import yaml
from tests.support.chart import CHART

RULES, TESTS = CHART / "rules/alerts.yaml", Path(__file__).with_name("alert_rules.yaml")
pytestmark = pytest.mark.system


def promtool(*arguments: str | Path, folder: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        ["promtool", *arguments], cwd=folder, capture_output=True, text=True, check=False
    )


def test_the_alerts_pass_their_rule_tests(tmp_path: Path) -> None:
    shutil.copy(RULES, tmp_path / "alerts.yaml")
    shutil.copy(TESTS, tmp_path / "tests.yaml")

    done = promtool("test", "rules", "tests.yaml", folder=tmp_path)

    assert done.returncode == 0, done.stdout + done.stderr


def test_every_alert_is_seen_firing_in_a_rule_test() -> None:
    alerts = {rule["alert"] for rule in yaml.safe_load(RULES.read_text())["groups"][0]["rules"]}
    fired = {
        tried["alertname"]
        for test in yaml.safe_load(TESTS.read_text())["tests"]
        for tried in test["alert_rule_test"]
        if tried["exp_alerts"]
    }

    assert fired == alerts


def test_promtool_finds_nothing_wrong_with_the_rules(tmp_path: Path) -> None:
    done = promtool("check", "rules", RULES, folder=tmp_path)

    assert done.returncode == 0, done.stdout + done.stderr

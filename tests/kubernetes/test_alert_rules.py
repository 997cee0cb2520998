"""Each alert fires on what it is for and keeps still otherwise, by promtool's own tests."""

import shutil
from pathlib import Path

import pytest
import yaml
from tests.support.prometheus import rules_of_the_chart
from tests.support.promtool import RULES, promtool

TESTS = Path(__file__).with_name("alert_rules.yaml")
BESIDE_ANOTHER_RELEASE = {
    "rule_files": ["alerts.yaml"],
    "evaluation_interval": "1m",
    "tests": [
        {
            "interval": "1m",
            "input_series": [
                {"series": 'queueworker_leader{namespace="post"}', "values": "1x5 0x10"},
            ],
            "alert_rule_test": [
                {
                    "eval_time": at,
                    "alertname": "QueueWorkerNoLeader",
                    "exp_alerts": [
                        {
                            "exp_labels": {"namespace": "shop", "severity": "critical"},
                            "exp_annotations": {
                                "summary": "No replica of the operator leads in namespace shop",
                                "description": "Nothing is scaled. Workers go on with the replicas"
                                " that they have.",
                            },
                        }
                    ],
                }
                for at in ("3m", "10m")
            ],
        }
    ],
}
pytestmark = pytest.mark.system


def test_the_alerts_pass_their_rule_tests(tmp_path: Path) -> None:
    shutil.copy(RULES, tmp_path / "alerts.yaml")
    shutil.copy(TESTS, tmp_path / "tests.yaml")

    done = promtool("test", "rules", "tests.yaml", folder=tmp_path)

    assert done.returncode == 0, done.stdout + done.stderr


def test_a_release_misses_its_own_operator_and_no_other(tmp_path: Path) -> None:
    groups = rules_of_the_chart("shop")
    (tmp_path / "alerts.yaml").write_text(yaml.safe_dump({"groups": groups}))
    (tmp_path / "tests.yaml").write_text(yaml.safe_dump(BESIDE_ANOTHER_RELEASE))

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

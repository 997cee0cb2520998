"""What is drawn is there."""

import re

from tests.support.pages import ROOT, block_of


def test_the_drawing_of_the_decision_names_modules_that_exist() -> None:
    text = block_of("docs/explanation/controller.md", "──observe──").text
    named = set(re.findall(r"\b\w+\.py\b", text))
    there = {path.name for path in (ROOT / "operator/queueworker_operator/decision").glob("*.py")}

    assert len(named) > 10
    assert named - there == set()

"""The glossary has every word that the product says."""

import re

import pytest
from tests.support.pages import ROOT

from queueworker.job import FailureKind
from queueworker_operator.decision.model import Bottleneck, Reason
from queueworker_operator.report import Fact
from queueworker_operator.resource.conditions import Condition, ConditionReason

PAGE = (ROOT / "docs/glossary.md").read_text()
METRICS = (ROOT / "docs/reference/metrics.md").read_text()
# How Prometheus and Kubernetes say what is counted, and plain words.
PLAIN = {
    *("queueworker", "total", "seconds", "ratio", "age", "within", "allowed", "max", "current"),
    *("empty", "read", "reads", "metric", "database", "failures", "time", "timeouts", "lock"),
    *("reconnects", "oldest", "run", "wait", "of", "start", "runs"),
}


@pytest.mark.parametrize("words", [Reason, Bottleneck, Fact, Condition, ConditionReason])
def test_every_reason_and_condition_is_there(words: type[Reason]) -> None:
    assert [word.value for word in words if f"`{word.value}`" not in PAGE] == []


def stem(word: str) -> str:
    """Give the beginning that a verb, its participle and its noun share."""
    return re.sub(r"(ing|ed|es|s|d|e|ions|ion)$", "", word)


def test_every_word_of_a_metrics_name_is_there() -> None:
    names = re.findall(r"^\| `(queueworker_\w+)` \|", METRICS, re.MULTILINE)
    told = {stem(word) for word in re.findall(r"[a-z]+", PAGE.lower())}
    words = {word for name in names for word in name.split("_")} - PLAIN

    assert len(names) > 40
    assert {word for word in words if stem(word) not in told} == set()


def test_a_word_is_explained_once() -> None:
    ideas, *_ = PAGE.split("\n## ")
    words = re.findall(r"^\| ([^|]+?) \| ", ideas, re.MULTILINE)

    assert len(words) == len(set(words)) > 50


def test_the_kinds_of_failures_are_where_they_are_searched_for() -> None:
    text = (ROOT / "docs/howto/dead-letters.md").read_text()

    assert [kind.value for kind in FailureKind if f"`{kind.value}`" not in text] == []

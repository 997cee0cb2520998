"""The picture of a comparison."""

import re
from dataclasses import replace
from itertools import pairwise

from queueworker_operator.simulate.draw import draw
from queueworker_operator.simulate.result import Account, Moment, Outcome, figures_of

NAMES = ("dbc", "keda", "keda-tuned", "keda-two", "kpa", "clairvoyant")
ACCOUNT = Account(
    waits_s=(1.0, 2.0),
    promise_s=30.0,
    lasts_s=3600.0,
    pod_seconds=36_000.0,
    work_pod_seconds=18_000.0,
    interrupted=0,
    most=10,
)


def outcome(name: str, pod_hours: float) -> Outcome:
    figures = replace(figures_of(ACCOUNT, []), pod_hours=pod_hours)
    moment = Moment(at_s=3600.0, backlog=0, oldest_s=0.0, asked=1, pods=1, running=0)
    return Outcome(policy=name, jobs=2, figures=figures, changes=(), moments=(moment,))


def test_names_of_policies_that_came_to_the_same_do_not_hide_each_other() -> None:
    outcomes = [outcome(name, 10.0 + 0.01 * index) for index, name in enumerate(NAMES)]

    svg = draw(outcomes, title="t", subtitle="s", promise_s=30.0)

    scatter = svg[svg.index("late against pod-hours") :]
    places = re.findall(r'<text x="([\d.]+)" y="([\d.]+)"[^>]*>([a-z-]+)</text>', scatter)
    rows = {name: float(y) for _, y, name in places}
    assert set(rows) == set(NAMES)
    heights = sorted(rows.values())
    assert all(below - above >= 12 for above, below in pairwise(heights))

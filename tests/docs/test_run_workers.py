"""The unit and the image of the page about running workers fit the command line and each other."""

import re
import shlex
from collections import defaultdict

from tests.support.pages import ROOT, blocks

from queueworker.cli.parser import build_parser
from queueworker.settings import Settings

PAGE = ROOT / "docs/howto/run-workers.md"
BLOCKS = {block.language: block.text for block in blocks(PAGE) if block.language != "sh"}
UNIT = BLOCKS["ini"]


def values() -> dict[str, list[str]]:
    found = defaultdict(list)
    for name, value in re.findall(r"^(\w+)=(.*)$", UNIT, re.MULTILINE):
        found[name].append(value)
    return found


def test_the_unit_starts_a_worker_that_has_time_to_drain() -> None:
    unit = values()
    (start,), (stop_s,) = unit["ExecStart"], unit["TimeoutStopSec"]
    variables = dict(
        word.replace("%i", "01").replace("%H", "shop").split("=", 1)
        for word in shlex.split(unit["Environment"][0])
    )
    settings = Settings.from_env(variables)
    arguments = build_parser().parse_args(shlex.split(start)[1:])

    assert arguments.app == "shop.tasks:app"
    assert arguments.queue == ["mail:3", "reports"]
    assert settings.port == 8101
    assert settings.pod == "shop-01"
    assert float(stop_s) > settings.grace_s
    # Jobs in processes are the worker's to end, within the grace.
    assert unit["KillMode"] == ["mixed"]


def test_the_container_runs_what_the_image_calls() -> None:
    (run,) = [b.text for b in blocks(PAGE) if b.language == "sh" and "docker run" in b.text]
    words = shlex.split(run.replace("\\\n", " "))
    at = words.index("shop-worker")
    arguments = build_parser().parse_args(words[at + 1 :])

    assert 'ENTRYPOINT ["queueworker"]' in (ROOT / "worker/Dockerfile").read_text()
    assert float(words[words.index("--stop-timeout") + 1]) > arguments.grace
    assert "QUEUEWORKER_APP=shop.tasks:app" in BLOCKS["dockerfile"]

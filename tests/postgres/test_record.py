"""`record` writes the arrivals of live queues as a trace that `simulate` reads."""

import asyncio
from pathlib import Path

import pytest
from tests.support.loops import enqueue

from queueworker_operator.cli import main, record
from queueworker_operator.simulate.model import Lognormal
from queueworker_operator.simulate.trace import TraceOptions, read_workload

pytestmark = pytest.mark.postgres


def test_what_arrives_meanwhile_is_replayed_and_what_was_there_before_is_not(
    dsn: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "mail.csv"
    options = record.Options(queues=("mail", "news"), out=out, every_s=0.2, seconds=2.0)

    async def scene() -> None:
        await enqueue(dsn, 7, "mail")
        await enqueue(dsn, 1, "news")
        with out.open("w") as file:
            recording = asyncio.create_task(record.record(dsn, options, file))
            await asyncio.sleep(0.5)
            await enqueue(dsn, 3, "mail")
            await asyncio.sleep(0.5)
            await enqueue(dsn, 2, "news")
            await recording

    asyncio.run(scene())
    jobs = read_workload(out, TraceOptions(service=Lognormal(mean_s=1.0, cv=0.0)))

    assert len(jobs.at_s) == 5
    assert max(jobs.at_s) < jobs.lasts_s
    printed = capsys.readouterr().out
    assert "5 jobs in" in printed
    assert f"queueworker-operator simulate --trace {out}" in printed


def test_a_queue_that_does_not_exist_is_named(
    dsn: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    flags = ["record", "--dsn", dsn, "--queue", "mali", "--out", str(tmp_path / "x.csv")]

    assert main(flags) == 2
    assert "has no queue mali: check its name" in capsys.readouterr().err


def test_a_trace_that_is_there_is_kept(
    dsn: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "x.csv"
    out.write_text("of yesterday")

    assert main(["record", "--dsn", dsn, "--queue", "mail", "--out", str(out)]) == 2
    assert "exists: give another name, or remove it first" in capsys.readouterr().err
    assert out.read_text() == "of yesterday"


@pytest.mark.parametrize(
    ("flags", "words"),
    [
        (["--out", "/nowhere/x.csv"], "/nowhere/x.csv cannot be written"),
        (["--out", "x.csv", "--every", "0"], "give a number above 0"),
        (["--out", "x.csv", "--hours", "-1"], "give a number above 0"),
    ],
)
def test_flags_that_cannot_be_used_are_one_line(
    dsn: str, capsys: pytest.CaptureFixture[str], flags: list[str], words: str
) -> None:
    assert main(["record", "--dsn", dsn, "--queue", "mail", *flags]) == 2
    assert words in capsys.readouterr().err

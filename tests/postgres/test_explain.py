"""`explain` shows what was decided, and decides it again to the same number."""

import asyncio
import json
import subprocess
import sys
from dataclasses import replace

import pytest
import yaml
from tests.support.postgres import CANARY, Connection
from tests.support.samples import QUIET

from queueworker_operator.cli import main
from queueworker_operator.cli.explain import read
from queueworker_operator.controller.record import Verdict, to_json
from queueworker_operator.decision.decide import decide
from queueworker_operator.decision.model import Policy, Replicas
from queueworker_operator.decision.state import State
from queueworker_operator.lag.postgres import PostgresLag

SAMPLE = replace(QUIET, at_s=1000.0, ready=412, oldest_age_s=2.0, enqueued_total=412)


def decided(ready: float) -> dict[str, object]:
    policy, replicas, sample = Policy(), Replicas(current=0), replace(SAMPLE, ready=ready)
    decision, _ = decide(policy, State(), sample, replicas)
    verdict = Verdict(
        policy=policy, state=State(), sample=sample, replicas=replicas, decision=decision
    )
    return to_json(verdict, decision.desired)


def record(dsn: str, *records: dict[str, object]) -> None:
    async def write() -> None:
        source = PostgresLag(dsn)
        for entry in records:
            await source.record_decision("shop/mail", entry)
        await source.close()

    asyncio.run(write())


def test_the_decisions_are_shown_oldest_first(dsn: str, capsys: pytest.CaptureFixture[str]) -> None:
    record(dsn, decided(10), decided(412))

    assert main(["explain", "shop/mail", "--dsn", dsn]) == 0

    printed = capsys.readouterr().out
    assert printed.index("10 waiting") < printed.index("412 waiting")
    assert "REASON" in printed.splitlines()[0]
    assert CANARY not in printed


def test_a_replay_gives_the_same_number(dsn: str, capsys: pytest.CaptureFixture[str]) -> None:
    record(dsn, decided(412))

    code = main(["explain", "shop/mail", "--dsn", dsn, "-o", "json", "--replay"])

    [line] = json.loads(capsys.readouterr().out)
    assert code == 0
    assert line["replay"] == "same"
    assert line["sample"]["ready"] == 412


def test_one_decision_is_worked_out_by_its_id_or_as_the_last(
    dsn: str, capsys: pytest.CaptureFixture[str]
) -> None:
    record(dsn, decided(10), decided(412))
    assert main(["explain", "shop/mail", "--dsn", dsn, "-o", "yaml"]) == 0
    first, last = yaml.safe_load(capsys.readouterr().out)

    assert main(["explain", "shop/mail", "--dsn", dsn, "--decision", str(first["id"])]) == 0
    assert "10 jobs, the oldest for 2s" in capsys.readouterr().out
    assert main(["explain", "shop/mail", "--dsn", dsn, "--decision", "last", "--replay"]) == 0
    text = capsys.readouterr().out
    for part in (f"decision {last['id']} of", "Inputs", "Forecast", "D(u)", "bounded", "One pod"):
        assert part in text
    assert "Replay: same, bit for bit" in text
    assert max(map(len, text.splitlines())) <= 80

    assert main(["explain", "shop/mail", "--dsn", dsn, "--decision", "last", "-o", "json"]) == 0
    [whole] = json.loads(capsys.readouterr().out)
    assert whole["working"]["bounds"][-1]["pods"] == str(whole["decision"]["desired"])
    assert main(["explain", "shop/mail", "--dsn", dsn, "--decision", "0"]) != 0
    assert "no decision 0 is kept: say last, or an ID of the table" in capsys.readouterr().err


def test_the_whole_history_is_replayed_and_one_forgery_fails_it(
    dsn: str, conn: Connection, capsys: pytest.CaptureFixture[str]
) -> None:
    record(dsn, *(decided(ready) for ready in range(1, 61)))
    whole = ["explain", "shop/mail", "--dsn", dsn, "--all", "--replay"]

    assert main(whole) == 0
    assert "60 of 60 decisions replay to the same, bit for bit" in capsys.readouterr().out
    conn.execute(
        "UPDATE queueworker.decision SET record ="
        " jsonb_set(record, '{decision,service_s}', '2.0000000000000004')"
        " WHERE id = (SELECT id FROM queueworker.decision ORDER BY id OFFSET 9 LIMIT 1)"
    )
    assert main(whole) == 1
    printed = capsys.readouterr().out
    assert "different: service_s 2.0000000000000004 now 2.0" in " ".join(printed.split())


def test_the_history_is_bounded_and_reasons_do_not_push_changes_out(
    dsn: str, conn: Connection
) -> None:
    """200 changes of the replicas and 100 others are kept; another process finds them all."""
    write = "SELECT queueworker.record_decision('shop/mail', %s::jsonb) FROM generate_series(1, %s)"
    conn.execute(write, (json.dumps({"asked": 3}), 230))
    conn.execute(write, (json.dumps({"asked": None}), 150))
    conn.execute("SELECT queueworker.record_decision('shop/other', '{}')")

    kept = conn.execute(
        "SELECT name, record->>'asked', count(*) FROM queueworker.decision GROUP BY 1, 2 ORDER BY 1, 2"
    ).fetchall()
    assert kept == [("shop/mail", "3", 200), ("shop/mail", None, 100), ("shop/other", None, 1)]
    assert len(asyncio.run(read(dsn, "shop/mail", 300))) == 300


def test_a_replay_that_differs_is_shown_and_fails(
    dsn: str, capsys: pytest.CaptureFixture[str]
) -> None:
    forged = decided(412)
    decision = forged["decision"]
    assert isinstance(decision, dict)
    forged["decision"] = decision | {"desired": 1}
    record(dsn, forged)

    assert main(["explain", "shop/mail", "--dsn", dsn, "--replay"]) == 1
    assert "different: desired 1 now " in " ".join(capsys.readouterr().out.split())


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["explain", "mail"], "is no NAMESPACE/NAME"),
        (["explain", "shop/mail"], "set QUEUEWORKER_DSN or give --dsn"),
    ],
)
def test_a_wrong_call_is_one_line(
    arguments: list[str],
    told: str,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.delenv("QUEUEWORKER_DSN", raising=False)

    assert main(arguments) != 0

    printed = capsys.readouterr().err
    assert told in printed
    assert printed.count("\n") == 1


def test_an_unknown_name_and_an_unreachable_database_are_one_line_without_the_password(
    dsn: str, capsys: pytest.CaptureFixture[str]
) -> None:
    nowhere = f"host=/nonexistent user=postgres password={CANARY} dbname=x"

    assert main(["explain", "shop/none", "--dsn", dsn]) != 0
    assert "no decision of shop/none" in capsys.readouterr().err
    assert main(["explain", "shop/mail", "--dsn", nowhere]) != 0

    printed = capsys.readouterr().err
    assert printed.count("\n") == 1
    assert CANARY not in printed


def test_a_database_without_the_schema_names_the_command(
    empty_dsn: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["explain", "shop/mail", "--dsn", empty_dsn]) == 1

    assert "queueworker migrate" in capsys.readouterr().err


def test_a_failure_is_one_line_in_a_process_of_its_own() -> None:
    dsn = f"postgresql://app:{CANARY}@127.0.0.1:1/mail"
    command = (sys.executable, "-m", "queueworker_operator", "explain", "shop/mail", "--dsn", dsn)

    told = subprocess.run(command, capture_output=True, text=True, timeout=30, check=False)

    assert told.returncode == 1
    assert told.stderr.count("\n") == 1
    assert CANARY not in told.stderr + told.stdout

"""The screens of the documentation are what the commands show; `make screens` writes them anew."""

import os
import re
import shlex
from collections.abc import Iterator

import pytest
from tests.support import postgres, scene
from tests.support.controlplane import ApiServer
from tests.support.mail import Place
from tests.support.pages import ROOT, Block, blocks
from tests.support.postgres import CANARY

from queueworker_operator.plugin import main

PAGE = ROOT / "docs/reference/screens.md"
WRITES = os.environ.get("QUEUEWORKER_WRITE_SCREENS") == "1"
SCREENS = [block for block in blocks(PAGE) if "kubectl queueworker" in block.title]
STYLE = re.compile(r"\x1b\[[\d;]*m")
# What differs from run to run: the socket's folder, instants, spans, and figures of the server.
VARIES = (
    (re.compile(r"/\S*/qw-\w+/db/run"), "/run/postgresql"),
    (re.compile(r"\d{4}-\d\d-\d\dT[\d:.]+Z"), "2026-01-01T00:00:00Z"),
)
OF_THE_MOMENT = (
    (re.compile(r"\b\d+(\.\d+)?s\b"), "0s"),
    (re.compile(r"(ids|Kubernetes|Postgres|schema) v?[\d.,]+"), r"\1 0"),
    (re.compile(r"\d+ of \d+ are in use"), "0 of 0 are in use"),
    (re.compile(r"ahead of|behind"), "beside"),
    (re.compile(r" +"), " "),
)


@pytest.fixture(scope="module")
def mail_dsn(server: str, template: str) -> Iterator[str]:
    postgres.create_database(server, "mail", template)
    try:
        yield postgres.with_database(server, "mail")
    finally:
        postgres.drop_database(server, "mail")


@pytest.fixture(scope="module")
def place(crd: ApiServer, mail_dsn: str) -> Place:
    return scene.set_up(crd, mail_dsn)


def shown(
    title: str, place: Place, dsn: str, capsys: pytest.CaptureFixture[str]
) -> tuple[int, str]:
    """Run a block's command as on a terminal of its width; give the exit code and the plain text."""
    words = shlex.split(title)
    width = words.pop(0).partition("=")[2] if words[0].startswith("COLUMNS") else "120"
    scene.renew(dsn)
    patch = pytest.MonkeyPatch()
    patch.setenv("COLUMNS", width)
    patch.setenv("FORCE_COLOR", "1")
    try:
        flags = ["--kubeconfig", str(place.server.kubeconfig), "-n", place.namespace]
        code = main([*words[2:], *flags])
    finally:
        patch.undo()
    text = STYLE.sub("", capsys.readouterr().out)
    for pattern, instead in VARIES:
        text = pattern.sub(instead, text)
    return code, "".join(f"{line.rstrip()}\n" for line in text.splitlines())


def steady(text: str) -> str:
    for pattern, instead in (*VARIES, *OF_THE_MOMENT):
        text = pattern.sub(instead, text)
    return text


def steady_tree(text: str) -> str:
    return " ".join(steady(text).replace("│", "").split())


def write(block: Block, text: str) -> None:
    page = PAGE.read_text()
    fence = f'```text title="{block.title}"\n'
    assert page.count(fence) == 1
    before, _, after = page.partition(fence)
    PAGE.write_text(before + fence + text + "```\n" + after.partition("```\n")[2])


@pytest.mark.parametrize("block", SCREENS, ids=lambda block: block.title)
def test_a_screen_is_what_the_command_shows(
    block: Block, place: Place, mail_dsn: str, capsys: pytest.CaptureFixture[str]
) -> None:
    code, text = shown(block.title, place, mail_dsn, capsys)
    if WRITES:
        write(block, text)
        return

    # Where a tree's lines break hangs on the digits of ages.
    same = steady_tree if " get " in block.title else steady
    assert same(text) == same(block.text), f"{text}\nrun make screens if this is meant"
    assert code == int("doctor" in block.title)
    assert CANARY not in text


@pytest.mark.parametrize(
    "command", ["status mail", "why mail", "why mail --decision last --replay"]
)
def test_a_narrow_terminal_is_not_overrun(
    command: str, place: Place, mail_dsn: str, capsys: pytest.CaptureFixture[str]
) -> None:
    code, text = shown(f"COLUMNS=44 kubectl queueworker {command}", place, mail_dsn, capsys)

    assert code == 0
    assert max(map(len, text.splitlines())) <= 44, text


def test_the_screens_of_all_that_is_promised_are_there() -> None:
    words = {block.title.partition("queueworker ")[2].split()[0] for block in SCREENS}

    assert words == {"get", "status", "why", "doctor"}

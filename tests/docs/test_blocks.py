"""Every block of every page is accounted for: run, checked, or marked on the page as not run."""

import re
import tomllib
from collections import Counter
from dataclasses import dataclass
from enum import Enum
from functools import cache
from pathlib import Path

from tests.docs.test_applications import APPLICATIONS
from tests.docs.test_decisions import ABOUT_DECISIONS
from tests.docs.test_howtos import HOW_TOS
from tests.docs.test_operations import OPERATIONS
from tests.docs.test_pages import FIRST_PAGES
from tests.support.pages import NOT_RUN, PAGES, ROOT, Block, blocks
from tests.support.reader import runs

FOLLOWED = {
    *FIRST_PAGES,
    "docs/howto/gitops.md",  # by tests/kubernetes/test_page_commands.py
    *(f"docs/howto/{name}.md" for name in (*HOW_TOS, *ABOUT_DECISIONS, *APPLICATIONS, *OPERATIONS)),
}
LISTED = tomllib.loads((Path(__file__).parent / "blocks.toml").read_text())
MADE = {
    "docs/reference/python.md",  # from the code
    "docs/reference/screens.md",  # by tests/kubernetes/test_screens.py
}


class Way(Enum):
    """What becomes of a block in the tests."""

    RUN = "run"
    SHOWN = "shown by what ran"
    CHECKED = "checked"
    LIKE = "like"
    NOT_RUN = "not_run"


@dataclass(frozen=True, slots=True, kw_only=True)
class Account:
    """A block, the way it goes, and the test or the reason."""

    block: Block
    way: Way
    by: str = ""


def name_of(page: Path) -> str:
    return str(page.relative_to(ROOT))


def ruled(block: Block, before: Block | None) -> Way | None:
    """Tell the way of a block that a rule covers."""
    page = name_of(block.page)
    if page in FOLLOWED:
        if runs(block):
            return Way.RUN
        if block.language == "text" and before is not None and runs(before):
            return Way.SHOWN
    if block.language == "yaml":
        return (
            Way.CHECKED
        )  # by tests/kubernetes/test_page_commands.py, QueueWorkers in test_pages.py too
    if block.language == "text" and page in MADE:
        return Way.CHECKED
    return None


def listed(block: Block) -> list[Account]:
    """Give what blocks.toml says of a block."""
    entries = LISTED.get(name_of(block.page).removesuffix(".md"), {})
    return [
        Account(block=block, way=Way(way), by=by)
        for words, entry in entries.items()
        if words in block.text
        for way, by in entry.items()
    ]


@cache
def accounts() -> tuple[list[Account], list[Block]]:
    """Give all accounts, and the blocks that have none or several."""
    found: list[Account] = []
    open_: list[Block] = []
    for page in PAGES:
        todo = blocks(page)
        for block, before in zip(todo, [None, *todo], strict=False):
            way = ruled(block, before)
            mine = [Account(block=block, way=way)] if way else []
            mine += listed(block)
            found += mine
            if len(mine) != 1:
                open_.append(block)
    return found, open_


def test_every_fence_of_a_page_is_read_as_a_block() -> None:
    for page in PAGES:
        fences = re.findall(r"^\s*```", page.read_text(), re.MULTILINE)
        assert len(fences) == 2 * len(blocks(page)), page


def test_every_block_is_run_checked_or_marked_as_not_run() -> None:
    _, open_ = accounts()

    assert [f"{name_of(b.page)}: {b.language}: {b.text[:60]!r}" for b in open_] == []


def test_every_line_of_the_list_has_its_block() -> None:
    listed_lines = sum(len(entries) for entries in LISTED.values())
    found, _ = accounts()

    assert sum(bool(account.by) for account in found) == listed_lines


def test_the_tests_that_the_list_names_exist() -> None:
    for account in accounts()[0]:
        if account.by and account.way is not Way.NOT_RUN:
            path, _, test = account.by.partition("::")
            text = (ROOT / path).read_text()
            assert not test or f"def {test}(" in text, account.by


def test_a_block_that_is_not_run_says_so_on_the_page_and_no_other_does() -> None:
    for account in accounts()[0]:
        said = account.block.title.removeprefix(NOT_RUN) if NOT_RUN in account.block.title else ""
        wanted = account.by if account.way is Way.NOT_RUN else ""
        assert said == wanted, account


def test_few_blocks_are_not_run_as_they_stand() -> None:
    """Lower these when one is run after all."""
    counts = Counter(account.way for account in accounts()[0])

    assert counts[Way.NOT_RUN] <= 5
    assert counts[Way.LIKE] <= 18
    assert counts[Way.RUN] + counts[Way.SHOWN] > 150

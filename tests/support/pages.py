"""The pages of the documentation and their fenced blocks."""

import re
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[2]
PAGES = sorted([ROOT / "README.md", ROOT / "CONTRIBUTING.md", *ROOT.glob("docs/**/*.md")])
FENCE = re.compile(r"^```(\w*)(?: title=\"([^\"]+)\")?\n(.*?)^```$", re.MULTILINE | re.DOTALL)
NOT_RUN = "not run here: "  # how the title of a block begins that no test runs
LINK = re.compile(r"\]\((?!https?://|#)([^)#]+)")


@dataclass(frozen=True, slots=True, kw_only=True)
class Block:
    """What stands between two fences; the title names a file to write, or a place."""

    page: Path
    language: str
    title: str
    text: str

    @property
    def names_file(self) -> bool:
        """Tell a file's name from a place, such as "second terminal"."""
        return "." in self.title and " " not in self.title


def blocks(page: Path) -> list[Block]:
    """Give a page's blocks in order."""
    return [
        Block(page=page, language=match[1], title=match[2] or "", text=match[3])
        for match in FENCE.finditer(page.read_text())
    ]


def links(page: Path) -> list[str]:
    """Give where the page's relative links lead, without their anchors."""
    return LINK.findall(FENCE.sub("", page.read_text()))


def spans(page: Path) -> list[str]:
    """Give what a page sets as code within a line."""
    return re.findall(r"`([^`\n]+)`", FENCE.sub("", page.read_text()))


def code(page: Path) -> str:
    """Give what a page sets as code: its blocks, and the spans within a line."""
    return "\n".join([*(block.text for block in blocks(page)), *spans(page)])


def every(language: str) -> list[Block]:
    """Give all blocks of a language."""
    return [block for page in PAGES for block in blocks(page) if block.language == language]


def block_of(page: str, words: str) -> Block:
    """Give the one block of a page that has these words."""
    [found] = [block for block in blocks(ROOT / page) if words in block.text]
    return found

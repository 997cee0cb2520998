"""What the site needs beyond the pages: files of the tree that they link to, beside them in the site."""

import re
from pathlib import Path
from typing import Any

from mkdocs.structure.files import File, Files

ROOT = Path(__file__).resolve().parents[1]
UPWARDS = re.compile(r"\]\(((?:\.\./)+[^)#]+)")
DOCS = ROOT / "docs"
FOLDER = "tree"


def on_files(files: Files, config: Any) -> Files:
    """Add each file outside of docs/ that a page links to, as text."""
    linked = {
        path
        for page in (file.src_uri for file in files.documentation_pages())
        for link in UPWARDS.findall((DOCS / page).read_text())
        if (path := outside(page, link))
    }
    for path in sorted(linked):
        files.append(File.generated(config, shown(path), content=(ROOT / path).read_text()))
    return files


def on_page_markdown(markdown: str, page: Any, **_: Any) -> str:
    """Point such links to the copies."""
    source = page.file.src_uri
    up = "../" * source.count("/")

    def pointed(found: re.Match[str]) -> str:
        path = outside(source, found[1])
        return f"]({up}{shown(path)}" if path else found[0]

    return UPWARDS.sub(pointed, markdown)


def outside(page: str, link: str) -> str:
    """Give the path in the tree that a page's link leads to; nothing for another page's."""
    path = ((DOCS / page).parent / link).resolve()
    is_file_of_the_tree = path.is_file() and not path.is_relative_to(DOCS)
    return path.relative_to(ROOT).as_posix() if is_file_of_the_tree else ""


def shown(path: str) -> str:
    """Give the address of a copy; a page of Markdown is shown as it is written."""
    return f"{FOLDER}/{path}.txt"

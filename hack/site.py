"""What the site needs beyond the pages: files of the tree that they link to, beside them in the site."""

import re
from pathlib import Path
from typing import Any

from mkdocs.structure.files import File, Files

ROOT = Path(__file__).resolve().parents[1]
OUTSIDE = re.compile(r"\]\(((?:\.\./)+(?:(?:examples|charts|crds)/|[A-Z]+\.md)[^)#]*)")
FOLDER = "tree"


def on_files(files: Files, config: Any) -> Files:
    """Add each file outside of docs/ that a page links to, as text."""
    linked = {
        outside(page, link)
        for page in (file.src_uri for file in files.documentation_pages())
        for link in OUTSIDE.findall((Path(config.docs_dir) / page).read_text())
    }
    for path in sorted(linked):
        files.append(File.generated(config, shown(path), content=(ROOT / path).read_text()))
    return files


def on_page_markdown(markdown: str, page: Any, **_: Any) -> str:
    """Point such links to the copies."""
    source = page.file.src_uri
    up = "../" * source.count("/")
    return OUTSIDE.sub(lambda found: f"]({up}{shown(outside(source, found[1]))}", markdown)


def outside(page: str, link: str) -> str:
    """Give the path in the tree that a page's link leads to."""
    path = (ROOT / "docs" / page).parent / link
    return path.resolve().relative_to(ROOT).as_posix()


def shown(path: str) -> str:
    """Give the address of a copy; a page of Markdown is shown as it is written."""
    return f"{FOLDER}/{path}.txt"

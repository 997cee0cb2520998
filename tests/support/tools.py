"""Where the programs of a test cluster are: built by `make tools`, else on PATH."""

import shutil
import subprocess
from functools import cache
from pathlib import Path

ROOT = Path(__file__).parents[2]


class ToolMissing(Exception):
    """A program is neither built nor on PATH; the message says how to get it."""


@cache
def tools_folder() -> Path:
    """Give the folder that `make tools` fills; it may not exist."""
    printed = subprocess.run(
        [ROOT / "hack/tools/build", "path"], check=True, capture_output=True, text=True
    )
    return Path(printed.stdout.strip())


def tool_path(name: str) -> Path:
    """Give the path of a program.

    Raises:
        ToolMissing: it is neither built nor on PATH.
    """
    built = tools_folder() / name
    found = built if built.exists() else shutil.which(name)
    if found is None:
        raise ToolMissing(f"{name} is not built and not on PATH: run `make tools`")
    return Path(found)

"""What an older Python lacks."""

import sys
from typing import TYPE_CHECKING

if sys.version_info >= (3, 12):
    from typing import override
elif TYPE_CHECKING:
    from typing_extensions import override
else:
    # It says something to type checkers alone, and its package takes long to import.
    def override(method):
        """Give the method."""
        return method


__all__ = ["override"]

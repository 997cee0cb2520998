"""What an older Python lacks."""

import sys

if sys.version_info >= (3, 12):
    from typing import override
else:
    from typing_extensions import override  # psycopg brings it to these versions

__all__ = ["override"]

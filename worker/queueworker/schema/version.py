"""Does the database speak the version that this code needs?"""

from typing import Protocol

from queueworker.errors import SchemaMismatch
from queueworker.schema.migrate import check_encoding, latest_version


class Versioned(Protocol):
    """Whatever can read the schema's version."""

    @property
    def server_encoding(self) -> str | None:
        """Give the encoding of the database, where the server tells it."""

    async def schema_version(self) -> int:
        """Give the number of the last applied migration."""


async def check_version(store: Versioned) -> None:
    """Make sure that the schema is not older than this code.

    A newer one is fine: migrations first expand, so that old workers go on beside new ones.

    Raises:
        UnsupportedDatabase: it cannot store every text.
        SchemaMissing: there is no schema.
        SchemaMismatch: it is too old; the message names both versions.
    """
    check_encoding(store.server_encoding)
    found, needed = await store.schema_version(), latest_version()
    if found < needed:
        raise SchemaMismatch(
            f"the schema has version {found}, this code needs {needed}; run: queueworker migrate"
        )

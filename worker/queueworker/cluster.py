"""Where an embedded server lives: its directories, its socket, its DSN."""

import hashlib
import os
import pwd
import re
import socket
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from psycopg.conninfo import make_conninfo

UNPRIVILEGED_USER: Final = "nobody"
SUPERUSER: Final = "postgres"
MAX_SOCKET_DIRECTORY_BYTES: Final = 80
CONNECT_TIMEOUT_S: Final = 2
# A comma separates hosts, quotes separate socket directories.
PLAIN: Final = re.compile(r"[\w/ .+@~-]*")


@dataclass(frozen=True, slots=True, kw_only=True)
class Cluster:
    """Where one server lives; derived from its path alone, so that any process can stop it."""

    path: Path
    home: Path
    owner_id: int
    group_id: int

    @classmethod
    def at(cls, path: Path | str) -> "Cluster":
        """Derive the places of the server of `path`, whether it exists or not."""
        path = Path(path).expanduser().absolute()
        if os.geteuid() != 0:
            return cls(path=path, home=path, owner_id=os.geteuid(), group_id=os.getegid())
        # Postgres refuses to run as root. A directory that its user cannot reach is not opened
        # to everybody: the server then lives beside the temporary files, under a name of its own.
        user = pwd.getpwnam(UNPRIVILEGED_USER)
        home = path if is_reachable(path.parent) else temporary_name("queueworker-db", str(path))
        return cls(path=path, home=home, owner_id=user.pw_uid, group_id=user.pw_gid)

    @property
    def data_directory(self) -> Path:
        """Give the directory that `initdb` fills."""
        return self.home / "data"

    @property
    def socket_directory(self) -> Path:
        """Give a directory whose name is short enough for a unix socket, and plain enough for a DSN."""
        inside = self.home / "run"
        is_short = len(os.fsencode(inside)) <= MAX_SOCKET_DIRECTORY_BYTES
        if is_short and PLAIN.fullmatch(str(inside)):
            return inside
        return temporary_name("queueworker-run", str(self.home))

    def dsn(self, database: str = SUPERUSER) -> str:
        """Give the address of a database; needs no password, the directory guards the socket."""
        host = str(self.socket_directory)
        return make_conninfo(host=host, user=SUPERUSER, dbname=database)

    @property
    def pid_file(self) -> Path:
        """Give the file that the server writes at its start and removes at its end."""
        return self.data_directory / "postmaster.pid"

    def is_running(self) -> bool:
        """Tell whether the server accepts connections; a process id alone may be a zombie's."""
        with socket.socket(socket.AF_UNIX) as probe:
            probe.settimeout(CONNECT_TIMEOUT_S)
            try:
                probe.connect(str(self.socket_directory / ".s.PGSQL.5432"))
            except OSError:
                return False
        return self.pid_file.exists()


def is_reachable(directory: Path) -> bool:
    """Tell whether any user may enter a directory, and list it if it exists."""
    others_may_enter = 0o005
    existing = [part for part in (directory, *directory.parents) if part.exists()]
    return all(part.stat().st_mode & 0o001 for part in existing) and bool(
        not directory.exists() or directory.stat().st_mode & others_may_enter
    )


def temporary_name(prefix: str, seed: str) -> Path:
    """Give a name beside the temporary files that depends on the seed alone."""
    digest = hashlib.sha256(seed.encode()).hexdigest()[:12]
    return Path(tempfile.gettempdir()) / f"{prefix}-{digest}"

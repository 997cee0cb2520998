"""A system that trusts one authority alone, and programs that nobody told where its certificates are."""

import os
import ssl
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path

OVER = 'mount --bind "$0" "$1" && shift && exec "$@"'


def run(
    command: Sequence[str], environment: Mapping[str, str], authority: Path | None = None
) -> subprocess.CompletedProcess[str]:
    """Run a command to which no variable says where certificates are.

    With `authority`, the system's file of certificates holds that one and nothing else: it is
    mounted over the file for the command alone, in a namespace of its own.
    """
    system = Path(ssl.get_default_verify_paths().openssl_cafile).resolve(strict=True)
    mounted = ["unshare", "--map-root-user", "--mount", "sh", "-c", OVER, str(authority), system]
    untold = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(("SSL_CERT_", "PG", "QUEUEWORKER_"))
    }
    return subprocess.run(
        [*(mounted if authority else ()), *command],
        env={**untold, **environment},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )

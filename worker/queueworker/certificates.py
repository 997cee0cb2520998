"""Where the system's certificates are, for `sslrootcert=system`.

The OpenSSL in psycopg's wheels looks in a folder of the machine that built it: it would trust nobody.
"""

import ssl
from collections.abc import Mapping

GIVEN = {"SSL_CERT_FILE", "SSL_CERT_DIR"}


def system_certificates(
    parameters: Mapping[str, str], environ: Mapping[str, str]
) -> dict[str, str]:
    """Give what to connect with in place of `sslrootcert=system`: the file, proof of the name.

    Nothing where the environment names one, or where no file is found: libpq then looks by itself.
    The environment itself is the application's, and other threads read it.
    """
    root = parameters.get("sslrootcert") or environ.get("PGSSLROOTCERT")
    mode = parameters.get("sslmode") or environ.get("PGSSLMODE") or "verify-full"
    # A weaker mode is left to libpq, which refuses it beside the system's certificates.
    if root != "system" or mode != "verify-full" or GIVEN & environ.keys():
        return {}
    bundle = ssl.get_default_verify_paths().cafile
    return {"sslrootcert": bundle, "sslmode": mode} if bundle else {}

"""Connection strings of other people: what one out of a Secret may ask of its reader.

Who writes the Secret is not who runs the operator, or looks at it by `kubectl queueworker`. libpq would
read files for him (`passfile`, `sslkey`, `service`), write one (`sslkeylogfile`), send the reader's own
password or certificate to his server, ask a server of his for a token (`oauth_issuer`), or try a
thousand hosts in turn. So only what it takes to reach a server is taken.
"""

import ssl
from collections.abc import MutableMapping

import psycopg
from psycopg.conninfo import conninfo_to_dict

LONGEST = 4096
MOST_HOSTS = 8
TAKEN = frozenset(
    {
        *("host", "hostaddr", "port", "dbname", "user", "password", "options"),
        *("sslmode", "sslrootcert", "sslnegotiation", "sslsni"),
        *("ssl_min_protocol_version", "ssl_max_protocol_version"),
        *("channel_binding", "require_auth", "target_session_attrs", "load_balance_hosts"),
        *("application_name", "fallback_application_name", "connect_timeout", "tcp_user_timeout"),
        *("keepalives", "keepalives_idle", "keepalives_interval", "keepalives_count"),
    }
)
SYSTEM_CERTIFICATES = "system"
# The administrator's own choice of how servers are checked; it holds where a DSN says nothing.
KEPT_VARIABLES = frozenset({"PGSSLMODE", "PGSSLROOTCERT", "PGSSLCRL", "PGSSLCRLDIR"})
CLOSED = {"PGPASSFILE": "/nonexistent", "PGSSLCERTMODE": "disable", "PGGSSENCMODE": "disable"}


def refusal_of(dsn: str) -> str | None:
    """Say what is wrong with a DSN out of a Secret and what to do; None: it may be tried.

    One that cannot be parsed is told where it is connected. The answer quotes no value.
    """
    if len(dsn) > LONGEST:
        return f"is longer than {LONGEST} characters: write host, dbname, user and password alone"
    if "\0" in dsn:  # libpq would read up to it and no further
        return "has a zero byte: write it anew"
    try:
        given = conninfo_to_dict(dsn)
    except (psycopg.Error, UnicodeError):
        return None
    for keyword in sorted(given.keys() - TAKEN):
        return f"has {keyword}, which would use files or names of whoever connects: leave it out"
    if given.get("sslrootcert", SYSTEM_CERTIFICATES) != SYSTEM_CERTIFICATES:
        return "has sslrootcert with a file of whoever connects: write sslrootcert=system"
    return _too_many_hosts(str(given.get("host", "")), str(given.get("hostaddr", "")))


def _too_many_hosts(*lists: str) -> str | None:
    most = max(hosts.count(",") + 1 for hosts in lists)
    if most <= MOST_HOSTS:
        return None
    return f"has {most} hosts: write at most {MOST_HOSTS}, or one name that leads to them"


def close_environment(environ: MutableMapping[str, str]) -> None:
    """Take away what libpq would add to every DSN out of this process: password, files, service."""
    for name in [name for name in environ if name.startswith("PG")]:
        if name not in KEPT_VARIABLES:
            del environ[name]
    environ.update(CLOSED)


def trust_the_system(environ: MutableMapping[str, str]) -> None:
    """Say where the system's certificates are, unless the environment does.

    The OpenSSL in psycopg's wheels looks in a folder of the machine that built it: with
    `sslrootcert=system` it would trust nobody.
    """
    bundle = ssl.get_default_verify_paths().cafile
    if bundle and not environ.keys() & {"SSL_CERT_FILE", "SSL_CERT_DIR"}:
        environ["SSL_CERT_FILE"] = bundle

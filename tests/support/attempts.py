"""What somebody who may write QueueWorkers and Secrets of one namespace tries with them.

Each attempt is one QueueWorker with a Secret and a Deployment of its own name, and what the operator
must tell of it.
"""

import base64
from dataclasses import dataclass, replace
from pathlib import Path

from tests.support.mail import Body, deployment, queue_worker
from tests.support.postgres import CANARY

LENT = "lent-5b1d-password"  # the operator's own, in its environment


@dataclass(frozen=True, slots=True, kw_only=True)
class Attempt:
    """One try: what differs from an honest QueueWorker, and what must be told of it."""

    told: tuple[str, str]
    words: str
    dsn: str | bytes | None = None
    listen_dsn: str | None = None
    spec: Body | None = None


def target(name: str) -> Attempt:
    spec = {"scaleTargetRef": {"name": name}}
    return Attempt(told=("Ready", "TargetMissing"), words="does not exist", spec=spec)


def other_secret(name: str) -> Attempt:
    spec = {"database": {"secretRef": {"name": name}}}
    words = f"Secret {name} does not exist in namespace tenant"
    return Attempt(told=("MetricsAvailable", "SecretNotFound"), words=words, spec=spec)


def taken_not(dsn: str | bytes, words: str) -> Attempt:
    return Attempt(told=("MetricsAvailable", "SecretInvalid"), words=words, dsn=dsn)


def nowhere(dsn: str, words: str) -> Attempt:
    return Attempt(told=("MetricsAvailable", "MetricsUnavailable"), words=words, dsn=dsn)


REACH = "host=127.0.0.1 port=1 user=x dbname=x"
NOT_PARSED = "cannot be parsed"
NO_HOST = "that is no host's name"
AWAY = "no connection"
ATTEMPTS: dict[str, Attempt] = {
    "deployment-of-the-victim": target("mail-worker"),
    "deployment-with-its-namespace": target("victim.mail-worker"),
    "deployment-two-dots": target("victim..mail-worker"),
    "deployment-of-the-operator": target("queueworker"),
    "deployment-of-the-cluster": target("coredns"),
    "a-stateful-set": target("stateful"),
    "secret-of-the-victim": other_secret("victim-db"),
    "secret-with-its-namespace": other_secret("victim.victim-db"),
    "secret-two-dots": other_secret("victim..victim-db"),
    "password-file": taken_not(f"{REACH} passfile=/etc/shadow", "has passfile"),
    "service-file": taken_not("service=operators-own", "has service"),
    "client-key": taken_not(f"{REACH} sslcert=/etc/passwd sslkey=/k", "has sslcert"),
    "authority-file": taken_not(f"{REACH} sslrootcert=/etc/passwd", "write sslrootcert=system"),
    "revocation-file": taken_not(f"{REACH} sslcrl=/etc/passwd", "has sslcrl"),
    "writes-a-file": taken_not(f"{REACH} sslkeylogfile=/tmp/keys", "has sslkeylogfile"),
    "asks-elsewhere": taken_not(f"{REACH} oauth_issuer=http://h oauth_client_id=x", "has oauth_"),
    "kerberos-name": taken_not(f"{REACH} krbsrvname=ldap", "has krbsrvname"),
    "replication": taken_not(f"{REACH} replication=database", "has replication"),
    "encoding": taken_not(f"{REACH} client_encoding=EUC_TW", "has client_encoding"),
    "many-hosts": taken_not(f"host={','.join(['127.0.0.1'] * 9)} dbname=x", "has 9 hosts"),
    "huge": taken_not(f"host=127.0.0.1 dbname={'x' * 900_000}", "is longer than 4096"),
    "url-with-file": taken_not("postgresql://x@127.0.0.1:1/x?passfile=/etc/shadow", "has passfile"),
    "a-path": nowhere("/etc/passwd", NOT_PARSED),
    "a-file-url": nowhere("file:///etc/passwd", NOT_PARSED),
    "a-token": nowhere(f"eyJhbGciOiJSUzI1NiJ9.{CANARY}.x", NOT_PARSED),
    "a-zero-byte": taken_not(b"host=127.0.0.1\0 passfile=/x", "has a zero byte"),
    "an-address-as-name": nowhere(f"{REACH} dbname='host=victim passfile=/etc/shadow'", AWAY),
    "host-that-is-none": nowhere("host=victim..svc dbname=x", NO_HOST),
    "host-too-long": nowhere(f"host={'v' * 200} dbname=x", NO_HOST),
    "host-with-lines": nowhere('host=\'a\n{"level":"error"}\x1b[31m%s{0}\' dbname=x', "at a?"),
    "socket-file": nowhere("host=/var/run/secrets user=x dbname=x", AWAY),
    "abstract-socket": nowhere("host=@operator user=x dbname=x", AWAY),
    "binary": Attempt(
        told=("MetricsAvailable", "SecretInvalid"), words="has no key dsn", dsn=b"\xff\xfe"
    ),
    "listen-beside": Attempt(
        told=("MetricsAvailable", "SecretInvalid"),
        words="string listen_dsn of Secret listen-beside has passfile",
        dsn=REACH,
        listen_dsn=f"{REACH} passfile=/etc/shadow",
    ),
}
# These need a server, and are made when it listens.
SERVED = {
    "metadata-server": nowhere("host=127.0.0.1 port={web} user=x dbname=x", AWAY),
    "asks-for-a-password": Attempt(
        told=("MetricsAvailable", "AccessRefused"),
        words="user or the password was refused",
        dsn="host=127.0.0.1 port={asking} user=x dbname=x sslmode=disable",
    ),
    "search-path": Attempt(
        told=("MetricsAvailable", "AsExpected"),
        words="",
        dsn="{database} options='-c search_path=evil,pg_catalog'",
    ),
}


ALL = ATTEMPTS | SERVED


def bodies(name: str, attempt: Attempt) -> list[Body]:
    """Give the QueueWorker, its own Secret and its own Deployment."""
    spec: Body = {"queues": [name], "scaleTargetRef": {"name": name}}
    spec |= {"database": {"secretRef": {"name": name}}}
    made = [deployment(name), queue_worker(name, **{**spec, **(attempt.spec or {})})]
    dsn = attempt.dsn or ""
    raw = dsn if isinstance(dsn, bytes) else dsn.encode()
    data = {"dsn": base64.b64encode(raw).decode()}
    if attempt.listen_dsn:
        data["listen_dsn"] = base64.b64encode(attempt.listen_dsn.encode()).decode()
    held = {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": name}, "data": data}
    return [*made, held]


def filled(attempt: Attempt, **known: str) -> Attempt:
    """Put addresses into an attempt's connection string; without one of its own it is an honest one."""
    dsn = attempt.dsn or "{database}"
    if isinstance(dsn, bytes):
        return attempt
    for name, value in known.items():
        dsn = dsn.replace("{" + name + "}", value)
    return replace(attempt, dsn=dsn)


def operators_own(folder: Path) -> dict[str, str]:
    """Give the operator what libpq would lend to any address: a password, a file of them, a service."""
    home = folder / "home"
    home.mkdir()
    for name, text in (
        (".pgpass", f"*:*:*:*:{LENT}\n"),
        (".pg_service.conf", f"[operators-own]\nhost=127.0.0.1\npassword={LENT}\n"),
    ):
        (home / name).write_text(text)
        (home / name).chmod(0o600)
    wide = {"QUEUEWORKER_OPERATOR_ALL_NAMESPACES": "true"}
    return {"HOME": str(home), "PGPASSWORD": LENT, "PGSERVICE": "operators-own", **wide}

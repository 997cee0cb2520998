"""Where the database is, parsed here: libpq's own messages quote passwords of malformed DSNs."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final
from urllib.parse import unquote

from queueworker.compat import override
from queueworker.errors import InvalidDsn

SCHEMES: Final = ("postgresql://", "postgres://")
KEYWORDS: Final = frozenset(
    [
        "application_name",
        "channel_binding",
        "client_encoding",
        "connect_timeout",
        "dbname",
        "fallback_application_name",
        "gssdelegation",
        "gssencmode",
        "gsslib",
        "host",
        "hostaddr",
        "keepalives",
        "keepalives_count",
        "keepalives_idle",
        "keepalives_interval",
        "krbsrvname",
        "load_balance_hosts",
        "max_protocol_version",
        "min_protocol_version",
        "options",
        "passfile",
        "password",
        "port",
        "replication",
        "require_auth",
        "requirepeer",
        "scram_client_key",
        "scram_server_key",
        "service",
        "ssl_max_protocol_version",
        "ssl_min_protocol_version",
        "sslcert",
        "sslcertmode",
        "sslcompression",
        "sslcrl",
        "sslcrldir",
        "sslkey",
        "sslkeylogfile",
        "sslmode",
        "sslnegotiation",
        "sslpassword",
        "sslrootcert",
        "sslsni",
        "target_session_attrs",
        "tcp_user_timeout",
        "user",
    ]
)
SECRETS: Final = frozenset({"password", "sslpassword", "scram_client_key", "scram_server_key"})
SHOWN: Final = ("host", "port", "dbname", "user")
NUMBERS: Final = re.compile(r"-?\d{1,9}")
# One keyword of a `key=value` DSN: the value is bare, or quoted with backslash escapes.
PAIR: Final = re.compile(
    r"\s*(\w+)\s*=\s*(?:'((?:[^'\\]|\\.)*)'(?=\s|$)|((?:[^\s'\\]|\\.)*))\s*", re.DOTALL
)
ONE_HOST: Final = r"(?:/(?:(?!://)[^=,])*|@?(?!/)[A-Za-z0-9_.:%/-]*)"
SHAPES: Final = {
    # None may hold a whole address or a pair: they are shown. A host that starts with @ is a socket;
    # one that starts with / is the folder of a socket, which people name as they like.
    "host": re.compile(rf"{ONE_HOST}(,{ONE_HOST})*", re.DOTALL),
    "dbname": re.compile(r"[^=@]*"),
    "user": re.compile(r"[^=]*"),
    "hostaddr": re.compile(r"[0-9A-Fa-f.:,]*"),
    "port": re.compile(r"(\d{1,5}(,\d{1,5})*)?"),
    "sslmode": re.compile(r"disable|allow|prefer|require|verify-ca|verify-full"),
    "channel_binding": re.compile(r"disable|prefer|require"),
    "gssencmode": re.compile(r"disable|prefer|require"),
    "sslnegotiation": re.compile(r"postgres|direct"),
    "target_session_attrs": re.compile(r"any|read-write|read-only|primary|standby|prefer-standby"),
    "load_balance_hosts": re.compile(r"disable|random"),
    "sslcertmode": re.compile(r"disable|allow|require"),
    "client_encoding": re.compile(r"[A-Za-z0-9_-]*"),
    "connect_timeout": NUMBERS,
    "keepalives": NUMBERS,
    "keepalives_count": NUMBERS,
    "keepalives_idle": NUMBERS,
    "keepalives_interval": NUMBERS,
    "tcp_user_timeout": NUMBERS,
}


@dataclass(frozen=True, slots=True, kw_only=True, repr=False)
class Dsn:
    """A parsed address; `parameters` are libpq's keywords. Printing it never shows a secret."""

    parameters: Mapping[str, str]

    @classmethod
    def parse(cls, text: str) -> "Dsn":
        """Read a URI or a `key=value` DSN.

        Raises:
            InvalidDsn: without quoting any part of the text, which may be a secret.
        """
        text = text.strip()
        is_uri = text.startswith(SCHEMES)
        parameters = _parse_uri(text) if is_uri else _parse_pairs(text)
        for keyword, value in parameters.items():
            _check(keyword, value)
        return cls(parameters=MappingProxyType(parameters))

    @override
    def __str__(self) -> str:
        shown = [f"{key}={self.parameters[key]}" for key in SHOWN if key in self.parameters]
        return " ".join(shown) or "the default server"

    @override
    def __repr__(self) -> str:
        return f"Dsn({self})"

    @override
    def __reduce__(self) -> tuple[object, ...]:
        return (_rebuild, (dict(self.parameters),))


def _rebuild(parameters: dict[str, str]) -> Dsn:
    return Dsn(parameters=MappingProxyType(parameters))


def _check(keyword: str, value: str) -> None:
    if keyword not in KEYWORDS:
        # The word itself may be the tail of a password with a space in it.
        raise InvalidDsn(
            "the DSN has an unknown keyword; write postgresql://user:password@host:5432/dbname,"
            " with special characters of the password percent-encoded"
        )
    if "\0" in value:
        raise InvalidDsn(f"the DSN's {keyword} contains a NUL character; remove it")
    shape = SHAPES.get(keyword)
    if shape is not None and not shape.fullmatch(value):
        if keyword == "host" and value.startswith("/"):
            raise InvalidDsn(
                "the DSN's host, the folder of a socket, is not valid: it may hold no = and no comma;"
                " move the folder, or correct the DSN"
            )
        raise InvalidDsn(
            f"the DSN's {keyword} is not valid; if the password contains any of / @ : # ? %"
            " write them percent-encoded"
        )


def _parse_pairs(text: str) -> dict[str, str]:
    parameters: dict[str, str] = {}
    at = 0
    while at < len(text):
        match = PAIR.match(text, at)
        if match is None or match.end() == at:
            raise InvalidDsn(
                "the DSN cannot be read; write postgresql://user:password@host:5432/dbname"
                " or host=... dbname=... with values that contain spaces in single quotes"
            )
        keyword, quoted, bare = match.groups()
        raw = bare if quoted is None else quoted
        parameters[keyword] = re.sub(r"\\(.)", r"\1", raw, flags=re.DOTALL)
        at = match.end()
    return parameters


def _parse_uri(text: str) -> dict[str, str]:
    rest = text.split("://", 1)[1]
    rest, _, query = rest.partition("?")
    authority, _, dbname = rest.partition("/")
    credentials, _, hosts = authority.rpartition("@")
    user, colon, password = credentials.partition(":")
    parameters = {"user": user, "dbname": dbname, **_hosts(hosts)}
    if colon:
        parameters["password"] = password
    for pair in filter(None, query.split("&")):
        keyword, equals, value = pair.partition("=")
        if not equals:
            raise InvalidDsn("the DSN has a parameter without a value after the question mark")
        parameters["sslmode" if keyword == "ssl" and value == "true" else keyword] = (
            "require" if keyword == "ssl" and value == "true" else value
        )
    return {key: _unquoted(value) for key, value in parameters.items() if value}


def _hosts(text: str) -> dict[str, str]:
    hosts: list[str] = []
    ports: list[str] = []
    for part in text.split(","):
        match = re.fullmatch(r"(\[[^\]]*\]|[^:]*)(?::(.*))?", part, re.DOTALL)
        if match is None:
            raise InvalidDsn("the DSN's host is not valid; percent-encode the password")
        if match[2] == "":
            # More often `user:/password` whose host was forgotten: it would be shown as the database.
            raise InvalidDsn(
                "the DSN has a colon without a port; write postgresql://user:password@host:5432/dbname,"
                " with special characters of the password percent-encoded"
            )
        hosts.append(match[1].strip("[]"))
        ports.append(match[2] or "")
    return {"host": ",".join(hosts), "port": ",".join(ports).strip(",") and ",".join(ports)}


def _unquoted(value: str) -> str:
    if re.search(r"%(?![0-9A-Fa-f]{2})", value):
        raise InvalidDsn("the DSN has a percent sign that encodes nothing; write it as %25")
    try:
        return unquote(value, errors="strict")
    except UnicodeDecodeError:
        raise InvalidDsn("the DSN has percent-encoded bytes that are not UTF-8") from None

"""PURE: the headers by which a kubeconfig's user acts as somebody else, as kubectl sends them."""

from collections.abc import Iterator, Mapping
from typing import Any
from urllib.parse import quote

from queueworker_operator.errors import InvalidSettings

Header = tuple[str, str]
OF_A_HEADERS_NAME = "!#$&'*+-.^_`|~"  # beside letters and digits; % begins an escape


def headers_of(user: Mapping[str, Any]) -> tuple[Header, ...]:
    """Give a header for `as`, each group, and what else is told of that user.

    Raises:
        InvalidSettings: something is told, but not as whom; or a value fits no header.
    """
    headers = tuple(_headers_of(user))
    if headers and headers[0][0] != "Impersonate-User":
        raise InvalidSettings(
            "the kubeconfig's user acts for groups, a uid or extras (as-...) of nobody: name him in `as`"
        )
    for name, value in headers:
        if not value.isprintable():
            raise InvalidSettings(
                f"the kubeconfig's user acts as somebody whose {name} holds a line break or the like"
            )
    return headers


def _headers_of(user: Mapping[str, Any]) -> Iterator[Header]:
    if user.get("as"):
        yield "Impersonate-User", str(user["as"])
    if user.get("as-uid"):
        yield "Impersonate-Uid", str(user["as-uid"])
    for group in user.get("as-groups") or ():
        yield "Impersonate-Group", str(group)
    for name, values in (user.get("as-user-extra") or {}).items():
        for value in values:
            yield f"Impersonate-Extra-{quote(str(name), safe=OF_A_HEADERS_NAME)}", str(value)

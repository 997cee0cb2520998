"""Find the API server: by the pod's service account, else by a kubeconfig as kubectl reads it."""

import base64
import binascii
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import yaml

from queueworker_operator.errors import InvalidSettings
from queueworker_operator.kube.credentials import Credentials
from queueworker_operator.kube.impersonation import headers_of

SERVICE_ACCOUNT = Path("/var/run/secrets/kubernetes.io/serviceaccount")
NO_CLUSTER = (
    "no Kubernetes cluster to talk to: run inside a pod, set KUBECONFIG, or write ~/.kube/config"
)
Login = Callable[[Mapping[str, Any], Path], Mapping[str, Any]]
"""Turns a kubeconfig's `exec` (and the folder it is relative to) into a token or a certificate."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Part:
    """A kubeconfig, or an entry of one; its paths are relative to the folder of its own file."""

    fields: Mapping[str, Any]
    folder: Path


def find_credentials(
    environ: Mapping[str, str], *, context: str | None = None, login: Login | None = None
) -> Credentials:
    """Take the pod's service account, else KUBECONFIG, else ~/.kube/config.

    `context` is that of a kubeconfig (None: the current one); `login` runs a plugin that a user
    logs in through, without it that is refused.

    Raises:
        InvalidSettings: there is none, or it cannot be used.
    """
    host, port = environ.get("KUBERNETES_SERVICE_HOST"), environ.get("KUBERNETES_SERVICE_PORT")
    explicit = environ.get("KUBECONFIG")
    if host and port and not explicit and not context and (SERVICE_ACCOUNT / "token").exists():
        return _in_cluster(host, port)
    default = Path(environ.get("HOME", "/")) / ".kube" / "config"
    paths = [Path(part) for part in (explicit or str(default)).split(os.pathsep) if part]
    files = [
        _Part(fields=_document(path), folder=path.absolute().parent)
        for path in paths
        if path.exists()
    ]
    if not files:
        raise InvalidSettings(NO_CLUSTER)
    try:
        return _from_kubeconfig(files, context, login)
    except (AttributeError, TypeError) as exc:  # a list where an object belongs, and the like
        raise InvalidSettings("the kubeconfig is not laid out as one: write it anew") from exc


def _in_cluster(host: str, port: str) -> Credentials:
    bracketed = f"[{host}]" if ":" in host else host
    return Credentials(
        server=f"https://{bracketed}:{port}",
        namespace=(SERVICE_ACCOUNT / "namespace").read_text().strip(),
        ca=(SERVICE_ACCOUNT / "ca.crt").read_text(),
        token_path=SERVICE_ACCOUNT / "token",
    )


def _document(path: Path) -> Mapping[str, Any]:
    try:
        document = yaml.safe_load(path.read_text())
    except (OSError, ValueError, yaml.YAMLError) as exc:
        raise InvalidSettings(f"cannot read the kubeconfig {path}: is it YAML?") from exc
    if not isinstance(document, Mapping):
        raise InvalidSettings(f"the kubeconfig {path} is empty")
    return document


def _from_kubeconfig(
    files: list[_Part], context_name: str | None, login: Login | None
) -> Credentials:
    current = context_name or next(
        (f.fields["current-context"] for f in files if f.fields.get("current-context")), None
    )
    if current is None:
        raise InvalidSettings("the kubeconfig has no current context: kubectl config use-context")
    context = _named(files, ("contexts", "context"), current).fields
    cluster = _named(files, ("clusters", "cluster"), context.get("cluster", ""))
    user = _logged_in(_named(files, ("users", "user"), context.get("user", "")), login)
    token_path = user.fields.get("tokenFile")
    return Credentials(
        server=str(cluster.fields.get("server", "")).rstrip("/"),
        namespace=context.get("namespace") or "default",
        ca=_inline_or_file(cluster, "certificate-authority"),
        insecure=bool(cluster.fields.get("insecure-skip-tls-verify")),
        token=user.fields.get("token"),
        token_path=user.folder / token_path if token_path else None,
        certificate=_inline_or_file(user, "client-certificate"),
        private_key=_inline_or_file(user, "client-key"),
        acts_as=headers_of(user.fields),
        server_name=cluster.fields.get("tls-server-name") or None,
        proxy=_proxy_of(cluster.fields),
    )


def _proxy_of(cluster: Mapping[str, Any]) -> str | None:
    url = str(cluster.get("proxy-url") or "")
    scheme, separator, _ = url.partition("://")
    if url and (scheme.lower(), separator) != ("http", "://"):
        told = scheme if separator else ""  # without it this is the whole, maybe with a password
        raise InvalidSettings(
            f"the kubeconfig's proxy-url has the scheme {told!r}, which is not supported: "
            "name a proxy of http://, or none"
        )
    return url or None


def _logged_in(user: _Part, login: Login | None) -> _Part:
    """Give the user with what its login program gives, if it has one."""
    if "exec" in user.fields and login is not None:
        return replace(user, fields={**user.fields, **login(user.fields["exec"], user.folder)})
    if "exec" in user.fields or "auth-provider" in user.fields:
        raise InvalidSettings(
            "the kubeconfig's user logs in through a plugin, which is not supported: "
            "use a token (kubectl create token) or a client certificate"
        )
    return user


def _named(files: list[_Part], fields: tuple[str, str], name: str) -> _Part:
    plural, singular = fields
    for file in files:
        for entry in file.fields.get(plural) or ():
            if entry.get("name") == name:
                return replace(file, fields=entry.get(singular) or {})
    raise InvalidSettings(f"the kubeconfig names a {singular} {name!r} that it does not hold")


def _inline_or_file(entry: _Part, field: str) -> str | None:
    inline, path = entry.fields.get(f"{field}-data"), entry.fields.get(field)
    try:
        if inline:
            return base64.b64decode(inline, validate=True).decode()
        return (entry.folder / path).read_text() if path else None
    except (OSError, ValueError, binascii.Error) as exc:
        raise InvalidSettings(f"the kubeconfig's {field} cannot be read") from exc

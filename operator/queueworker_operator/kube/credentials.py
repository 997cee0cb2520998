"""How to reach the API server: the pod's service account, else a kubeconfig."""

import base64
import binascii
import os
import ssl
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from queueworker_operator.errors import InvalidSettings

SERVICE_ACCOUNT = Path("/var/run/secrets/kubernetes.io/serviceaccount")
NO_CLUSTER = (
    "no Kubernetes cluster to talk to: run inside a pod, set KUBECONFIG, or write ~/.kube/config"
)


Login = Callable[[Mapping[str, Any], Path], Mapping[str, Any]]
"""Turns a kubeconfig's `exec` (and the folder it is relative to) into a token or a certificate."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Credentials:
    """One API server and who we are there. `token_path` is read anew: tokens rotate."""

    server: str
    namespace: str = "default"
    ca: str | None = None
    insecure: bool = False
    token: str | None = field(default=None, repr=False)
    token_path: Path | None = None
    certificate: str | None = None
    private_key: str | None = field(default=None, repr=False)

    def bearer(self) -> str | None:
        """Give the token as it is now; None means the client certificate is the identity."""
        if self.token_path is not None:
            try:
                return self.token_path.read_text().strip()
            except OSError as exc:
                raise InvalidSettings(f"cannot read the token {self.token_path}: {exc}") from exc
        return self.token

    def ssl_context(self) -> ssl.SSLContext:
        """Build the TLS side: the cluster's CA, and the client certificate if there is one.

        Raises:
            InvalidSettings: a certificate or the key cannot be used.
        """
        try:
            context = ssl.create_default_context(cadata=self.ca)
            if self.certificate and self.private_key:
                # ssl reads certificates from files only
                with tempfile.NamedTemporaryFile("w", suffix=".pem") as pair:
                    pair.write(f"{self.certificate}\n{self.private_key}\n")
                    pair.flush()
                    context.load_cert_chain(pair.name)
        except (ssl.SSLError, ValueError) as exc:
            raise InvalidSettings(
                "the cluster's CA, or the client's certificate or key, is no PEM that can be used: "
                "write the kubeconfig anew"
            ) from exc
        if self.insecure:
            context.check_hostname = False
            context.verify_mode = ssl.CERT_NONE
        return context


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
    documents = [_document(path) for path in paths if path.exists()]
    if not documents:
        raise InvalidSettings(NO_CLUSTER)
    try:
        return _from_kubeconfig(documents, paths[0].parent, (context, login))
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
    documents: list[Mapping[str, Any]], folder: Path, wanted: tuple[str | None, Login | None]
) -> Credentials:
    context_name, login = wanted
    current = context_name or next(
        (d["current-context"] for d in documents if d.get("current-context")), None
    )
    if current is None:
        raise InvalidSettings("the kubeconfig has no current context: kubectl config use-context")
    context = _named(documents, ("contexts", "context"), current)
    cluster = _named(documents, ("clusters", "cluster"), context.get("cluster", ""))
    user = _named(documents, ("users", "user"), context.get("user", ""))
    if "exec" in user and login is not None:
        user = {**user, **login(user["exec"], folder)}
    elif "exec" in user or "auth-provider" in user:
        raise InvalidSettings(
            "the kubeconfig's user logs in through a plugin, which is not supported: "
            "use a token (kubectl create token) or a client certificate"
        )
    token_path = user.get("tokenFile")
    return Credentials(
        server=str(cluster.get("server", "")).rstrip("/"),
        namespace=context.get("namespace") or "default",
        ca=_inline_or_file(cluster, "certificate-authority", folder),
        insecure=bool(cluster.get("insecure-skip-tls-verify")),
        token=user.get("token"),
        token_path=folder / token_path if token_path else None,
        certificate=_inline_or_file(user, "client-certificate", folder),
        private_key=_inline_or_file(user, "client-key", folder),
    )


def _named(
    documents: list[Mapping[str, Any]], fields: tuple[str, str], name: str
) -> Mapping[str, Any]:
    plural, singular = fields
    for document in documents:
        for entry in document.get(plural) or ():
            if entry.get("name") == name:
                return entry.get(singular) or {}
    raise InvalidSettings(f"the kubeconfig names a {singular} {name!r} that it does not hold")


def _inline_or_file(entry: Mapping[str, Any], field: str, folder: Path) -> str | None:
    inline, path = entry.get(f"{field}-data"), entry.get(field)
    try:
        if inline:
            return base64.b64decode(inline, validate=True).decode()
        return (folder / path).read_text() if path else None
    except (OSError, ValueError, binascii.Error) as exc:
        raise InvalidSettings(f"the kubeconfig's {field} cannot be read") from exc

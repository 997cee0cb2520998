"""One API server, and who we are there."""

import ssl
import tempfile
from dataclasses import dataclass, field
from pathlib import Path

from queueworker_operator.errors import InvalidSettings


@dataclass(frozen=True, slots=True, kw_only=True)
class Credentials:
    """One API server and who we are there. `token_path` is read anew: tokens rotate.

    `acts_as` are the headers by which we act as somebody else; `server_name` is what the server's
    certificate has to bear instead of its address; `proxy` is the way there, maybe with a password.
    """

    server: str
    namespace: str = "default"
    ca: str | None = None
    insecure: bool = False
    token: str | None = field(default=None, repr=False)
    token_path: Path | None = None
    certificate: str | None = None
    private_key: str | None = field(default=None, repr=False)
    acts_as: tuple[tuple[str, str], ...] = ()
    server_name: str | None = None
    proxy: str | None = field(default=None, repr=False)

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

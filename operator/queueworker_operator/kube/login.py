"""Log in as kubectl does: run the program that a kubeconfig's user names."""

import base64
import json
import os
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from queueworker_operator.errors import InvalidSettings

WITHIN_S = 60.0
FIELDS = {
    "token": "token",
    "clientCertificateData": "client-certificate-data",
    "clientKeyData": "client-key-data",
}


def log_in(asked: Mapping[str, Any], folder: Path) -> Mapping[str, Any]:
    """Run the program (client.authentication.k8s.io); give what a kubeconfig's user would hold.

    Raises:
        InvalidSettings: it is missing, failed, or gave no credential.
    """
    program = str(asked.get("command") or "")
    path = folder / program if "/" in program else program
    try:
        told = subprocess.run(
            [path, *(asked.get("args") or ())],
            env=_environment(asked),
            stdout=subprocess.PIPE,
            timeout=WITHIN_S,
            check=True,
        )
        status = json.loads(told.stdout)["status"]
        found = {FIELDS[key]: _encoded(key, status[key]) for key in FIELDS if status.get(key)}
    except (OSError, subprocess.SubprocessError, ValueError, KeyError, TypeError) as exc:
        # `from None`: what the program printed may hold a credential
        raise InvalidSettings(
            f"the login program {program!r} of the kubeconfig gave no credential "
            f"({type(exc).__name__}): does kubectl get pods work?"
        ) from None
    if not found:
        raise InvalidSettings(
            f"the login program {program!r} gave an empty credential: log in anew"
        )
    return found


def _environment(asked: Mapping[str, Any]) -> dict[str, str]:
    told = {
        "apiVersion": asked.get("apiVersion", "client.authentication.k8s.io/v1"),
        "kind": "ExecCredential",
        "spec": {"interactive": False},
    }
    own = {str(entry["name"]): str(entry["value"]) for entry in asked.get("env") or ()}
    return {**os.environ, **own, "KUBERNETES_EXEC_INFO": json.dumps(told)}


def _encoded(key: str, value: str) -> str:
    """Give a value as a kubeconfig holds it: certificates in base64."""
    return value if key == "token" else base64.b64encode(value.encode()).decode()

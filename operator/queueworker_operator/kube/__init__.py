"""The Kubernetes API, as far as the operator uses it."""

from queueworker_operator.kube.client import Client
from queueworker_operator.kube.credentials import Credentials
from queueworker_operator.kube.kubeconfig import find_credentials

__all__ = ["Client", "Credentials", "find_credentials"]

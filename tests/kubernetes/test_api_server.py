"""The API server of these tests is a real one."""

import subprocess

import pytest
from tests.support.controlplane import ApiServer


def test_a_namespace_is_there_and_takes_objects(api_server: ApiServer, namespace: str) -> None:
    api_server.kubectl("create", "configmap", "mail", "--from-literal=a=b", "-n", namespace)

    kept = api_server.kubectl("get", "configmap", "mail", "-n", namespace, "-o", "jsonpath={.data}")

    assert kept == '{"a":"b"}'


def test_a_wrong_object_is_refused(api_server: ApiServer, namespace: str) -> None:
    with pytest.raises(subprocess.CalledProcessError) as refused:
        api_server.kubectl("create", "configmap", "Not_A_Name", "-n", namespace)

    assert "Invalid value" in refused.value.stderr


def test_the_api_server_does_not_run_as_root(api_server: ApiServer) -> None:
    assert api_server.kubeconfig.stat().st_uid != 0

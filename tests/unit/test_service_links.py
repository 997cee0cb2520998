"""A Service of the same name does not change a worker's port."""

from queueworker.settings import Settings


def test_the_address_of_a_service_named_queueworker_is_no_port() -> None:
    settings = Settings.from_env({"QUEUEWORKER_PORT": "tcp://10.96.0.7:8080"})

    assert settings.port == 8080

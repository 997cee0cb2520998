"""Settings of the operator from the environment."""

import pytest

from queueworker_operator.errors import InvalidSettings
from queueworker_operator.settings import LogFormat, Settings


def test_an_empty_environment_gives_the_defaults() -> None:
    assert Settings.from_env({}) == Settings()


def test_variables_are_read_by_their_documented_names() -> None:
    settings = Settings.from_env(
        {
            "QUEUEWORKER_OPERATOR_NAMESPACES": "mail, reports,",
            "QUEUEWORKER_OPERATOR_ALL_NAMESPACES": "false",
            "QUEUEWORKER_OPERATOR_PORT": "0",
            "QUEUEWORKER_OPERATOR_LEADER_NAMESPACE": "ops",
            "QUEUEWORKER_OPERATOR_POD_NAME": "operator-1",
            "QUEUEWORKER_OPERATOR_LOG_FORMAT": "text",
            "QUEUEWORKER_DSN": "of somebody else",
        }
    )

    assert settings == Settings(
        namespaces=("mail", "reports"),
        port=0,
        leader_namespace="ops",
        identity="operator-1",
        log_format=LogFormat.TEXT,
    )


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("PORT", "http"),
        ("PORT", "65536"),
        ("PORT", "-1"),
        ("ALL_NAMESPACES", "perhaps"),
        ("LOG_FORMAT", "xml"),
    ],
)
def test_a_bad_value_is_named_with_its_remedy(name: str, value: str) -> None:
    with pytest.raises(InvalidSettings, match=f"QUEUEWORKER_OPERATOR_{name} is '{value}': give "):
        Settings.from_env({f"QUEUEWORKER_OPERATOR_{name}": value})

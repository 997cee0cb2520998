import pytest

from queueworker.errors import InvalidDsn, InvalidSetting
from queueworker.settings import LogFormat, QueueShare, Settings, parse_queues


def test_an_empty_environment_gives_the_defaults() -> None:
    settings = Settings.from_env({})

    assert settings == Settings()
    assert (settings.concurrency, settings.grace_s, settings.lease_ttl_s) == (10, 30.0, 15.0)


def test_every_variable_is_read() -> None:
    settings = Settings.from_env(
        {
            "QUEUEWORKER_DSN": "postgresql://u:p@db:6432/jobs",
            "QUEUEWORKER_LISTEN_DSN": "host=direct",
            "QUEUEWORKER_APP": "shop:app",
            "QUEUEWORKER_QUEUES": "mail:3,reports",
            "QUEUEWORKER_CONCURRENCY": "4",
            "QUEUEWORKER_PORT": "0",
            "QUEUEWORKER_GRACE_S": "5.5",
            "QUEUEWORKER_LEASE_TTL_S": "3",
            "QUEUEWORKER_POLL_S": "0.2",
            "QUEUEWORKER_POD_NAME": "mail-1",
            "QUEUEWORKER_POD_UID": "5f0c",
            "QUEUEWORKER_POD_NAMESPACE": "prod",
            "QUEUEWORKER_NODE_NAME": "node-1",
            "QUEUEWORKER_LOG_FORMAT": "json",
        }
    )

    assert settings.required_dsn.parameters == {
        "user": "u", "password": "p", "host": "db", "port": "6432", "dbname": "jobs",
    }  # fmt: skip
    assert settings.listen_dsn is not None
    assert settings.queues == (QueueShare(name="mail", weight=3), QueueShare(name="reports"))
    assert (settings.concurrency, settings.port, settings.poll_s) == (4, 0, 0.2)
    assert (settings.pod, settings.namespace, settings.node) == ("mail-1", "prod", "node-1")
    assert settings.pod_uid == "5f0c"
    assert settings.log_format is LogFormat.JSON


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("QUEUEWORKER_CONCURRENCY", "0"),
        ("QUEUEWORKER_CONCURRENCY", "many"),
        ("QUEUEWORKER_PORT", "70000"),
        ("QUEUEWORKER_GRACE_S", "-1"),
        ("QUEUEWORKER_LEASE_TTL_S", "nan"),
        ("QUEUEWORKER_POLL_S", "inf"),
        ("QUEUEWORKER_LOG_FORMAT", "xml"),
    ],
)
def test_a_value_out_of_bounds_names_its_variable(name: str, value: str) -> None:
    with pytest.raises(InvalidSetting, match=name):
        Settings.from_env({name: value})


def test_a_queue_may_have_a_weight_and_a_bound() -> None:
    assert parse_queues("a:3:max=2,b:max=4,c:5") == (
        QueueShare(name="a", weight=3, most=2),
        QueueShare(name="b", most=4),
        QueueShare(name="c", weight=5),
    )


@pytest.mark.parametrize(
    "text", ["mail:0", "mail:x", ":3", "mail,mail", "mail,", "mail:max=0", "mail:max=2:3"]
)
def test_queues_that_make_no_sense_are_refused(text: str) -> None:
    with pytest.raises(InvalidSetting):
        parse_queues(text)


def test_a_missing_database_says_which_variable_to_set() -> None:
    with pytest.raises(InvalidDsn, match="QUEUEWORKER_DSN"):
        _ = Settings.from_env({}).required_dsn

from typing import Any

import pytest

from queueworker import App, EnqueueRefused, InvalidCall, Job, TaskError
from queueworker.unique import Unique

EVERYTHING: Unique = True
NOTHING: Unique = False


def key_of(unique: Unique, **args: Any) -> str | None:
    app = App()

    @app.task(unique=unique, name="t")
    def handler(user_id: Any, hour: int = 8, **rest: Any) -> None: ...

    return handler(**args).unique_key


def test_a_template_names_arguments_and_defaults_count() -> None:
    assert key_of("{user_id}-{hour}", user_id=7) == "t:7-8"


def test_true_takes_all_arguments_in_any_order() -> None:
    assert (
        key_of(EVERYTHING, user_id=7, hour=8)
        == key_of(EVERYTHING, user_id=7)
        == 't:{"hour":8,"user_id":7}'
    )
    assert key_of(EVERYTHING, user_id=7, hour=9) != key_of(EVERYTHING, user_id=7)
    assert key_of(EVERYTHING, user_id=1, b=1, a=2) == key_of(EVERYTHING, a=2, b=1, user_id=1)


def test_a_function_gives_the_key_or_none() -> None:
    def of_adults(user_id: int, hour: int) -> str | None:
        return f"{user_id}/{hour}" if user_id > 17 else None

    assert key_of(of_adults, user_id=20) == "t:20/8"
    assert key_of(of_adults, user_id=2) is None


def test_a_long_key_becomes_a_digest_of_it() -> None:
    long, longer = key_of("{user_id}", user_id="x" * 3000), key_of("{user_id}", user_id="x" * 3001)

    assert long is not None
    assert len(long) < 200
    assert long != longer


def test_without_the_option_there_is_no_key() -> None:
    assert key_of(NOTHING, user_id=1) is None


@pytest.mark.parametrize(
    "template", ["{nobody}", "{user_id.real}", "{user_id[0]}", "{", "fixed", "{}"]
)
def test_a_template_that_names_no_parameter_is_refused_at_the_definition(template: str) -> None:
    with pytest.raises(TaskError, match="unique"):
        key_of(template, user_id=1)


def test_a_function_that_gives_no_text_is_named() -> None:
    with pytest.raises(InvalidCall, match="'t': unique gave int"):
        key_of(lambda user_id, **_: user_id, user_id=1)


def test_other_options_leave_the_job_and_its_arguments_as_they_were() -> None:
    app = App()

    @app.task()
    def handler(values: list[int]) -> None: ...

    values = [1]
    job = handler(values=values)
    later = job.using(delay_s=5, priority=3)
    values.append(2)

    assert (job.delay_s, job.priority, later.delay_s, later.priority) == (None, 0, 5, 3)
    assert job.args_json == later.args_json == '{"values":[1]}'
    assert job.using(args={"values": []}).args_json == ""


def test_a_policy_that_does_not_exist_is_refused() -> None:
    with pytest.raises(EnqueueRefused, match="keep, reject or replace"):
        Job(task="t", queue="q", args={}, on_duplicate="upsert")  # type: ignore[arg-type]

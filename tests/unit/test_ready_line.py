"""A worker that is ready says so in a line, as JSON or as text."""

import pytest

from queueworker_operator.target.pod import says_ready


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ('{"level": "info", "message": "ready: port 41237, worker w, 4 slots"}', True),
        ("12:00:01 INFO ready: port 41237, worker w, 4 slots", True),
        ('{"level": "info", "message": "not ready: the schema is old"}', False),
        ('{"level": "info", "message": "port 8080 is in use"}', False),
        ('{"level": "info"}', False),
        ("ready, steady, go", False),
        ("{not json", False),
    ],
)
def test_the_ready_line_is_known_as_json_and_as_text(line: str, expected: bool) -> None:
    assert says_ready(line) is expected

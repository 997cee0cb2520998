"""Spans and times as people write them."""

from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from queueworker.cli.durations import moment, seconds, span
from queueworker.errors import InvalidSetting

NOW = datetime(2026, 1, 10, 12, tzinfo=UTC)


@pytest.mark.parametrize(
    ("text", "expected_s"),
    [("90s", 90), ("30m", 1800), ("2h", 7200), ("7d", 604_800), ("1d12h", 129_600), ("1.5h", 5400)],
)
def test_spans_are_read(text: str, expected_s: float) -> None:
    assert seconds(text, "--for") == expected_s


@pytest.mark.parametrize("text", ["", "7", "7 days", "d", "-1d", "0s", "1d x", "9999999w", "nan"])
def test_what_is_no_span_is_refused_by_the_name_of_the_flag(text: str) -> None:
    with pytest.raises(InvalidSetting, match="--for"):
        seconds(text, "--for")


def test_a_refusal_names_the_flags_own_word_and_the_bound() -> None:
    with pytest.raises(InvalidSetting, match="'x' is not a span; write forever, or 90s"):
        seconds("x", "--dead-for", "forever")
    with pytest.raises(InvalidSetting, match="--until '0s' must be above zero"):
        moment("0s", "--until", NOW)


def test_a_time_is_a_span_ago_or_an_iso_time_of_utc_unless_it_names_its_zone() -> None:
    assert moment("2h", "--since", NOW) == NOW - timedelta(hours=2)
    assert moment("2026-01-02", "--since", NOW) == datetime(2026, 1, 2, tzinfo=UTC)
    at = moment("2026-01-02T10:00+02:00", "--since", NOW)
    assert at == datetime(2026, 1, 2, 10, tzinfo=timezone(timedelta(hours=2)))
    with pytest.raises(InvalidSetting, match="--since"):
        moment("yesterday", "--since", NOW)


@given(st.integers(1, 10_000_000))
def test_a_written_span_reads_back_as_at_most_itself(span_s: int) -> None:
    read_s = seconds(span(span_s), "--for")

    assert read_s <= span_s
    assert read_s > span_s * 0.9

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from queueworker.errors import EnqueueRefused
from queueworker.payload import checked, encode, encode_sorted

BAD = {"NUL": "\0", "NUL after backslashes": "\\\\\0", "high alone": "\ud800", "low alone": "\udc00",
       "the wrong way round": "\ude00\ud83d", "two highs": "\ud83d\ud83d\ude00"}  # fmt: skip
GOOD = {"a backslash and u0000": "\\u0000", "a backslash and ud800": "\\ud800", "astral": "😀",
        "after a backslash": "\\😀", "controls": "\t\n\r\x01\x7f", "quotes": '"\\"'}  # fmt: skip


@pytest.mark.parametrize("name", BAD)
def test_characters_that_postgres_cannot_store_are_refused(name: str) -> None:
    for args in ({"x": BAD[name]}, {BAD[name]: 1}, {"x": [{"y": BAD[name]}]}):
        with pytest.raises(EnqueueRefused, match="cannot store"):
            checked("t", encode(args))


@pytest.mark.parametrize("name", GOOD)
def test_other_characters_pass(name: str) -> None:
    text = encode({"x": GOOD[name]})

    assert checked("t", text) == text
    assert json.loads(text) == {"x": GOOD[name]}


@given(st.text(st.characters(codec=None, exclude_categories=())))
def test_a_text_is_refused_exactly_when_it_is_no_unicode_or_has_a_nul(value: str) -> None:
    try:
        value.encode("utf-16", "surrogatepass").decode("utf-16")
        is_storable = "\0" not in value
    except UnicodeDecodeError:
        is_storable = False
    try:
        checked("t", encode({"x": value}))
        passed = True
    except EnqueueRefused:
        passed = False

    assert passed == is_storable


def test_a_hundred_megabytes_are_refused_before_they_are_sent() -> None:
    with pytest.raises(EnqueueRefused, match="1 MiB"):
        checked("t", encode({"x": "y" * 100_000_000}))


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -float("1e400"), object(), {1, 2}])
def test_what_is_no_json_is_refused(value: object) -> None:
    with pytest.raises((ValueError, TypeError)):
        encode({"x": value})


def test_the_sorted_text_does_not_depend_on_the_order() -> None:
    assert encode_sorted({"b": 1, "a": {"d": 1, "c": 2}}) == encode_sorted(
        {"a": {"c": 2, "d": 1}, "b": 1}
    )

"""A trace becomes jobs at its times, with its sizes."""

from pathlib import Path

import pytest

from queueworker_operator.errors import InvalidSettings
from queueworker_operator.local.trace import read_settings, read_trace

ROOT = Path(__file__).parents[2]


def trace(folder: Path, text: str) -> Path:
    file = folder / "trace.csv"
    file.write_text(text)
    return file


def test_further_columns_are_arguments(tmp_path: Path) -> None:
    file = trace(tmp_path, "# notice\nt_s,arrivals,tokens,weight\n5,1,7,0.5\n7,1,9,1.5\n")

    first, second = read_trace(file, 1.0)

    assert (first.at_s, dict(first.arguments)) == (0.0, {"tokens": 7, "weight": 0.5})
    assert (second.at_s, dict(second.arguments)) == (2.0, {"tokens": 9, "weight": 1.5})


def test_a_time_scale_of_a_fifth_replays_five_times_faster(tmp_path: Path) -> None:
    file = trace(tmp_path, "t_s,arrivals\n0,1\n10,1\n")

    assert [arrival.at_s for arrival in read_trace(file, 0.2)] == [0.0, 2.0]


def test_a_bucket_of_arrivals_is_spread_up_to_the_next(tmp_path: Path) -> None:
    file = trace(tmp_path, "t_s,arrivals\n0,4\n10,0\n20,1\n")

    assert [arrival.at_s for arrival in read_trace(file, 1.0)] == [0.0, 2.5, 5.0, 7.5, 20.0]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", "no rows"),
        ("time,arrivals\n1,1\n", "no rows with a column t_s"),
        ("t_s,arrivals\n1,many\n", "a row that is no number"),
        ("t_s,arrivals,tokens\n1,1\n", "a row that is no number"),
    ],
)
def test_a_trace_that_cannot_be_read_is_refused(tmp_path: Path, text: str, expected: str) -> None:
    with pytest.raises(InvalidSettings, match=expected):
        read_trace(trace(tmp_path, text), 1.0)


def test_a_missing_trace_and_a_senseless_scale_are_refused(tmp_path: Path) -> None:
    with pytest.raises(InvalidSettings, match="cannot be read"):
        read_trace(tmp_path / "none.csv", 1.0)
    with pytest.raises(InvalidSettings, match="give a number above 0"):
        read_trace(trace(tmp_path, "t_s,arrivals\n1,1\n"), 0.0)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("trace = ", "not readable as TOML"),
        ("speed = 5", "no setting 'speed'"),
        ('time_scale = "fast"', "mend the value"),
    ],
)
def test_replay_settings_that_cannot_be_used_are_refused(
    tmp_path: Path, text: str, expected: str
) -> None:
    (tmp_path / "replay.toml").write_text(text)

    with pytest.raises(InvalidSettings, match=expected):
        read_settings(tmp_path)


def test_the_demo_replays_a_real_trace_with_its_licence_in_about_a_minute() -> None:
    settings = read_settings(ROOT / "examples/demo")
    assert settings.trace is not None

    arrivals = read_trace(settings.trace, settings.time_scale)

    assert len(arrivals) > 1000
    assert arrivals[-1].at_s < 75
    assert {"generated_tokens"} == set(arrivals[0].arguments)
    assert "CC-BY 4.0" in settings.trace.read_text()

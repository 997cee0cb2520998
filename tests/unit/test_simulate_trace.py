"""A trace becomes jobs; one that cannot be used is refused in one line with the remedy."""

from pathlib import Path

import pytest

from queueworker_operator.errors import InvalidSettings
from queueworker_operator.simulate.model import Lognormal
from queueworker_operator.simulate.trace import TraceOptions, read_workload

SERVICE = Lognormal(mean_s=2.0, cv=0.0)


def trace(folder: Path, text: str) -> Path:
    file = folder / "trace.csv"
    file.write_text(text)
    return file


def test_a_bucket_is_spread_up_to_the_next_row(tmp_path: Path) -> None:
    file = trace(tmp_path, "# counts\nt_s,arrivals\n100,3\n160,0\n220,2\n")

    jobs = read_workload(file, TraceOptions(service=SERVICE))

    assert [at_s < 60 for at_s in jobs.at_s] == [True, True, True, False, False]
    assert all(120 <= at_s < 180 for at_s in list(jobs.at_s)[3:])
    assert len(set(jobs.at_s)) == 5
    assert list(jobs.size_s) == [2.0] * 5
    assert jobs.lasts_s == 180.0
    assert read_workload(file, TraceOptions(service=SERVICE)) == jobs


def test_rows_of_one_time_share_their_bucket(tmp_path: Path) -> None:
    file = trace(tmp_path, "t_s,arrivals,announced\n0,50,0\n0,50,1\n60,0,0\n")

    jobs = read_workload(file, TraceOptions(service=SERVICE))

    early = [at_s for at_s, mark in zip(jobs.at_s, jobs.announced, strict=True) if mark == 0]
    assert (len(early), sum(jobs.announced), jobs.lasts_s) == (50, 50, 120.0)
    assert max(early) > 40
    assert max(jobs.at_s) < 60


def test_events_with_sizes_come_when_they_say(tmp_path: Path) -> None:
    file = trace(tmp_path, "t_s,arrivals,service_s,announced,priority\n0,1,4,0,0\n1.5,2,0.5,1,9\n")

    jobs = read_workload(file, TraceOptions(service=SERVICE))

    assert list(jobs.at_s) == [0.0, 1.5, 1.5]
    assert list(jobs.size_s) == [4.0, 0.5, 0.5]
    assert (list(jobs.announced), list(jobs.priority)) == ([0, 1, 1], [0, 9, 9])


def test_sizes_come_from_another_column_in_its_unit(tmp_path: Path) -> None:
    file = trace(tmp_path, "t_s,tokens\n0,100\n2,50\n")

    jobs = read_workload(file, TraceOptions(service=SERVICE, size_column="tokens", size_scale=0.02))

    assert list(jobs.size_s) == [2.0, 1.0]


def test_only_the_first_hours_are_read(tmp_path: Path) -> None:
    file = trace(tmp_path, "t_s,arrivals\n0,5\n1800,5\n3600,5\n")

    jobs = read_workload(file, TraceOptions(service=SERVICE, hours=0.5))

    assert (len(jobs.at_s), jobs.lasts_s) == (5, 1800.0)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "no rows"),
        ("time,arrivals\n0,1\n", "no rows with a column t_s"),
        ("t_s,arrivals\n0,many\n", "row 1 has arrivals 'many': give a number"),
        ("t_s,arrivals\n0,1\n5,-2\n", "row 2 has arrivals '-2': give a whole number"),
        ("t_s,arrivals\n0,1.5\n", "give a whole number"),
        ("t_s,arrivals\n0,1\n9,1\n5,1\n", "row 3 is earlier than the one before: sort the rows"),
        ("t_s,arrivals,service_s\n0,1,\n", "row 1 has service_s '': give a number"),
        ("t_s,arrivals,service_s\n0,1,-1\n", "below 0: remove the row"),
        ("t_s,arrivals,service_s\n0,1,inf\n", "give a number"),
        ("t_s,arrivals\n0,0\n5,0\n", "no arrivals: nothing to simulate"),
        ("t_s,arrivals\n0,9999999999\n", "give a whole number, 0 to"),
        ("t_s,arrivals\n0,50000000\n5,1\n", "cut it with --hours"),
        ("t_s,arrivals,priority\n0,1,12\n", "give a whole number, 0 to 9"),
    ],
)
def test_a_bad_trace_is_refused_with_its_row_and_the_remedy(
    tmp_path: Path, text: str, words: str
) -> None:
    with pytest.raises(InvalidSettings, match=r"trace\.csv") as refused:
        read_workload(trace(tmp_path, text), TraceOptions(service=SERVICE))

    assert words in str(refused.value)


def test_an_unknown_size_column_names_those_there_are(tmp_path: Path) -> None:
    file = trace(tmp_path, "t_s,arrivals,tokens\n0,1,5\n")

    with pytest.raises(InvalidSettings, match="no column token: it has t_s, arrivals, tokens"):
        read_workload(file, TraceOptions(service=SERVICE, size_column="token"))

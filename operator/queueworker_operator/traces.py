"""The rows of a trace: a CSV of times, counts and what else a column says."""

import csv
from pathlib import Path

from queueworker_operator.errors import InvalidSettings

TIME_COLUMN = "t_s"
COUNT_COLUMN = "arrivals"


def read_rows(file: Path) -> list[dict[str, str]]:
    """Read all rows; lines that begin with # are comments.

    Raises:
        InvalidSettings: the file cannot be read, or is no trace.
    """
    try:
        with file.open(newline="") as lines:
            rows = list(csv.DictReader(filter(_is_row, lines), restval=""))
    except (OSError, UnicodeDecodeError, csv.Error) as exc:
        raise InvalidSettings(f"the trace {file} cannot be read: give a CSV file") from exc
    if not rows or TIME_COLUMN not in rows[0]:
        raise InvalidSettings(f"{file} has no rows with a column {TIME_COLUMN}: not a trace")
    return rows


def _is_row(line: str) -> bool:
    return not line.startswith("#")

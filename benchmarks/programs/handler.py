"""What every Python system's handler calls: the same few instructions for all."""

import atexit
import os
import struct
import time
from pathlib import Path

STAMP = "=dd"
START = "=qqqdd"


class Mark:
    """Notes the first start of a handler in this process, and counts calls for the check."""

    def __init__(self) -> None:
        self.calls = 0
        self._folder = Path(os.environ.get("BENCH_FOLDER", "."))
        atexit.register(self._write_calls)

    def call(self) -> None:
        """Count one call of the handler."""
        if not self.calls:
            self._write("started", repr(time.time()))
        self.calls += 1

    def _write_calls(self) -> None:
        if self.calls:
            self._write("calls", str(self.calls))

    def _write(self, kind: str, text: str) -> None:
        # Renamed into place, so that a reader never sees half of it.
        path = self._folder / f"{kind}.{os.getpid()}"
        path.with_suffix(".new").write_text(text)
        path.with_suffix(".new").rename(path)


class Records:
    """Writes records of one format, a killed process keeps what it wrote."""

    def __init__(self, kind: str, record: str) -> None:
        self._kind = kind
        self._record = struct.Struct(record)
        self._file = -1

    def write(self, *values: float) -> None:
        """Write one record."""
        if self._file < 0:
            folder = Path(os.environ.get("BENCH_FOLDER", "."))
            path = folder / f"{self._kind}.{os.getpid()}"
            self._file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
        os.write(self._file, self._record.pack(*values))


class Stamps:
    """Notes per job when it was enqueued and when its handler started, as two doubles."""

    def __init__(self) -> None:
        self._records = Records("stamps", STAMP)

    def add(self, enqueued_at_s: float) -> None:
        """Note one job."""
        self._records.write(enqueued_at_s, time.time())


class Starts:
    """Notes per start: job, token, attempt, when it was enqueued, when it started."""

    def __init__(self) -> None:
        self._records = Records("starts", START)

    def add(self, job_id: int, token: int, attempt: int, enqueued_at_s: float) -> None:
        """Note one start."""
        self._records.write(job_id, token, attempt, enqueued_at_s, time.time())


mark = Mark()
stamps = Stamps()
starts = Starts()

"""What every Python system's handler calls: the same few instructions for all."""

import atexit
import os
import struct
import time
from pathlib import Path


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


class Stamps:
    """Notes per job when it was enqueued and when its handler started, as two doubles."""

    def __init__(self) -> None:
        self._file = -1

    def add(self, enqueued_at_s: float) -> None:
        """Write one job's times; a killed process keeps what it wrote."""
        started_at_s = time.time()
        if self._file < 0:
            path = Path(os.environ.get("BENCH_FOLDER", ".")) / f"stamps.{os.getpid()}"
            self._file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
        os.write(self._file, struct.pack("dd", enqueued_at_s, started_at_s))


mark = Mark()
stamps = Stamps()

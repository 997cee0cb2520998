"""Log lines: JSON for containers, short text for a terminal."""

import json
import logging
import sys
import time
from textwrap import indent

from queueworker.compat import override
from queueworker.settings import LogFormat

TEXT = "%(asctime)s %(levelname)-7s %(name)s: %(message)s"
# Whatever a handler's logger adapter adds (`ctx.logger`) becomes a field.
STANDARD = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime"}


class JsonFormatter(logging.Formatter):
    """One JSON object a line."""

    @override
    def format(self, record: logging.LogRecord) -> str:
        """Write a record, its extra fields and its traceback."""
        moment = time.gmtime(record.created)
        fields: dict[str, object] = {
            "time": f"{time.strftime('%Y-%m-%dT%H:%M:%S', moment)}.{int(record.msecs):03d}Z",
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
        }
        fields |= {key: value for key, value in vars(record).items() if key not in STANDARD}
        if record.exc_info:
            fields["error"] = self.formatException(record.exc_info)
        return json.dumps(fields, default=str)


class TextFormatter(logging.Formatter):
    """One line, and below it the traceback of a failed attempt."""

    @override
    def formatTime(self, record: logging.LogRecord, datefmt: str | None = None) -> str:  # noqa: N802 - its name in logging
        """Write the local time with its distance from UTC."""
        zone = time.strftime("%z", time.localtime(record.created))
        return f"{super().formatTime(record, datefmt)}{zone}"

    @override
    def format(self, record: logging.LogRecord) -> str:
        """Write a record, and the field `traceback` as a block."""
        line = super().format(record)
        traceback = getattr(record, "traceback", "")
        return f"{line}\n{indent(traceback, '    ')}" if traceback else line


def configure_logging(log_format: LogFormat) -> None:
    """Write INFO and above to standard error."""
    output = logging.StreamHandler(sys.stderr)
    output.setFormatter(JsonFormatter() if log_format is LogFormat.JSON else TextFormatter(TEXT))
    logging.basicConfig(level=logging.INFO, handlers=[output], force=True)

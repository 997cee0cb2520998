"""Where an attempt failed, as text: for the log and for the stored error. Bounded, and no secret.

Only frames, source lines and messages: never the values of variables, where arguments live.
"""

import traceback
from pathlib import Path
from types import TracebackType

from queueworker.redaction import shortened

MOST_CHARACTERS = 4000
MOST_PIECE_CHARACTERS = 1000
MOST_FRAMES = 40
OWN = str(Path(__file__).parent)


def place(exc: BaseException) -> str:
    """Name the line that raised, `tasks.py:9 in boom`; nothing where there is none."""
    frames = exc.__traceback__
    if frames is None:
        return ""
    while frames.tb_next is not None:
        frames = frames.tb_next
    code = frames.tb_frame.f_code
    return f"{Path(code.co_filename).name}:{frames.tb_lineno} in {code.co_name}"


def traceback_text(exc: BaseException) -> str:
    """Write the traceback from the handler on; of a long one, the most recent frames."""
    try:
        frames = _handler_frames(exc.__traceback__)
        pieces = traceback.format_exception(type(exc), exc, frames, limit=-MOST_FRAMES)
    except BaseException:  # noqa: BLE001 - a user's error may be of any shape
        return ""
    text = "".join(shortened(piece, MOST_PIECE_CHARACTERS) for piece in pieces).rstrip()
    if len(text) <= MOST_CHARACTERS:
        return text
    return "[...]\n" + text[-MOST_CHARACTERS:].partition("\n")[2]


def _handler_frames(frames: TracebackType | None) -> TracebackType | None:
    """Leave the frames of this package away, unless there are no others."""
    first = frames
    while first is not None and first.tb_frame.f_code.co_filename.startswith(OWN):
        first = first.tb_next
    return first or frames

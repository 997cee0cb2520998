"""Where an attempt failed, as text: for the log and for the stored error. Bounded, and no secret.

Only frames, source lines and messages: never the values of variables, where arguments live.
"""

import traceback
from pathlib import Path
from types import TracebackType

from queueworker.load import OWN, is_foreign
from queueworker.redaction import shortened

MOST_CHARACTERS = 4000
MOST_PIECE_CHARACTERS = 1000
MOST_FRAMES = 40


def place(exc: BaseException) -> str:
    """Name the last line of the user's own that led there, `tasks.py:9 in boom`.

    A task that calls a library finds its own line here, and the library's in the traceback. Where
    no frame is the user's own, it is the line that raised; nothing where there is none.
    """
    frames = list(traceback.walk_tb(exc.__traceback__))
    if not frames:
        return ""
    own = [step for step in frames if not is_foreign(step[0].f_code.co_filename)]
    frame, line = (own or frames)[-1]
    return f"{Path(frame.f_code.co_filename).name}:{line} in {frame.f_code.co_name}"


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

"""A text that is drawn again in place on a terminal, and line after line elsewhere."""

import shutil
import sys
from collections.abc import Sequence
from types import TracebackType
from typing import Self

ENTER = "\033[?1049h\033[?25l"  # the other screen, without a cursor
LEAVE = "\033[?25h\033[?1049l"
HOME = "\033[H"
END_OF_LINE = "\033[K"
CLEAR_BELOW = "\033[J"


class Screen:
    """The terminal's other screen; leaving it prints the last text where the command was typed."""

    def __init__(self) -> None:
        self._is_terminal = sys.stdout.isatty()
        self._last: Sequence[str] = ()

    def __enter__(self) -> Self:
        if self._is_terminal:
            sys.stdout.write(ENTER)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if self._is_terminal:
            sys.stdout.write(LEAVE + "".join(f"{line}\n" for line in self._last))
            sys.stdout.flush()

    @property
    def size(self) -> tuple[int | None, int | None]:
        """Give columns and lines; None is without bound."""
        if not self._is_terminal:
            return None, None
        size = shutil.get_terminal_size()
        return size.columns, size.lines

    def draw(self, lines: Sequence[str]) -> None:
        """Show these lines in place of the earlier ones; no line is cleared before it is drawn."""
        self._last = lines
        if self._is_terminal:
            body = f"{END_OF_LINE}\n".join(lines)
            sys.stdout.write(f"{HOME}{body}{END_OF_LINE}{CLEAR_BELOW}")
        else:
            sys.stdout.write("".join(f"{line}\n" for line in (*lines, "")))
        sys.stdout.flush()

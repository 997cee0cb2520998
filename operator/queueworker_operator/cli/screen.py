"""Where a command is read, and how many columns its texts have there."""

from rich.console import Console

from queueworker_operator.cli.worked import WIDTH

NARROWEST = 40


def console() -> Console:
    """Give a terminal, or plain text of 80 columns (COLUMNS) where there is none."""
    return Console(markup=False, highlight=False)


def text_width() -> int:
    """Give the columns of a text: the console's, 40 to 80."""
    return min(WIDTH, max(NARROWEST, console().width))

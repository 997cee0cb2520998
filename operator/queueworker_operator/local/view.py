"""What a person sees while it runs: a live view on a terminal, plain lines elsewhere."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

from rich.console import Console, Group
from rich.live import Live
from rich.panel import Panel
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from queueworker_operator.local.history import History, Point, ScaleEvent

BARS = " ▁▂▃▄▅▆▇█"
CHART_WIDTH = 72
PLAIN_EVERY_S = 5.0
SHOWN_NOTES = 4


@dataclass(frozen=True, slots=True, kw_only=True)
class Progress:
    """How far a replay is: jobs that will come, and those enqueued so far."""

    planned: int = 0
    enqueued: int = 0


class View(Protocol):
    """Where progress goes while it runs."""

    def show(self, point: Point) -> None:
        """Show the present moment; called a few times a second."""

    def note(self, text: str) -> None:
        """Show a line that stays: a scale event, a pod's crash."""

    def close(self) -> None:
        """Give the terminal back."""


class PlainView:
    """One line each 5 seconds, and one for each event."""

    def __init__(
        self, console: Console, history: History, progress: Callable[[], Progress]
    ) -> None:
        self._console = console
        self._history = history
        self._progress = progress
        self._due_s = 0.0

    def show(self, point: Point) -> None:
        """Print the moment when its line is due."""
        if point.at_s < self._due_s:
            return
        self._due_s = point.at_s + PLAIN_EVERY_S
        progress = self._progress()
        replayed = f"  {progress.enqueued}/{progress.planned} enqueued" if progress.planned else ""
        self._print(
            f"{point.at_s:6.1f} s  backlog {point.backlog:.0f} (oldest {point.oldest_s:.1f} s)  "
            f"{point.arrivals_per_s:.1f}/s arriving  workers {_workers(point)}  "
            f"late {percent_text(self._history.lateness().percent)}{replayed}"
        )

    def note(self, text: str) -> None:
        """Print the line at once."""
        self._print(f"{self._history.now_s():6.1f} s  {text}")

    def close(self) -> None:
        """Nothing to give back."""

    def _print(self, line: str) -> None:
        self._console.print(line, markup=False, highlight=False, soft_wrap=True)


class LiveView:
    """A panel that redraws itself: queues, charts of the last minutes, the latest reasons."""

    def __init__(
        self, console: Console, history: History, progress: Callable[[], Progress]
    ) -> None:
        self._history = history
        self._progress = progress
        self._notes: list[str] = []
        self._live = Live(console=console, auto_refresh=False, transient=True)
        self._live.start()

    def show(self, point: Point) -> None:
        """Redraw."""
        self._live.update(self._panel(point), refresh=True)

    def note(self, text: str) -> None:
        """Keep the line among the latest ones."""
        self._notes = [*self._notes, f"{self._history.now_s():5.1f} s  {text}"][-SHOWN_NOTES:]

    def close(self) -> None:
        """Take the panel away."""
        self._live.stop()

    def _panel(self, point: Point) -> Panel:
        notes = [Text(note, style="dim", overflow="ellipsis", no_wrap=True) for note in self._notes]
        progress = self._progress()
        bar = _bar(progress) if progress.planned else Text("Ctrl-C drains and stops", style="dim")
        return Panel(
            Group(
                _queues(self._history), Text(), _charts(self._history.points), Text(), *notes, bar
            ),
            title="QueueWorker on one machine",
            subtitle=f"{point.at_s:.0f} s",
            border_style="blue",
        )


def view_for(console: Console, history: History, progress: Callable[[], Progress]) -> View:
    """Choose the live view on a terminal, plain lines elsewhere."""
    if console.is_terminal:
        return LiveView(console, history, progress)
    return PlainView(console, history, progress)


def describe(event: ScaleEvent) -> str:
    """Give the line of a scale event."""
    return f"{event.name}: {event.before} -> {event.after} ({event.reason}) {event.message}"


def percent_text(percent: float | None) -> str:
    """Write a share; a dash where there is nothing to share."""
    return "-" if percent is None else f"{percent:.2f} %"


@dataclass(frozen=True, slots=True, kw_only=True)
class NoteStream:
    """Where log lines go, so that they do not tear the live view."""

    note: Callable[[str], None]

    def write(self, text: str) -> None:
        """Show one line."""
        if text.strip():
            self.note(text.strip())

    def flush(self) -> None:
        """Nothing is kept back."""


def sparkline(values: Sequence[float], width: int) -> str:
    """Draw the last values as bars, each the largest of its share, scaled to the highest."""
    if not values:
        return ""
    size = max(1, -(-len(values) // width))
    shares = [max(values[index : index + size]) for index in range(0, len(values), size)]
    highest = max(*shares, 1e-9)
    last = len(BARS) - 1
    return "".join(BARS[min(last, -int(-value / highest * last // 1))] for value in shares)


def _workers(point: Point) -> str:
    """Write how many there are; a process that cannot take jobs yet, or never, is told apart."""
    ready = "" if point.ready >= min(point.running, point.desired) else f" ({point.ready} ready)"
    return f"{point.running} of {point.desired}{ready}"


def _queues(history: History) -> Table:
    table = Table(box=None, expand=True, pad_edge=False)
    table.add_column("queue worker")
    for title in ("backlog", "oldest", "arriving", "desired", "running", "draining", "late"):
        table.add_column(title, justify="right")
    for key, report in sorted(history.reports.items()):
        target, sample, decision = history.targets[key], report.sample, report.decision
        state = target.read()
        table.add_row(
            key.partition("/")[2],
            f"{sample.ready:.0f}" if sample else "-",
            f"{sample.oldest_age_s:.1f} s" if sample else "-",
            f"{decision.arrival_rate_per_s:.1f}/s" if decision else "-",
            str(state.current if state else 0),
            str(target.processes()),
            str(report.victims),
            percent_text(history.lateness_of(key).percent),
        )
    return table


def _charts(points: Sequence[Point]) -> Table:
    table = Table.grid(padding=(0, 1))
    for title, colour, values in (
        ("backlog", "blue", [point.backlog for point in points]),
        ("desired", "white", [float(point.desired) for point in points]),
        ("running", "green", [float(point.running) for point in points]),
    ):
        highest = max(values, default=0.0)
        table.add_row(
            title, Text(sparkline(values, CHART_WIDTH), style=colour), f"max {highest:.0f}"
        )
    return table


def _bar(progress: Progress) -> Table:
    table = Table.grid(padding=(0, 1), expand=True)
    table.add_column(no_wrap=True)
    table.add_column(ratio=1)
    table.add_row(
        f"{progress.enqueued}/{progress.planned} jobs enqueued",
        ProgressBar(total=progress.planned, completed=progress.enqueued),
    )
    return table

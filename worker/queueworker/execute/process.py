"""CPU-bound functions: in child processes, killed with all they started when they are late.

A child is kept for the next job, so that starting one (a Python and the app's imports) is paid
once. There are never more children than jobs at once, hence at most one for each slot. A child
ends after `MOST_JOBS` jobs, or when its memory has grown by `MOST_GROWTH_BYTES`.
"""

import asyncio
import os
import resource
import signal
import socket
import sys
from dataclasses import dataclass
from pathlib import Path
from uuid import uuid4

from queueworker.execute.call import Call
from queueworker.execute.frames import MOST_FRAME_BYTES, ForeignAnswer, call_frame, read_outcome
from queueworker.execute.tree import MARK, kill_tree, reap
from queueworker.job import Cancelled, Failed, FailureKind, Outcome, TimedOut

START_TIMEOUT_S = 60.0
MOST_JOBS = 1000
MOST_GROWTH_BYTES = 256 << 20


@dataclass(slots=True, kw_only=True, eq=False)
class _Child:
    process: asyncio.subprocess.Process
    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter
    mark: str
    first_bytes: int = 0
    jobs: int = 0

    @property
    def is_used_up(self) -> bool:
        """Tell whether the next job gets a new child: this one is old, or has grown."""
        growth_bytes = _memory_bytes(self.process.pid) - self.first_bytes
        return self.jobs >= MOST_JOBS or growth_bytes > MOST_GROWTH_BYTES


class ProcessExecutor:
    """Keeps as many children as jobs run at once; each has imported the app named `app`."""

    def __init__(self, app: str) -> None:
        self._app = app
        self._idle: list[_Child] = []
        self._children: set[_Child] = set()
        self._orphans: list[int] = []

    async def execute(self, call: Call) -> Outcome:
        """Run the function in a child until its timeout."""
        child: _Child | None = None
        try:
            child = self._idle_child() or await self._start()
            async with asyncio.timeout(call.job.timeout_s):
                outcome = await _exchange(child, call)
        except TimeoutError:
            self._end(child)
            return TimedOut(timeout_s=call.job.timeout_s or START_TIMEOUT_S)
        except asyncio.CancelledError:
            self._end(child)
            return Cancelled()
        except ForeignAnswer as exc:
            self._end(child)  # its true answer may follow: that must not be the next job's
            return Failed(error=str(exc))
        except (OSError, ValueError) as exc:
            self._end(child)
            return await _crash(child, exc)
        self._keep(child)
        return outcome

    def stop(self) -> None:
        """Kill all children."""
        for child in list(self._children):
            self._end(child)

    def _idle_child(self) -> _Child | None:
        while self._idle:
            child = self._idle.pop()
            if child.process.returncode is None:
                return child
            self._end(child)
        return None

    def _keep(self, child: _Child) -> None:
        if child.is_used_up:
            self._end(child)
        elif child in self._children:
            self._idle.append(child)

    def _end(self, child: _Child | None) -> None:
        if child is None:
            return
        has_ended = child.process.returncode is not None
        killed = kill_tree(child.process.pid, child.mark, has_ended=has_ended)
        self._orphans = reap(self._orphans + killed)
        child.writer.close()
        self._children.discard(child)
        if child in self._idle:
            self._idle.remove(child)

    async def _start(self) -> _Child:
        if not self._app:
            raise ValueError("executor 'process' needs the app's name: start with --app MODULE:APP")
        child = await _spawn(self._app)
        self._children.add(child)
        try:
            async with asyncio.timeout(START_TIMEOUT_S):
                await _line(child)
        except (ConnectionError, ForeignAnswer, TimeoutError):
            self._end(child)
            raise ValueError("it did not import the app; its own message is in the log") from None
        except BaseException:
            self._end(child)
            raise
        child.first_bytes = _memory_bytes(child.process.pid)
        return child


async def _spawn(app: str) -> _Child:
    ours, theirs = socket.socketpair()
    mark = uuid4().hex
    with theirs:
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            "-m",
            "queueworker.execute.child",
            app,
            str(theirs.fileno()),
            pass_fds=[theirs.fileno()],
            start_new_session=True,
            stdin=asyncio.subprocess.DEVNULL,
            env={**os.environ, MARK: mark},
        )
    reader, writer = await asyncio.open_connection(sock=ours, limit=MOST_FRAME_BYTES)
    return _Child(process=process, reader=reader, writer=writer, mark=mark)


async def _exchange(child: _Child, call: Call) -> Outcome:
    child.jobs += 1
    child.writer.write(call_frame(call))
    await child.writer.drain()
    return read_outcome(await _line(child))


async def _line(child: _Child) -> bytes:
    try:
        return await child.reader.readuntil()
    except asyncio.IncompleteReadError:
        raise ConnectionError("the child process ended") from None
    except asyncio.LimitOverrunError as exc:
        read = f"of which the worker reads {MOST_FRAME_BYTES:,} at most"
        raise ForeignAnswer(f"{exc.consumed:,} bytes or more, {read}") from None


async def _crash(child: _Child | None, exc: Exception) -> Outcome:
    """Say how a child ended; a segmentation fault is the job's alone, not the worker's."""
    if child is None:
        return Failed(error=f"the child process did not start: {exc}")
    status = await child.process.wait()
    how = f"signal {signal.Signals(-status).name}" if status < 0 else f"exit status {status}"
    return Failed(error=f"the child process ended with {how}", kind=FailureKind.CRASH)


def _memory_bytes(pid: int) -> int:
    """Give the memory that a process has in use; 0 where that cannot be read."""
    try:
        pages = int(Path(f"/proc/{pid}/statm").read_text(encoding="ascii").split()[1])
    except (OSError, ValueError, IndexError):
        return 0
    return pages * resource.getpagesize()

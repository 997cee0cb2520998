"""CPU-bound functions: in child processes, killed with all they started when they are late."""

import asyncio
import os
import signal
import socket
import sys
from contextlib import suppress
from dataclasses import dataclass

from queueworker.execute.call import Call
from queueworker.execute.frames import MOST_FRAME_BYTES, call_frame, read_outcome
from queueworker.job import Cancelled, Failed, Outcome, TimedOut

START_TIMEOUT_S = 60.0


@dataclass(frozen=True, slots=True, kw_only=True)
class _Child:
    process: asyncio.subprocess.Process
    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter

    def kill(self) -> None:
        """End the child and its whole process group at once."""
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(self.process.pid, signal.SIGKILL)
        self.writer.close()


class ProcessExecutor:
    """Keeps as many children as jobs run at once; each has imported the app named `app`."""

    def __init__(self, app: str) -> None:
        self._app = app
        self._idle: list[_Child] = []
        self._children: set[_Child] = set()

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
        except (OSError, ValueError) as exc:
            self._end(child)
            return Failed(error=await _cause(child, exc))
        self._idle.append(child)
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

    def _end(self, child: _Child | None) -> None:
        if child is not None:
            child.kill()
            self._children.discard(child)
            if child in self._idle:
                self._idle.remove(child)

    async def _start(self) -> _Child:
        if not self._app:
            raise ValueError("executor 'process' needs the app's name: start with --app MODULE:APP")
        ours, theirs = socket.socketpair()
        with theirs:
            process = await asyncio.create_subprocess_exec(
                sys.executable,
                "-m",
                "queueworker.execute.child",
                self._app,
                str(theirs.fileno()),
                pass_fds=[theirs.fileno()],
                start_new_session=True,
                stdin=asyncio.subprocess.DEVNULL,
            )
        reader, writer = await asyncio.open_connection(sock=ours, limit=MOST_FRAME_BYTES)
        child = _Child(process=process, reader=reader, writer=writer)
        self._children.add(child)
        try:
            async with asyncio.timeout(START_TIMEOUT_S):
                await _line(child)
        except BaseException:
            self._end(child)
            raise
        return child


async def _exchange(child: _Child, call: Call) -> Outcome:
    child.writer.write(call_frame(call))
    await child.writer.drain()
    return read_outcome(await _line(child))


async def _line(child: _Child) -> bytes:
    line = await child.reader.readline()
    if not line:
        raise ConnectionError("the child process ended")
    return line


async def _cause(child: _Child | None, exc: Exception) -> str:
    """Say how a child ended; a segmentation fault is a failure of the attempt, not of the worker."""
    if child is None:
        return f"the child process did not start: {exc}"
    status = await child.process.wait()
    how = f"signal {signal.Signals(-status).name}" if status < 0 else f"exit status {status}"
    return f"the child process ended with {how}"

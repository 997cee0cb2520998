"""One local pod: a process with a name, from its start to its exit."""

import asyncio
import json
import logging
import os
import re
import signal
import subprocess
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

logger = logging.getLogger(__name__)

LONGEST_LINE_BYTES = 1 << 20
LAST_OUTPUT_S = 1.0  # how long output is still read after the exit
READY_TEXT = re.compile(r"\bready\b.*\bport[=: ]+(\d+)", re.IGNORECASE)


@dataclass(frozen=True, slots=True, kw_only=True)
class Command:
    """What a pod runs, and with which environment, where."""

    words: tuple[str, ...]
    environment: Mapping[str, str]
    folder: Path


class Pod:
    """A process in place of a container. It is Ready from its worker's ready line on.

    Args:
        name: The pod's name, unique among all pods that ever were.
        command: What to run.
        log: Where its output goes.
        clock: Monotonic seconds.
        crashes: How many pods in a row crashed before it in its place.
        on_ready: Called once, when the worker says that it is ready.
    """

    def __init__(
        self,
        name: str,
        command: Command,
        *,
        log: Path,
        clock: Callable[[], float],
        crashes: int,
        on_ready: Callable[["Pod"], None],
    ) -> None:
        self.name = name
        self.crashes = crashes
        self.created_s = clock()
        self.ready_s: float | None = None
        self.ending = False
        self.last_line = ""
        self.ran_s = 0.0
        self._command = command
        self.log = log
        self._clock = clock
        self._on_ready = on_ready
        self._process: asyncio.subprocess.Process | None = None
        self._exited = asyncio.Event()

    async def run(self, delay_s: float) -> int | None:
        """Run the process to its end; give its exit code, None when it never started."""
        try:
            await self._await_start(delay_s)
            if self.ending:
                return None
            self._process = await asyncio.create_subprocess_exec(
                *self._command.words,
                cwd=self._command.folder,
                env=dict(self._command.environment),
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                start_new_session=True,  # Ctrl-C is for the operator: it drains its pods
                limit=LONGEST_LINE_BYTES,
            )
            return await self._follow(self._process)
        except OSError as exc:
            self.last_line = f"{self._command.words[0]}: {exc.strerror}"
            return None
        finally:
            self._exited.set()

    async def end(self, grace_s: float) -> None:
        """Ask the process to end (SIGTERM); kill its whole group after `grace_s`."""
        self.ending = True
        self._signal(signal.SIGTERM)
        try:
            async with asyncio.timeout(grace_s):
                await self._exited.wait()
        except TimeoutError:
            logger.warning("pod %s did not end within its %.0f s: killed", self.name, grace_s)
            self.kill()
            await self._exited.wait()

    def kill(self) -> None:
        """End the process and its children at once (SIGKILL)."""
        self.ending = True
        if self._process is not None and not self._exited.is_set():
            with suppress(ProcessLookupError):
                os.killpg(self._process.pid, signal.SIGKILL)

    async def _await_start(self, delay_s: float) -> None:
        waited_s = 0.0
        while waited_s < delay_s and not self.ending:
            await asyncio.sleep(min(0.1, delay_s - waited_s))
            waited_s += 0.1

    def _signal(self, number: signal.Signals) -> None:
        if self._process is not None and self._process.returncode is None:
            with suppress(ProcessLookupError):
                self._process.send_signal(number)

    async def _follow(self, process: asyncio.subprocess.Process) -> int:
        if self.ending:  # told to end while it was being started
            self._signal(signal.SIGTERM)
        started_s = self._clock()
        reading = asyncio.create_task(self._read(process))
        code = await process.wait()
        self.ran_s = self._clock() - started_s
        await asyncio.wait([reading], timeout=LAST_OUTPUT_S)
        reading.cancel()
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(process.pid, signal.SIGKILL)  # what it left behind goes with it
        return code

    async def _read(self, process: asyncio.subprocess.Process) -> None:
        if process.stdout is None:
            return
        with self.log.open("ab") as log:
            while line := await _next_line(process.stdout):
                log.write(line)
                log.flush()
                self._heed(line.decode(errors="replace").strip())

    def _heed(self, line: str) -> None:
        self.last_line = line or self.last_line
        if self.ready_s is None and says_ready(line):
            self.ready_s = self._clock()
            self._on_ready(self)


async def _next_line(stream: asyncio.StreamReader) -> bytes:
    while True:
        with suppress(ValueError):  # longer than the limit: dropped
            return await stream.readline()


def says_ready(line: str) -> bool:
    """Tell whether `line` is a worker's word that it is ready, as JSON or as text."""
    if not line.startswith("{"):
        return READY_TEXT.search(line) is not None
    try:
        record = json.loads(line)
    except ValueError:
        return False
    return READY_TEXT.search(str(record.get("message", ""))) is not None

"""The child of the process executor: runs one call after the other, ends with its worker.

`python -m queueworker.execute.child MODULE:APP FILE_DESCRIPTOR`
"""

import ctypes
import os
import signal
import socket
import sys
import threading
from contextlib import suppress
from queue import SimpleQueue

from queueworker.errors import InvalidCall, QueueWorkerError
from queueworker.execute.call import Call, failure, invalid_arguments
from queueworker.execute.frames import READY, outcome_frame, read_call
from queueworker.execute.tree import MARK, kill_descendants
from queueworker.job import Outcome
from queueworker.load import load_app

PR_SET_PDEATHSIG = 1


def main(arguments: list[str]) -> int:
    """Serve calls until the worker closes the channel."""
    reference, descriptor = arguments
    own_pid = os.getpid()
    _go_on_without_parent()
    try:
        app = load_app(reference)
    except QueueWorkerError as exc:
        sys.stderr.write(f"queueworker: {exc}\n")
        return 1
    lines: SimpleQueue[bytes] = SimpleQueue()
    with socket.socket(fileno=int(descriptor)) as channel:
        threading.Thread(target=_read, args=(channel, lines), daemon=True).start()
        channel.sendall(READY)
        while True:
            call = read_call(lines.get(), app.tasks)
            outcome = _run(call)
            if os.getpid() != own_pid:
                os._exit(0)  # a copy that the handler forked: its answer would be a second one
            channel.sendall(outcome_frame(outcome))


def _go_on_without_parent() -> None:
    """Let this process be continued when its parent dies: a stopped one cannot end itself.

    The worker stops a child before it kills it; one that dies between the two would leave it
    for ever. Not SIGKILL: this process still has to kill what is below it.
    """
    with suppress(OSError, AttributeError):  # Linux alone has it
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGCONT)


def _read(channel: socket.socket, lines: "SimpleQueue[bytes]") -> None:
    """Hand over calls; end this process and its children when the worker is gone."""
    with channel.makefile("rb") as frames:
        for line in frames:
            lines.put(line)
    kill_descendants(os.getpid(), os.environ.get(MARK, ""))
    if os.getpgrp() == os.getpid():
        os.killpg(os.getpid(), signal.SIGKILL)
    os._exit(1)


def _run(call: Call) -> Outcome:
    try:
        return call.success(call.invoke(call.arguments()))
    except InvalidCall as exc:
        return invalid_arguments(exc)
    except BaseException as exc:  # noqa: BLE001 - sys.exit() in a handler must not end the child
        return failure(exc)


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
